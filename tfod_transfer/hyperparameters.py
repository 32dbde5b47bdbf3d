"""The one table of hyperparameters: names, types, ranges, defaults, aliases.

It makes the command-line flags, the checks, the README's table and the defaults that SageMaker shows. A value may come
as text (command line, SM_HPS) or typed (Python, JSON). Precedence: given by the user, then the model's recipe in the
registry, then the default here.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from tfod_transfer import cli, errors, hyperparameter_fields
from tfod_transfer.hyperparameter_fields import hyperparameter

Origin = Literal["given", "recipe", "default"]


OPTIMIZERS = ("adam", "sgd", "nesterov", "rmsprop", "adagrad", "adadelta")
PLAIN_OPTIMIZERS = ("sgd", "nesterov")  # whose steps are as long as the gradient
SCHEDULES = ("cosine", "constant", "step")
OBJECTIVES = ("mAP", "mAP50", "mAP75", "AR", "loss", "localization", "classification", "mAP_overlap")


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """Every hyperparameter of a run, typed and checked; make one with `resolve`."""

    # The fifteen that SageMaker documents for Object Detection - TensorFlow.
    batch_size: int = hyperparameter(3, "images in a step, over all devices", minimum=1, documented=True)
    beta_1: float = hyperparameter(0.9, "adam: decay of the first moment", minimum=0, maximum=1, documented=True)
    beta_2: float = hyperparameter(0.999, "adam: decay of the second moment", minimum=0, maximum=1, documented=True)
    early_stopping: bool = hyperparameter(False, "stop when the objective stops improving", documented=True)
    early_stopping_min_delta: float = hyperparameter(
        0.0, "smallest absolute change that counts as an improvement", minimum=0, maximum=1, documented=True
    )
    early_stopping_patience: int = hyperparameter(
        5, "epochs without improvement before stopping", minimum=1, documented=True
    )
    epochs: int = hyperparameter(
        5, "passes over the training images; 0 exports without training", minimum=0, documented=True
    )
    epsilon: float = hyperparameter(
        1e-7,
        "adam, rmsprop, adadelta, adagrad: term for numerical stability",
        minimum=0,
        maximum=1,
        aliases=("eps",),
        documented=True,
    )
    initial_accumulator_value: float = hyperparameter(
        0.1, "adagrad: start of the accumulators", minimum=0, maximum=1, documented=True
    )
    learning_rate: float = hyperparameter(
        0.001,
        "highest learning rate; the recipe's value is scaled by batch_size / reference_batch_size (by the square root "
        "of it, save with sgd and nesterov), a given one is not",
        minimum=0,
        maximum=1,
        documented=True,
    )
    momentum: float = hyperparameter(0.9, "sgd, nesterov: momentum", minimum=0, maximum=1, documented=True)
    optimizer: str = hyperparameter("adam", "optimizer", choices=OPTIMIZERS, documented=True)
    reinitialize_top_layer: Literal["Auto", "True", "False"] = hyperparameter(
        "Auto",
        "class head: Auto keeps the rows of classes that the checkpoint knows by name, True starts anew, "
        "False keeps all of it",
        choices=("Auto", "True", "False"),
        documented=True,
    )
    rho: float = hyperparameter(
        0.95, "adadelta, rmsprop: decay of the squared gradient", minimum=0, maximum=1, documented=True
    )
    train_only_on_top_layer: bool = hyperparameter(
        False,
        "train the class head only, several times faster; augmentation is then none unless it is given, so that "
        "the other layers' features of an image are computed once",
        aliases=("train_only_top_layer",),
        documented=True,
    )
    # Tunable in SageMaker's tuning guide, though not in its table.
    regularizers_l2: float | None = hyperparameter(
        None, "L2 coefficient of the kernels that the model regularises (default: the model's own)", minimum=0
    )
    # Training.
    seed: int = hyperparameter(0, "decides split, new weights, order and augmentation", minimum=0, maximum=2**31 - 1)
    learning_rate_schedule: str = hyperparameter(
        "cosine", "after the warm-up: cosine falls to 0, step falls at learning_rate_steps", choices=SCHEDULES
    )
    learning_rate_steps: str = hyperparameter(
        "0.6,0.85", "step schedule: shares of the run after which the rate is multiplied by learning_rate_decay"
    )
    learning_rate_decay: float = hyperparameter(0.1, "step schedule: factor of each step", minimum=0, maximum=1)
    warmup_fraction: float = hyperparameter(
        0.1, "share of the steps in which the learning rate rises from 0", minimum=0, maximum=1
    )
    reference_batch_size: int = hyperparameter(8, "batch size that the recipe's learning rate is for", minimum=1)
    gradient_clip_norm: float = hyperparameter(
        0.0, "largest norm of the whole batch's gradient, over all weights together; 0: any", minimum=0
    )
    gradient_accumulation: int = hyperparameter(
        1, "parts of a device's batch that are computed one after the other: the same step in less memory", minimum=1
    )
    ema_decay: float = hyperparameter(
        0.0, "decay of the weights' moving averages, which are then evaluated and exported; 0: none", minimum=0, below=1
    )
    freeze_batch_norm: bool = hyperparameter(True, "keep batch-norm statistics of the checkpoint while training")
    augmentation: str = hyperparameter(
        "zoo",
        "zoo: mirrored and cropped as the model was trained; strong: mirrored, scaled by .5 to 1.5, other colours, and "
        "half of the images in mosaics of four",
        choices=("none", "zoo", "strong"),
    )
    random_rotation90: bool = hyperparameter(
        False,
        "augmented images are also turned by 0, 90, 180 or 270 degrees, each equally often (what the model stretches: "
        "by 0 or 180): for photographs that have no up and down, as from a microscope or from above",
    )
    anchor_scale: float | None = hyperparameter(
        None,
        "side of the smallest square anchors, in strides of the finest feature map: lower for objects that are small "
        "in the model's input (default: that of the artifact to start from, else the model's own)",
        above=0,
    )
    sampling: str = hyperparameter(
        "uniform",
        "balanced: an epoch has images of rare classes more often, others less often than once",
        choices=("uniform", "balanced"),
    )
    precision: str = hyperparameter(
        "auto",
        "number format of activations while training; auto takes what measured fastest for the model on this processor",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    batch_norm: str = hyperparameter(
        "auto",
        "how frozen batch norm is executed: folded into the convolution before it, or fused after it",
        choices=("auto", "folded", "fused"),
    )
    xla: str = hyperparameter("auto", "compile the network with XLA; auto: on GPUs", choices=("auto", "True", "False"))
    export_precision: str = hyperparameter(
        "auto",
        "number format inside the SavedModel; bfloat16 is fast only on processors that multiply it in hardware",
        choices=("auto", "float32", "bfloat16"),
    )
    objective: str = hyperparameter(
        "mAP", "what decides the best epoch, early stopping and tuning", choices=OBJECTIVES, aliases=("monitor",)
    )
    replay_share: float = hyperparameter(0.3, "share of the images that come from --replay", minimum=0, maximum=1)
    image_shape: int | None = hyperparameter(
        None, "side of the input in pixels, for models that take several (default: the model's own)", minimum=1
    )
    freeze_layer_pattern: str = hyperparameter(
        "", "layers whose name begins with a match of this regular expression are not trained"
    )
    nms_threshold: float | None = hyperparameter(
        None,
        "overlap with a better box above which non-max suppression drops a box (default: the model's own)",
        above=0,
        maximum=1,
    )
    nms_topk: int | None = hyperparameter(
        None, "best boxes that compete in non-max suppression, for models that limit it", minimum=1
    )
    overlap_threshold: float = hyperparameter(
        0.5, "overlap above which a box counts as found in the objective mAP_overlap", above=0, maximum=1
    )
    early_stopping_min_epochs: int = hyperparameter(0, "epochs before which early stopping does not stop", minimum=0)
    early_stopping_tolerance: float = hyperparameter(
        0.0, "smallest relative change of the objective that counts as an improvement", minimum=0, maximum=1
    )
    # The run.
    max_time: float | None = hyperparameter(
        None,
        "time budget of the whole run, in seconds: fewer epochs are trained when it would not suffice",
        minimum=1,
        decides=False,
    )
    deterministic: bool = hyperparameter(False, "bit-identical repetition on one machine; slower")
    checkpoint_every: int = hyperparameter(
        1000, "steps between checkpoints, besides those after each epoch; 0: none", minimum=0, decides=False
    )
    checkpoint_dir: str = hyperparameter(
        "", "folder of the run's checkpoints (default: beside model_dir)", decides=False
    )
    tensorboard_dir: str = hyperparameter("", "folder for TensorBoard's curves and images", decides=False)
    # Data.
    validation_split: float = hyperparameter(
        0.2, "share of the training images held out when no validation data is given", minimum=0, maximum=0.9
    )
    box_order: str = hyperparameter(
        "auto",
        "order of bbox in the annotations: xyxy [xmin, ymin, xmax, ymax] or xywh [x, y, width, height]",
        choices=("auto", "xyxy", "xywh"),
        decides=False,  # of itself: what was read of the data does
    )
    invalid_boxes: str = hyperparameter(
        "clip", "boxes outside their image", choices=("clip", "drop", "error"), decides=False
    )
    max_findings: float = hyperparameter(
        0.5, "share of images or boxes that may be left out before the run fails", minimum=0, maximum=1, decides=False
    )
    max_pixels: int = hyperparameter(50_000_000, "largest image that is decoded, in pixels", minimum=1, decides=False)
    cache: str = hyperparameter(
        "auto",
        "decoded images: auto takes memory if they fit in half of what is free, else cache_dir if given, else none",
        choices=("auto", "memory", "disk", "none"),
        decides=False,
    )
    cache_dir: str = hyperparameter("", "folder for decoded images on disk", decides=False)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


TABLE = hyperparameter_fields.Table(Hyperparameters)
FIELDS: dict[str, dataclasses.Field[Any]] = TABLE.fields
ALIASES: dict[str, str] = TABLE.aliases
KNOWN_NAMES: tuple[str, ...] = TABLE.known_names


def resolve(
    given: Mapping[str, Any],
    recipe: Mapping[str, Any] | None = None,
    on_unknown: Callable[[str], None] | None = None,
) -> Hyperparameters:
    """Returns the hyperparameters of a run.

    Args:
      given: what the user gave, by name or alias; text or typed. None values count as not given.
      recipe: the model's defaults from the registry.
      on_unknown: called with a sentence for each unknown name in `given`; an unknown name is an error without it.

    Raises:
      UsageError: an unknown name, or a value of the wrong type or out of range.
    """
    explicit = TABLE.parsed(given, on_unknown)
    advised = TABLE.parsed(recipe or {})
    hyperparameters = Hyperparameters(**{**advised, **explicit})
    if "learning_rate" in advised and "learning_rate" not in explicit:
        rate = hyperparameters.learning_rate * _batch_scale(hyperparameters)
        hyperparameters = dataclasses.replace(hyperparameters, learning_rate=rate)
    if hyperparameters.cache == "disk" and not hyperparameters.cache_dir:
        raise errors.UsageError("cache=disk needs cache_dir, a folder for the decoded images.")
    run_shares(hyperparameters.learning_rate_steps)
    if hyperparameters.batch_size % hyperparameters.gradient_accumulation:
        raise errors.UsageError(
            f"gradient_accumulation {hyperparameters.gradient_accumulation} cannot cut batch_size "
            f"{hyperparameters.batch_size} into equal parts; choose a divisor of it."
        )
    if hyperparameters.train_only_on_top_layer and not explicit.keys() & {"augmentation", "random_rotation90"}:
        hyperparameters = dataclasses.replace(hyperparameters, augmentation="none")  # see training/frozen_features.py
    if hyperparameters.random_rotation90 and hyperparameters.augmentation == "none":
        raise errors.UsageError(
            "random_rotation90 turns augmented images; with augmentation none there are none: choose zoo or strong."
        )
    return hyperparameters


def _batch_scale(hyperparameters: Hyperparameters) -> float:
    """What the recipe's learning rate is multiplied with.

    Optimizers that divide gradients by their past size follow a square-root rule (Malladi et al., On the SDEs and
    Scaling Rules for Adaptive Gradient Algorithms, 2022).
    """
    scale = hyperparameters.batch_size / hyperparameters.reference_batch_size
    return scale if hyperparameters.optimizer in PLAIN_OPTIMIZERS else math.sqrt(scale)


def run_shares(text: str) -> tuple[float, ...]:
    """Returns the shares of a run in `learning_rate_steps`, such as "0.6,0.85".

    Raises:
      UsageError: they are not rising numbers between 0 and 1.
    """
    try:
        shares = tuple(float(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        shares = (math.nan,)
    if not all(low < high for low, high in itertools.pairwise((0.0, *shares, 1.0))):
        raise errors.UsageError(
            f"learning_rate_steps must be rising shares of the run between 0 and 1, such as 0.6,0.85; got {text!r}."
        )
    return shares


def origins(given: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Origin]:
    """Where each hyperparameter's value came from."""
    names = {ALIASES.get(name, name) for name, value in given.items() if value is not None}
    return {name: "given" if name in names else "recipe" if name in recipe else "default" for name in FIELDS}


def parse(name: str, value: Any) -> Any:
    """Returns `value` (text or typed) as the type of hyperparameter `name`.

    Raises:
      UsageError: it is not of that type, or out of range.
    """
    return hyperparameter_fields.parse(FIELDS[name], value)


def expected(name: str) -> str:
    """What values hyperparameter `name` takes, in words."""
    return hyperparameter_fields.expected(FIELDS[name])


def add_arguments(parser: cli.ArgumentParser) -> None:
    """Adds one flag for each hyperparameter; a flag that is not given stays None."""
    for documented, title in ((True, "hyperparameters (as in SageMaker)"), (False, "further hyperparameters")):
        names = [name for name, field in FIELDS.items() if field.metadata["documented"] == documented]
        TABLE.add_flags(parser.add_argument_group(title), names)


def documented_defaults(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The fifteen documented hyperparameters with a model's values, all as text, as SageMaker's SDK returns them."""
    values = resolve({}, recipe).to_dict()
    return {name: str(values[name]) for name, field in FIELDS.items() if field.metadata["documented"]}


def markdown_table() -> str:
    """The README's table of hyperparameters."""
    return TABLE.markdown()
