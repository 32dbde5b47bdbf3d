"""The preset `strong`: whatever it does to an image, the boxes do the same."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tfod_transfer import registry
from tfod_transfer.data import resize, strong
from tfod_transfer.data.geometry import Example, Photograph

SIDE = 96
SPECS = {
    resizer: dataclasses.replace(registry.load_registry().get(model_id), input_size=SIDE)
    for resizer, model_id in (
        ("fixed", "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"),
        ("keep_aspect_ratio", "tensorflow-od1-ssd-efficientdet-d0-512x512-coco17-tpu-8"),
    )
}
both_resizers = pytest.mark.parametrize("resizer", SPECS)
SIZES = ((480, 640), (640, 300), (96, 96), (1000, 90))
COLORS = (
    (230, 40, 40),
    (70, 220, 40),
    (40, 200, 225),
    (150, 50, 230),
)  # hues far apart, of which no jitter makes another
GRAY = 110


def spec_of(resizer: str) -> registry.ModelSpec:
    return SPECS[resizer]


def photograph_of(
    boxes: npt.NDArray[np.float32], size: tuple[int, int], resizer: str, *, number: int = 0, painted: bool = False
) -> Photograph:
    """A gray image, cached for a model; class c of box i is 1000 number + i. With `painted`, boxes have its colour."""
    height, width = resize.content_size(tf.constant(size), SPECS[resizer]).numpy()
    pixels = np.full((height, width, 3), GRAY, np.uint8)
    if painted:
        for ymin, xmin, ymax, xmax in np.round(boxes * np.tile([height, width], 2)).astype(int):
            pixels[ymin:ymax, xmin:xmax] = COLORS[number]
    classes = 1000 * number + tf.range(len(boxes))
    return Photograph(Example(tf.constant(pixels), tf.constant(boxes, tf.float32), classes), tf.constant(size))


def random_boxes(seed: int, count: int) -> npt.NDArray[np.float32]:
    """Boxes of all sizes; the first covers all, the second has no width."""
    generator = np.random.default_rng(seed)
    corners = np.sort(generator.uniform(size=(count, 2, 2)), axis=1)
    sides = (corners[:, 1] - corners[:, 0]) * generator.choice([1.0, 0.1, 0.01], (count, 1))
    boxes = np.concatenate([corners[:, 0], corners[:, 0] + sides], axis=1)
    boxes[:2] = np.array([[0, 0, 1, 1], [0.2, 0.2, 0.2, 0.9]])[:count]
    return boxes.astype(np.float32)


@functools.cache
def in_graph(resizer: str, max_boxes: int = 1000) -> Callable[..., Example]:
    """`augment` as tf.data runs it, of four photographs of which the first is the image and the others its partners."""
    spec = [
        Photograph(
            Example(
                tf.TensorSpec([None, None, 3], tf.uint8),
                tf.TensorSpec([None, 4], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ),
            tf.TensorSpec([2], tf.int32),
        )
    ] * 4
    return tf.function(
        functools.partial(augmented, resizer=resizer, max_boxes=max_boxes),
        input_signature=[spec, tf.TensorSpec([2], tf.int64)],
    )


def augmented(photographs: Sequence[Photograph], seed: tf.Tensor, *, resizer: str, max_boxes: int = 1000) -> Example:
    def load(row: tf.Tensor, _seed: tf.Tensor) -> Photograph:
        chosen: Photograph = tf.switch_case(
            tf.cast(row, tf.int32), [lambda photograph=photograph: photograph for photograph in photographs]
        )
        return chosen

    return strong.augment(
        load,
        tf.constant(0, tf.int64),
        lambda _, count: tf.range(1, count + 1, dtype=tf.int64),
        seed,
        SPECS[resizer],
        max_boxes,
    )


def seeds(count: int) -> list[tf.Tensor]:
    return [tf.constant([5, row], tf.int64) for row in range(count)]


def hues(pixels: npt.NDArray[np.float64], number: int) -> npt.NDArray[np.bool_]:
    """Where the colour of a photograph's boxes is."""
    strength = np.ptp(pixels, axis=-1)
    directions = np.array(COLORS, float) - np.mean(COLORS, axis=1, keepdims=True)
    nearest = (pixels @ (directions / np.linalg.norm(directions, axis=1, keepdims=True)).T).argmax(axis=-1)
    found: npt.NDArray[np.bool_] = (nearest == number) & (strength > 45)
    return found


@both_resizers
@given(
    boxes_seed=st.integers(0, 2**31 - 1),
    counts=st.tuples(*[st.sampled_from([0, 1, 2, 60])] * 4),
    sizes=st.tuples(*[st.sampled_from(SIZES)] * 4),
    run=st.integers(0, 2**62),
)
@settings(max_examples=40, deadline=None)
def test_boxes_stay_sound_and_keep_their_classes(
    resizer: str, boxes_seed: int, counts: tuple[int, ...], sizes: tuple[tuple[int, int], ...], run: int
) -> None:
    """Up to 240 boxes each time, of images with and without boxes, in the four shapes."""
    photographs = [
        photograph_of(random_boxes(boxes_seed + number, count), size, resizer, number=number)
        for number, (count, size) in enumerate(zip(counts, sizes, strict=True))
    ]
    image, boxes, classes = in_graph(resizer)(photographs, tf.constant([run, boxes_seed], tf.int64))
    assert image.shape == (SIDE, SIDE, 3)
    assert image.dtype == tf.uint8
    boxes, classes = boxes.numpy(), classes.numpy()
    assert len(boxes) == len(classes) == len(set(classes))
    assert ((boxes >= 0) & (boxes <= 1)).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 1 / SIDE).all()
    assert all(label % 1000 < counts[label // 1000] for label in classes)


@both_resizers
@given(
    corners=st.tuples(*[st.tuples(*[st.integers(0, 20)] * 4)] * 4),
    sizes=st.tuples(*[st.sampled_from(SIZES[:3])] * 4),
    run=st.integers(0, 2**62),
)
@example(corners=((0, 0, 20, 20),) * 4, sizes=((480, 640),) * 4, run=1)
@settings(max_examples=40, deadline=None)
def test_boxes_stay_on_their_objects(
    resizer: str, corners: tuple[tuple[int, ...], ...], sizes: tuple[tuple[int, int], ...], run: int
) -> None:
    """Four photographs with a rectangle each, of a colour each: each box lies around what is seen of its colour."""
    photographs = []
    for number, (ya, xa, yb, xb) in enumerate(corners):
        box = np.float32([[min(ya, yb), min(xa, xb), max(ya, yb) + 4, max(xa, xb) + 4]]) / 24
        height, width = resize.content_size(tf.constant(sizes[number]), SPECS[resizer]).numpy()
        sides = np.tile([height, width], 2)
        box = (np.round(box * sides) / sides).astype(np.float32)
        photographs.append(photograph_of(box, sizes[number], resizer, number=number, painted=True))
    for part in range(6):
        image, boxes, classes = in_graph(resizer)(photographs, tf.constant([run, part], tf.int64))
        pixels = image.numpy().astype(float)
        for number in range(4):
            rows, columns = np.nonzero(hues(pixels, number))
            (found,) = np.nonzero(classes.numpy() == 1000 * number)
            if not len(found):
                ymin, xmin, ymax, xmax = photographs[number].example.boxes.numpy()[0]
                most = (1.5 * SIDE) ** 2 * (ymax - ymin) * (xmax - xmin)
                # Not in the picture, or so little of it that the box went: a tenth, or a strip of a pixel.
                assert len(rows) <= 0.1 * most + 1 or min(np.ptp(rows), np.ptp(columns)) <= 2
                continue
            seen = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
            np.testing.assert_allclose(boxes.numpy()[found[0]] * SIDE, seen, atol=2.0)  # a stretched edge is blurred


def test_inside_tf_data_nothing_differs() -> None:
    resizer = "keep_aspect_ratio"
    photographs = [
        photograph_of(random_boxes(number, 20), size, resizer, number=number, painted=True)
        for number, size in enumerate(SIZES)
    ]
    dataset = tf.data.Dataset.from_tensor_slices(seeds(3)).map(
        lambda seed: augmented(photographs, seed, resizer=resizer)
    )
    for seed, inside in zip(seeds(3), dataset, strict=True):
        outside = augmented(photographs, seed, resizer=resizer)  # in a graph, captured constants round elsewhere
        for one, other in zip(inside, outside, strict=True):
            np.testing.assert_array_equal(one, other)


@both_resizers
def test_half_are_mosaics_and_all_differ(resizer: str) -> None:
    whole = np.float32([[0, 0, 1, 1]])
    photographs = [photograph_of(whole, (480, 640), resizer, number=number) for number in range(4)]
    noise = tf.constant(np.random.default_rng(0).integers(0, 256, photographs[0].example.image.shape), tf.uint8)
    photographs = [each._replace(example=each.example._replace(image=noise)) for each in photographs]
    results = [in_graph(resizer)(photographs, seed) for seed in seeds(200)]
    counts = [len(result.classes) for result in results]
    assert set(counts) == {1, 4}
    assert 75 < counts.count(4) < 125
    assert len({result.image.numpy().tobytes() for result in results}) == 200
    # The image itself may be in any corner of its mosaic.
    first = np.array([result.boxes.numpy()[result.classes == 0][0] for result in results if len(result.classes) == 4])
    corners = {tuple(centre > 0.5) for centre in (first[:, :2] + first[:, 2:]) / 2}
    assert len(corners) == 4


def test_a_mosaic_with_too_many_boxes_gives_way_to_the_image_alone() -> None:
    """No object loses its box for want of room."""
    boxes = np.tile(np.float32([[0, 0, 1, 1]]), (30, 1))
    photographs = [photograph_of(boxes, (96, 96), "fixed", number=number) for number in range(4)]
    results = [in_graph("fixed")(photographs, seed) for seed in seeds(12)]
    assert {len(result.classes) for result in results} == {30, 120}
    for seed in seeds(12):
        result = in_graph("fixed", 119)(photographs, seed)
        assert result.classes.numpy().tolist() == list(range(30))


@pytest.mark.parametrize(
    ("resizer", "size", "most"), [("fixed", (480, 640), (1, 1)), ("keep_aspect_ratio", (300, 600), (0.5, 1))]
)
def test_scales(resizer: str, size: tuple[int, int], most: tuple[float, float]) -> None:
    """What is shown of a box that covers all tells the scale, and that the ratio of the sides stays."""
    photograph = photograph_of(np.float32([[0, 0, 1, 1]]), size, resizer)
    show = tf.function(
        lambda seed: strong.show(photograph, tf.constant([SIDE, SIDE]), strong.SCALES, seed, SPECS[resizer]).boxes
    )
    boxes = np.array([show(seed).numpy()[0] for seed in seeds(300)])
    height, width = (boxes[:, 2:] - boxes[:, :2]).T
    assert width.min() == pytest.approx(0.5 * most[1], abs=0.03)
    assert 0.35 < (width < 0.95).mean() < 0.55
    np.testing.assert_allclose(height[width < 0.95] / width[width < 0.95], most[0] / most[1], atol=0.02)
    if most[0] < 1:
        assert height.max() == pytest.approx(1.5 * most[0], abs=0.03)
    smaller = boxes[width < 0.7]
    assert smaller[:, 1].min() < 0.05  # at any place
    assert smaller[:, 3].max() > 0.95


def test_what_no_photograph_fills_has_the_colour_of_padding() -> None:
    for resizer, spec in SPECS.items():
        photograph = photograph_of(np.float32([[0, 0, 1, 1]]), (96, 96), resizer, painted=True)
        image, boxes, _ = strong.show(
            photograph, tf.constant([SIDE, SIDE]), (0.5, 0.5), tf.constant([1, 2], tf.int64), spec
        )
        inside = np.zeros((SIDE, SIDE), np.bool_)
        ymin, xmin, ymax, xmax = np.round(boxes.numpy()[0] * SIDE).astype(int)
        inside[ymin:ymax, xmin:xmax] = True
        assert inside.sum() == (SIDE // 2) ** 2
        padding = image.numpy()[~inside]
        assert (padding == np.round(resize.padding_color(spec))).all()
        assert hues(image.numpy()[inside].astype(float), 0).all()


def test_a_sliver_of_an_object_has_no_box() -> None:
    """Of one that half lies outside the picture a box stays, of one of which a tenth is seen none does."""
    boxes = np.float32([[0, x / 40, 1, (x + 2) / 40] for x in range(0, 40, 2)] + [[0, 0, 1, 1]])
    photograph = photograph_of(boxes, (96, 96), "fixed")
    shares = []
    for seed in seeds(60):
        shown = strong.show(photograph, tf.constant([SIDE, SIDE // 2]), (1.3, 1.3), seed, SPECS["fixed"])
        kept = shown.classes.numpy()
        widths = (shown.boxes[:, 3] - shown.boxes[:, 1]).numpy() * (SIDE // 2) / (1.3 * SIDE * 2 / 40)
        shares += widths[kept < 20].tolist()
    assert 0.07 < min(shares) < 0.2
