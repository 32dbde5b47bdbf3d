from __future__ import annotations

import collections
import dataclasses
import functools
import typing
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfod_transfer import registry
from tfod_transfer.data import augmentation, geometry, resize
from tfod_transfer.data.geometry import Example, Photograph

SIDE = 64
MIN_SIDE = 1 / SIDE
ZOO = augmentation.ZOO
KINDS = list(ZOO)


def random_boxes(seed: int, count: int) -> npt.NDArray[np.float32]:
    """Boxes of all sizes, some of them tiny, some as large as the image."""
    generator = np.random.default_rng(seed)
    corners = np.sort(generator.uniform(size=(count, 2, 2)), axis=1)
    sides = (corners[:, 1] - corners[:, 0]) * generator.choice([1.0, 0.1, 0.01], (count, 1))
    boxes = np.concatenate([corners[:, 0], corners[:, 0] + sides], axis=1)
    boxes[:2] = [[0, 0, 1, 1], [0.2, 0.2, 0.2, 0.9]]
    return boxes.astype(np.float32)


def example_of(boxes: npt.NDArray[np.float32], height: int = SIDE, width: int = SIDE) -> Example:
    """An image without content; the class of a box is its number, so that a box can be told again."""
    return Example(tf.zeros([height, width, 3], tf.uint8), tf.constant(boxes), tf.range(len(boxes)))


def assert_sound(example: Example) -> None:
    boxes, classes = example.boxes.numpy(), example.classes.numpy()
    assert len(boxes) == len(classes) == len(set(classes))
    assert ((boxes >= 0) & (boxes <= 1)).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE).all()


@functools.cache
def in_graph(kind: str) -> Callable[..., Example]:
    """A preset's change as tf.data runs it: any photograph, any boxes."""
    return tf.function(
        lambda example, size, seed: ZOO[kind](example, size, seed, SIDE),
        input_signature=[
            Example(
                tf.TensorSpec([None, None, 3], tf.uint8),
                tf.TensorSpec([None, 4], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ),
            tf.TensorSpec([2], tf.int32),
            tf.TensorSpec([2], tf.int64),
        ],
    )


def test_zoo_knows_every_kind_of_model() -> None:
    assert set(ZOO) == set(typing.get_args(typing.get_type_hints(registry.Structure)["augmentation"]))


@pytest.mark.parametrize("kind", KINDS)
@given(
    seed=st.integers(0, 2**31 - 1), run=st.integers(0, 2**62), height=st.integers(1, 3000), width=st.integers(1, 3000)
)
@settings(max_examples=40, deadline=None)
def test_boxes_stay_sound_and_keep_their_classes(kind: str, seed: int, run: int, height: int, width: int) -> None:
    """40 photographs of 100 boxes, whole in the square, eagerly and in a graph."""
    boxes = random_boxes(seed, 100)
    longest = max(height, width)
    example = example_of(boxes, max(1, SIDE * height // longest), max(1, SIDE * width // longest))
    arguments = tf.constant([height, width]), tf.constant([run, seed], tf.int64)
    eager = ZOO[kind](example, *arguments, SIDE)
    assert_sound(eager)
    assert min(eager.image.shape[:2]) >= 1
    for one, other in zip(eager, in_graph(kind)(example, *arguments), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_inside_tf_data_nothing_differs(kind: str) -> None:
    boxes, size = random_boxes(7, 50), tf.constant([480, 640])
    dataset = tf.data.Dataset.range(20).map(
        lambda row: ZOO[kind](example_of(boxes), size, tf.stack([tf.constant(3, tf.int64), row]), SIDE)
    )
    for row, inside in enumerate(dataset):
        outside = ZOO[kind](example_of(boxes), size, tf.constant([3, row], tf.int64), SIDE)
        for one, other in zip(inside, outside, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_each_part_of_the_seed_changes_the_result(kind: str) -> None:
    boxes, size = random_boxes(1, 10), tf.constant([480, 640])

    def augmented(*seed: int) -> bytes:
        result: bytes = in_graph(kind)(example_of(boxes), size, tf.constant(seed, tf.int64)).boxes.numpy().tobytes()
        return result

    seeds = [(1, row) for row in range(8)] + [(2, row) for row in range(8)] + [(1 + (1 << 32), 1)]
    assert augmented(1, 2) == augmented(1, 2)
    # A crop of mirror_and_ssd_crop that is kept whole may come twice.
    assert len({augmented(*seed) for seed in seeds}) >= 12


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "multibox"])  # of other colours: test_zoom.py
@pytest.mark.parametrize("shape", [(SIDE, SIDE), (48, SIDE), (SIDE, 40)], ids=["square", "wide", "high"])
def test_boxes_stay_on_their_object(kind: str, shape: tuple[int, int]) -> None:
    """A white rectangle on gray: wherever it goes, its box goes."""
    top, left, bottom, right = 10, 25, 30, 38
    image = np.full((*shape, 3), 20, np.uint8)
    image[top:bottom, left:right] = 255
    box = np.float32([[top, left, bottom, right]]) / np.tile(shape, 2)
    example = Example(tf.constant(image), tf.constant(box, tf.float32), tf.constant([4]))
    seen_at = set()
    for seed in range(40):
        augmented = in_graph(kind)(example, tf.constant(shape), tf.constant([1, seed], tf.int64))
        pixels = augmented.image.numpy()[..., 0].astype(float)
        rows, columns = np.nonzero(pixels > 127)
        if not len(augmented.boxes):  # hidden, or a strip of it
            assert not len(rows) or kind == "ssd_crop" or (pixels > 250).sum() < 40
            continue
        assert augmented.classes.numpy().tolist() == [4]
        seen = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
        actual = augmented.boxes.numpy()[0] * np.tile(pixels.shape, 2)
        # A stretched edge is as wide as its pixels.
        np.testing.assert_allclose(actual, seen, atol=1.5 if kind == "scale_and_crop" else 1e-4)
        seen_at.add(tuple(seen))
    assert len(seen_at) > 10


def test_zoo_mirrors_half_of_the_images() -> None:
    left = tf.concat([tf.fill([SIDE, SIDE // 2, 3], 255), tf.zeros([SIDE, SIDE // 2, 3], tf.int32)], axis=1)
    example = Example(tf.cast(left, tf.uint8), tf.zeros([0, 4]), tf.zeros([0], tf.int32))
    size = tf.constant([SIDE, SIDE])
    images = [in_graph("crop")(example, size, tf.constant([9, row], tf.int64)).image for row in range(200)]
    assert 75 < sum(bool(image[0, 0, 0] == 0) for image in images) < 125


@pytest.mark.parametrize("width", [40, 64, 100, 1632], ids=lambda width: f"{width} pixels wide")
def test_a_mirrored_box_lies_as_in_an_image_mirrored_before_the_resize(width: int) -> None:
    """On a ramp the gray level tells the place: both ways, each box edge must fall on the same level."""
    ramp = np.tile(np.linspace(0, 255, width, dtype=np.float32)[None, :, None], (8, 1, 3))
    box = tf.constant([[0.2, 0.3, 0.8, 0.6]])
    resized = Example(resize.stretch(tf.constant(ramp), [SIDE, SIDE]), box, tf.constant([0]))
    mirrored = geometry.flip_horizontally(resized, tf.constant([8, width]), SIDE)
    reference = resize.stretch(tf.constant(ramp[:, ::-1]), [SIDE, SIDE]).numpy()[0, :, 0]

    def level_at(levels: npt.NDArray[np.float32], x: float) -> float:
        inner = slice(4, SIDE - 4)  # the resize repeats the last pixel
        return float(np.interp(x * SIDE, np.arange(SIDE)[inner], levels[inner]))

    for actual, before in ((mirrored.boxes[0, 1], 1 - 0.6), (mirrored.boxes[0, 3], 1 - 0.3)):
        expected = level_at(reference, before)
        assert level_at(mirrored.image.numpy()[0, :, 0], float(actual)) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("aspect_ratios", "areas"), [((0.75, 3.0), (0.75, 1.0)), ((0.5, 2.0), (0.1, 1.0))], ids=["crop", "ssd_crop"]
)
@pytest.mark.parametrize("size", [(480, 640), (640, 480), (1224, 1632), (300, 300)], ids=str)
def test_windows_have_the_area_and_aspect_ratio_that_is_asked_for(
    size: tuple[int, int], aspect_ratios: tuple[float, float], areas: tuple[float, float]
) -> None:
    sample = tf.function(
        lambda seed: geometry.sample_window(tf.constant(size), seed, aspect_ratios=aspect_ratios, areas=areas)
    )
    windows = np.array([sample(tf.constant([5, row], tf.int64)).numpy() for row in range(200)])
    height, width = (windows[:, 2:] - windows[:, :2]).T
    assert ((windows >= 0) & (windows <= 1)).all()
    assert ((height * width > areas[0] - 0.01) & (height * width <= 1)).all()
    ratio = width * size[1] / (height * size[0])
    assert ((ratio > aspect_ratios[0] * 0.98) & (ratio < aspect_ratios[1] * 1.02)).all()
    assert np.unique(windows, axis=0).shape[0] > 150
    assert (height * width).min() < areas[0] + 0.05  # the whole range is used
    assert (height * width).max() > 0.8 * min(1, size[1] / size[0] / aspect_ratios[0])


@pytest.mark.parametrize("size", [(3, 4000), (3000, 2), (1, 1)], ids=str)
def test_an_image_without_such_a_window_is_kept_whole(size: tuple[int, int]) -> None:
    seed = tf.constant([1, 2], tf.int64)
    window = geometry.sample_window(tf.constant(size), seed, aspect_ratios=(0.75, 3.0), areas=(0.75, 1.0))
    assert window.numpy().tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("covered", [0.3, 0.9, 1.0])
def test_a_window_covers_the_share_of_a_box_that_is_asked_for(covered: float) -> None:
    box = tf.constant([[0.3, 0.4, 0.9, 0.7]])
    for row in range(50):
        y0, x0, y1, x1 = geometry.sample_window(
            tf.constant([400, 600]), tf.constant([3, row], tf.int64),
            aspect_ratios=(0.5, 2.0), areas=(0.1, 1.0), boxes=box, covered=covered,
        ).numpy()  # fmt: skip
        inside = max(min(y1, 0.9) - max(y0, 0.3), 0) * max(min(x1, 0.7) - max(x0, 0.4), 0)
        assert inside >= covered * 0.6 * 0.3 - 0.002  # the window lies on whole pixels


@given(seed=st.integers(0, 2**31 - 1), corners=st.tuples(*[st.integers(0, SIDE)] * 4), share=st.sampled_from([0, 0.5]))
@settings(max_examples=60, deadline=None)
def test_crop_moves_each_box_with_its_class(seed: int, corners: tuple[int, int, int, int], share: float) -> None:
    (top, bottom), (left, right) = sorted(corners[:2]), sorted(corners[2:])
    top, left = min(top, SIDE - 1), min(left, SIDE - 1)
    window = np.float32([top, left, max(bottom, top + 1), max(right, left + 1)]) / SIDE
    boxes = random_boxes(seed, 100)
    cropped = geometry.crop(example_of(boxes), tf.constant(window), SIDE, min_share=share)
    assert_sound(cropped)
    assert tuple(cropped.image.shape[:2]) == tuple((window[2:] - window[:2]) * SIDE)
    actual = dict(zip(cropped.classes.numpy().tolist(), cropped.boxes.numpy(), strict=True))
    low, high = window[:2].astype(float), window[2:].astype(float)
    inside = np.clip(boxes.astype(float).reshape(-1, 2, 2), low, high)
    with np.errstate(invalid="ignore"):
        shares = np.diff(inside, axis=1).prod(axis=(1, 2)) / np.diff(boxes.reshape(-1, 2, 2), axis=1).prod(axis=(1, 2))
    moved = ((inside - low) / (high - low)).reshape(-1, 4)
    for number, box in enumerate(moved):
        side = (box[2:] - box[:2]).min()
        # Away from the thresholds, so that float32 decides as float64 does.
        if side > MIN_SIDE * 1.001 and shares[number] > share + 1e-3:
            np.testing.assert_allclose(actual[number], box, atol=1e-4)
        elif side < MIN_SIDE * 0.999 or shares[number] < share - 1e-3:
            assert number not in actual


@pytest.mark.parametrize(
    ("window", "shape"),
    [
        pytest.param((0.0, 0.0, 0.4, 1.0), (1, SIDE), id="less than half of a row"),
        pytest.param((0.9, 0.2, 1.0, 0.2), (1, 1), id="nothing"),
        pytest.param((1.0, 1.0, 1.0, 1.0), (1, 1), id="the far corner"),
    ],
)
def test_a_crop_has_at_least_one_pixel(window: tuple[float, ...], shape: tuple[int, int]) -> None:
    cropped = geometry.crop(example_of(random_boxes(0, 3), 1, SIDE), tf.constant(window), SIDE)
    assert tuple(cropped.image.shape[:2]) == shape


def test_ssd_crop_keeps_a_share_of_the_images_whole_and_drops_what_it_hardly_shows() -> None:
    boxes = random_boxes(4, 100)
    example, size = example_of(boxes), tf.constant([SIDE, SIDE])
    results = [in_graph("ssd_crop")(example, size, tf.constant([2, row], tf.int64)) for row in range(300)]
    whole = sum(result.image.shape == (SIDE, SIDE, 3) for result in results)
    assert 0.15 - 0.07 < whole / 300 < 0.15 + 0.12  # whole also where no crop covers enough
    counts = [len(result.classes) for result in results]
    assert min(counts) < 10
    assert max(counts) == ((boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= MIN_SIDE).sum()


@pytest.mark.parametrize("size", [(480, 640), (1000, 400), (2, 3000)], ids=str)
def test_scales_are_those_of_the_zoo_and_the_rest_is_black(size: tuple[int, int]) -> None:
    """On a white photograph what is not black tells the scale: the side of it, or all when it is larger."""
    height, width = resize.content_size(
        tf.constant(size),
        dataclasses.replace(
            registry.load_registry().get("tensorflow-od1-ssd-efficientdet-d0-512x512-coco17-tpu-8"), input_size=SIDE
        ),
    ).numpy()
    example = Example(
        tf.fill([height, width, 3], tf.constant(255, tf.uint8)), tf.zeros([0, 4]), tf.zeros([0], tf.int32)
    )
    longest = []
    for row in range(200):
        image = in_graph("scale_and_crop")(example, tf.constant(size), tf.constant([6, row], tf.int64)).image.numpy()
        assert image.shape == (SIDE, SIDE, 3)
        filled = np.array([(image[:, 0, 0] > 0).sum(), (image[0, :, 0] > 0).sum()])
        assert image.sum() == pytest.approx(255 * 3 * filled.prod())  # the upper left, and nothing else
        longest.append(filled.max())
        if filled.max() < SIDE:
            assert filled.min() == pytest.approx(max(filled.max() * min(size) / max(size), 1), abs=1)
    smaller = np.array([side for side in longest if side < SIDE])
    assert 0.4 < len(smaller) / 200 < 0.55  # .9 of 1.9
    assert smaller.min() < 0.15 * SIDE


def test_a_larger_scale_shows_any_part_of_the_photograph() -> None:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.uint8)
    image = tf.constant(np.stack([rows, columns, np.full_like(rows, 200)], axis=-1))
    example = Example(image, tf.zeros([0, 4]), tf.zeros([0], tf.int32))
    corners, ends = [], []
    for row in range(150):
        shown = in_graph("scale_and_crop")(example, tf.constant([SIDE, SIDE]), tf.constant([6, row], tf.int64)).image
        if shown[-1, -1, 2] > 0:
            corners.append(float(shown[0, 0, 0]))
            ends.append(float(shown[-1, -1, 0]))
    assert min(corners) < 1
    assert max(corners) > SIDE * 0.35
    assert max(ends) > SIDE - 3


@pytest.mark.parametrize("sideways", [True, False], ids=["turned sideways as well", "not turned sideways"])
def test_a_turned_photograph_is_seen_in_all_orientations_equally_often_and_its_boxes_with_it(sideways: bool) -> None:
    """A corner with a colour of its own tells the orientation, a box of another shape than the image follows."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[4:10, 30:50] = 255
    image[:2, :2] = (90, 0, 0)
    box = tf.constant([[4 / 40, 30 / 60, 10 / 40, 50 / 60]])
    photograph = Photograph(Example(tf.constant(image), box, tf.constant([0])), tf.constant([40, 60]))
    turn = tf.function(lambda seed: geometry.turn(photograph, seed, SIDE, sideways=sideways))
    seen: collections.Counter[tuple[tuple[int, int], bool, bool]] = collections.Counter()
    for row in range(160):
        (turned, boxes, _), size = turn(tf.constant([3, row], tf.int64))
        pixels = turned.numpy()
        assert tuple(size) == pixels.shape[:2]
        rows, columns = np.nonzero(pixels[..., 1] == 255)
        expected = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
        np.testing.assert_allclose(boxes[0].numpy() * np.tile(size, 2), expected, atol=1e-3)
        corner = np.argwhere(pixels[..., 0] == 90).mean(axis=0) / pixels.shape[:2] > 0.5
        seen[pixels.shape[:2], bool(corner[0]), bool(corner[1])] += 1
    # The corner is where a mirror of left and right gives the other four.
    sizes = [(40, 60), (60, 40)] if sideways else [(40, 60)]
    assert set(seen) == {(size, lower, False) for size in sizes for lower in (False, True)}
    assert min(seen.values()) > 20
