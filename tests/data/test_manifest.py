"""Augmented manifests: lines, labels and names, and where their images are."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from records_on_disk import reasons
from small_sets import HEIGHT, WIDTH, encoded

from tfod_transfer.data import remote_images
from tfod_transfer.data.formats import read_dataset
from tfod_transfer.errors import DataError

SIZE = [{"width": WIDTH, "height": HEIGHT, "depth": 3}]


def box(class_id: Any = 0) -> dict[str, Any]:
    return {"class_id": class_id, "left": 16, "top": 24, "width": 32, "height": 24}


def line(reference: str, *boxes: Any, names: dict[str, str] | None = None, attribute: str = "boxes") -> dict[str, Any]:
    metadata = {"type": "groundtruth/object-detection", "class-map": names or {}}
    return {
        "source-ref": reference,
        attribute: {"image_size": SIZE, "annotations": list(boxes)},
        f"{attribute}-metadata": metadata,
    }


def write(folder: pathlib.Path, *lines: Any, images: int = 2, name: str = "output.manifest") -> pathlib.Path:
    for number in range(images):
        (folder / f"{number}.png").write_bytes(encoded(number))
    (folder / name).write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines))
    return folder


@pytest.mark.parametrize("name", ["output.manifest", "train.jsonl", "annotations.json"])
def test_columns(tmp_path: pathlib.Path, name: str) -> None:
    lines = (line("0.png", box("5"), box(0), names={"5": "horse", "0": "dog"}), line("1.png"))
    dataset = read_dataset(write(tmp_path, *lines, name=name))
    assert dataset.boxes.tolist() == [[0.5, 0.25, 1.0, 0.75]] * 2
    assert dataset.offsets.tolist() == [0, 2, 2]
    assert (dataset.category_ids, dataset.class_names) == ((0, 5), ("dog", "horse"))
    assert dataset.classes.tolist() == [1, 0]
    assert list(dataset.image_ids) == ["0.png", "1.png"]
    assert not dataset.findings
    assert "(an augmented manifest)" in dataset.description


@pytest.mark.parametrize("spelled", ["{folder}/0.png", "file://{folder}/0.png", "./0.png", "file://{folder}/%30.png"])
def test_addresses_of_local_images(tmp_path: pathlib.Path, spelled: str) -> None:
    dataset = read_dataset(write(tmp_path, line(spelled.format(folder=tmp_path), box())))
    assert pathlib.Path(dataset.image_paths[0]).samefile(tmp_path / "0.png")


@pytest.mark.parametrize(
    ("second", "boxes", "found", "message"),
    [
        pytest.param("", 1, [], "", id="an empty line"),
        pytest.param("{broken", 1, ["bad_record"], "not valid JSON", id="broken"),
        pytest.param({"source": "text"}, 1, ["bad_record"], "expected 'source-ref'", id="another source"),
        pytest.param({"source-ref": "1.png"}, 1, ["bad_record"], "'boxes': expected an object", id="no labels"),
        pytest.param(
            {"source-ref": "1.png", "boxes-metadata": {"failure-reason": "too dark"}},
            1,
            ["bad_record"],
            "labelling it failed: too dark",
            id="a label that failed",
        ),
        pytest.param(line("1.png", box(), {"class_id": 1}), 2, ["bad_record"], "'left' is missing", id="half a box"),
        pytest.param(line("0.png", box()), 2, ["duplicate_file_name"], "put together", id="an image twice"),
        pytest.param(line("9.png", box()), 1, ["missing_image"], "does not exist", id="a missing image"),
    ],
)
def test_lines(tmp_path: pathlib.Path, second: Any, boxes: int, found: list[str], message: str) -> None:
    dataset = read_dataset(write(tmp_path, line("0.png", box()), second), max_findings=1)
    assert dataset.num_boxes == boxes
    assert [reason for reason, _ in reasons(dataset)] == found
    assert all(message in each.message for each in dataset.findings)
    assert all(each.file.endswith(("line 2", "9.png")) for each in dataset.findings)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param(
            [{"source-ref": "0.png", "x": 1}], r"expected a label attribute.*the keys \['source-ref', 'x'\]", id="none"
        ),
        pytest.param(
            [{**line("0.png", box()), **line("0.png", box(), attribute="job")}], "several names, boxes, job", id="two"
        ),
    ],
)
def test_the_label_attribute_has_to_be_clear(tmp_path: pathlib.Path, lines: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_dataset(write(tmp_path, *lines))


def test_the_attribute_of_most_lines_is_used(tmp_path: pathlib.Path) -> None:
    both = {**line("0.png", box()), **line("0.png", box(), box(), attribute="checked")}
    assert read_dataset(write(tmp_path, both, line("1.png", box(), attribute="checked"))).num_boxes == 3


def test_an_unknown_file_system_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match="TensorFlow knows no file system s4:// here"):
        read_dataset(write(tmp_path, line("s4://bucket/0.png", box())))


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("s3://bucket/a b/c.png", "s3/bucket/a b/c.png"),
        ("S3://bucket/../../etc/x", "s3/bucket/%../%../etc/x"),
        ("s3://bucket//a", "s3/bucket/%/a"),
        ("s3://bucket/a?b#c", "s3/bucket/a%3Fb%23c"),
    ],
)
def test_copies_stay_in_the_cache(monkeypatch: pytest.MonkeyPatch, address: str, path: str) -> None:
    monkeypatch.setenv("TFOD_TRANSFER_CACHE", "cache")
    assert str(remote_images.local_path(address)) == f"cache/remote/{path}"
