"""Which images the batches of an epoch are made of: a function of (seed, epoch) and of the data set.

An epoch is a list of draws. A draw is a number from which follow the image, draw % number of images, and how often the
image was drawn before in this epoch, draw // number of images: where that is not 0, it is augmented anew.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer.data.dataset import DetectionDataset


class Sampling:
    """The draws of every epoch; each has as many as there are images."""

    def __init__(self, num_images: int, seed: int, weights: npt.NDArray[np.float64] | None = None) -> None:
        """Args: number of images; seed; how often to draw each image relative to the others, [N] (None: once each)."""
        self._num_images = num_images
        self._seed = seed
        self._ends: tf.Tensor | None = None
        if weights is not None:
            with tf.device("CPU:0"):  # where tf.data works, also when there is a GPU
                self._expected = tf.constant(weights * (num_images / weights.sum()), tf.float64)
                self._ends = _ends(self._expected)

    def draws(self, epoch: tf.Tensor) -> tf.Tensor:
        """Returns the draws of an epoch, int64 scalar, in random order: int64 [N]."""
        order = tf.argsort(self._keys(epoch, 0), stable=True)
        if self._ends is None:
            return tf.cast(order, tf.int64)
        # Systematic resampling: of N points at equal distances, with a random offset, as many fall to an image as it is
        # expected to be drawn, rounded down or up. The images lie in random order, so that neighbours are not rivals.
        offset = tf.random.stateless_uniform([], [self._seed, -1 - epoch], dtype=tf.float64, alg="philox")
        ends = _ends(tf.gather(self._expected, order))
        places = tf.searchsorted(ends, tf.range(self._num_images, dtype=tf.float64) + offset, "right")
        repeats = tf.range(self._num_images) - tf.searchsorted(places, places, "left")
        draws = tf.gather(order, places) + self._num_images * repeats
        return tf.cast(tf.gather(draws, tf.argsort(self._keys(epoch, 1), stable=True)), tf.int64)

    def random_rows(self, seed: tf.Tensor, count: int) -> tf.Tensor:
        """Returns random images, int64 [count], each as often as in an epoch; seed is int64 [2]."""
        if self._ends is None:
            return tf.random.stateless_uniform([count], seed, 0, self._num_images, tf.int64)
        points = self._num_images * tf.random.stateless_uniform([count], seed, dtype=tf.float64)
        return tf.cast(tf.searchsorted(self._ends, points, "right"), tf.int64)

    def _keys(self, epoch: tf.Tensor, which: int) -> tf.Tensor:
        # TensorFlow's index_shuffle would not do: with a seed of (seed, epoch) it gave 256 orders in 4000 epochs.
        seed = self._seed + (which << 32)
        return tf.random.stateless_uniform([self._num_images], [seed, epoch], None, None, tf.int64, alg="philox")


def repeat_factors(dataset: DetectionDataset) -> npt.NDArray[np.float64]:
    """How often to show each image so that rare classes are seen more often, float64 [N], all at least 1.

    r(image) = max over its classes of max(1, sqrt(t / f(class))), with f the share of the images that show a class
    (Gupta, Dollar and Girshick, "LVIS", 2019, section 4.2). Where LVIS has t = .001 for its 1203 classes, here t is
    1 / (number of classes that any image shows): a class is rare if it is on fewer images than it would be on if each
    image showed one class, and all classes were equally frequent. Crowd boxes do not count; an image without boxes
    has 1.
    """
    is_used = ~dataset.is_crowd
    image_of_box = np.repeat(np.arange(len(dataset)), dataset.boxes_per_image)[is_used]
    images, classes = np.unique(np.stack([image_of_box, dataset.classes[is_used]]), axis=1)
    num_images_of_class = np.bincount(classes, minlength=dataset.num_classes)
    threshold = 1 / max(np.count_nonzero(num_images_of_class), 1)
    factors = np.ones(len(dataset))
    np.maximum.at(factors, images, np.sqrt(threshold * len(dataset) / num_images_of_class[classes]))
    return factors


def _ends(expected: tf.Tensor) -> tf.Tensor:
    """Where each image's part of 0..N ends; the last one's past N, whatever rounding does."""
    return tf.concat([tf.cumsum(expected)[:-1], [np.inf]], axis=0)
