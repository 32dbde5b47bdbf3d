"""The source_dir archive."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

import pytest

from tfod_transfer import cli
from tfod_transfer.sagemaker import __main__ as command
from tfod_transfer.sagemaker import bundle, libraries

ROOT = pathlib.Path(bundle.__file__).resolve().parents[2]
MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "sourcedir.tar.gz"
    bundle.write_bundle(path, MODEL_ID)
    return path


def members(path):
    with tarfile.open(path) as tar:
        return {member.name: member for member in tar.getmembers()}


def content(path, name):
    with tarfile.open(path) as tar:
        return tar.extractfile(name).read()


def test_the_entry_point_is_at_the_root_beside_the_whole_package(archive):
    names = set(members(archive))
    assert {name for name in names if "/" not in name} == {"transfer_learning.py", "requirements.txt", "bundle.json"}
    assert content(archive, "transfer_learning.py") == (ROOT / "scripts" / "transfer_learning.py").read_bytes()
    assert content(archive, "tfod_transfer/model_registry.yaml") == (ROOT / "model_registry.yaml").read_bytes()
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "tfod_transfer").rglob("*.py")}
    assert sources - names == {"tfod_transfer/sagemaker/transfer_learning.py"}
    assert json.loads(content(archive, "bundle.json"))["model_id"] == MODEL_ID


def test_nothing_in_it_is_a_link_or_says_who_made_it_where_and_when(archive):
    for member in members(archive).values():
        assert member.isreg()
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "root", "root")
        assert (member.mtime, member.mode) == (315_532_800, 0o644)
    assert archive.read_bytes()[4:8] == bytes(4), "gzip's own time"


def test_what_is_hidden_or_made_by_running_stays_outside(tmp_path, monkeypatch):
    package = tmp_path / "tfod_transfer"
    shutil.copytree(ROOT / "tfod_transfer", package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(bundle, "PACKAGE", package)
    clean = bundle.bundle_files(MODEL_ID)
    for name in (".env", ".git/config", "data/.cache/key", "__pycache__/cli.cpython-311.pyc", "data/old.pyc"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("secret")
    assert bundle.bundle_files(MODEL_ID) == clean
    (package / "data" / "new.py").write_text("")
    assert set(bundle.bundle_files(MODEL_ID)) - set(clean) == {"tfod_transfer/data/new.py"}


def test_the_same_files_give_the_same_bytes_in_any_order():
    files = {"b": b"2", "a/c": b"1"}
    assert bundle.packed(files) == bundle.packed(dict(reversed(files.items())))


def test_the_toolkit_is_asked_only_for_what_the_images_lack(archive):
    requirements = content(archive, "requirements.txt").decode().splitlines()
    assert [line.partition("==")[0] for line in requirements if not line.startswith(" ")] == list(libraries.LACKING)
    assert "setup.py" not in members(archive), "the toolkit would install it with all its dependencies"


def test_wheels_are_what_the_requirements_then_refer_to(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "fetch_wheels", lambda: {"msgspec-0-py3-none-any.whl": b"wheel"})
    out = tmp_path / "new" / "with.tgz"
    sizes = bundle.write_bundle(out, with_wheels=True)
    assert sizes["wheels/msgspec-0-py3-none-any.whl"] == 5
    requirements = content(out, "requirements.txt").decode().splitlines()
    assert requirements[:2] == ["--no-index", "--find-links wheels"]
    assert requirements[2].startswith("msgspec==")
    assert [path.name for path in out.parent.iterdir()] == ["with.tgz"]


@pytest.mark.parametrize("layout", ["archive", "checkout"])
def test_the_entry_point_finds_the_package(archive, tmp_path, layout):
    code = tmp_path / "code"
    if layout == "archive":
        with tarfile.open(archive) as tar:
            tar.extractall(code)
        script = code / "transfer_learning.py"
    else:
        shutil.copytree(ROOT / "tfod_transfer", code / "tfod_transfer", ignore=shutil.ignore_patterns("__pycache__"))
        script = pathlib.Path(shutil.copytree(ROOT / "scripts", code / "scripts")) / "transfer_learning.py"
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path / "ml"), "SM_HPS": '{"epochs": "some"}'}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert f" in {code / 'tfod_transfer'}" in done.stdout, done.stderr
    failure = (tmp_path / "ml" / "output" / "failure").read_text()
    if layout == "archive":  # which says what to train; else it is the model of AWS's example
        assert failure.startswith("epochs must be a whole number")
    assert (done.returncode, done.stderr) == (2, f"error: {failure}\n")


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["bundle", "OUT.tar.gz", "--model-id", MODEL_ID], 0, f"have no model channel: {MODEL_ID}\n"),
        (["bundle", "OUT.zip"], 2, "OUT.zip: expected a name that ends with .tar.gz or .tgz."),
        (["bundle", "OUT.tar.gz", "--model_id", MODEL_ID + "x"], 2, f"Did you mean {MODEL_ID!r}?"),
        (["bundle", "OUT.tar.gz", "--with_wheel"], 2, "unknown argument '--with_wheel'. Did you mean '--with_wheels'?"),
        (["bundel", "OUT.tar.gz"], 2, "choose from"),
    ],
)
def test_the_command_says_what_it_made_or_what_is_wrong(tmp_path, monkeypatch, capsys, arguments, status, expected):
    monkeypatch.chdir(tmp_path)
    try:
        returned = cli.run(command.main, arguments)
    except SystemExit as stop:
        returned = stop.code
    printed = capsys.readouterr()
    assert (returned, expected in printed.out + printed.err) == (status, True), printed
    assert len(list(tmp_path.iterdir())) == (status == 0)
