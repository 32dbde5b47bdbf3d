"""The source_dir archive in containers as AWS builds them: what pip does there to the libraries that it finds."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tarfile

import pytest

from tfod_transfer.sagemaker import bundle, libraries

pytestmark = pytest.mark.acceptance

# What AWS's SageMaker training images hold, by its public Dockerfiles: tf-models-official and what that brings, but
# TensorFlow itself from a wheel of another name.
IN_EVERY_IMAGE = {
    "protobuf": "3.20.3",
    "pillow": "11.3.0",
    "psutil": "7.0.0",
    "pycocotools": "2.0.8",
    "PyYAML": "6.0.2",
    "tensorflow-hub": "0.16.1",
}
IMAGES = {
    "TensorFlow 2.16, CPU": {"tensorflow-cpu": "2.16.2", "tf-keras": "2.16.0", "numpy": "1.26.4", "keras": "3.6.0"},
    "TensorFlow 2.18, GPU": {"tensorflow-gpu": "2.18.0", "tf-keras": "2.18.0", "numpy": "1.26.4", "keras": "3.8.0"},
    "TensorFlow 2.19, GPU": {"tensorflow": "2.19.0", "tf-keras": "2.19.0", "numpy": "2.1.3", "keras": "3.10.0"},
}


def container(folder, holds, *, with_pip=False):
    """Makes an environment whose pip sees the distributions in `holds`; returns its Python."""
    flags = [] if with_pip else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *flags, str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name, version in holds.items():
        info = packages / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder / "bin" / "python"


def unpacked(archive, folder):
    with tarfile.open(archive) as tar:
        tar.extractall(folder)
    return folder


@pytest.mark.parametrize("image", IMAGES)
def test_the_toolkit_s_pip_installs_what_the_image_lacks_and_replaces_nothing(tmp_path, image):
    bundle.write_bundle(tmp_path / "sourcedir.tar.gz")
    code = unpacked(tmp_path / "sourcedir.tar.gz", tmp_path / "code")
    python = container(tmp_path / "container", IN_EVERY_IMAGE | IMAGES[image])
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--dry-run", "--quiet"]
    subprocess.run([*command, "--report", str(report), "-r", "requirements.txt"], cwd=code, check=True)
    installed = [item["metadata"]["name"] for item in json.loads(report.read_text())["install"]]
    assert installed == list(libraries.LACKING)


def test_in_network_isolation_the_wheels_are_enough_and_bring_no_tensorflow(tmp_path):
    bundle.write_bundle(tmp_path / "sourcedir.tar.gz", with_wheels=True)
    code = unpacked(tmp_path / "sourcedir.tar.gz", tmp_path / "code")
    holds = {"tensorflow-gpu": "2.18.0", "numpy": "1.26.4"}  # the least that a container can hold
    python = container(tmp_path / "container", holds, with_pip=True)
    without_network = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))},
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def run(*arguments):
        done = subprocess.run(
            [str(python), *arguments], cwd=code, env=without_network, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    before = frozen(run("-m", "pip", "list", "--format", "json"))
    run("-m", "pip", "install", "-r", "requirements.txt")
    run("-c", "from tfod_transfer.sagemaker import libraries; libraries.ensure(); libraries.ensure()")
    added = dict(frozen(run("-m", "pip", "list", "--format", "json")) - before)
    assert set(added) == {*libraries.MODULES.values(), *libraries.BENEATH.values(), "tf-keras"}
    assert added["tf-keras"] == "2.18.0"
    run("-c", "import jinja2, msgspec, PIL.Image, psutil, yaml")
    size = pathlib.Path(tmp_path / "sourcedir.tar.gz").stat().st_size
    assert size < 100_000_000  # half of it matplotlib and its fonts, for three Pythons


def frozen(listed):
    return {(item["name"].lower().replace("_", "-"), item["version"]) for item in json.loads(listed)}
