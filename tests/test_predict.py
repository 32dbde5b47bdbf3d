"""Names of the pictures that predict writes."""

from __future__ import annotations

import pytest

from tfod_transfer import predict


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        pytest.param(["b/cat.jpg", "dog.png"], ["cat", "dog"], id="different stems"),
        pytest.param(["cat.jpg", "b/cat.jpg", "dog.png"], ["cat_1", "cat_2", "dog"], id="same stem in two folders"),
        pytest.param(["cat.jpg", "cat.png", "cat_1.jpg"], ["cat_2", "cat_3", "cat_1"], id="a number that is taken"),
        pytest.param(["cat.jpg", "cat.jpg"], ["cat_1", "cat_2"], id="the same file twice"),
        pytest.param([], [], id="none"),
    ],
)
def test_pictures_have_different_names(paths: list[str], names: list[str]) -> None:
    assert predict._picture_names(paths) == names
