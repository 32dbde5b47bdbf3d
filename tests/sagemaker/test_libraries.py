"""What a job installs because its container lacks it."""

from __future__ import annotations

import ast
import importlib.metadata
import pathlib
import re
import sys

import pytest

from tfod_transfer import errors
from tfod_transfer.sagemaker import libraries

ROOT = pathlib.Path(libraries.__file__).resolve().parents[2]
EVERYTHING = {**libraries.MODULES, **libraries.BENEATH}
# Those of every TensorFlow, and those that a container has to bring: they depend on TensorFlow itself.
WITH_TENSORFLOW = {"h5py", "numpy", "tensorflow", "tf_keras"}
# Of the extras `serve`, `onnx` and `video`: a training job needs none of them.
EXTRAS = {"prometheus_client", "starlette", "uvicorn", "onnx", "onnxruntime", "tf2onnx", "av"}


def imported_libraries():
    """Every library that some module of the package imports, anywhere in it."""
    for path in (ROOT / "tfod_transfer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            yield from (name.partition(".")[0] for name in names)


def test_every_library_that_the_package_imports_is_provided_for():
    foreign = set(imported_libraries()) - set(sys.stdlib_module_names) - {"tfod_transfer"}
    assert foreign - WITH_TENSORFLOW - EXTRAS == set(libraries.MODULES)


def test_the_lock_holds_one_hashed_release_of_each_for_all_pythons():
    entries = "\n".join(libraries.locked(EVERYTHING.values())).split("\n")
    pins = [line for line in entries if not line.startswith(" ")]
    assert all(re.fullmatch(r"[\w-]+==[\w.]+ \\", pin) for pin in pins), "no markers: pip would read them for itself"
    assert len(pins) == len(EVERYTHING)
    assert all(line.strip().startswith("--hash=sha256:") for line in entries if line.startswith(" "))


def test_the_lock_agrees_with_the_environment_that_the_tests_run_in():
    tested = (ROOT / "requirements" / "primary.lock").read_text()
    for entry in libraries.locked(set(EVERYTHING.values()) - {"pillow"}):
        assert entry.partition(" ")[0] in tested


@pytest.fixture
def container(monkeypatch):
    """Makes a container of its TensorFlow's name and version, and what it lacks; collects the calls of pip."""
    calls = []

    def make(lacks=(), tensorflow=("tensorflow-cpu", "2.18.0")):
        def version(name):
            if name != tensorflow[0]:
                raise importlib.metadata.PackageNotFoundError(name)
            return tensorflow[1]

        monkeypatch.setattr(libraries, "_present", lambda module: module not in lacks)
        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(libraries, "pip", lambda *call: calls.append(call))
        return calls

    return make


def test_a_container_that_has_everything_is_left_alone(container):
    calls = container()
    libraries.ensure()
    assert calls == []


@pytest.mark.parametrize(
    ("tensorflow", "expected"),
    [
        (("tensorflow-cpu", "2.16.2"), "tf-keras==2.16.0 "),
        (("tensorflow-gpu", "2.18.0"), "tf-keras==2.18.0 "),
        (("tensorflow", "2.19.0"), "tf-keras==2.19.0 "),
    ],
)
def test_tf_keras_is_that_of_the_container_s_tensorflow(container, tensorflow, expected):
    calls = container(["tf_keras"], tensorflow)
    libraries.ensure()
    ((command, flags, requirements),) = calls
    assert (command, "--no-deps" in flags, "--no-index" in flags) == ("install", True, False)
    assert [requirement.startswith(expected) for requirement in requirements] == [True]


def test_only_what_is_absent_is_installed_from_the_archive_s_wheels_where_it_has_some(container, monkeypatch, tmp_path):
    monkeypatch.setattr(libraries, "WHEELS_FOLDER", tmp_path)
    calls = container(["msgspec", "yaml"])
    libraries.ensure()
    ((_, flags, requirements),) = calls
    assert [requirement.partition("==")[0] for requirement in requirements] == ["msgspec", "pyyaml"]
    assert ["--no-index", "--find-links", str(tmp_path)] == flags[:3]


@pytest.mark.parametrize(
    ("tensorflow", "message"),
    [
        (("tensorflow", "2.9.1"), "found TensorFlow 2.9.1; expected one of 2.16"),
        (("torch", "2.9.1"), "found no TensorFlow in this container"),
    ],
)
def test_a_container_without_a_usable_tensorflow_is_refused(container, tensorflow, message):
    container(["tf_keras"], tensorflow)
    with pytest.raises(errors.UsageError, match=message):
        libraries.ensure()


def test_a_job_that_cannot_reach_a_package_index_is_told_of_wheels(container, monkeypatch):
    def unreachable(*call):
        raise errors.UsageError("pip install failed: ERROR: no index.")

    container(["msgspec", "PIL"])
    monkeypatch.setattr(libraries, "pip", unreachable)
    with pytest.raises(errors.UsageError, match=r"lacks msgspec, pillow\. pip install failed: ERROR.* --with_wheels"):
        libraries.ensure()


def test_pip_s_own_error_is_passed_on(tmp_path):
    requirement = f"not-a-package-of-anybody==1 --hash=sha256:{'0' * 64}"
    with pytest.raises(errors.UsageError, match=r"pip download failed: ERROR: .*not-a-package-of-anybody"):
        libraries.pip("download", ["--no-index", "--dest", str(tmp_path)], [requirement])
