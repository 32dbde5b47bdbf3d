"""Pascal VOC: XML files, the images they mean, and what is wrong with them."""

from __future__ import annotations

import pathlib

import pytest
from records_on_disk import reasons
from small_sets import HEIGHT, WIDTH, encoded

from tfod_transfer.data.formats import read_dataset

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def thing(name: str = "cat", box: tuple[object, ...] = (16, 24, 48, 48), more: str = "") -> str:
    sides = "".join(f"<{side}> {value} </{side}>" for side, value in zip(CORNERS, box, strict=True))
    return f"<object><name>{name}</name>{more}<bndbox>{sides}</bndbox></object>"


def annotation(*things: str, filename: str = "a.png", size: tuple[object, object] = (WIDTH, HEIGHT)) -> str:
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{filename}</filename>{stated}{''.join(things)}</annotation>"


def write(folder: pathlib.Path, *contents: str, images: str = "JPEGImages", xml: str = "Annotations") -> pathlib.Path:
    for part in (images, xml):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(contents):
        stem = "abcdef"[number]
        (folder / images / f"{stem}.png").write_bytes(encoded(number))
        (folder / xml / f"{stem}.xml").write_text(content)
    return folder


@pytest.mark.parametrize(
    ("images", "xml", "given"),
    [
        ("JPEGImages", "Annotations", "."),
        ("images", "annotations", "."),
        (".", ".", "."),
        ("images", ".", "."),
        ("photos", "labels", "photos"),
    ],
)
def test_layouts(tmp_path: pathlib.Path, images: str, xml: str, given: str) -> None:
    content = (annotation(thing()), annotation(filename="b.png"))
    folder = write(tmp_path, *content, images=images, xml=xml)
    dataset = read_dataset(folder / given, folder / xml if given == "photos" else None)
    assert dataset.boxes.tolist() == [[0.5, 0.25, 1.0, 0.75]]
    assert dataset.offsets.tolist() == [0, 1, 1]
    assert (dataset.class_names, dataset.category_ids) == (("cat",), ("cat",))
    assert not dataset.findings
    assert "(Pascal VOC)" in dataset.description


def test_a_list_chooses_images(tmp_path: pathlib.Path) -> None:
    folder = write(tmp_path, *(annotation(thing(), filename=f"{stem}.png") for stem in "abc"))
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    listed = folder / "ImageSets" / "Main" / "cat_train.txt"
    listed.write_text("c  1\na -1\nz  1\n")
    dataset = read_dataset(listed)
    assert [pathlib.Path(path).name for path in dataset.image_paths] == ["c.png", "a.png"]
    assert reasons(dataset) == [("bad_record", "dropped"), ("unlisted_file", "noted")]


def test_the_order_of_classes_can_be_told(tmp_path: pathlib.Path) -> None:
    folder = write(tmp_path, annotation(*(thing(name) for name in ("ant", "bee", "cat"))))
    assert read_dataset(folder).class_names == ("ant", "bee", "cat")
    (folder / "classes.txt").write_text("cat\nbee\n")
    assert read_dataset(folder).class_names == ("cat", "bee", "ant")


def test_difficult_boxes_are_not_trained_on(tmp_path: pathlib.Path) -> None:
    dataset = read_dataset(write(tmp_path, annotation(thing(), thing(more="<difficult>1</difficult>"))))
    assert dataset.is_crowd.tolist() == [False, True]
    assert reasons(dataset) == [("difficult_boxes", "noted")]


@pytest.mark.parametrize(
    ("content", "boxes", "found"),
    [
        pytest.param(annotation(thing(), thing(box=(1.5, 2.5, 30, 40)), filename="b.png"), 3, [], id="fractions"),
        pytest.param(annotation(thing(), filename="b"), 2, [], id="a name without its ending"),
        pytest.param(annotation(thing(), filename="b.JPG"), 2, [], id="a name with another ending"),
        pytest.param(annotation(thing(), filename="C:\\photos\\b.png"), 2, [], id="a name with folders"),
        pytest.param(annotation(thing(), filename=""), 2, [], id="no name"),
        pytest.param(annotation(thing(), filename="b.png", size=(0, 0)), 2, ["missing_size"], id="size 0"),
        pytest.param(annotation(thing(), filename="b.png", size=("", "x")), 2, ["missing_size"], id="size in words"),
        pytest.param(annotation(thing(name=""), filename="b.png"), 1, ["bad_record"], id="no class"),
        pytest.param(annotation(thing(box=("", 1, 2, 3)), filename="b.png"), 1, ["bad_record"], id="no xmin"),
        pytest.param(annotation("<object><name>x</name></object>", filename="b.png"), 1, ["bad_record"], id="no box"),
        pytest.param(annotation(thing(box=(30, 20, 10, 40)), filename="b.png"), 2, ["reversed_corners"], id="corners"),
        pytest.param(annotation(thing(box=(30, 20, 30, 40)), filename="b.png"), 1, ["zero_area_box"], id="no area"),
        pytest.param(annotation(thing(box=("nan", 20, 30, 40)), filename="b.png"), 1, ["non_finite_box"], id="nan"),
        pytest.param("<annotation><filename>", 1, ["bad_record", "unlisted_file"], id="broken"),
        pytest.param("<html></html>", 1, ["bad_record", "unlisted_file"], id="something else"),
        pytest.param(
            '<?xml version="1.0" encoding="none"?><annotation/>', 1, ["bad_record", "unlisted_file"], id="encoding"
        ),
    ],
)
def test_records(tmp_path: pathlib.Path, content: str, boxes: int, found: list[str]) -> None:
    dataset = read_dataset(write(tmp_path, annotation(thing()), content), max_findings=1)
    assert dataset.num_boxes == boxes
    assert [reason for reason, _ in reasons(dataset)] == found


def test_a_missing_image_is_named(tmp_path: pathlib.Path) -> None:
    folder = write(tmp_path, annotation(thing()), annotation(thing(), filename="b.png"))
    (folder / "JPEGImages" / "b.png").unlink()
    dataset = read_dataset(folder)
    assert reasons(dataset) == [("missing_image", "dropped")]
    assert dataset.num_boxes == 1
