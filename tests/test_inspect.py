"""The inspect command, run on real and on broken data."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tfod_transfer import cli, inspect
from tfod_transfer.data import writers
from tfod_transfer.data.formats import read_dataset

SIZE = (640, 480)
ORDERS = {"coco": "xywh", "tf_json": "xyxy"}


def write(folder: pathlib.Path, boxes: int = 3, image: str = "a.jpg") -> pathlib.Path:
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", SIZE, (90, 120, 60)).save(folder / "images" / image)
    content = {
        "images": [{"id": 1, "file_name": image, "width": SIZE[0], "height": SIZE[1]}],
        "annotations": [{"image_id": 1, "category_id": 4, "bbox": [400, 100 + row, 600, 300]} for row in range(boxes)],
        "categories": [{"id": 4, "name": "leaf"}],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def run(*arguments: object) -> int:
    return cli.run(inspect.main, [str(argument) for argument in arguments])


def test_real_data(
    shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, output = shared("data/bccd/test"), tmp_path / "out"
    assert run(data, "--validation", shared("data/bccd/validation"), "--output-dir", output, "--images", 4) == 0
    text = capsys.readouterr().out
    for expected in ("72 of 72 images", "Platelets", "best anchor IoU", "zero area box", "in both     none", "320 px"):
        assert expected in text
    record = json.loads((output / "inspect.json").read_text())
    assert record["training"]["boxes"] == 945
    assert [each["name"] for each in record["training"]["classes"]] == ["RBC", "WBC", "Platelets"]
    assert 0 < record["training"]["anchors"]["share_unmatched"] < 0.2
    assert record["validation"]["findings"] == {"zero_area_box (dropped)": 1}
    assert record["validation"]["all_findings"][0]["annotation_index"] == 886
    with Image.open(output / "mosaic.png") as picture:
        assert picture.width > 4 * 480


def test_writes_nothing_without_an_output_folder(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert run(data) == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert "leaf" in capsys.readouterr().out


def test_data_without_a_box_is_shown_and_called_unusable(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(write(tmp_path / "data", boxes=0), "--output_dir", tmp_path / "out") == 2
    shown = capsys.readouterr()
    assert "1, 1 of them without a box" in shown.out
    assert "nothing to learn" in shown.err
    assert (tmp_path / "out" / "mosaic.png").is_file()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param('{"images": [', "not valid JSON", id="broken"),
        pytest.param('{"images": []}', "expected an object with the lists", id="other form"),
        pytest.param(None, "no annotations.json", id="missing"),
    ],
)
def test_unusable_data_ends_with_status_2(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    data = write(tmp_path / "data")
    (data / "annotations.json").unlink()
    if content is not None:
        (data / "annotations.json").write_text(content)
    assert run(data) == 2
    assert message in capsys.readouterr().err


def test_an_image_in_both_sets_is_named(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    training, validation = write(tmp_path / "a"), write(tmp_path / "b", image="other_name.jpg")
    assert run(training, "--validation", validation) == 0
    text = capsys.readouterr().out
    assert "1 images are in training and in validation" in text
    assert "other_name.jpg" in text


def test_a_class_that_training_lacks_is_an_error(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    training, validation = write(tmp_path / "a"), write(tmp_path / "b")
    file = validation / "annotations.json"
    file.write_text(file.read_text().replace("leaf", "root").replace('"category_id": 4', '"category_id": 5'))
    assert run(training, "--validation", validation) == 2
    assert "'5'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model_id", "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320"], "Did you mean"),
        (["--box_oder", "xyxy"], "--box_order"),
        (["--box-order", "yxyx"], "invalid choice"),
    ],
)
def test_wrong_arguments(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    try:
        status = run(write(tmp_path / "data"), *arguments)
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    assert status == 2
    assert message in capsys.readouterr().err


def test_padded_models_are_compared_as_padded(shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path) -> None:
    model = "tensorflow-od1-ssd-efficientdet-d0-512x512-coco17-tpu-8"
    assert run(shared("data/bccd/test"), "--model_id", model, "--output_dir", tmp_path, "--images", 1) == 0
    anchors = json.loads((tmp_path / "inspect.json").read_text())["training"]["anchors"]
    # 640 x 480 becomes 512 x 384 under padding: the sides shrink by 0.8 both ways.
    assert anchors["input_size"] == 512
    in_pixels = json.loads((tmp_path / "inspect.json").read_text())["training"]["sides_px"]
    assert anchors["sides_px"][1] == pytest.approx(0.8 * in_pixels[1], rel=0.01)


@pytest.mark.parametrize("augmentation", ["none", "strong"])
def test_augmented_images_are_drawn_as_training_sees_them(
    shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], augmentation: str
) -> None:
    """In each row an image without augmentation, then as in five epochs."""
    arguments = ["--augmented", "--augmentation", augmentation, "--seed", "4", "--images", "2"]
    assert run(shared("data/bccd/test"), "--output_dir", tmp_path, *arguments) == 0
    assert f"with augmentation {augmentation} and seed 4" in capsys.readouterr().out
    with Image.open(tmp_path / "augmented.jpg") as picture:
        step = inspect.AUGMENTED_TILE + 4
        assert picture.size == (4 + 6 * step, 4 + 2 * step)
        for top in (4, 4 + step):
            tiles = [
                picture.crop((4 + column * step, top, column * step + step, top + step - 4)) for column in range(6)
            ]
            differences = [np.abs(np.subtract(tile, tiles[0], dtype=float)).mean() for tile in tiles[1:]]
            assert max(differences) < 4 if augmentation == "none" else min(differences) > 8


def test_the_preset_and_the_seed_of_augmented_images_are_those_of_training(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(write(tmp_path / "data"), "--augmented", "--output_dir", tmp_path / "out") == 0
    assert "with augmentation zoo and seed 0" in capsys.readouterr().out
    assert (tmp_path / "out" / "augmented.jpg").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--augmented"], "--output_dir", id="nowhere to draw"),
        pytest.param(["--augmentation", "strong"], "add --augmented", id="a preset for nothing"),
        pytest.param(["--random_rotation90"], "add --augmented", id="turned for nothing"),
        pytest.param(["--seed", "3"], "add --augmented", id="a seed for nothing"),
        pytest.param(["--augmented", "--output_dir", "out", "--seed", "-1"], "seed must be", id="no seed"),
    ],
)
def test_options_of_augmented_images_that_do_not_go_together(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(write(tmp_path / "data"), *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["/no/such/folder"]])
def test_answers_without_tensorflow(arguments: list[str]) -> None:
    code = (
        "import sys; from tfod_transfer import cli, inspect\n"
        "try: cli.run(inspect.main, sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "sys.exit(int('tensorflow' in sys.modules))"
    )
    root = pathlib.Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=root, capture_output=True)


@pytest.mark.parametrize("name", writers.WRITERS)
def test_every_format_is_inspected(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    dataset = read_dataset(write(tmp_path / "data"), box_order="xyxy")
    writers.write(dataset, tmp_path / "other", name, writers.Settings())
    separate = ["--annotations", tmp_path / "other_annotation"] if name == "image_json" else []
    assert (
        run(tmp_path / "other", *separate, "--output_dir", tmp_path / "out", "--box_order", ORDERS.get(name, "auto"))
        == 0
    )
    assert "1 of 1 images, 3 of 3 boxes" in capsys.readouterr().out
    assert (tmp_path / "out" / "mosaic.png").is_file()
