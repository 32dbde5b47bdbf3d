"""The detector: normalisation, backbone, decoder and head as one Keras model, built from a registry entry."""

from __future__ import annotations

import re
from typing import NamedTuple

import tensorflow as tf
import tf_keras

from tfod_transfer import errors
from tfod_transfer.modeling import anchors, backbones, decoders, heads, preprocessing
from tfod_transfer.modeling.heads.split import SplitHead
from tfod_transfer.modeling.layers import KEY_SUFFIX, BatchNorm, Block, Convolution, Execution, LayerSettings
from tfod_transfer.registry import ModelSpec


class DetectorOutput(NamedTuple):
    """What a detector says of each anchor.

    Attributes:
      box_encodings: float32 [B, A, 4] of (ty, tx, th, tw), see box_coder.py.
      class_logits: float32 [B, A, slots]; slot 0 is background where the model has such a slot.
    """

    box_encodings: tf.Tensor
    class_logits: tf.Tensor


class FrozenPart(NamedTuple):
    """What a detector makes of images before its class layers: a constant of an image when they alone train.

    Attributes:
      box_encodings: [B, A, 4], in the detector's execution type.
      class_features: for each level [B, H, W, C] in that type, the input of the class layers.
    """

    box_encodings: tf.Tensor
    class_features: tuple[tf.Tensor, ...]


class Detector(tf_keras.Model):
    """Raw RGB images [B, S, S, 3] in 0..255 (uint8 or float32) -> DetectorOutput.

    Attributes:
      spec: the registry entry that it was built from.
      num_classes: classes that it knows, without background.
      execution: how its layers compute; may be changed between traces.
      anchors: float32 [A, 4], normalised [ymin, xmin, ymax, xmax].
      backbone, decoder, head: its three parts.
    """

    def __init__(self, spec: ModelSpec, num_classes: int, settings: LayerSettings) -> None:
        super().__init__(name="detector")
        structure = spec.structure
        self.spec, self.num_classes, self.execution = spec, num_classes, settings.execution
        self.anchors = anchors.generate(spec)
        self.backbone = backbones.build(structure, settings)
        channels = self.backbone.output_channels
        self.decoder: Block = decoders.DECODERS[structure.decoder](channels, structure, spec.input_size, settings)
        self.head: SplitHead = heads.HEADS[structure.head](
            decoders.output_channels(channels, structure),
            structure,
            anchors.anchors_per_cell(spec),
            num_classes + structure.background_slot,
            settings,
        )
        # Two functions, so that the class layers compute the same from features that were kept.
        self._compiled_frozen_part = tf.function(self._frozen_part, jit_compile=True, autograph=False)
        self._compiled_class_logits = tf.function(self.head.class_logits, jit_compile=True, autograph=False)
        self.built = True

    def call(self, images: tf.Tensor, training: bool = False, noise_seed: tf.Tensor | None = None) -> DetectorOutput:
        """Runs the network.

        Args:
          images: [B, S, S, 3].
          training: batch norm may use batch statistics.
          noise_seed: int [2], decides which residual branches a backbone with stochastic depth leaves out; None keeps
            all.
        """
        return self.finish(self.frozen_part(images, training, noise_seed))

    def frozen_part(self, images: tf.Tensor, training: bool = False, noise_seed: tf.Tensor | None = None) -> FrozenPart:
        """The first half of `call`: all but the class layers. Takes what `call` takes."""
        network = self._compiled_frozen_part if self.execution.xla else self._frozen_part
        return FrozenPart(*network(images, training, noise_seed))

    def finish(self, frozen: FrozenPart) -> DetectorOutput:
        """The second half of `call`: the class layers."""
        network = self._compiled_class_logits if self.execution.xla else self.head.class_logits
        logits = network(frozen.class_features)
        return DetectorOutput(tf.cast(frozen.box_encodings, tf.float32), tf.cast(logits, tf.float32))

    def _frozen_part(
        self, images: tf.Tensor, training: bool, noise_seed: tf.Tensor | None
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        x = preprocessing.normalize(images, self.spec.structure.normalization)
        maps = self.backbone(tf.cast(x, self.execution.dtype), training=training, noise_seed=noise_seed)
        return self.head.frozen_part(self.decoder(maps, training=training), training=training)

    def checkpoint_variables(self) -> dict[str, tf.Variable]:
        """Maps the key that each variable has in a zoo checkpoint to the variable."""
        named: dict[str, tf.Variable] = {}
        for module in self.submodules:
            if isinstance(module, (Block, BatchNorm)):
                named.update(module.checkpoint_variables())
        return named

    def l2_coefficients(self) -> dict[str, float]:
        """Maps the checkpoint key of each regularised kernel to its coefficient."""
        return {
            key: coefficient
            for module in self.submodules
            if isinstance(module, Convolution)
            for key, coefficient in module.l2_coefficients.items()
        }


def trainable_variables_for(detector: Detector, *, only_top: bool, frozen: str = "") -> list[tf.Variable]:
    """The variables that training changes: all trainable ones, or those of the class head alone.

    Args:
      detector: the detector.
      only_top: of the class head alone.
      frozen: a regular expression; layers whose names begin with a match are left out. "": none are.

    Raises:
      UsageError: it is no regular expression, matches no layer, or leaves nothing to train.
    """
    parts = detector.head.class_layers if only_top else [detector]
    variables = [variable for part in parts for variable in part.trainable_variables]
    if not frozen:
        return variables
    names = {variable.ref(): _layer_name(key) for key, variable in detector.checkpoint_variables().items()}
    try:
        matched = {name for name in names.values() if re.match(frozen, name)}
    except re.error as error:
        raise errors.UsageError(f"freeze_layer_pattern {frozen!r} is no regular expression: {error}.") from None
    left = [variable for variable in variables if names[variable.ref()] not in matched]
    if not matched or not left:
        known = sorted(set(names.values()))
        raise errors.UsageError(
            f"freeze_layer_pattern {frozen!r} matches {'no layer' if not matched else 'every layer that trains'}; the "
            f"{len(known)} layers of {detector.spec.model_id} are called {', '.join(known[:12])}, ..."
        )
    return left


def _layer_name(key: str) -> str:
    """The name of the layer that a checkpoint key belongs to: "model/conv1_1/kernel/..." is of "conv1_1"."""
    return key.removesuffix(KEY_SUFFIX).removeprefix("model/").rpartition("/")[0]


def build_detector(
    spec: ModelSpec,
    num_classes: int,
    *,
    freeze_batch_norm: bool = True,
    execution: Execution | None = None,
    seed: int = 0,
) -> Detector:
    """Builds the detector of a registry entry with random weights, all of them decided by `seed`.

    Args:
      spec: the registry entry.
      num_classes: classes to tell apart, without background.
      freeze_batch_norm: train with the moving statistics, and leave them as they are.
      execution: how its layers compute; by default in float32, with batch norm folded.
      seed: of the initial values.

    Raises:
      RegistryError: the entry names a backbone that is not known, or a size that its decoder cannot take.
    """
    momentum, epsilon = spec.structure.batch_norm_momentum, spec.structure.batch_norm_epsilon
    settings = LayerSettings(momentum, freeze_batch_norm, execution or Execution(), seed, epsilon)
    return Detector(spec, num_classes, settings)
