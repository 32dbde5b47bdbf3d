"""What predict refuses, and the names of the pictures that it writes."""

from __future__ import annotations

import pytest

from tfod_transfer import errors, predict


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        pytest.param(["b/cat.jpg", "dog.png"], ["cat", "dog"], id="different stems"),
        pytest.param(["cat.jpg", "b/cat.jpg", "dog.png"], ["cat_1", "cat_2", "dog"], id="same stem in two folders"),
        pytest.param(["cat.jpg", "cat.png", "cat_1.jpg"], ["cat_2", "cat_3", "cat_1"], id="a number that is taken"),
        pytest.param(["cat.jpg", "cat.jpg"], ["cat_1", "cat_2"], id="the same file twice"),
        pytest.param(["a/clip.mp4#t=0.000", "a/clip.mp4#t=2.500"], ["clip_0.000", "clip_2.500"], id="frames"),
        pytest.param([], [], id="none"),
    ],
)
def test_pictures_have_different_names(paths: list[str], names: list[str]) -> None:
    assert predict._picture_names(paths) == names


def test_annotations_are_for_coco_results() -> None:
    with pytest.raises(errors.UsageError, match=r"--annotations .* for --format coco; leave it out"):
        predict.main(["no_model", "1.jpg", "--output_dir", "out", "--annotations", "annotations.json"])
