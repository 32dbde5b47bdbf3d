"""The Object Detection API's configurations of the zoo's models, in its own language, for `make_reference.py`."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Model:
    """What the API's configuration of a model says where the models differ; text is in its own language."""

    size: int
    extractor: str
    extractor_options: str
    predictor: str
    anchors: str
    l2: float = 4e-4
    initializer: str = "truncated_normal_initializer { stddev: .03 }"
    convolutions: str = "activation: RELU_6"
    momentum: float = 0.997
    keep_aspect_ratio: bool = False
    box_scales: tuple[int, int] = (10, 5)
    background: bool = True
    alpha: float = 0.25
    gamma: float = 2.0
    nms_iou: float = 0.6


def grid(scales: int) -> str:
    return (
        "multiscale_anchor_generator { min_level: 3 max_level: 7 anchor_scale: 4 aspect_ratios: [1, 2, .5] "
        f"scales_per_octave: {scales} }}"
    )


def towers(layers: int, depth: int, options: str = "") -> str:
    return (
        "weight_shared_convolutional_box_predictor { kernel_size: 3 "
        f"num_layers_before_predictor: {layers} depth: {depth} {options}"
    )


OVERRIDE = "override_base_feature_extractor_hyperparams: true min_depth: 16"


def resnet(depth: int, size: int) -> Model:
    return Model(
        size=size,
        extractor=f"ssd_resnet{depth}_v1_fpn_keras",
        extractor_options=OVERRIDE + " fpn { min_level: 3 max_level: 7 }",
        predictor=towers(4, 256),
        anchors=grid(2),
    )


def fpnlite(size: int) -> Model:
    return Model(
        size=size,
        extractor="ssd_mobilenet_v2_fpn_keras",
        extractor_options=OVERRIDE
        + " use_depthwise: true fpn { min_level: 3 max_level: 7 additional_layer_depth: 128 }",
        predictor=towers(4, 128, "share_prediction_tower: true use_depthwise: true"),
        anchors=grid(2),
        l2=4e-5,
        initializer="random_normal_initializer { stddev: .01 }",
    )


def mobilenet_v2() -> Model:
    return Model(
        size=300,
        extractor="ssd_mobilenet_v2_keras",
        extractor_options=OVERRIDE,
        predictor="convolutional_box_predictor { kernel_size: 1 use_dropout: false",
        anchors="ssd_anchor_generator { num_layers: 6 min_scale: .2 max_scale: .95 "
        "aspect_ratios: [1, 2, .5, 3, .3333] }",
        l2=4e-5,
        momentum=0.97,
        alpha=0.75,
    )


def efficientdet(
    network: str, size: int, depth: int, iterations: int, layers: int, combine: str = "fast_attention"
) -> Model:
    bifpn = f"num_iterations: {iterations} num_filters: {depth} combine_method: '{combine}'"
    return Model(
        size=size,
        extractor=f"ssd_efficientnet-{network}_bifpn_keras",
        extractor_options=f"bifpn {{ min_level: 3 max_level: 7 {bifpn} }}",
        predictor=towers(layers, depth, "use_depthwise: true"),
        anchors=grid(3),
        l2=4e-5,
        convolutions="activation: SWISH force_use_bias: true",
        momentum=0.99,
        keep_aspect_ratio=True,
        box_scales=(1, 1),  # as in the zoo's archives; the configurations in the API's repository say 10 and 5
        background=False,
        gamma=1.5,
        nms_iou=0.5,
    )


MODELS = {
    "ssd_mobilenet_v2_320x320_coco17_tpu-8": mobilenet_v2(),
    **{f"ssd_mobilenet_v2_fpnlite_{size}x{size}_coco17_tpu-8": fpnlite(size) for size in (320, 640)},
    **{
        f"ssd_resnet{depth}_v1_fpn_{size}x{size}_coco17_tpu-8": resnet(depth, size)
        for depth in (50, 101, 152)
        for size in (640, 1024)
    },
    "efficientdet_d0_coco17_tpu-32": efficientdet("b0", 512, 64, 3, 3),
    "efficientdet_d1_coco17_tpu-32": efficientdet("b1", 640, 88, 4, 3),
    "efficientdet_d2_coco17_tpu-32": efficientdet("b2", 768, 112, 5, 3),
    "efficientdet_d3_coco17_tpu-32": efficientdet("b3", 896, 160, 6, 4),
    "efficientdet_d4_coco17_tpu-32": efficientdet("b4", 1024, 224, 7, 4),
    "efficientdet_d5_coco17_tpu-32": efficientdet("b5", 1280, 288, 7, 4),
    "efficientdet_d6_coco17_tpu-32": efficientdet("b6", 1408, 384, 8, 5, "sum"),
    "efficientdet_d7_coco17_tpu-32": efficientdet("b6", 1536, 384, 8, 5, "sum"),
}


def configuration(model: Model) -> str:
    """Returns the text of a `DetectionModel` message."""

    def hyperparameters(initializer: str) -> str:
        return (
            f"conv_hyperparams {{ {model.convolutions} initializer {{ {initializer} }} "
            f"regularizer {{ l2_regularizer {{ weight: {model.l2} }} }} "
            f"batch_norm {{ scale: true decay: {model.momentum} epsilon: .001 }} }}"
        )

    side, (box, extent) = model.size, model.box_scales
    resizer = f"fixed_shape_resizer {{ height: {side} width: {side} }}"
    if model.keep_aspect_ratio:
        resizer = (
            f"keep_aspect_ratio_resizer {{ min_dimension: {side} max_dimension: {side} pad_to_max_dimension: true }}"
        )
    head_hyperparameters = hyperparameters("random_normal_initializer { stddev: .01 }")
    return f"""ssd {{
        num_classes: 90 add_background_class: {str(model.background).lower()} encode_background_as_zeros: true
        image_resizer {{ {resizer} }}
        anchor_generator {{ {model.anchors} }}
        feature_extractor {{
          type: '{model.extractor}' {model.extractor_options} {hyperparameters(model.initializer)} }}
        box_predictor {{ {model.predictor} class_prediction_bias_init: -4.6 {head_hyperparameters} }} }}
        box_coder {{ faster_rcnn_box_coder {{
          y_scale: {box} x_scale: {box} height_scale: {extent} width_scale: {extent} }} }}
        similarity_calculator {{ iou_similarity {{ }} }}
        matcher {{ argmax_matcher {{
          matched_threshold: .5 unmatched_threshold: .5 force_match_for_each_row: true use_matmul_gather: true }} }}
        normalize_loss_by_num_matches: true normalize_loc_loss_by_codesize: true
        loss {{
          classification_loss {{ weighted_sigmoid_focal {{ alpha: {model.alpha} gamma: {model.gamma} }} }}
          localization_loss {{ weighted_smooth_l1 {{ delta: 1 }} }}
          classification_weight: 1 localization_weight: 1 }}
        post_processing {{ score_converter: SIGMOID batch_non_max_suppression {{
          score_threshold: 1e-8 iou_threshold: {model.nms_iou}
          max_detections_per_class: 100 max_total_detections: 100 }} }}
    }}"""
