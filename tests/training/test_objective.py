from __future__ import annotations

import pytest

from tfod_transfer.evaluation.coco_metrics import CocoMetrics
from tfod_transfer.hyperparameters import FIELDS
from tfod_transfer.training import objective
from tfod_transfer.training.results import Validation


def validation(localization: float, classification: float, **summary: float | None) -> Validation:
    return Validation(localization, classification, CocoMetrics(dict(summary), {}), overlap_map=summary.get("AP50"))


WORSE = validation(0.4, 0.3, AP=0.1, AP50=0.2, AP75=0.05, AR_100=0.3)
BETTER = validation(0.2, 0.25, AP=0.4, AP50=0.6, AP75=None, AR_100=0.31)


@pytest.mark.parametrize(
    ("name", "gain"),
    [
        ("mAP", 0.3), ("mAP50", 0.4), ("mAP75", -0.05), ("AR", 0.01),
        ("mAP_overlap", 0.4), ("loss", 0.25), ("localization", 0.2), ("classification", 0.05),
    ],
)  # fmt: skip
def test_gain_is_positive_where_a_validation_is_better(name: str, gain: float) -> None:
    assert objective.gain(name, BETTER, WORSE) == pytest.approx(gain)
    assert objective.gain(name, WORSE, BETTER) == pytest.approx(-gain)
    assert objective.is_better(name, BETTER, WORSE) == (gain > 0)


def test_the_loss_decides_between_equals() -> None:
    first, second = validation(0.4, 0.3, AP=0.1), validation(0.4, 0.2, AP=0.1)
    assert objective.is_better("mAP", second, first)
    assert not objective.is_better("mAP", first, first)


def test_every_objective_that_can_be_asked_for_is_known() -> None:
    for name in FIELDS["objective"].metadata["choices"]:
        assert objective.gain(name, BETTER, BETTER) == 0
