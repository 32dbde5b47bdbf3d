"""The hyperparameters that SageMaker documents for Object Detection (SSD), and what they are for the engine.

Names, ranges and defaults are those of its guide; of `use_pretrained_model` too, though the container's own default is
0. What it calls required, the data says.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from tfod_transfer import errors, hyperparameter_fields, hyperparameters
from tfod_transfer.hyperparameter_fields import hyperparameter

MODEL_IDS = {"vgg-16": "object-detection-ssd-vgg-16", "resnet-50": "object-detection-ssd-resnet-50"}
OPTIMIZERS = ("sgd", "adam", "rmsprop", "adadelta")
DECAYED = ("sgd", "rmsprop")  # by weight_decay
KV_STORES = ("device", "local", "dist_sync", "dist_device_sync", "dist_async")
_RHO = 0.9  # of MXNet's rmsprop and adadelta
_EPSILON = {"adadelta": 1e-5}
_SMALL_EPSILON = 1e-8
_OFF = ("", "false", "none")


@dataclasses.dataclass(frozen=True)
class SsdHyperparameters:
    """All of them, typed and checked; make one with `resolve`."""

    base_network: str = hyperparameter("vgg-16", "network that features come from", choices=tuple(MODEL_IDS))
    use_pretrained_model: bool = hyperparameter(True, "1: start from weights trained on ImageNet; 0: from random ones")
    num_classes: int | None = hyperparameter(
        None, "classes without background; checked against the data, which may show fewer", minimum=1
    )
    num_training_samples: int | None = hyperparameter(None, "training images; the data's own number is used", minimum=1)
    mini_batch_size: int = hyperparameter(32, "images in a step, over all devices of a host", minimum=1)
    epochs: int = hyperparameter(30, "passes over the training images", minimum=1)
    learning_rate: float = hyperparameter(0.001, "initial learning rate", above=0, maximum=1)
    lr_scheduler_step: str = hyperparameter(
        "", "epochs after which the rate is multiplied by lr_scheduler_factor, such as 10,20"
    )
    lr_scheduler_factor: float = hyperparameter(0.1, "factor of each of these", above=0, below=1)
    optimizer: str = hyperparameter("sgd", "optimizer", choices=OPTIMIZERS)
    momentum: float = hyperparameter(0.9, "sgd: momentum", minimum=0, maximum=1)
    weight_decay: float = hyperparameter(0.0005, "sgd, rmsprop: decay of the kernels", minimum=0, below=1)
    overlap_threshold: float = hyperparameter(
        0.5, "overlap above which a box counts as found in validation:mAP", above=0, maximum=1
    )
    nms_threshold: float = hyperparameter(
        0.45, "overlap with a better box above which non-max suppression drops a box", above=0, maximum=1
    )
    nms_topk: int = hyperparameter(400, "best boxes that compete in it; not in the guide", minimum=1)
    image_shape: int = hyperparameter(
        300, "side of the square that images are resized to; 300 and 512 are tested", minimum=300
    )
    label_width: int = hyperparameter(350, "room for labels in RecordIO, which any number of boxes has", minimum=1)
    freeze_layer_pattern: str = hyperparameter(
        "",
        "layers whose name begins with a match of this expression are not trained, such as ^(conv1_|conv2_).*",
    )
    kv_store: str = hyperparameter(
        "device", "how several hosts train together: dist_sync, in step; dist_async is refused there", choices=KV_STORES
    )
    early_stopping: bool = hyperparameter(False, "stop when validation:mAP stops improving")
    early_stopping_min_epochs: int = hyperparameter(10, "epochs before which it does not stop", minimum=1)
    early_stopping_patience: int = hyperparameter(5, "epochs without improvement before stopping", minimum=1)
    early_stopping_tolerance: float = hyperparameter(
        0.0, "smallest relative improvement that counts", minimum=0, maximum=1
    )


TABLE = hyperparameter_fields.Table(SsdHyperparameters)
#: Those that the engine does not know by these names: their presence says which algorithm is meant.
OWN_NAMES = tuple(name for name in TABLE.fields if name not in hyperparameters.FIELDS)
#: What the service and the console add.
HIDDEN = frozenset({"_kvstore", "_num_kv_servers", "_begin_epoch", "_tuning_objective_metric"})


def resolve(given: Mapping[str, Any]) -> SsdHyperparameters:
    """Returns the hyperparameters of a run; names of `given` that are not in this table are passed over.

    Raises:
      UsageError: a value of the wrong type or out of range.
    """
    mine = {name: value for name, value in given.items() if name in TABLE.fields}
    if str(mine.get("freeze_layer_pattern", "")).strip().lower() in _OFF:  # the console sends "false"
        mine["freeze_layer_pattern"] = ""
    found = SsdHyperparameters(**TABLE.parsed(mine))
    scheduled_epochs(found.lr_scheduler_step)
    return found


def for_engine(ssd: SsdHyperparameters, given: Mapping[str, Any], num_hosts: int = 1) -> dict[str, Any]:
    """The engine's hyperparameters, by name: those that these mean, and those of `given` that only the engine knows.

    Raises:
      UsageError: what is asked for cannot be done on several hosts.
    """
    if num_hosts > 1 and ssd.kv_store == "dist_async":
        raise errors.UsageError(
            f"kv_store dist_async lets {num_hosts} hosts train out of step, each on weights that the others "
            "have changed since; here all take every step together: use dist_sync."
        )
    values = {
        "batch_size": ssd.mini_batch_size * (num_hosts if ssd.kv_store.startswith("dist") else 1),
        "learning_rate_schedule": "step",
        "learning_rate_steps": _shares(ssd),
        "learning_rate_decay": ssd.lr_scheduler_factor,
        "warmup_fraction": 0.0,
        "rho": _RHO,
        "epsilon": _EPSILON.get(ssd.optimizer, _SMALL_EPSILON),
        # A decay of w is the gradient of w * |kernel|^2 / 2.
        "regularizers_l2": ssd.weight_decay / 2 if ssd.optimizer in DECAYED else 0.0,
        "freeze_batch_norm": ssd.use_pretrained_model,
        "objective": "mAP_overlap",
    }
    same = {name: getattr(ssd, name) for name in TABLE.fields if name in hyperparameters.FIELDS}
    others = {
        hyperparameters.ALIASES.get(name, name): value
        for name, value in given.items()
        if name not in TABLE.fields and value is not None
    }
    for name, theirs in (("batch_size", "mini_batch_size"), ("regularizers_l2", "weight_decay")):
        if name in others and given.get(theirs) is not None:
            raise errors.UsageError(f"{name} and {theirs} are given, which are the same here; leave one of them out.")
    return {**values, **same, **others}


def documented_defaults(model_id: str) -> dict[str, str]:
    """The documented values of a model, all as text; without those that the guide requires, or leaves empty."""
    network = next(name for name, each in MODEL_IDS.items() if each == model_id)
    values = vars(resolve({"base_network": network}))
    told = {**values, "use_pretrained_model": int(values["use_pretrained_model"])}
    del told["nms_topk"], told["kv_store"]
    return {name: str(value) for name, value in told.items() if value not in (None, "")}


def scheduled_epochs(text: str) -> tuple[int, ...]:
    """Returns the epochs in `lr_scheduler_step`, such as "10, 20".

    Raises:
      UsageError: they are not rising whole numbers from 1 on.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    epochs = tuple(int(part) if part.isdecimal() else 0 for part in parts)
    if not all(low < high for low, high in itertools.pairwise((0, *epochs))):
        raise errors.UsageError(f"lr_scheduler_step must be rising epochs, such as 10,20; got {text!r}.")
    return epochs


def _shares(ssd: SsdHyperparameters) -> str:
    """The same as shares of the run; those after its end do nothing."""
    return ",".join(repr(epoch / ssd.epochs) for epoch in scheduled_epochs(ssd.lr_scheduler_step) if epoch < ssd.epochs)
