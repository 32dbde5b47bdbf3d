from __future__ import annotations

import collections
import json
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tfod_transfer import cli, errors
from tfod_transfer.data import formats
from tfod_transfer.demo import outlines, scene, shapes

ALL_CLASSES = shapes.SOURCE_CLASSES + shapes.TARGET_CLASSES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("shapes") / "target"
    shapes.generate(folder, shapes.TARGET_CLASSES, num_images=120, seed=1)
    return folder


@pytest.fixture(scope="module")
def annotations(folder: pathlib.Path) -> dict[str, Any]:
    return json.loads((folder / "annotations.json").read_text())


def test_the_two_sets_of_classes_are_disjoint_and_drawable():
    assert not set(shapes.SOURCE_CLASSES) & set(shapes.TARGET_CLASSES)
    assert set(ALL_CLASSES) == set(outlines.OUTLINES)


def test_every_image_file_is_listed_with_its_size(folder, annotations):
    assert sorted(path.name for path in (folder / "images").iterdir()) == [
        image["file_name"] for image in annotations["images"]
    ]
    for image in annotations["images"]:
        with Image.open(folder / "images" / image["file_name"]) as opened:
            assert (opened.width, opened.height) == (image["width"], image["height"])
            assert (opened.format, opened.mode) == ("JPEG", "RGB")


def test_boxes_lie_inside_their_images_and_are_as_large_as_promised(annotations):
    sizes = {image["id"]: (image["width"], image["height"]) for image in annotations["images"]}
    for annotation in annotations["annotations"]:
        (width, height), (xmin, ymin, xmax, ymax) = sizes[annotation["image_id"]], annotation["bbox"]
        assert 0 <= xmin < xmax <= width
        assert 0 <= ymin < ymax <= height
        longer = max(xmax - xmin, ymax - ymin) / min(width, height)
        # A box at the edge has lost up to a fifth; rounding to whole pixels adds one.
        assert 0.12 * 0.8 - 0.015 <= longer <= 0.5 + 0.015


def test_the_set_has_the_variety_it_promises(annotations):
    images, boxes = annotations["images"], annotations["annotations"]
    per_class = collections.Counter(box["category_id"] for box in boxes)
    per_image = collections.Counter(box["image_id"] for box in boxes)
    assert sorted(per_class) == [0, 1, 2, 3]
    assert min(per_class.values()) > len(boxes) / 8
    assert len(per_image) < len(images), "no image without objects"
    assert max(per_image.values()) > 4
    assert {image["width"] > image["height"] for image in images} == {True, False}
    assert all(160 <= side <= 320 for image in images for side in (image["width"], image["height"]))


def test_boxes_are_these_everywhere():
    """A model that learnt from seed 1 on one machine is measured on the same boxes on another."""
    drawn = [scene.draw(shapes.TARGET_CLASSES, 1, index, shapes.IMAGE_SIZE) for index in range(3)]
    assert [(one.image.size, one.labels, one.boxes_xyxy_px) for one in drawn] == [
        ((230, 232), (2, 3), ((22, 23, 129, 135), (139, 212, 172, 229))),
        ((253, 320), (2,), ((77, 5, 112, 40),)),
        (
            (320, 251),
            (3, 0, 0, 1),
            ((292, 85, 312, 120), (15, 90, 119, 195), (168, 80, 258, 192), (132, 66, 163, 97)),
        ),
    ]


def test_an_image_depends_on_its_number_and_seed_and_classes_alone(folder, tmp_path):
    shapes.generate(tmp_path / "fewer", shapes.TARGET_CLASSES, num_images=3, seed=1)
    for path in (tmp_path / "fewer" / "images").iterdir():
        assert path.read_bytes() == (folder / "images" / path.name).read_bytes()

    def pixels(classes, seed, index):
        return np.asarray(scene.draw(classes, seed, index, (160, 160)).image)

    one = pixels(shapes.TARGET_CLASSES, 1, 0)
    for row, other in {
        "another seed": pixels(shapes.TARGET_CLASSES, 2, 0),
        "another number": pixels(shapes.TARGET_CLASSES, 1, 1),
        "other classes": pixels(shapes.SOURCE_CLASSES, 1, 0),
    }.items():
        assert np.abs(one.astype(int) - other).mean() > 10, row


@pytest.mark.parametrize("name", ALL_CLASSES)
def test_a_mask_fills_its_size_and_nothing_beyond(name):
    for seed in range(20):
        mask = scene.shape_mask(np.random.default_rng(seed), name, size=40.0)
        xmin, ymin, xmax, ymax = scene.visible_box(mask, 0, 0, mask.size)
        assert max(mask.size) == 40
        # Corners thinner than a pixel do not count as covered.
        assert (xmin, ymin) <= (3, 3)
        assert xmax >= mask.width - 3
        assert ymax >= mask.height - 3
        assert min(xmax - xmin, ymax - ymin) >= 12


@pytest.mark.parametrize(
    ("left", "top", "expected"),
    [
        pytest.param(10, 20, (12, 21, 16, 29), id="inside"),
        pytest.param(-4, 20, (0, 21, 2, 29), id="over the left edge"),
        pytest.param(36, 20, (38, 21, 40, 29), id="over the right edge"),
        pytest.param(10, -5, (12, 0, 16, 4), id="over the top"),
        pytest.param(10, 55, (12, 56, 16, 60), id="over the bottom"),
    ],
)
def test_a_box_is_the_visible_part_of_the_covered_pixels(left, top, expected):
    mask = np.zeros((10, 8), np.uint8)
    mask[1:9, 2:6] = 255
    mask[0, :] = 255 * scene.COVERED - 1  # not covered enough
    assert scene.visible_box(Image.fromarray(mask), left, top, (40, 60)) == expected


def test_what_is_painted_lies_in_its_box():
    ground = Image.new("RGB", (100, 80), (120, 120, 120))
    for seed in range(30):
        image = ground.copy()
        boxes, labels = scene._draw_objects(np.random.default_rng(seed), image, ALL_CLASSES)
        changed = np.abs(np.asarray(image).astype(int) - 120).max(axis=2) > 12
        inside = np.zeros_like(changed)
        for xmin, ymin, xmax, ymax in boxes:
            assert changed[ymin:ymax, xmin:xmax].any()
            # One pixel of softened edge may lie outside.
            inside[max(0, ymin - 1) : ymax + 1, max(0, xmin - 1) : xmax + 1] = True
        assert not (changed & ~inside).any()
        assert len(boxes) == len(labels)


def test_many_images_can_be_drawn_small_and_large():
    for index in range(60):
        for image_size in ((64, 64), (64, 200), (400, 500)):
            drawn = scene.draw(ALL_CLASSES, 7, index, image_size)
            assert image_size[0] <= min(drawn.image.size) <= max(drawn.image.size) <= image_size[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"classes": ("cross", "hexagn")}, "Did you mean 'hexagon'", id="unknown class"),
        pytest.param({"classes": ()}, "one or more different names", id="no class"),
        pytest.param({"classes": ("cross", "cross")}, "one or more different names", id="class twice"),
        pytest.param({"num_images": 0}, "num_images 0", id="no images"),
        pytest.param({"seed": -1}, "seed -1", id="negative seed"),
        pytest.param({"image_size": (32, 320)}, "64 <= MIN", id="too small to hold shapes"),
        pytest.param({"image_size": (320, 160)}, "MIN <= MAX", id="sizes swapped"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_written(tmp_path, arguments, message):
    defaults = {"classes": shapes.TARGET_CLASSES, "num_images": 1, "seed": 0, "image_size": (160, 320)}
    with pytest.raises(errors.UsageError, match=message):
        shapes.generate(tmp_path / "out", **{**defaults, **arguments})
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(errors.UsageError, match="empty folder"):
        shapes.generate(tmp_path, shapes.TARGET_CLASSES, num_images=1, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_command_writes_a_set_and_says_what(tmp_path, capsys):
    folder = str(tmp_path / "set")
    argv = [folder, "--classes", "arrow,star", "--num-images", "2", "--seed", "3", "--image-size", "64", "96"]
    assert cli.run(shapes.main, argv) == 0
    assert "2 images of arrow, star" in capsys.readouterr().out
    assert json.loads((tmp_path / "set" / "annotations.json").read_text())["categories"] == [
        {"id": 0, "name": "arrow"},
        {"id": 1, "name": "star"},
    ]
    assert cli.run(shapes.main, [folder]) == cli.EXIT_ERROR
    assert "empty folder" in capsys.readouterr().err


def test_help_needs_neither_numpy_nor_pillow():
    code = (
        "import sys; from tfod_transfer.demo import shapes\n"
        "try: shapes.main(['--help'])\n"
        "finally: assert not {'numpy', 'PIL'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--num_images" in done.stdout


def test_a_set_reads_without_a_finding(folder, annotations):
    dataset = formats.read_dataset(folder)
    assert dataset.findings == ()
    assert dataset.class_names == shapes.TARGET_CLASSES
    assert dataset.num_boxes == len(annotations["annotations"])
    assert "xyxy" in dataset.description or "xmin" in dataset.description
