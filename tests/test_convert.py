"""The convert command: what it prints and leaves, and COCO to channels as the published notebook makes them."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest
from PIL import Image

from tfod_transfer import cli, convert
from tfod_transfer.data import writers
from tfod_transfer.data.formats import read_dataset


def run(*arguments: object) -> int:
    return cli.run(convert.main, [str(argument) for argument in arguments])


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        Image.new("RGB", (64, 48)).save(folder / "images" / name)
    images = [{"id": row, "file_name": name, "width": 64, "height": 48} for row, name in enumerate(("a.jpg", "b.jpg"))]
    annotations = [
        {"image_id": 0, "category_id": 9, "bbox": [40.6, 10.5, 60.25, 30.1]},
        {"image_id": 0, "category_id": 4, "bbox": [40, 10, 40, 30]},
        {"image_id": 0, "category_id": 4, "bbox": [40, 10, 60, 30]},
    ]
    (folder / "annotations.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


def test_the_command_says_what_it_did(
    source: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "train"
    assert run(source, target, "--to", "image_json") == 0
    said = capsys.readouterr().out
    for expected in (
        "2 of 2 images (1 without a box), 2 of 3 boxes",
        "findings: 2, as follows",
        "this box has no area",
        "c.jpg",
        f"{target}: 2 images, 2 boxes as image_json",
        "not held: category ids: classes are numbered from 0 (4 is 0, 9 is 1)",
    ):
        assert expected in said
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["train", "train_annotation"]
    assert json.loads((tmp_path / "new" / "train_annotation" / "a.json").read_text()) == {
        "file": "a.jpg",
        "image_size": [{"width": 64, "height": 48, "depth": 3}],
        "annotations": [
            {"class_id": 1, "left": 40.6, "top": 10.5, "width": 19.65, "height": 19.6},
            {"class_id": 0, "left": 40, "top": 10, "width": 20, "height": 20},
        ],
        "categories": [{"class_id": 0, "name": "4"}, {"class_id": 1, "name": "9"}],
    }


def test_images_without_boxes_are_skipped_on_request(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert run(source, tmp_path / "out", "--to", "recordio", "--skip-images-without-boxes") == 0
    assert len(read_dataset(tmp_path / "out")) == 1


def test_a_manifest_can_name_the_place_that_images_will_have(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert run(source, tmp_path / "out", "--to", "augmented_manifest", "--image_prefix", "s3://b/x/") == 0
    lines = (tmp_path / "out" / "out.manifest").read_text().splitlines()
    assert [json.loads(line)["source-ref"] for line in lines] == ["s3://b/x/a.jpg", "s3://b/x/b.jpg"]
    assert json.loads(lines[0])["bounding-box-metadata"]["class-map"] == {"0": "4", "1": "9"}
    assert (tmp_path / "out" / "images" / "a.jpg").is_file()


@pytest.mark.parametrize("name", ["out", "out_annotation"])
def test_what_is_there_is_not_touched(
    source: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "keep").write_text("this")
    assert run(source, tmp_path / "out", "--to", "image_json") == 2
    assert f"{name} is there already" in capsys.readouterr().err
    assert sorted(
        path.name for path in tmp_path.rglob("*") if path.parent != source and "source" not in path.parts
    ) == [
        "keep",
        name,
    ]


def test_nothing_is_left_of_a_conversion_that_fails(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    file = source / "annotations.json"
    names = [{"id": 9, "name": "a\nb"}, {"id": 4, "name": "c"}]
    file.write_text(json.dumps({**json.loads(file.read_text()), "categories": names}))
    assert run(source, tmp_path / "out", "--to", "voc") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_data_without_a_box_leave_nothing_to_write(
    source: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = source / "annotations.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "annotations": []}))
    assert run(source, tmp_path / "out", "--to", "coco", "--skip_images_without_boxes") == 2
    assert "has no image with a box" in capsys.readouterr().err


def test_the_names_of_formats_are_those_of_the_writers() -> None:
    assert tuple(writers.WRITERS) == convert.FORMATS


def test_help_does_without_tensorflow() -> None:
    code = (
        "import sys; from tfod_transfer import cli, convert\n"
        "try: cli.run(convert.main, ['a', 'b', '--to', 'cocoo'])\n"
        "except SystemExit: pass\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=pathlib.Path(__file__).parents[1])


def as_the_notebook_does(coco: pathlib.Path) -> dict[str, object]:
    """What the notebook's loops make of a file in COCO's form: for each image with boxes its labels, by its stem."""
    content = json.loads(coco.read_text())
    class_of = {key: row for row, key in enumerate(sorted({each["category_id"] for each in content["annotations"]}))}
    made: dict[str, object] = {}
    for image in content["images"]:
        boxes = [
            (class_of[each["category_id"]], *(int(number) for number in each["bbox"]))
            for each in content["annotations"]
            if each["image_id"] == image["id"]
        ]
        if boxes:
            size = [{"width": image["width"], "height": image["height"], "depth": 3}]
            made[image["file_name"].split(".")[0]] = (image["file_name"], size, boxes)
    return made


def test_coco_becomes_channels_as_in_the_published_notebook(
    shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path
) -> None:
    coco = shared("data/coco_permissive") / "coco.json"
    options = ("--to", "image_json", "--skip_images_without_boxes", "--whole_pixels")
    assert run(coco, tmp_path / "train", *options) == 0
    made: dict[str, object] = {}
    for path in (tmp_path / "train_annotation").iterdir():
        content = json.loads(path.read_text())
        boxes = [
            tuple(each[key] for key in ("class_id", "left", "top", "width", "height"))
            for each in content["annotations"]
        ]
        made[path.stem] = (content["file"], content["image_size"], boxes)
        assert (tmp_path / "train" / content["file"]).is_file()
    expected = as_the_notebook_does(coco)
    differing = [stem for stem in expected if expected[stem] != made.get(stem)]
    assert set(made) == set(expected)
    assert not differing
