"""What the hyperparameter `objective` names: the value by which epochs are compared."""

from __future__ import annotations

from tfod_transfer.training.results import Validation

# COCO's names of those that are metrics; the others are losses, of which less is better.
_METRICS = {"mAP": "AP", "mAP50": "AP50", "mAP75": "AP75", "AR": "AR_100"}


def value(objective: str, validation: Validation) -> float:
    """Returns the objective; of two, the higher is better: a loss is negative."""
    if objective in _METRICS:
        return validation.metrics.summary[_METRICS[objective]] or 0.0
    if objective == "mAP_overlap":
        return validation.overlap_map or 0.0
    return -{
        "loss": validation.loss,
        "localization": validation.localization_loss,
        "classification": validation.classification_loss,
    }[objective]


def gain(objective: str, validation: Validation, earlier: Validation) -> float:
    """Returns by how much a validation is better than an earlier one; negative where it is worse."""
    return value(objective, validation) - value(objective, earlier)


def is_better(objective: str, validation: Validation, earlier: Validation) -> bool:
    """Whether a validation is better than an earlier one; between equals the lower loss decides."""
    improvement = gain(objective, validation, earlier)
    return improvement > 0 or (improvement == 0 and validation.loss < earlier.loss)
