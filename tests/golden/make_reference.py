"""Computes the reference tensors of a model with the TensorFlow Object Detection API.

    python make_reference.py ssd_mobilenet_v2_320x320_coco17_tpu-8
    python make_reference.py efficientdet_d0_coco17_tpu-32 --check     # against the file in shared/golden instead

It runs in an environment of its own, not in the project's: Python 3.11, tensorflow-cpu 2.15.1, numpy 1.26.4, protobuf
3.20.3, tf-models-official 2.15.0 (--no-deps), tf-slim 1.1.0, tensorflow-io (--no-deps), pycocotools, lvis, scipy,
pandas, matplotlib, lxml, pyyaml, and the API's sdist tf-models-research-object-detection 2.8.0.post1, unpacked, with
its root and its folder `slim` on the path. The weights are those of `make_checkpoint.py` in shared/golden, given to the
API's variables by checkpoint key; a batch norm without calibrated statistics there keeps the synthetic ones.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import pathlib
import sys
import tempfile
from typing import Any

import numpy as np
import synthetic_checkpoint
import tensorflow as tf
from api_configurations import MODELS, configuration
from google.protobuf import text_format
from object_detection.builders import model_builder
from object_detection.core import standard_fields
from object_detection.protos import model_pb2

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parents[2] / "shared" / "golden"
GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
SLOTS = "class_predictions_with_background"
ROWS = 120  # anchors kept


def build(name: str, *, training: bool = False) -> Any:
    """Returns the API's detection model with all its variables created."""
    message = text_format.Parse(configuration(MODELS[name]), model_pb2.DetectionModel())
    detector = model_builder.build(message, is_training=training)
    side = MODELS[name].size
    detector.predict(tf.zeros([1, side, side, 3]), tf.constant([[side, side, 3]]))
    return detector


def own_keys(detector: Any) -> dict[str, list[int]]:
    """Shapes of the variables by the keys under which the API stores them."""
    with tempfile.TemporaryDirectory() as folder:
        shapes = tf.train.load_checkpoint(tf.train.Checkpoint(model=detector).write(f"{folder}/own"))
        return {k: s for k, s in shapes.get_variable_to_shape_map().items() if k.startswith("model/")}


def restore(detector: Any, tensors: dict[str, np.ndarray]) -> None:
    """Gives `tensors` to the variables by checkpoint key; fails unless the two sets of keys are the same."""
    if own_keys(detector).keys() != tensors.keys():
        raise SystemExit(f"keys differ: {sorted(own_keys(detector).keys() ^ tensors.keys())[:10]}")
    checkpoint = tf.train.Checkpoint(model=detector)
    with tempfile.TemporaryDirectory() as folder:
        # A restore by key follows the object graph that tf.train.Checkpoint stores: taken over from its own file.
        graph = tf.train.load_checkpoint(checkpoint.write(f"{folder}/own")).get_tensor(GRAPH_KEY)
        tf.raw_ops.SaveV2(
            prefix=f"{folder}/synthetic",
            tensor_names=[GRAPH_KEY, *tensors],
            shape_and_slices=[""] * (1 + len(tensors)),
            tensors=[tf.constant(graph), *map(tf.constant, tensors.values())],
        )
        checkpoint.restore(f"{folder}/synthetic").expect_partial()  # of its own it counts saves


def variables_by_key(detector: Any, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """Finds each restored variable's key by its values, since every synthetic tensor has values of its own."""
    keys = {array.tobytes(): key for key, array in tensors.items()}
    parts = (detector.feature_extractor, detector._box_predictor)
    return {keys[variable.numpy().tobytes()]: variable for part in parts for variable in part.variables}


def preprocess(detector: Any, images: list[np.ndarray]) -> tuple[Any, Any]:
    return detector.preprocess(tf.constant(np.stack(images), tf.float32))


def provide_ground_truth(detector: Any, boxes: list[np.ndarray], classes: list[np.ndarray]) -> None:
    """As the API's input pipeline does: boxes in the frame of the padded image, filled up to 100 that weigh 0."""

    def padded(rows: np.ndarray) -> Any:
        return tf.constant(np.pad(rows, [[0, 100 - len(rows)], *[[0, 0]] * (rows.ndim - 1)]))

    detector.provide_groundtruth(
        groundtruth_boxes_list=[padded(b) for b in boxes],
        groundtruth_classes_list=[padded(np.eye(90, dtype=np.float32)[c]) for c in classes],
        groundtruth_weights_list=[padded(np.ones(len(b), np.float32)) for b in boxes],
    )


def assigned(detector: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first image's regression targets [N, 4] and its matches [N], negative without a box."""
    names = standard_fields.BoxListFields
    lists = [detector.groundtruth_lists(name) for name in (names.boxes, names.classes, names.weights)]
    _, _, targets, _, matches = detector._assign_targets(lists[0], lists[1], None, lists[2])
    return targets[0].numpy(), matches[0].numpy()


def losses(detector: Any, predictions: dict[str, Any], true_shapes: Any) -> dict[str, Any]:
    values = {name.removeprefix("Loss/"): loss for name, loss in detector.loss(predictions, true_shapes).items()}
    return {**values, "regularization_loss": tf.add_n(detector.regularization_losses())}


def spread_rows(detector: Any, maps: list[Any]) -> np.ndarray:
    """Anchor numbers from every map, as many from each, first and last included."""
    per_cell = detector._anchor_generator.num_anchors_per_location()
    ends = np.cumsum([0, *(x.shape[1] * x.shape[2] * n for x, n in zip(maps, per_cell, strict=True))])
    rows = [np.linspace(a, b - 1, ROWS // len(maps)).round() for a, b in itertools.pairwise(ends)]
    return np.unique(np.concatenate(rows)).astype(np.int32)


def part(x: Any) -> np.ndarray:
    """At most 4 x 4 places of a map [1, H, W, C] and 32 channels."""
    step = -(-x.shape[1] // 4)
    return x[0, ::step, ::step, :32].numpy()


def inference(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the arrays and the summary of one image in inference mode."""
    source, detector = synthetic(), build(name)
    restore(detector, weights(name, detector))
    images, true_shapes = preprocess(detector, [source.image()])
    predictions = detector.predict(images, true_shapes)
    side, (height, width) = MODELS[name].size, true_shapes.numpy()[0, :2]
    boxes = source.GT_BOXES * np.array([height, width, height, width], np.float32) / np.float32(side)
    provide_ground_truth(detector, [boxes], [source.GT_CLASSES])
    targets, matches = assigned(detector)
    (positive,) = np.nonzero(matches >= 0)
    rows = spread_rows(detector, predictions["feature_maps"])
    step = -(-side // 160) * 8
    extractor = detector.feature_extractor
    backbone = getattr(extractor, "_efficientnet", extractor.classification_backbone)(images)
    arrays = {
        "rows": rows,
        "anchors": predictions["anchors"].numpy()[rows],
        "box_encodings": predictions["box_encodings"].numpy()[0, rows],
        "class_logits": predictions[SLOTS].numpy()[0, rows],
        "num_anchors": np.int64(len(matches)),
        f"preprocessed_every_{step}": images.numpy()[0, ::step, ::step],
        "true_image_shape": true_shapes.numpy(),
        **{f"backbone_out_{i}_sub": part(x) for i, x in enumerate(backbone)},
        **{f"feature_map_{i}_sub": part(x) for i, x in enumerate(predictions["feature_maps"])},
        "gt_boxes_padded_frame": boxes,
        "gt_classes_zero_based": source.GT_CLASSES,
        "pos_index": positive,
        "pos_reg_targets": targets[positive],
        "match_positive_gt": matches[positive].astype(np.int16),
    }
    if not has_listed_keys(name):
        arrays["checkpoint_shapes"] = np.array(json.dumps(own_keys(detector)))
    summary = {
        "losses_inference_mode": {
            **{key: float(value) for key, value in losses(detector, predictions, true_shapes).items()},
            "num_positive_anchors": len(positive),
            "num_anchors": len(matches),
            "n_reg_losses": len(detector.regularization_losses()),
        },
        "standard_deviations": {key: float(tf.math.reduce_std(predictions[key])) for key in ("box_encodings", SLOTS)},
    }
    detections = detector.postprocess(predictions, true_shapes)
    kept = ["num_detections", *(f"detection_{key}" for key in ("boxes", "scores", "classes", "anchor_indices"))]
    return {**arrays, **{f"detections/{key}": detections[key].numpy() for key in kept}}, summary


def training(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the arrays and the summary of one training step on [image 0, image 1 mirrored]; SSD models only."""
    tf.keras.backend.set_learning_phase(True)  # the API's batch norms ask it
    source, detector = synthetic(), build(name, training=True)
    tensors = weights(name, detector)
    restore(detector, tensors)
    variables = variables_by_key(detector, tensors)
    trainable = {key: variable for key, variable in variables.items() if variable.trainable}
    mirrored = source.GT_BOXES[:3] * np.float32([1, -1, 1, -1]) + np.float32([0, 1, 0, 1])
    boxes = [source.GT_BOXES, mirrored[:, [0, 3, 2, 1]]]
    images, true_shapes = preprocess(detector, [source.image(seed=0), source.image(seed=1)[:, ::-1]])
    provide_ground_truth(detector, boxes, [source.GT_CLASSES, source.GT_CLASSES[:3]])
    with tf.GradientTape(persistent=True) as tape:
        predictions = detector.predict(images, true_shapes)
        values = losses(detector, predictions, true_shapes)
        total = tf.add_n(list(values.values()))
    gradients = dict(zip(trainable, tape.gradient(total, list(trainable.values())), strict=True))
    penalties = zip(trainable, tape.gradient(values["regularization_loss"], list(trainable.values())), strict=True)
    # The penalty c * |v|^2 has the gradient 2 * c * v.
    coefficients = {
        key: float(tf.reduce_sum(penalty * trainable[key]) / (2 * tf.reduce_sum(trainable[key] ** 2)))
        for key, penalty in penalties
        if penalty is not None
    }
    summary = {
        **{key: float(value) for key, value in values.items()},
        "total_loss": float(total),
        "grad_l2_norms": {key: float(tf.norm(gradient)) for key, gradient in gradients.items()},
        "keras_l2_coefficient": coefficients,
    }
    small = {key for key, array in tensors.items() if array.size <= 100}
    arrays = {
        "gt0": boxes[0],
        "gt1": boxes[1],
        "box_encodings": predictions["box_encodings"].numpy(),
        "class_predictions_rows_every_70": predictions[SLOTS].numpy()[:, ::70],
        **{f"grad:{key}": gradients[key].numpy() for key in trainable if key in small and "_fe" not in key},
        **{f"after:{key}": variables[key].numpy() for key in variables if "moving" in key and key in small},
    }
    return arrays, summary


def synthetic() -> Any:
    return importlib.import_module("synthetic_weights")


def has_listed_keys(name: str) -> bool:
    return (GOLDEN.parent / "zoo" / "keys" / f"{name}.json").exists()


def weights(name: str, detector: Any) -> dict[str, np.ndarray]:
    """The checkpoint's tensors; of a model whose keys nobody listed, all that the API would store."""
    if has_listed_keys(name):
        return dict(importlib.import_module("make_checkpoint").tensors(name))
    return synthetic_checkpoint.tensors(name, own_keys(detector))


def compare(name: str, arrays: dict[str, Any], summary: dict[str, Any], kind: str = "") -> None:
    """Prints the largest difference from the golden file of each array that both have; maps are cut differently."""
    golden = np.load(GOLDEN / name / f"{kind}golden.npz")
    if "rows" in golden:
        common, ours, theirs = np.intersect1d(arrays["rows"], golden["rows"], return_indices=True)
        print(f"{len(common)} rows in common")
    for key in sorted(arrays.keys() & golden.keys()):
        actual, expected = arrays[key], golden[key]
        if key in ("anchors", "box_encodings", "class_logits") and "rows" in golden:
            actual, expected = actual[ours], expected[theirs]
        if actual.shape == expected.shape and actual.size:
            print(f"{np.abs(np.float64(actual) - expected).max():.3g} {key}")
    theirs = flat(json.loads((GOLDEN / name / f"{kind}summary.json").read_text()))
    differences = {key: abs(value - theirs[key]) for key, value in flat(summary).items() if key in theirs}
    print(f"{max(differences.values()):.3g} in {len(differences)} figures of the summary")


def flat(figures: dict[str, Any], prefix: str = "") -> dict[str, float]:
    nested = (
        {prefix + key: value} if not isinstance(value, dict) else flat(value, f"{prefix}{key} ")
        for key, value in figures.items()
    )
    return {key: value for part_of_all in nested for key, value in part_of_all.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--check", action="store_true", help="compare with shared/golden, write nothing")
    parser.add_argument("--training", action="store_true", help="a training step instead of inference")
    options = parser.parse_args()
    sys.path.append(str(GOLDEN))
    kind = "train_" if options.training else ""
    arrays, summary = (training if options.training else inference)(options.model)
    if options.check:
        compare(options.model, arrays, summary, kind)
        return
    stem = HERE / "reference" / f"{options.model}{'.training' if options.training else ''}"
    np.savez_compressed(f"{stem}.npz", **arrays)
    pathlib.Path(f"{stem}.json").write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
