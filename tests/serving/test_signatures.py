"""One photograph from its file to a box, by each of the ways that a run has."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small_backbone import build_small, thin_spec

from tfod_transfer import hyperparameters, registry
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.pipeline import InputPipeline
from tfod_transfer.modeling import box_coder, detector
from tfod_transfer.serving import signatures
from tfod_transfer.training.fine_tuner import FineTuner

SIZE = 64
DEMO = dataclasses.replace(thin_spec(), input_size=SIZE)
EFFICIENTDET = registry.load_registry().get("tensorflow-od1-ssd-efficientdet-d0-512x512-coco17-tpu-8").structure
LIKE_EFFICIENTDET = dataclasses.replace(
    DEMO,
    resizer="keep_aspect_ratio",
    structure=dataclasses.replace(
        DEMO.structure, normalization=EFFICIENTDET.normalization, augmentation=EFFICIENTDET.augmentation
    ),
)
HEIGHT, WIDTH = 120, 50  # of the upright photograph
BOX = np.float32([40 / HEIGHT, 10 / WIDTH, 70 / HEIGHT, 30 / WIDTH])
BRIGHT = 180  # all that is brighter is the object: the padding is not


class Finder(detector.Detector):
    """Sees what is bright, wherever it is in the square, and is sure that it is of class 1."""

    def call(self, images: tf.Tensor, training: bool = False, noise_seed: tf.Tensor | None = None) -> object:
        bright = tf.cast(images[..., 2], tf.float32) > BRIGHT
        edges = []
        for axis in (2, 1):
            line = tf.cast(tf.reduce_any(bright, axis=axis), tf.int32)
            edges.append((tf.argmax(line, axis=1), SIZE - tf.argmax(line[:, ::-1], axis=1)))
        (ymin, ymax), (xmin, xmax) = edges
        boxes = tf.cast(tf.stack([ymin, xmin, ymax, xmax], axis=-1), tf.float32)[:, tf.newaxis] / SIZE
        logits = tf.tile(tf.constant([[[-20.0, -20.0, 5.0]]]), [tf.shape(images)[0], 1, 1])
        scales = self.spec.structure.box_coder_scales
        return detector.DetectorOutput(box_coder.encode(boxes, self.anchors, scales), logits)


@pytest.fixture(scope="module", params=[DEMO, LIKE_EFFICIENTDET], ids=["fixed", "keep_aspect_ratio"])
def spec(request: pytest.FixtureRequest) -> registry.ModelSpec:
    return request.param


@pytest.fixture(scope="module")
def finder(spec: registry.ModelSpec) -> detector.Detector:
    """No test may change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector, "Detector", Finder)
        finder = build_small(spec)
    finder.anchors = np.float32([[0, 0, 1, 1]])
    return finder


@pytest.fixture
def dataset(tmp_path: pathlib.Path) -> DetectionDataset:
    """A high photograph that is stored lying on its side."""
    upright = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    upright[40:70, 10:30] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photograph.jpg"
    Image.fromarray(np.rot90(upright)).save(path, quality=98, subsampling=0, exif=exif)
    return DetectionDataset(
        image_paths=[str(path)],
        image_ids=[0],
        sizes=np.int32([[HEIGHT, WIDTH]]),
        orientations=np.uint8([6]),
        boxes=BOX[np.newaxis],
        classes=np.int32([1]),
        is_crowd=np.array([False]),
        offsets=np.int64([0, 1]),
        class_names=("one", "other"),
        category_ids=(1, 2),
    )


def pipeline_of(dataset: DetectionDataset, spec: registry.ModelSpec, augmentation: str) -> InputPipeline:
    given = {"batch_size": 2, "cache": "memory", "augmentation": augmentation}
    return InputPipeline(dataset, spec, hyperparameters.resolve(given))


@pytest.mark.parametrize("augmentation", ["none", "zoo"])
def test_training_boxes_are_where_the_object_is(
    dataset: DetectionDataset, spec: registry.ModelSpec, finder: detector.Detector, augmentation: str
) -> None:
    shown, places = 0, set()
    for batch in pipeline_of(dataset, spec, augmentation).train_batches().take(15):
        found = box_coder.decode(finder(batch["images"]).box_encodings, finder.anchors, spec.structure.box_coder_scales)
        for image, classes, boxes, seen in zip(batch["images"], batch["classes"], batch["boxes"], found, strict=True):
            if (image.numpy()[..., 2] > BRIGHT).sum() > 20:
                shown += 1
                assert classes.numpy().tolist() == [1] + [-1] * 7
                np.testing.assert_allclose(boxes[0], seen[0], atol=2 / SIZE)  # an edge that is enlarged is soft
                places.add(tuple(boxes[0].numpy().tolist()))
    assert shown > 15
    assert (len(places) > 1) == (augmentation == "zoo")


def test_evaluation_and_export_find_the_same_place_in_the_photograph(
    dataset: DetectionDataset, spec: registry.ModelSpec, finder: detector.Detector, tmp_path: pathlib.Path
) -> None:
    batches = pipeline_of(dataset, spec, "none").eval_batches()
    evaluated = FineTuner(finder, [], None, seed=0).predict(batches, verbose=0)
    assert evaluated["image_ids"].tolist() == [0, -1]
    assert evaluated["classes"][0, 0] == 1
    np.testing.assert_allclose(evaluated["boxes"][0, 0], BOX, atol=1 / 20)  # a pixel of about 27 that it is wide
    assert not evaluated["boxes"][0, 1:].any()

    signatures.save(signatures.ServingModule(finder, ["N/A", "one", "other"]), tmp_path / "1")
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    contents = pathlib.Path(dataset.image_paths[0]).read_bytes()
    square = tf.io.encode_png(tf.fill([30, 30, 3], tf.constant(255, tf.uint8))).numpy()
    served = serve(image_bytes=tf.constant([contents, square]))
    ymin, xmin, ymax, xmax = evaluated["boxes"][0, 0]
    np.testing.assert_allclose(served["normalized_boxes"][0, 0], [xmin, ymin, xmax, ymax], atol=1e-6)
    np.testing.assert_allclose(served["normalized_boxes"][1, 0], [0, 0, 1, 1], atol=1e-6)
    assert served["classes"][:, 0].numpy().tolist() == [2, 2]
    assert served["labels"][0, 2] == b"other"


def test_losses_are_compared_in_the_square(
    dataset: DetectionDataset, spec: registry.ModelSpec, finder: detector.Detector
) -> None:
    """What the finder finds is what it should: to a pixel, so that its loss is small beside that of another place."""
    model = FineTuner(finder, [], None, seed=0)
    right = model.predict(pipeline_of(dataset, spec, "none").eval_batches(), verbose=0)
    moved = dataclasses.replace(dataset, boxes=dataset.boxes + np.float32(0.2))
    wrong = model.predict(pipeline_of(moved, spec, "none").eval_batches(), verbose=0)
    assert right["positives"][0] == wrong["positives"][0] == 1
    assert right["localization"][0] < wrong["localization"][0] / 5
