from __future__ import annotations

import numpy as np
import pytest

from tfod_transfer import errors
from tfod_transfer.modeling import head_surgery

HANDS = ("open", "closed", "face")


@pytest.mark.parametrize(
    ("known", "wanted", "mode", "sources"),
    [
        pytest.param(HANDS, ("open", "closed", "face"), "Auto", (0, 1, 2, 3), id="same classes: the whole head"),
        pytest.param(HANDS, ("face", "cup"), "Auto", (0, 3, None), id="one known, one new"),
        pytest.param(HANDS, ("cup", "plate"), "Auto", (0, None, None), id="only the background row is known"),
        pytest.param(HANDS, ("Face ", "OPEN"), "Auto", (0, 3, 1), id="case and blanks do not matter"),
        pytest.param(HANDS, ("open", "closed", "face", "cup"), "Auto", (0, 1, 2, 3, None), id="a class is added"),
        pytest.param(("a", None, "b"), ("b", "a"), "Auto", (0, 3, 1), id="a hole in the label map"),
        pytest.param(("a", None), ("a", None), "Auto", (0, 1, 2), id="the same holes are kept"),
        pytest.param(("a", "b"), ("b", None), "Auto", (0, 2, None), id="a hole in the new classes"),
        pytest.param(("a", "a"), ("a", "c"), "Auto", (0, 1, None), id="of equal names the first"),
        pytest.param(HANDS, HANDS, "True", (None, None, None, None), id="True starts afresh"),
        pytest.param(HANDS, HANDS, "False", (0, 1, 2, 3), id="False keeps everything"),
    ],
)
def test_sources(
    known: tuple[str | None, ...],
    wanted: tuple[str | None, ...],
    mode: head_surgery.ReinitializeTopLayer,
    sources: tuple[int | None, ...],
) -> None:
    assert head_surgery.plan(known, wanted, True, mode).sources == sources
    shifted = head_surgery.plan(known, wanted, False, mode)
    assert shifted.sources == tuple(None if source is None else source - 1 for source in sources[1:])


@pytest.mark.parametrize("wanted", [("open", "face"), ("closed", "open", "face"), (*HANDS, "cup")])
def test_false_with_other_classes_is_an_error(wanted: tuple[str, ...]) -> None:
    with pytest.raises(errors.CheckpointError, match=r"3 classes \(open, closed, face\).*Use Auto"):
        head_surgery.plan(HANDS, wanted, True, "False")


def test_names_of_kept_new_and_dropped_classes() -> None:
    plan = head_surgery.plan(HANDS, ("face", "cup"), True, "Auto")
    assert (plan.kept_classes, plan.new_classes, plan.dropped_classes) == (("face",), ("cup",), ("open", "closed"))
    assert not plan.keeps_all
    assert not plan.keeps_none
    assert head_surgery.plan(HANDS, HANDS, True, "Auto").keeps_all
    assert head_surgery.plan(HANDS, HANDS, True, "True").keeps_none


def test_rows_of_every_anchor_move() -> None:
    plan = head_surgery.plan(HANDS, ("face", "cup"), True, "Auto")
    pretrained = np.arange(2 * 6 * 4, dtype=np.float32).reshape(1, 1, 2, 24)
    fresh = -np.ones((1, 1, 2, 18), np.float32)
    merged = head_surgery.merge_rows(pretrained, fresh, plan).reshape(2, 6, 3)
    rows = pretrained.reshape(2, 6, 4)
    np.testing.assert_array_equal(merged[..., 0], rows[..., 0])
    np.testing.assert_array_equal(merged[..., 1], rows[..., 3])
    assert np.all(merged[..., 2] == -1)
    assert np.all(fresh == -1)
