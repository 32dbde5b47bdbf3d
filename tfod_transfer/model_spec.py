"""What the registry says of a model, as typed data: its structure, its weights, its input and its recipe."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Literal

from tfod_transfer import errors
from tfod_transfer.detection_options import MAX_DETECTIONS, DetectionOptions

Algorithm = Literal["object-detection-tensorflow", "object-detection"]


@dataclasses.dataclass(frozen=True)
class Structure:
    """What a detector of some architecture is made of.

    Attributes:
      backbone: a key of `modeling.backbones.BACKBONES`, such as "resnet50".
      decoder: a key of `modeling.decoders.DECODERS`: "fpn", "bifpn", "ssd_feature_maps" or "multibox".
      head: a key of `modeling.heads.HEADS`: one tower for boxes and classes ("shared_tower"), one for each
        ("two_towers"), or convolutions of its own for each feature map, 1x1 ("per_level") or 3x3 ("multibox").
      convolutions: kind of the 3x3 convolutions in decoder and head, "dense" or "separable".
      activation: of decoder and head, "relu6", "swish" or "relu".
      normalization: a key of `data.normalization.NORMALIZATIONS`: how raw pixels become the network's input.
      anchor_generator: "multiscale_grid" or "ssd", see modeling/anchors.py; "multibox", see modeling/multibox.py.
      classification: what the class logits are: "sigmoid", classes that do not exclude each other, trained with the
        focal loss; "softmax", one of them or background, trained with cross-entropy on hard negatives.
      augmentation: what the augmentation preset "zoo" means for the model, see data/augmentation.py.
      depth_multiplier: width of a MobileNet or multibox backbone; 1.0 for the others.
      feature_depth: channels of the FPN or BiFPN and of the head; of SSD's first own feature map.
      head_convs: convolutions in a tower of the head; 0 for a head without towers.
      tower_bias: whether those have a bias, although batch norm follows.
      bifpn_iterations: times the BiFPN is repeated; 0 for other decoders.
      bifpn_combine: how a BiFPN adds maps up: "fast_attention" has a trained weight for each, "sum" has none.
      min_level: finest feature map, 2^min_level pixels apart.
      max_level: coarsest feature map.
      extra_level_from: inputs of at least this side have one more; 0: none have.
      anchor_scale: side of the smallest square anchor in strides of its level; for "ssd", side of the finest level's
        anchors in sides of the input.
      aspect_ratios: width / height of the anchors.
      scales_per_octave: anchor sizes from one level to the next, that level's own included (for "ssd", of squares).
      box_coder_scales: factors of (ty, tx, th, tw) in box encodings.
      background_slot: whether slot 0 of the class logits is background.
      focal_alpha: weight of the positives in the focal loss.
      focal_gamma: exponent of the focal loss.
      nms_iou: overlap above which non-max suppression drops a box.
      nms_topk: how many boxes, the best, compete in it; 0: all.
      batch_norm_momentum: of the moving statistics.
      batch_norm_epsilon: added to their variance.
      l2: Keras coefficient (half of the pipeline.config's weight) of the kernels that the model regularises.
      backbone_l2: the same for the backbone.
    """

    backbone: str
    decoder: Literal["fpn", "bifpn", "ssd_feature_maps", "multibox"]
    head: Literal["shared_tower", "two_towers", "per_level", "multibox"]
    convolutions: Literal["dense", "separable"]
    activation: Literal["relu6", "swish", "relu"]
    normalization: str
    anchor_generator: Literal["multiscale_grid", "ssd", "multibox"]
    classification: Literal["sigmoid", "softmax"]
    augmentation: Literal["crop", "scale_and_crop", "ssd_crop", "multibox"]
    depth_multiplier: float
    feature_depth: int
    head_convs: int
    tower_bias: bool
    bifpn_iterations: int
    bifpn_combine: Literal["fast_attention", "sum"]
    min_level: int
    max_level: int
    extra_level_from: int
    anchor_scale: float
    aspect_ratios: tuple[float, ...]
    scales_per_octave: int
    box_coder_scales: tuple[float, float, float, float]
    background_slot: bool
    focal_alpha: float
    focal_gamma: float
    nms_iou: float
    nms_topk: int
    batch_norm_momentum: float
    batch_norm_epsilon: float
    l2: float
    backbone_l2: float

    @property
    def num_levels(self) -> int:
        """Feature maps that the head sees."""
        return self.max_level - self.min_level + 1


@dataclasses.dataclass(frozen=True)
class CheckpointSource:
    """Where a model's pretrained checkpoint comes from, and how to know it.

    Attributes:
      url: of the archive, a .tar.gz; or of a backbone's weights alone, an .h5; None for an embedded checkpoint.
      path: folder of an embedded checkpoint, relative to the package; None for one that is downloaded.
      data_bytes: size of its data file, where known.
      data_sha256: of its data file, where known.
      tensor_crc_digest: of its tensors, where known; see `weights.tensor_crc_digest`.
      md5: of an .h5.
    """

    url: str | None = None
    path: str | None = None
    data_bytes: int | None = None
    data_sha256: str | None = None
    tensor_crc_digest: str | None = None
    md5: str | None = None

    @property
    def of_backbone(self) -> bool:
        """Whether it holds an image classifier's weights, of which a detector takes its backbone."""
        return bool(self.url and self.url.endswith(".h5"))

    @property
    def name(self) -> str:
        """The checkpoint's own name: that of its archive and of the single folder in the archive."""
        return pathlib.PurePosixPath(self.url or self.path or "").name.removesuffix(".tar.gz")

    @property
    def archive(self) -> str:
        """Name of the file that is downloaded."""
        return self.name if self.of_backbone else f"{self.name}.tar.gz"


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """One entry of the registry.

    Attributes:
      model_id: the name that users give.
      architecture: key of the registry's table of architectures, such as "ssd_mobilenet_v2_fpnlite".
      algorithm: SageMaker's name of the algorithm whose form its hyperparameters, log lines and answers have.
      input_size: side of the square that images are resized to, in pixels.
      min_input_size: the smallest that `adapted` takes; None where it is always `input_size`.
      resizer: "fixed" stretches an image to the square; "keep_aspect_ratio" pads it at the bottom or right.
      class_names: the names of the checkpoint's classes, by class; None where the model has a slot that no class uses.
      structure: the detector's structure.
      checkpoint: where the pretrained weights come from.
      parameters: number of floats in the checkpoint, batch-norm statistics included.
      coco_map: published AP@[.5:.95] on COCO val2017 in percent, or None.
      license: SPDX identifier of the weights' licence.
      source: who made the weights, from what.
      defaults: the recipe, hyperparameter name -> value.
      step_memory: precision -> (fixed, per image): GB that a process takes to train on a CPU, as measured; empty where
        nobody measured.
    """

    model_id: str
    architecture: str
    input_size: int
    resizer: Literal["fixed", "keep_aspect_ratio"]
    class_names: tuple[str | None, ...]
    structure: Structure
    checkpoint: CheckpointSource
    parameters: int
    coco_map: float | None
    license: str
    source: str
    defaults: dict[str, str | int | float]
    step_memory: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    algorithm: Algorithm = "object-detection-tensorflow"
    min_input_size: int | None = None

    @property
    def num_classes(self) -> int:
        """Class slots of the pretrained head without background, holes of the label map included."""
        return len(self.class_names)

    @property
    def detection(self) -> DetectionOptions:
        """How detections are picked while training, and in an export unless it says otherwise."""
        return DetectionOptions(max_detections=self.structure.nms_topk or MAX_DETECTIONS)

    @property
    def scales_anchors(self) -> bool:
        """Whether `adapted` takes another anchor_scale."""
        return self.structure.anchor_generator == "multiscale_grid"

    def adapted(
        self,
        input_size: int | None = None,
        nms_iou: float | None = None,
        nms_topk: int | None = None,
        anchor_scale: float | None = None,
    ) -> ModelSpec:
        """Returns the model for another input, with other anchors or other non-max suppression; None: as it is.

        Raises:
          RegistryError: the model does not take that.
        """
        structure, size = self.structure, self.input_size if input_size is None else input_size
        if size != self.input_size and (self.min_input_size is None or size < self.min_input_size):
            takes = (
                f"{self.input_size} pixels only"
                if self.min_input_size is None
                else f"{self.min_input_size} pixels or more"
            )
            raise errors.RegistryError(f"{self.model_id} takes images of {takes} (image_shape); found {size}.")
        if nms_topk is not None and not structure.nms_topk:
            raise errors.RegistryError(f"in {self.model_id} all boxes compete in non-max suppression: no nms_topk.")
        if anchor_scale not in (None, structure.anchor_scale) and not self.scales_anchors:
            raise errors.RegistryError(f"the anchors of {self.model_id} are not of one scale: no anchor_scale.")
        extra, had_extra = (
            bool(structure.extra_level_from) and side >= structure.extra_level_from for side in (size, self.input_size)
        )
        return dataclasses.replace(
            self,
            input_size=size,
            structure=dataclasses.replace(
                structure,
                max_level=structure.max_level + extra - had_extra,
                nms_iou=structure.nms_iou if nms_iou is None else nms_iou,
                nms_topk=structure.nms_topk if nms_topk is None else nms_topk,
                anchor_scale=structure.anchor_scale if anchor_scale is None else anchor_scale,
            ),
        )


@dataclasses.dataclass(frozen=True)
class SavedModelSpec:
    """A finished model that can be run and not trained: a SavedModel of the Object Detection API.

    Attributes:
      model_id: the name that users give.
      url: its handle on TensorFlow Hub.
      class_names: the names of its classes, by class; None where the model has a slot that no class uses.
      keypoints: whether it also finds the keypoints of persons.
      coco_map: published AP@[.5:.95] of its boxes on COCO val2017 in percent.
      nearest: model_id of the model to train instead.
    """

    model_id: str
    url: str
    class_names: tuple[str | None, ...]
    keypoints: bool
    coco_map: float
    nearest: str
