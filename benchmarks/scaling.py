"""How cost grows with images, boxes and classes: the tables of docs/scaling.md.

    python benchmarks/scaling.py [--largest 10000000]

Memory is that of child processes, above what an idle one holds. Times are processor seconds, over all cores: they
depend little on what else the machine does. Takes some minutes; 10 million images need 2 GB of memory.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _measure import random_batch, training_step

MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
BATCH_SIZE = 8
BOXES_PER_IMAGE = 7  # as in COCO
BOXES = (1, 10, 100, 1000)
CLASSES = (1, 10, 90, 1000)
VALIDATIONS = ((500, 100), (5000, 10), (5000, 100))
REPEATS = 5
_MEGABYTE = 1e6


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a fresh process, whose memory is then its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(function, *arguments).result()


def processor_seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median over `repeats` calls, after one that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    from tfod_transfer.training.exporting import peak_memory_bytes

    return peak_memory_bytes()


def dataset_of(num_images: int, boxes_per_image: int = BOXES_PER_IMAGE, classes: int = 80) -> Any:
    """Columns as a reader makes them, of images that exist nowhere."""
    from tfod_transfer.data.dataset import DetectionDataset

    rng = np.random.default_rng(0)
    count = num_images * boxes_per_image
    corners = rng.random((count, 2), np.float32) * 0.7
    sides = rng.random((count, 2), np.float32) * 0.25 + 0.02
    return DetectionDataset(
        image_paths=[f"photographs/images/{number:012d}.jpg" for number in range(num_images)],
        image_ids=list(range(10**6, 10**6 + num_images)),
        sizes=np.full((num_images, 2), (480, 640), np.int32),
        orientations=np.ones(num_images, np.uint8),
        boxes=np.concatenate([corners, corners + sides], axis=1),
        classes=rng.integers(0, classes, count, dtype=np.int32),
        is_crowd=np.zeros(count, bool),
        offsets=np.arange(num_images + 1) * boxes_per_image,
        class_names=tuple(f"class {number}" for number in range(classes)),
        category_ids=tuple(range(1, classes + 1)),
    )


def pipeline_of(dataset: Any) -> Any:
    from tfod_transfer import hyperparameters, registry
    from tfod_transfer.data.pipeline import InputPipeline

    settings = hyperparameters.resolve({"batch_size": BATCH_SIZE, "cache": "none"})
    return InputPipeline(dataset, registry.load_registry().get(MODEL_ID), settings)


def annotation_bytes(num_images: int, boxes_per_image: int) -> tuple[int, int]:
    """Bytes that the columns take, and those with the tensors that the input reads them from."""
    import tensorflow as tf  # noqa: F401  # its own memory is not the data's

    pipeline_of(dataset_of(2, 1))
    idle = resident()
    dataset = dataset_of(num_images, boxes_per_image)
    columns = resident() - idle
    pipeline = pipeline_of(dataset)
    iterator = pipeline.train_batches()
    tensors = resident() - idle
    del iterator
    return columns, tensors


def permutation(num_images: int) -> tuple[float, int]:
    """Seconds to order one epoch's images, and the most bytes that it needs meanwhile."""
    import dataclasses

    small = dataset_of(1)
    # One path over and over: what counts here is the order.
    dataset = dataclasses.replace(
        small,
        image_paths=list(small.image_paths) * num_images,
        image_ids=list(small.image_ids) * num_images,
        sizes=np.repeat(small.sizes, num_images, axis=0),
        orientations=np.ones(num_images, np.uint8),
        offsets=np.minimum(np.arange(num_images + 1), 1) * BOXES_PER_IMAGE,
    )
    pipeline = pipeline_of(dataset)
    pipeline_of(small).image_indices_of(0)
    idle = resident()
    started = time.process_time()
    pipeline.image_indices_of(0)
    return time.process_time() - started, max(peak() - idle, 0)


def step_costs() -> dict[str, Any]:
    """Seconds of matching by boxes, of the class loss and of detections by classes, and of a whole training step."""
    import tensorflow as tf

    from tfod_transfer import registry
    from tfod_transfer.modeling import losses, matcher, postprocessing
    from tfod_transfer.modeling.detector import DetectorOutput, build_detector

    spec = registry.load_registry().get(MODEL_ID)
    detector = build_detector(spec, 80)
    anchors = detector.anchors
    batch = random_batch(spec.input_size, BATCH_SIZE, 80)

    def matching(boxes: int, padded: int) -> float:
        data = dataset_of(BATCH_SIZE, boxes)
        classes = np.full((BATCH_SIZE, padded), -1, np.int32)
        corners = np.zeros((BATCH_SIZE, padded, 4), np.float32)
        corners[:, :boxes], classes[:, :boxes] = data.boxes.reshape(BATCH_SIZE, boxes, 4), 0
        truth = tf.constant(corners), tf.constant(classes)
        assign = tf.function(lambda *truth: matcher.assign(*truth, anchors, spec))
        return processor_seconds(lambda: assign(*truth))

    def outputs(classes: int) -> DetectorOutput:
        encodings = tf.random.stateless_normal([BATCH_SIZE, len(anchors), 4], [0, 0])
        # Scores as those of a trained model: few anchors are sure of anything.
        logits = tf.random.stateless_normal([BATCH_SIZE, len(anchors), classes + 1], [0, 1]) * 1.5 - 7.0
        return DetectorOutput(encodings, logits)

    targets = matcher.assign(batch["boxes"], batch["classes"], anchors, spec)

    def class_loss(classes: int) -> float:
        few = targets._replace(classes=tf.minimum(targets.classes, classes - 1))

        @tf.function
        def gradient(output: DetectorOutput) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(output.class_logits)
                total = tf.reduce_sum(losses.detection_losses(output, few, spec).classification)
            return tape.gradient(total, output.class_logits)

        output = outputs(classes)
        return processor_seconds(lambda: gradient(output))

    def detections(classes: int) -> float:
        detect = tf.function(lambda output: postprocessing.detect(output, anchors, spec))
        output = outputs(classes)
        return processor_seconds(lambda: detect(output))

    step = training_step(detector, batch)
    return {
        "step": processor_seconds(step),
        "matching": {boxes: matching(boxes, boxes) for boxes in BOXES},
        "padding": {padded: matching(10, padded) for padded in BOXES[1:]},
        "class loss": {classes: class_loss(classes) for classes in CLASSES},
        "detections": {classes: detections(classes) for classes in CLASSES},
        "anchors": len(anchors),
    }


def metrics_seconds(num_images: int, detections: int) -> float:
    """Seconds of COCO metrics for 80 classes, of which ten are found in an image; some detections are right."""
    from tfod_transfer.evaluation.coco_metrics import ImageDetections, coco_metrics

    dataset = dataset_of(num_images)
    rng = np.random.default_rng(1)
    corner = rng.random((num_images, detections, 2), np.float32) * 0.7
    boxes = np.concatenate([corner, corner + 0.15], axis=2)
    classes = (rng.integers(0, 10, (num_images, detections)) + 7 * np.arange(num_images)[:, np.newaxis]) % 80
    right = min(detections // 3, BOXES_PER_IMAGE)
    boxes[:, :right] = dataset.boxes.reshape(num_images, -1, 4)[:, :right]
    classes[:, :right] = dataset.classes.reshape(num_images, -1)[:, :right]
    scores = -np.sort(-rng.random((num_images, detections), np.float32), axis=1)
    started = time.process_time()
    coco_metrics(dataset, ImageDetections(boxes, classes.astype(np.int32), scores))
    return time.process_time() - started


def table(title: str, *rows: tuple[object, ...]) -> None:
    print(f"\n{title}")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=10**7, help="images of the largest order")
    largest = parser.parse_args().largest

    empty, full = in_child(annotation_bytes, 200_000, 1), in_child(annotation_bytes, 200_000, 21)
    box = [(b - a) / 20 / 200_000 for a, b in zip(empty, full, strict=True)]
    image = [a / 200_000 - b for a, b in zip(empty, box, strict=True)]
    table(
        "memory of annotations, bytes",
        ("", "columns", "and the input's tensors"),
        ("an image", *(f"{value:.0f}" for value in image)),
        ("a box", *(f"{value:.0f}" for value in box)),
        *(
            (f"{number:,} images, {BOXES_PER_IMAGE} boxes each", *(f"{number * value / 1e9:.2f} GB" for value in each))
            for number in (10**5, 10**6, 10**7)
            for each in [[i + BOXES_PER_IMAGE * b for i, b in zip(image, box, strict=True)]]
        ),
    )
    sizes = [number for number in (10**5, 10**6, 10**7) if number <= largest]
    orders = {number: in_child(permutation, number) for number in sizes}
    table(
        "the order of an epoch",
        ("images", "processor seconds", "memory meanwhile, MB"),
        *((f"{n:,}", f"{seconds:.2f}", f"{used / _MEGABYTE:.0f}") for n, (seconds, used) in orders.items()),
    )
    costs = in_child(step_costs)
    step = costs["step"]
    share = lambda values: [f"{100 * seconds / step:.1f} %" for seconds in values.values()]  # noqa: E731
    head = f"share of a step (320 model, {costs['anchors']} anchors, batch {BATCH_SIZE}: {step:.2f} processor seconds)"
    table(f"boxes in each image: {head}", ("", *BOXES), ("matching", *share(costs["matching"])))
    table(f"10 boxes, padded to: {head}", ("", *BOXES[1:]), ("matching", *share(costs["padding"])))
    table(
        f"classes: {head}",
        ("", *CLASSES),
        ("class loss and its gradient", *share(costs["class loss"])),
        ("detections", *share(costs["detections"])),
    )
    table(
        "COCO metrics, 80 classes",
        ("images", "detections in each", "processor seconds"),
        *((f"{n:,}", d, f"{in_child(metrics_seconds, n, d):.1f}") for n, d in VALIDATIONS),
    )


if __name__ == "__main__":
    main()
