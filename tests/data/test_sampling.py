"""Epochs of draws: every image as often as it should be, in an order that follows from seed and epoch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfod_transfer.data import sampling
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.sampling import Sampling


def dataset_of(classes: list[list[int]], num_classes: int, crowds: tuple[int, ...] = ()) -> DetectionDataset:
    """Images with a box of each class listed; `crowds` numbers boxes."""
    flat = np.array([each for image in classes for each in image], np.int32)
    return DetectionDataset(
        image_paths=[f"{i}.jpg" for i in range(len(classes))],
        image_ids=list(range(len(classes))),
        sizes=np.full((len(classes), 2), 100, np.int32),
        orientations=np.ones(len(classes), np.uint8),
        boxes=np.tile(np.float32([0.1, 0.1, 0.5, 0.5]), (len(flat), 1)),
        classes=flat,
        is_crowd=np.isin(np.arange(len(flat)), crowds),
        offsets=np.concatenate([[0], np.cumsum([len(image) for image in classes])]).astype(np.int64),
        class_names=tuple(f"class {i}" for i in range(num_classes)),
        category_ids=tuple(range(num_classes)),
    )


def draws_of(sampler: Sampling, epoch: int) -> npt.NDArray[np.int64]:
    draws: npt.NDArray[np.int64] = sampler.draws(tf.constant(epoch, tf.int64)).numpy()
    return draws


def counts_of(sampler: Sampling, num_images: int, epochs: int) -> npt.NDArray[np.int64]:
    """How often each image is drawn in each epoch, [epochs, num_images]."""
    draws = tf.data.Dataset.range(epochs).map(sampler.draws).as_numpy_iterator()
    return np.array([np.bincount(each % num_images, minlength=num_images) for each in draws])


ROOT = np.sqrt
FACTORS = [
    pytest.param([[0], [1], [0, 1], []], 2, (), [1, 1, 1, 1], id="equally frequent"),
    pytest.param([[0], [0], [0], [0, 1]], 2, (), [1, 1, 1, ROOT(2)], id="one rare class, beside a frequent one"),
    pytest.param([[0]] * 6 + [[1], [2]], 3, (), [1] * 6 + [ROOT(8 / 3)] * 2, id="two rare classes"),
    pytest.param([[0, 0, 0], [0], [0], [1, 1]], 2, (), [1, 1, 1, ROOT(2)], id="images count, not boxes"),
    pytest.param([[0], [0], [0], [1, 0], []], 2, (3,), [ROOT(1.25)] * 4 + [1], id="crowds do not count"),
    pytest.param([[0], [0], [0], [2]], 5, (), [1, 1, 1, ROOT(2)], id="classes on no image do not count"),
    pytest.param([[0], [], [], []], 1, (), [2, 1, 1, 1], id="one class, on few images"),
    pytest.param([[], []], 1, (), [1, 1], id="no boxes"),
]  # fmt: skip


@pytest.mark.parametrize(("classes", "num_classes", "crowds", "expected"), FACTORS)
def test_repeat_factors(
    classes: list[list[int]], num_classes: int, crowds: tuple[int, ...], expected: list[float]
) -> None:
    np.testing.assert_allclose(sampling.repeat_factors(dataset_of(classes, num_classes, crowds)), expected)


@given(
    weights=st.lists(st.floats(1, 40), min_size=1, max_size=120),
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_each_image_is_drawn_as_often_as_expected_rounded_down_or_up(
    weights: list[float], seed: int, epoch: int
) -> None:
    count = len(weights)
    draws = draws_of(Sampling(count, seed, np.array(weights)), epoch)
    counts = np.bincount(draws % count, minlength=count)
    expected = count * np.array(weights) / sum(weights)
    assert len(draws) == counts.sum() == count
    assert (counts >= np.floor(expected - 1e-9)).all()
    assert (counts <= np.ceil(expected + 1e-9)).all()
    for row in range(count):  # the first time, the second time, ...
        assert sorted(draws[draws % count == row] // count) == list(range(counts[row]))


def test_over_epochs_counts_are_those_expected() -> None:
    weights = np.array([1.0, 1.0, 1.0, 2.5, 1.3, 1.0, 4.0, 1.0, 1.0])
    sampler = Sampling(len(weights), 3, weights)
    np.testing.assert_allclose(counts_of(sampler, 9, 400).mean(axis=0), 9 * weights / weights.sum(), atol=0.1)
    rows = sampler.random_rows(tf.constant([1, 2], tf.int64), 20_000).numpy()
    np.testing.assert_allclose(np.bincount(rows, minlength=9) / 20_000, weights / weights.sum(), atol=0.01)


def test_equal_weights_give_each_image_once() -> None:
    assert sorted(draws_of(Sampling(50, 1, np.full(50, 3.0)), 4)) == list(range(50))
    assert sorted(draws_of(Sampling(50, 1), 4)) == list(range(50))


@pytest.mark.parametrize("weights", [None, np.linspace(1, 3, 40)], ids=["uniform", "balanced"])
def test_draws_are_a_function_of_seed_and_epoch(weights: npt.NDArray[np.float64] | None) -> None:
    def draw(seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(draws_of(Sampling(40, seed, weights), epoch).tolist())

    assert draw(1, 2) == draw(1, 2)
    assert len({draw(seed, epoch) for seed in range(4) for epoch in range(4)}) == 16


@pytest.mark.parametrize("weights", [None, np.linspace(1, 3, 40)], ids=["uniform", "balanced"])
def test_in_a_graph_nothing_differs(weights: npt.NDArray[np.float64] | None) -> None:
    sampler = Sampling(40, 9, weights)
    for epoch, draws in enumerate(tf.data.Dataset.range(5).map(sampler.draws)):
        np.testing.assert_array_equal(draws, draws_of(sampler, epoch))


def test_images_that_are_neighbours_are_no_rivals() -> None:
    """With .8 draws expected of each image but one, any two are left out together about as often as any other."""
    weights = np.ones(12)
    weights[0] = 3.0
    sampler = Sampling(12, 5, weights)
    absent = counts_of(sampler, 12, 1500)[:, 1:] == 0
    together = (absent[:, :, None] & absent[:, None]).mean(axis=0)[np.triu_indices(11, 1)]
    assert absent.sum(axis=1).min() >= 1
    assert together.min() > 0.3 * together.mean()


def test_random_rows_without_weights_are_uniform() -> None:
    rows = Sampling(8, 0).random_rows(tf.constant([7, 8], tf.int64), 8000).numpy()
    assert rows.dtype == np.int64
    assert np.abs(np.bincount(rows, minlength=8) - 1000).max() < 150


def test_a_million_images_are_drawn_exactly() -> None:
    """Single precision could not tell such numbers apart."""
    count = 1_000_000
    weights = np.ones(count)
    weights[-1] = 5.0
    counts = np.bincount(draws_of(Sampling(count, 1, weights), 0) % count, minlength=count)
    assert counts.sum() == count
    assert counts[-1] in (4, 5)
    assert counts[:-1].max() == 1
    assert (counts == 0).sum() in (3, 4)
