"""Data sets that cannot be used, and that no box is lost whatever the file holds."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records_on_disk import HEIGHT, WIDTH, box, image

from tfod_transfer.data.formats import read_dataset
from tfod_transfer.errors import DataError, UsageError


class TestFailures:
    def test_too_many_findings(self, write: Callable[..., pathlib.Path]) -> None:
        folder = write([image(1)], [box(1), *[box(1, (5, 5, 5, 30))] * 3], [{"id": 1, "name": "cell"}])
        with pytest.raises(DataError, match=r"3 of 5 images and boxes cannot be used \(60%.*allows 50%"):
            read_dataset(folder, box_order="xyxy")
        assert read_dataset(folder, box_order="xyxy", max_findings=0.6).num_boxes == 1

    def test_boxes_of_a_lost_image_count_as_left_out(self, write: Callable[..., pathlib.Path]) -> None:
        folder = write([image(1), image(2), image(3)], [box(2)] * 4, files=["1.png", "3.png"])
        with pytest.raises(DataError, match=r"5 of 7 images and boxes"):
            read_dataset(folder)

    def test_no_image_left(self, write: Callable[..., pathlib.Path]) -> None:
        folder = write([image(1)], [box(1)])
        (folder / "images" / "1.png").write_bytes(b"")
        with pytest.raises(DataError, match=r"no image is left to use(.|\n)*not_an_image"):
            read_dataset(folder, max_findings=1)

    def test_no_images_listed(self, write: Callable[..., pathlib.Path]) -> None:
        with pytest.raises(DataError, match="no image is left"):
            read_dataset(write([]))

    def test_error_policy(self, write: Callable[..., pathlib.Path]) -> None:
        folder = write([image(1)], [box(1), box(1, (5, 5, 5, 30))])
        with pytest.raises(DataError, match="1 boxes are not valid"):
            read_dataset(folder, invalid_boxes="error")

    def test_a_tie_is_asked_before_images_are_looked_at(self, write: Callable[..., pathlib.Path]) -> None:
        with pytest.raises(DataError, match="--box_order"):
            read_dataset(write([image(1)], [box(1, (2, 2, 20, 20))], files=[]))

    @pytest.mark.parametrize("argument", ["box_order", "invalid_boxes", "verify"])
    def test_unknown_settings(self, write: Callable[..., pathlib.Path], argument: str) -> None:
        with pytest.raises(UsageError, match=f"{argument} is 'xxyy'; expected one of"):
            read_dataset(write([image(1)]), **{argument: "xxyy"})


def test_reading_does_not_import_tensorflow(shared: Callable[[str], pathlib.Path]) -> None:
    code = (
        "import sys; from tfod_transfer.data.formats import read_dataset; "
        f"read_dataset({str(shared('data/bccd/test'))!r}); sys.exit('tensorflow' in sys.modules)"
    )
    root = pathlib.Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


sides = st.tuples(
    st.integers(0, WIDTH), st.integers(0, HEIGHT), st.integers(-10, WIDTH + 30), st.integers(-10, HEIGHT + 30)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 4), sides, st.integers(1, 3)), max_size=12))
def test_every_box_is_in_the_columns_or_in_a_finding(write: Callable[..., pathlib.Path], rows: list[Any]) -> None:
    annotations = [box(owner, bbox, label) for owner, bbox, label in rows]
    folder = write([image(index) for index in range(3)], annotations)
    dataset = read_dataset(folder, box_order="xyxy", max_findings=1)
    dropped = [each for each in dataset.findings if each.action == "dropped" and each.annotation_index is not None]
    assert dataset.num_boxes + len(dropped) == len(rows)
    assert dataset.offsets[0] == 0
    assert dataset.offsets[-1] == dataset.num_boxes == len(dataset.classes) == len(dataset.is_crowd)
    low, high = dataset.boxes[:, :2], dataset.boxes[:, 2:]
    assert (low >= 0).all()
    assert (high <= 1).all()
    assert (low < high).all()
    kept = sorted(set(range(len(rows))) - {each.annotation_index for each in dropped})
    for row, index in enumerate(sorted(kept, key=lambda index: (rows[index][0], index))):
        assert dataset.category_ids[dataset.classes[row]] == rows[index][2]
