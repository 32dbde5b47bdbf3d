from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfod_transfer.data import augmentation, resize
from tfod_transfer.data.augmentation import Example

SIDE = 64
MIN_SIDE = 1 / SIDE

zoo_in_graph = tf.function(
    augmentation.zoo,
    input_signature=[
        Example(
            tf.TensorSpec([SIDE, SIDE, 3], tf.uint8),
            tf.TensorSpec([None, 4], tf.float32),
            tf.TensorSpec([None], tf.int32),
        ),
        tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([2], tf.int64),
        tf.TensorSpec([], tf.float32),
    ],
)


def random_boxes(seed: int, count: int) -> npt.NDArray[np.float32]:
    """Boxes of all sizes, some of them tiny, some as large as the image."""
    generator = np.random.default_rng(seed)
    corners = np.sort(generator.uniform(size=(count, 2, 2)), axis=1)
    sides = (corners[:, 1] - corners[:, 0]) * generator.choice([1.0, 0.1, 0.01], (count, 1))
    boxes = np.concatenate([corners[:, 0], corners[:, 0] + sides], axis=1)
    boxes[:2] = [[0, 0, 1, 1], [0.2, 0.2, 0.2, 0.9]]
    return boxes.astype(np.float32)


def example_of(boxes: npt.NDArray[np.float32]) -> Example:
    """An image without content; the class of a box is its number, so that a box can be told again."""
    return Example(tf.zeros([SIDE, SIDE, 3], tf.uint8), tf.constant(boxes), tf.range(len(boxes)))


def assert_sound(example: Example) -> None:
    boxes, classes = example.boxes.numpy(), example.classes.numpy()
    assert len(boxes) == len(classes) == len(set(classes))
    assert ((boxes >= 0) & (boxes <= 1)).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE).all()


def expected_after_crop(
    boxes: npt.NDArray[np.float32], window: npt.NDArray[np.int32]
) -> dict[int, npt.NDArray[np.float32]]:
    """Box number -> box, of those that keep at least `MIN_SIDE` of the window in both directions."""
    low, high = window[:2] / SIDE, window[2:] / SIDE
    visible = np.clip(boxes.reshape(-1, 2, 2), low, high)
    moved = ((visible - low) / (high - low)).reshape(-1, 4)
    # Away from the threshold, so that float32 decides as float64 does.
    return {i: box for i, box in enumerate(moved) if (box[2:] - box[:2]).min() > MIN_SIDE * 1.001}


@given(
    seed=st.integers(0, 2**31 - 1), run=st.integers(0, 2**62), height=st.integers(1, 3000), width=st.integers(1, 3000)
)
@settings(max_examples=100, deadline=None)
def test_zoo_leaves_sound_boxes_with_their_classes(seed: int, run: int, height: int, width: int) -> None:
    """100 examples of 100 boxes, eagerly and in a graph."""
    boxes = random_boxes(seed, 100)
    arguments = tf.constant([height, width]), tf.constant([run, seed], tf.int64), tf.constant(MIN_SIDE)
    eager = augmentation.zoo(example_of(boxes), *arguments)
    assert_sound(eager)
    graph = zoo_in_graph(example_of(boxes), *arguments)
    for one, other in zip(eager, graph, strict=True):
        np.testing.assert_array_equal(one, other)


def test_zoo_is_the_same_inside_tf_data() -> None:
    boxes, size = random_boxes(7, 50), tf.constant([480, 640])
    dataset = tf.data.Dataset.range(20).map(
        lambda row: augmentation.zoo(example_of(boxes), size, tf.stack([tf.constant(3, tf.int64), row]), MIN_SIDE)
    )
    for row, inside in enumerate(dataset):
        outside = augmentation.zoo(example_of(boxes), size, tf.constant([3, row], tf.int64), MIN_SIDE)
        for one, other in zip(inside, outside, strict=True):
            np.testing.assert_array_equal(one, other)


@given(seed=st.integers(0, 2**31 - 1), corners=st.tuples(*[st.integers(0, SIDE)] * 4))
@settings(max_examples=100, deadline=None)
def test_crop_moves_each_box_with_its_class(seed: int, corners: tuple[int, int, int, int]) -> None:
    (top, bottom), (left, right) = sorted(corners[:2]), sorted(corners[2:])
    window = np.array([top, left, max(bottom, top + 1), max(right, left + 1)], np.int32)
    window = np.minimum(window, [SIDE - 1, SIDE - 1, SIDE, SIDE]).astype(np.int32)
    boxes = random_boxes(seed, 100)
    cropped = augmentation.crop(example_of(boxes), tf.constant(window), MIN_SIDE)
    assert_sound(cropped)
    assert tuple(cropped.image.shape[:2]) == tuple(window[2:] - window[:2])
    actual = dict(zip(cropped.classes.numpy().tolist(), cropped.boxes.numpy(), strict=True))
    for number, box in expected_after_crop(boxes, window).items():
        np.testing.assert_allclose(actual[number], box, atol=1e-4)


def test_boxes_stay_on_their_object() -> None:
    """A white rectangle on black: wherever it goes, its box goes."""
    for seed in range(60):
        top, left, bottom, right = 10, 25, 30, 60
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        image[top:bottom, left:right] = 255
        box = tf.constant([[top, left, bottom, right]], tf.float32) / SIDE
        example = Example(tf.constant(image), box, tf.constant([4]))
        cropped = augmentation.zoo(example, tf.constant([SIDE, SIDE]), tf.constant([1, seed], tf.int64), MIN_SIDE)
        rows, columns = np.nonzero(cropped.image.numpy()[..., 0])
        height, width = cropped.image.shape[:2]
        seen = [rows.min() / height, columns.min() / width, (rows.max() + 1) / height, (columns.max() + 1) / width]
        np.testing.assert_allclose(cropped.boxes.numpy(), [seen], atol=1e-6)
        assert cropped.classes.numpy().tolist() == [4]


@pytest.mark.parametrize("width", [40, 64, 100, 1632], ids=lambda width: f"{width} pixels wide")
def test_a_mirrored_box_lies_as_in_an_image_mirrored_before_the_resize(width: int) -> None:
    """On a ramp the gray level tells the place: both ways, each box edge must fall on the same level."""
    ramp = np.tile(np.linspace(0, 255, width, dtype=np.float32)[None, :, None], (8, 1, 3))
    box = tf.constant([[0.2, 0.3, 0.8, 0.6]])
    resized = Example(resize.stretch(tf.constant(ramp), SIDE), box, tf.constant([0]))
    mirrored = augmentation.flip_horizontally(resized, tf.constant([8, width]), MIN_SIDE)
    reference = resize.stretch(tf.constant(ramp[:, ::-1]), SIDE).numpy()[0, :, 0]

    def level_at(levels: npt.NDArray[np.float32], x: float) -> float:
        inner = slice(4, SIDE - 4)  # the resize repeats the last pixel
        return float(np.interp(x * SIDE, np.arange(SIDE)[inner], levels[inner]))

    for actual, before in ((mirrored.boxes[0, 1], 1 - 0.6), (mirrored.boxes[0, 3], 1 - 0.3)):
        expected = level_at(reference, before)
        assert level_at(mirrored.image.numpy()[0, :, 0], float(actual)) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (1224, 1632), (300, 300)], ids=str)
def test_windows_have_the_area_and_aspect_ratio_that_the_zoo_asks_for(size: tuple[int, int]) -> None:
    image, original = tf.zeros([320, 320, 3], tf.uint8), tf.constant(size)
    sample = tf.function(lambda seed: augmentation.sample_window(image, original, seed))
    windows = np.array([sample(tf.constant([5, row], tf.int64)).numpy() for row in range(200)])
    height, width = ((windows[:, 2:] - windows[:, :2]) / 320).T
    assert ((windows >= 0) & (windows <= 320)).all()
    assert ((height * width > 0.74) & (height * width <= 1)).all()
    ratio = width * size[1] / (height * size[0])
    assert ((ratio > 0.74) & (ratio < 3.03)).all()
    assert np.unique(windows, axis=0).shape[0] > 150
    assert (height * width).min() < 0.8  # the whole range is used
    assert (height * width).max() > 0.9 * min(1, size[1] / size[0] / 0.75)


@pytest.mark.parametrize("size", [(3, 4000), (3000, 2), (1, 1)], ids=str)
def test_an_image_without_such_a_window_is_kept_whole(size: tuple[int, int]) -> None:
    window = augmentation.sample_window(tf.zeros([SIDE, SIDE, 3]), tf.constant(size), tf.constant([1, 2], tf.int64))
    assert window.numpy().tolist() == [0, 0, SIDE, SIDE]


def test_zoo_mirrors_half_of_the_images() -> None:
    left = tf.concat([tf.fill([SIDE, SIDE // 2, 3], 255), tf.zeros([SIDE, SIDE // 2, 3], tf.int32)], axis=1)
    example = Example(tf.cast(left, tf.uint8), tf.zeros([0, 4]), tf.zeros([0], tf.int32))
    size = tf.constant([SIDE, SIDE])
    images = [zoo_in_graph(example, size, tf.constant([9, row], tf.int64), MIN_SIDE).image for row in range(200)]
    mirrored = sum(bool(image[0, 0, 0] == 0) for image in images)
    assert 75 < mirrored < 125


def test_zoo_changes_with_each_part_of_the_seed() -> None:
    boxes, size = random_boxes(1, 10), tf.constant([480, 640])

    def augmented(*seed: int) -> bytes:
        result: bytes = (
            augmentation.zoo(example_of(boxes), size, tf.constant(seed, tf.int64), MIN_SIDE)[1].numpy().tobytes()
        )
        return result

    assert augmented(1, 2) == augmented(1, 2)
    assert len({augmented(1, 2), augmented(1, 3), augmented(2, 2), augmented(1 + (1 << 32), 2)}) == 4


def test_none_changes_nothing() -> None:
    example = example_of(random_boxes(0, 5))
    assert augmentation.none(example, tf.constant([9, 9]), tf.constant([0, 0], tf.int64), MIN_SIDE) == example
