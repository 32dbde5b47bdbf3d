"""SSD's augmentation: boxes stay on their objects, gray is around what was shrunk, a seed says all."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfod_transfer.data import zoom
from tfod_transfer.data.geometry import Example

SIDE = 96


def example() -> Example:
    """A white square on black, and its box."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[24:72, 30:66] = 255
    return Example(tf.constant(image), tf.constant([[24, 30, 72, 66]], tf.float32) / SIDE, tf.constant([3]))


@tf.function
def augmented(seed: tf.Tensor) -> Example:
    return zoom.mirror_and_zoom(example(), tf.constant([SIDE, SIDE]), seed, SIDE)


def results(count: int) -> list[Example]:
    return [augmented(tf.constant([7, row], tf.int64)) for row in range(count)]


def test_boxes_stay_on_their_objects() -> None:
    seen = 0
    for found in results(60):
        image = found.image.numpy().astype(float)
        assert found.boxes.shape[0] == found.classes.shape[0] <= 1
        if not len(found.classes):
            continue
        assert found.classes.numpy().tolist() == [3]
        height, width = image.shape[:2]
        ymin, xmin, ymax, xmax = found.boxes.numpy()[0] * [height, width, height, width]
        middle = image[int((ymin + ymax) / 2), int((xmin + xmax) / 2)].mean()
        # What was black beside what was white, two pixels outside the box, where that is in the image at all.
        for y, x in (((ymin + ymax) / 2, xmin - 2.5), (ymin - 2.5, (xmin + xmax) / 2)):
            if y >= 0 and x >= 0:
                assert image[int(y), int(x)].mean() < middle
                seen += 1
    assert seen > 40


def test_images_are_put_onto_larger_gray_squares_and_cropped() -> None:
    shapes = {tuple(found.image.shape) for found in results(60)}
    assert (SIDE, SIDE, 3) in shapes
    assert len(shapes) > 10
    gray = [np.mean(np.all(found.image.numpy() == 127, axis=-1)) for found in results(60)]
    assert 0.2 < np.mean(np.array(gray) > 0.3) < 0.8
    areas = [float(np.prod(found.boxes[0, 2:] - found.boxes[0, :2])) for found in results(60) if len(found.boxes)]
    assert min(areas) < 0.03 < 0.18 < 0.3 < max(areas)  # .1875 as it is


def test_a_result_is_a_function_of_the_seed() -> None:
    first, second = augmented(tf.constant([7, 5], tf.int64)), augmented(tf.constant([7, 5], tf.int64))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_image_without_boxes_stays_without() -> None:
    bare = example()._replace(boxes=tf.zeros([0, 4]), classes=tf.zeros([0], tf.int32))
    for row in range(5):
        found = zoom.mirror_and_zoom(bare, tf.constant([SIDE, SIDE]), tf.constant([1, row], tf.int64), SIDE)
        assert found.boxes.shape == (0, 4)
