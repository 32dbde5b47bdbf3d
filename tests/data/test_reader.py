"""Whole data sets on disk: layouts, odd records, classes, orientation, and the columns that come out."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from records_on_disk import HEIGHT, WIDTH, box, image, reasons

from tfod_transfer.data.formats import read_dataset
from tfod_transfer.errors import DataError


class TestColumns:
    def test_corners_in_pixels_become_normalised_y_first(self, write: Callable[..., pathlib.Path]) -> None:
        folder = write([image(7), image(3)], [box(3, (32, 12, 64, 36), 5), box(7, category_id=9), box(3, iscrowd=1)])
        dataset = read_dataset(folder)
        assert dataset.image_ids == [7, 3]
        assert [pathlib.Path(path).name for path in dataset.image_paths] == ["7.png", "3.png"]
        assert dataset.sizes.tolist() == [[HEIGHT, WIDTH]] * 2
        assert dataset.offsets.tolist() == [0, 1, 3]
        assert dataset.boxes[1].tolist() == [0.25, 0.5, 0.75, 1.0]
        assert dataset.classes.tolist() == [2, 1, 0]
        assert dataset.is_crowd.tolist() == [False, False, True]
        assert dataset.category_ids == (1, 5, 9)
        assert dataset.class_names == ("1", "5", "9")
        types = [getattr(dataset, name).dtype.name for name in ("sizes", "orientations", "boxes", "classes", "offsets")]
        assert types == ["int32", "uint8", "float32", "int32", "int64"]

    def test_corner_and_size_are_read_when_told(self, write: Callable[..., pathlib.Path]) -> None:
        dataset = read_dataset(write([image(1)], [box(1, (8, 12, 16, 24))]), box_order="xywh")
        assert dataset.boxes[0].tolist() == [0.25, 0.125, 0.75, 0.375]
        assert "as told" in dataset.description

    def test_both_forms_of_the_coco_photographs_are_the_same(self, shared: Callable[[str], pathlib.Path]) -> None:
        ours = read_dataset(shared("data/coco_permissive"))
        coco = read_dataset(shared("data/coco_permissive") / "coco.json")
        assert "[xmin, ymin, xmax, ymax]" in ours.description.split("detected")[0]
        assert "[x, y, width, height]" in coco.description.split("detected")[0]
        for column in ("boxes", "classes", "sizes", "orientations", "offsets", "is_crowd"):
            np.testing.assert_array_equal(getattr(ours, column), getattr(coco, column))
        assert list(ours.image_paths) == list(coco.image_paths)
        assert (len(ours), ours.num_boxes, int((ours.boxes_per_image == 0).sum())) == (53, 354, 1)

    def test_blood_cells_lose_two_boxes_without_area(self, shared: Callable[[str], pathlib.Path]) -> None:
        parts = [read_dataset(shared(f"data/bccd/{part}")) for part in ("train", "validation", "test")]
        assert [len(part) for part in parts] == [205, 87, 72]
        assert sum(part.num_boxes for part in parts) == 4886
        assert [finding.reason for part in parts for finding in part.findings] == ["zero_area_box"] * 2
        assert parts[0].class_names == ("RBC", "WBC", "Platelets")

    def test_images_without_boxes_stay(self, write: Callable[..., pathlib.Path]) -> None:
        dataset = read_dataset(write([image(1), image(2), image(3)], [box(2)]))
        assert dataset.boxes_per_image.tolist() == [0, 1, 0]
        assert "2 without a box" in dataset.description

    def test_a_set_without_any_box_reads(self, write: Callable[..., pathlib.Path]) -> None:
        dataset = read_dataset(write([image(1)]))
        assert (len(dataset), dataset.num_boxes, dataset.class_names) == (1, 0, ())


class TestClasses:
    @pytest.mark.parametrize(
        ("used", "listed", "category_ids", "names", "found"),
        [
            pytest.param([10, 9, 100], None, (9, 10, 100), ("9", "10", "100"), [], id="numbers by value"),
            pytest.param(["b", "a", "10"], None, ("10", "a", "b"), ("10", "a", "b"), [], id="texts alphabetically"),
            pytest.param(["a", 2], None, (2, "a"), ("2", "a"), [], id="numbers before texts"),
            pytest.param([1, 2], [(2, "dog"), (1, "cat")], (1, 2), ("cat", "dog"), [], id="names"),
            pytest.param([2], [(1, "cat"), (2, "dog")], (2,), ("dog",), ["unused_category"], id="unused"),
            pytest.param([1, 5], [(1, "cat")], (1, 5), ("cat", "5"), ["unlisted_category"], id="unlisted"),
            pytest.param(["1"], [(1, "cat")], (1,), ("cat",), [], id="text for a number"),
            pytest.param([1, "1"], None, (1,), ("1",), [], id="text and number"),
            pytest.param(
                [1, 2],
                [(1, "cat"), (2, "cat")],
                (1, 2),
                ("cat (1)", "cat (2)"),
                ["duplicate_category"] * 2,
                id="one name",
            ),
            pytest.param([1], [(1, "cat"), (1, "dog")], (1,), ("cat",), ["duplicate_category"], id="one id"),
            pytest.param([1], [(1, "cat"), (1, "cat")], (1,), ("cat",), [], id="listed twice"),
        ],
    )
    def test_classes(
        self,
        write: Callable[..., pathlib.Path],
        used: list[Any],
        listed: list[tuple[Any, str]] | None,
        category_ids: tuple[Any, ...],
        names: tuple[str, ...],
        found: list[str],
    ) -> None:
        categories = None if listed is None else [{"id": key, "name": name} for key, name in listed]
        folder = write([image(1)], [box(1, category_id=key) for key in used], categories)
        dataset = read_dataset(folder)
        assert dataset.category_ids == category_ids
        assert dataset.class_names == names
        assert [finding.reason for finding in dataset.findings] == found
        assert all(finding.action == "noted" for finding in dataset.findings)


class TestRecords:
    @pytest.mark.parametrize(
        ("images", "annotations", "kept", "boxes", "found"),
        [
            pytest.param([image(1)], [box(1), box(9)], [1], 1, [("unknown_image", "dropped")], id="unknown image"),
            pytest.param([image(1)], [box(1), box("1")], [1], 2, [], id="text for a number"),
            pytest.param([image(1), image(1)], [box(1)], [1], 1, [], id="the same record twice"),
            pytest.param(
                [image(0), image(1), image(1, file_name="b.png")],
                [box(0), box(1)],
                [0],
                1,
                [("duplicate_image_id", "dropped"), ("unlisted_file", "noted")],
                id="one id for two files",
            ),
            pytest.param(
                [image(1), image(2, file_name="1.png")],
                [box(1), box(2)],
                [1],
                2,
                [("duplicate_file_name", "merged")],
                id="two ids for one file",
            ),
            pytest.param(
                [{"id": 1, "file_name": "1.png"}], [box(1)], [1], 1, [("missing_size", "noted")], id="no size"
            ),
            pytest.param([image(1, width=0)], [box(1)], [1], 1, [("missing_size", "noted")], id="width 0"),
            pytest.param([image(1, width=-64)], [box(1)], [1], 1, [("missing_size", "noted")], id="negative width"),
            pytest.param(
                [image(1)], [box(1), {**box(1), "bbox": [1]}], [1], 1, [("bad_record", "dropped")], id="bad box"
            ),
        ],
    )
    def test_records(
        self,
        write: Callable[..., pathlib.Path],
        images: list[dict[str, Any]],
        annotations: list[dict[str, Any]],
        kept: list[int],
        boxes: int,
        found: list[tuple[str, str]],
    ) -> None:
        dataset = read_dataset(write(images, annotations), max_findings=0.9)
        assert list(dataset.image_ids) == kept
        assert dataset.num_boxes == boxes
        assert reasons(dataset) == found

    @pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "a/../../secret.png", "", ".", "a\0.png"])
    def test_a_name_that_leaves_the_folder_is_not_followed(
        self, write: Callable[..., pathlib.Path], tmp_path: pathlib.Path, name: str
    ) -> None:
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "secret.png")
        folder = write([image(1), image(2, file_name=name)], [box(1), box(2)], files=["1.png"])
        dataset = read_dataset(folder)
        assert list(dataset.image_ids) == [1]
        assert reasons(dataset) == [("unsafe_path", "dropped")]

    @pytest.mark.parametrize("name", ["sub/folder/a.png", "./a.png", "sub\\a.png", "a..b.png", "..a.png"])
    def test_names_inside_the_folder_are_followed(self, write: Callable[..., pathlib.Path], name: str) -> None:
        dataset = read_dataset(write([image(1, file_name=name)], [box(1)], files=[name.replace("\\", "/")]))
        assert len(dataset) == 1
        assert not dataset.findings

    def test_findings_give_the_position_in_the_file(self, write: Callable[..., pathlib.Path]) -> None:
        annotations = [box(1), box(9), {**box(1), "bbox": None}, box(1), box(1, (5, 5, 5, 30))]
        dataset = read_dataset(write([image(1)], annotations))
        found = {finding.reason: finding.annotation_index for finding in dataset.findings}
        assert found == {"unknown_image": 1, "bad_record": 2, "zero_area_box": 4}


class TestImages:
    def test_a_missing_image_goes_with_its_boxes(self, write: Callable[..., pathlib.Path]) -> None:
        dataset = read_dataset(write([image(1), image(2)], [box(1), box(2), box(2)], files=["2.png"]))
        assert list(dataset.image_ids) == [2]
        assert dataset.num_boxes == 2
        assert reasons(dataset) == [("missing_image", "dropped")]

    def test_a_name_that_differs_in_capitals_is_suggested(self, write: Callable[..., pathlib.Path]) -> None:
        dataset = read_dataset(write([image(1), image(2)], [box(1)], files=["1.png", "2.PNG"]))
        assert "there is '2.PNG'" in next(each.message for each in dataset.findings if each.reason == "missing_image")

    def test_files_that_are_not_listed_are_noted(self, write: Callable[..., pathlib.Path]) -> None:
        dataset = read_dataset(write([image(1)], [box(1)], files=["1.png", "2.png", "3.png"]))
        assert reasons(dataset) == [("unlisted_file", "noted")]
        assert "2 image files" in dataset.findings[0].message

    def test_too_large_an_image_is_left_out(self, write: Callable[..., pathlib.Path]) -> None:
        folder = write([image(1)], [box(1)])
        assert len(read_dataset(folder, max_pixels=WIDTH * HEIGHT)) == 1
        with pytest.raises(DataError, match=r"too_many_pixels"):
            read_dataset(folder, max_pixels=WIDTH * HEIGHT - 1, max_findings=1)

    @pytest.mark.parametrize(("verify", "images"), [("full", 1), ("header", 2), ("none", 2)])
    def test_verify_decides_whether_damage_is_found(
        self, write: Callable[..., pathlib.Path], verify: str, images: int
    ) -> None:
        folder = write([image(1), image(2)], [box(1), box(2)])
        noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(noise).save(folder / "images" / "2.png")
        whole = (folder / "images" / "2.png").read_bytes()
        (folder / "images" / "2.png").write_bytes(whole[: len(whole) // 2])
        assert len(read_dataset(folder, verify=verify)) == images

    def test_without_verifying_files_need_not_exist(self, write: Callable[..., pathlib.Path]) -> None:
        dataset = read_dataset(write([image(1)], [box(1)], files=[]), verify="none")
        assert dataset.num_boxes == 1
        assert not dataset.findings

    @pytest.mark.parametrize(
        ("stated", "bbox", "reason"),
        [
            pytest.param((HEIGHT, WIDTH), (0, 0, 24, 16), None, id="upright"),
            pytest.param((WIDTH, HEIGHT), (0, 24, 16, 48), "not_upright", id="as stored"),
            pytest.param((0, 0), (0, 0, 24, 16), "missing_size", id="not stated"),
        ],
    )
    def test_orientation(
        self,
        write: Callable[..., pathlib.Path],
        stated: tuple[int, int],
        bbox: tuple[int, int, int, int],
        reason: str | None,
    ) -> None:
        """The same patch, upper left of the upright picture, in each frame that a file can state."""
        record = image(1, file_name="1.jpg", width=stated[0], height=stated[1])
        folder = write([record], [box(1, bbox)])
        turned = Image.Exif()
        turned[0x0112] = 6
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images" / "1.jpg", exif=turned)
        dataset = read_dataset(folder, box_order="xyxy")
        assert dataset.sizes.tolist() == [[WIDTH, HEIGHT]]
        assert dataset.orientations.tolist() == [6]
        np.testing.assert_allclose(dataset.boxes, [[0, 0, 0.25, 0.5]])
        assert [finding.reason for finding in dataset.findings] == ([reason] if reason else [])

    def test_orientation_in_a_png_is_noted_and_not_applied(self, write: Callable[..., pathlib.Path]) -> None:
        folder = write([image(1)], [box(1)])
        turned = Image.Exif()
        turned[0x0112] = 3
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "images" / "1.png", exif=turned)
        dataset = read_dataset(folder)
        assert dataset.orientations.tolist() == [1]
        assert reasons(dataset) == [("orientation_not_applied", "noted")]

    def test_boxes_of_a_larger_copy_are_scaled(self, write: Callable[..., pathlib.Path]) -> None:
        folder = write([image(1, width=2 * WIDTH, height=2 * HEIGHT)], [box(1, (64, 24, 128, 72))])
        dataset = read_dataset(folder)
        assert dataset.boxes.tolist() == [[0.25, 0.5, 0.75, 1.0]]
        assert reasons(dataset) == [("other_size", "converted")]


class TestLayout:
    def test_images_beside_the_annotation_file(self, write: Callable[..., pathlib.Path]) -> None:
        folder = write([image(1)], [box(1)], folder=".")
        assert read_dataset(folder / "annotations.json").image_paths == [str(folder / "1.png")]

    def test_names_that_begin_with_images(self, write: Callable[..., pathlib.Path]) -> None:
        folder = write([image(1, file_name="images/1.png")], [box(1)], files=["1.png"])
        assert len(read_dataset(folder)) == 1

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            pytest.param(lambda path: path / "trian", r"trian does not exist.*Did you mean 'train'", id="no folder"),
            pytest.param(lambda path: path / "train", r"no annotations\.json.*It is empty", id="empty folder"),
            pytest.param(lambda path: path / "parts", r"There is one in test, train", id="a level too high"),
            pytest.param(lambda path: path / "coco", r"There is annotations.instances\.json", id="COCO's own layout"),
            pytest.param(lambda path: path / "archive.zip", r"not a JSON file.*unpacked", id="an archive"),
            pytest.param(lambda path: path / "bare", r"expected '1\.png' in .*images", id="no images folder"),
        ],
    )
    def test_what_is_missing_is_said(
        self, tmp_path: pathlib.Path, make: Callable[[pathlib.Path], pathlib.Path], message: str
    ) -> None:
        content = json.dumps({"images": [image(1)], "annotations": []})
        for folder in ("train", "parts/train", "parts/test", "coco/annotations", "bare"):
            (tmp_path / folder).mkdir(parents=True)
        for file in ("parts/train/annotations.json", "parts/test/annotations.json", "bare/annotations.json"):
            (tmp_path / file).write_text(content)
        (tmp_path / "coco/annotations/instances.json").write_text(content)
        (tmp_path / "archive.zip").write_bytes(b"PK")
        with pytest.raises(DataError, match=message):
            read_dataset(make(tmp_path))
