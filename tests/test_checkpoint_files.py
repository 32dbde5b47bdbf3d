from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable

import pytest

from tfod_transfer import checkpoint_files, errors


def touch(folder: pathlib.Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


CKPT = ("ckpt-0.index", "ckpt-0.data-00000-of-00001")

# files of a folder: the checkpoint that it holds
FOLDERS = {
    "files themselves": (CKPT, "ckpt-0"),
    "zoo archive": ([f"checkpoint/{name}" for name in CKPT], "checkpoint/ckpt-0"),
    "zoo archive, one deeper": ([f"ssd/checkpoint/{name}" for name in CKPT], "ssd/checkpoint/ckpt-0"),
    "beside a SavedModel": (
        [*(f"checkpoint/{name}" for name in CKPT), "1/saved_model.pb", "1/variables/variables.index"],
        "checkpoint/ckpt-0",
    ),
    "two shards": (["ckpt-9.index", "ckpt-9.data-00000-of-00002", "ckpt-9.data-00001-of-00002"], "ckpt-9"),
    "several: the highest": (
        [f"ckpt-{n}{end}" for n in (2, 10, 9) for end in (".index", ".data-00000-of-00001")],
        "ckpt-10",
    ),
    "a name with a dot": (["model.ckpt-7.index", "model.ckpt-7.data-00000-of-00001"], "model.ckpt-7"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_the_checkpoint_of_a_folder_is_found(case: str, tmp_path: pathlib.Path) -> None:
    names, expected = FOLDERS[case]
    touch(tmp_path, *names)
    assert checkpoint_files.find(tmp_path) == tmp_path / expected


def test_the_state_file_decides_between_several(tmp_path: pathlib.Path) -> None:
    touch(tmp_path, *(f"ckpt-{n}{end}" for n in (1, 2) for end in (".index", ".data-00000-of-00001")))
    (tmp_path / "checkpoint").write_text(
        'all_model_checkpoint_paths: "/elsewhere/ckpt-2"\nmodel_checkpoint_path: "/elsewhere/ckpt-1"\n'
    )
    assert checkpoint_files.find(tmp_path) == tmp_path / "ckpt-1"
    (tmp_path / "checkpoint").write_bytes(b'\xff model_checkpoint_path: "ckpt-1"')
    assert checkpoint_files.find(tmp_path) == tmp_path / "ckpt-2"


# files of a folder: words of the error
NOT_FOUND = {
    "empty": ([], "found: nothing"),
    "something else": (["a.jpg", "b.jpg"], "found: a.jpg, b.jpg"),
    "much of something else": ([f"{n}.jpg" for n in range(9)], "7.jpg, ..."),
    "SavedModel": (["saved_model.pb", "variables/variables.index"], "A SavedModel cannot be trained further"),
    "artifact without checkpoint": (["1/saved_model.pb", "1/variables/variables.index"], "its checkpoint is needed"),
    "two models": (["a/ckpt-0.index", "b/ckpt-0.index"], "several checkpoints"),
    "no data": (["ckpt-0.index"], "0 of its 1 data files (ckpt-0.data-00000-of-00001)"),
    "a shard is missing": (["ckpt-0.index", "ckpt-0.data-00001-of-00002"], "1 of its 2 data files"),
    "data of another": (["ckpt-0.index", "ckpt-01.data-00000-of-00001"], "0 of its 1 data files"),
}


@pytest.mark.parametrize("case", NOT_FOUND)
def test_no_checkpoint_is_an_error_that_says_what_is_there(case: str, tmp_path: pathlib.Path) -> None:
    names, words = NOT_FOUND[case]
    touch(tmp_path, *names)
    with pytest.raises(errors.WeightsError, match=re.escape(words)):
        checkpoint_files.find(tmp_path)


def test_a_missing_folder_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.WeightsError, match="found: no such folder"):
        checkpoint_files.find(tmp_path / "nowhere")


# name and content of a label file: the classes it names
LABELS = {
    "a name on each line": ("labels.txt", "open\nclosed \n", ("open", "closed")),
    "no newline at the end": ("labels.txt", "open\nclosed", ("open", "closed")),
    "Windows": ("labels.txt", "open\r\nclosed\r\n", ("open", "closed")),
    "holes": ("labels.txt", "person\n\nN/A\ncar\n\n\n", ("person", None, None, "car")),
    "not only ASCII": ("labels.txt", "Füße\n", ("Füße",)),
    "artifact": ("labels_info.json", json.dumps({"labels": ["N/A", "person", "N/A", "car"]}), ("person", None, "car")),
    "artifact with category ids": ("labels_info.json", json.dumps({"labels": ["N/A", 0, 1]}), ("0", "1")),
    "artifact that ends in a hole": ("labels_info.json", json.dumps({"labels": ["N/A", "a", "N/A"]}), ("a", None)),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_are_read(case: str, tmp_path: pathlib.Path) -> None:
    name, content, expected = LABELS[case]
    (tmp_path / name).write_bytes(content.encode())
    assert checkpoint_files.read_labels(tmp_path / name) == expected


BAD_LABELS = {
    "empty": ("labels.txt", b"\n\n", "expected class names, found none"),
    "no text": ("labels.txt", b"\xff\xfe\x00", "expected one class name on each line"),
    "no JSON": ("labels_info.json", b"{", "expected one class name on each line"),
    "another JSON": ("labels_info.json", b"[1]", "expected one class name on each line"),
    "JSON without labels": ("labels_info.json", b"{}", "KeyError"),
    "no class": ("labels_info.json", b'{"labels": ["N/A"]}', "found none"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_bad_labels_are_refused(case: str, tmp_path: pathlib.Path) -> None:
    name, content, words = BAD_LABELS[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.WeightsError, match=words):
        checkpoint_files.read_labels(tmp_path / name)


def test_missing_labels_are_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.WeightsError, match="FileNotFoundError"):
        checkpoint_files.read_labels(tmp_path / "labels.txt")


# label files, with the prefix of the checkpoint: which is taken, and whether it is of an artifact
BESIDE = {
    "nothing": ((), "checkpoint/ckpt-0", None, False),
    "beside the folder": (("labels.txt",), "checkpoint/ckpt-0", "labels.txt", False),
    "in the folder": (("checkpoint/labels.txt",), "checkpoint/ckpt-0", "checkpoint/labels.txt", False),
    "beside the files": (("mine/labels.txt",), "mine/ckpt-0", "mine/labels.txt", False),
    "of some other folder": (("labels.txt",), "mine/ckpt-0", None, False),
    "artifact": (("labels_info.json", "labels.txt"), "checkpoint/ckpt-0", "labels_info.json", True),
}


@pytest.mark.parametrize("case", BESIDE)
def test_labels_beside_a_checkpoint(case: str, tmp_path: pathlib.Path) -> None:
    names, prefix, expected, finetuned = BESIDE[case]
    touch(tmp_path, *names)
    found = checkpoint_files.labels_beside(tmp_path / prefix)
    assert found == (tmp_path / expected if expected else None, finetuned)


def test_a_real_checkpoint_folder(shared: Callable[[str], pathlib.Path]) -> None:
    folder = shared("checkpoints/ssd_mobilenet_v2_fpnlite_320x320_hands")
    prefix = checkpoint_files.find(folder)
    labels, finetuned = checkpoint_files.labels_beside(prefix)
    assert (prefix, labels, finetuned) == (folder / "checkpoint" / "ckpt-0", folder / "labels.txt", False)
    names = ("open", "closed", "pinch", "point", "face", "pointtip", "pinchtip")
    assert checkpoint_files.read_labels(folder / "labels.txt") == names
