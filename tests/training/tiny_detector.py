"""A detector with everything that a training step touches, in a few hundred weights, and batches for it."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer import hyperparameters, registry
from tfod_transfer.modeling import anchors
from tfod_transfer.modeling.detector import DetectorOutput
from tfod_transfer.modeling.layers import (
    BatchNorm,
    ConvBatchNorm,
    Convolution,
    Execution,
    LayerSettings,
    constant,
    truncated_normal,
)
from tfod_transfer.training.fine_tuner import FineTuner
from tfod_transfer.training.optimizers import build_optimizer

DEMO = "tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes"
SIZE = 64
NUM_CLASSES = 2
L2 = 0.01

Arrays = dict[str, npt.NDArray[np.generic]]


def small_spec() -> registry.ModelSpec:
    """The demo model's registry entry, for small images."""
    return dataclasses.replace(registry.load_registry().get(DEMO), input_size=SIZE)


class TinyDetector(tf.Module):
    """A convolution with batch norm, the mean over the image, and a layer that says the same of each anchor."""

    def __init__(self, freeze_batch_norm: bool = True, dtype: tf.DType | str = tf.float32) -> None:
        super().__init__(name="tiny")
        self.spec, self.execution = small_spec(), Execution(tf.as_dtype(dtype))
        self.anchors = anchors.generate(self.spec)
        settings = LayerSettings(0.9, freeze_batch_norm, self.execution, seed=0)
        initializer = truncated_normal(0.2)
        self.body = ConvBatchNorm(
            Convolution("body", "dense", 3, 8, settings, kernel_initializer=initializer, strides=4), ["norm"], settings
        )
        self.said = Convolution(
            "said",
            "dense",
            8,
            4 + NUM_CLASSES,
            settings,
            kernel_size=1,
            kernel_initializer=initializer,
            bias_initializer=constant(-1.0),
            l2=L2,
        )

    def __call__(self, images: tf.Tensor, training: bool, noise_seed: tf.Tensor | None = None) -> DetectorOutput:
        x = tf.cast(tf.cast(images, tf.float32) / 64.0 - 2.0, self.execution.dtype)
        x = tf.reduce_mean(self.body(x, training=training), axis=[1, 2], keepdims=True)
        said = tf.cast(self.said(x)[:, 0], tf.float32)
        said = tf.repeat(said, len(self.anchors), axis=1)
        return DetectorOutput(said[..., :4], said[..., 4:])

    @property
    def norm(self) -> BatchNorm:
        return self.body.norms[0]

    def checkpoint_variables(self) -> dict[str, tf.Variable]:
        parts = (self.body.convolution, self.norm, self.said)
        return {key: variable for part in parts for key, variable in part.checkpoint_variables().items()}

    def l2_coefficients(self) -> dict[str, float]:
        return self.said.l2_coefficients


def settings_for(**given: object) -> hyperparameters.Hyperparameters:
    base = {"optimizer": "sgd", "learning_rate": 0.05, "warmup_fraction": 0, "batch_size": 4}
    return hyperparameters.resolve({**base, **given})


def tiny_fine_tuner(
    *, freeze_batch_norm: bool = True, dtype: tf.DType | str = tf.float32, **given: object
) -> FineTuner:
    """Returns a compiled FineTuner for runs of 10 steps; `given` are further hyperparameters."""
    detector, settings = TinyDetector(freeze_batch_norm, dtype), settings_for(**given)
    model = FineTuner(
        detector,
        detector.trainable_variables,
        settings.regularizers_l2,
        seed=settings.seed,
        ema_decay=settings.ema_decay,
        gradient_accumulation=settings.gradient_accumulation,
    )
    model.compile(build_optimizer(settings, 10))
    return model


def batch_of(step: int) -> Arrays:
    """Four images with 0, 1, 3 and 8 boxes."""
    random = np.random.default_rng(step)
    boxes, classes = np.zeros((4, 8, 4), np.float32), np.full((4, 8), -1, np.int32)
    for image, count in enumerate((0, 1, 3, 8)):
        corner, size = random.uniform(0, 0.5, (count, 2)), random.uniform(0.1, 0.5, (count, 2))
        boxes[image, :count] = np.concatenate([corner, corner + size], axis=1)
        classes[image, :count] = random.integers(0, NUM_CLASSES, count)
    colours = random.integers(0, 200, (4, 1, 1, 3)) + random.integers(0, 55, (4, SIZE, SIZE, 3))
    return {"images": colours.astype(np.uint8), "boxes": boxes, "classes": classes}


def weights(model: FineTuner) -> npt.NDArray[np.float32]:
    """All weights of the detector, statistics included, in one row."""
    variables = model.detector.checkpoint_variables()
    return np.concatenate([variables[key].numpy().ravel() for key in sorted(variables)])


def averages(model: FineTuner) -> npt.NDArray[np.float32]:
    """As `weights`, of the moving averages."""
    with model.averaged():
        return weights(model)
