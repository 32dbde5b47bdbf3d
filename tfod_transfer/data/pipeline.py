"""From a data set's columns to batches: read, decode, turn upright, cache, augment, resize, pad.

All that is random is a function of (seed, epoch, image), and the cache only saves time: the batches of a run that
resumes at any step, on any machine, are those of a run that was never stopped.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.data import augmentation, geometry, resize, sampling, strong
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.geometry import Example, Photograph
from tfod_transfer.data.images import ImageSource, Source
from tfod_transfer.hyperparameters import Hyperparameters
from tfod_transfer.registry import ModelSpec

_BOXES_MULTIPLE = 8
_TURN = 90  # folded into a photograph's seed, so that what else is drawn from it stays as it is
_PREFETCHED_BATCHES = 2

Batch = dict[str, tf.Tensor]


class InputPipeline:
    """The batches of one data set for one model; to be kept for a whole run, since it holds the decoded images.

    A batch is a dict of images uint8 or float32 [B, S, S, 3] (RGB, 0..255), boxes float32 [B, M, 4] (normalised
    [ymin, xmin, ymax, xmax] of the square, padding included), classes int32 [B, M] (-1: padding), image_ids int64 [B]
    (rows of the data set; -1: a padding image) and original_sizes int32 [B, 2] (height, width of the upright
    photograph). M is the same in all batches: the most boxes that an image of the data set has, rounded up, or twice as
    many for mosaics of several images. Crowd boxes are left out.

    Attributes:
      max_boxes: M.
      steps_per_epoch: batches for as many images as there are (with sampling=uniform, each of them once); the last one
        is filled up from the start of its epoch.
    """

    def __init__(self, dataset: DetectionDataset, spec: ModelSpec, hyperparameters: Hyperparameters) -> None:
        """Args: the images; the model; batch size, seed, augmentation, sampling and cache.

        Raises:
          DataError: there are no images.
        """
        if not len(dataset):
            raise errors.DataError(f"there are no images to make batches of ({dataset.description}).")
        self._dataset = dataset
        self._spec = spec
        self._hyperparameters = hyperparameters
        is_used = ~dataset.is_crowd
        offsets = np.concatenate([[0], np.cumsum(is_used)])[dataset.offsets]
        with tf.device("CPU:0"):  # where tf.data works, also when there is a GPU
            self._boxes = tf.constant(dataset.boxes[is_used])
            self._classes = tf.constant(dataset.classes[is_used])
            self._offsets = tf.constant(offsets, tf.int64)
            self._sizes = tf.constant(dataset.sizes)
        self._sources: dict[tf.DType, Source] = {}
        # The parts of a mosaic show half of their photographs on average. Of photographs with more boxes than that
        # `strong.augment` makes no mosaic.
        most = max(int(np.diff(offsets).max()), 1) * (2 if hyperparameters.augmentation == "strong" else 1)
        self.max_boxes = -(-most // _BOXES_MULTIPLE) * _BOXES_MULTIPLE
        weights = sampling.repeat_factors(dataset) if hyperparameters.sampling == "balanced" else None
        self._sampling = sampling.Sampling(len(dataset), hyperparameters.seed, weights)
        self.steps_per_epoch = -(-len(dataset) // hyperparameters.batch_size)

    def train_batches(
        self, start_step: int = 0, *, shard: int = 0, num_shards: int = 1, num_parts: int = 1
    ) -> tf.data.Dataset:
        """Returns the batches from `start_step` on, without an end; all are full, images are uint8.

        Args:
          start_step: counted from the beginning of the run; images of earlier steps are not read.
          shard: which part of each batch to give, 0..num_shards - 1; for one of several hosts.
          num_shards: number of equal parts.
          num_parts: number of equal, successive batches in which the shard's part is given: one for each device of this
            host. The parts of all shards, in order, make up the batch.

        Raises:
          UsageError: the batch cannot be divided equally.
        """
        batch_size, num_devices = self._hyperparameters.batch_size, num_shards * num_parts
        if batch_size % num_devices:
            raise errors.UsageError(
                f"batch_size is {batch_size}, which {num_devices} devices ({num_shards} hosts with {num_parts} each) "
                f"cannot share equally. Choose a multiple of {num_devices}."
            )
        share = batch_size // num_shards
        first_epoch, first_step = divmod(start_step, self.steps_per_epoch)

        def draws_and_epochs(epoch: tf.Tensor) -> tf.data.Dataset:
            draws = self._draws_of(epoch)[:, shard * share : (shard + 1) * share]
            draws = draws[tf.where(epoch == first_epoch, first_step, 0) :]
            return tf.data.Dataset.from_tensor_slices((tf.reshape(draws, [-1]), tf.repeat(epoch, tf.size(draws))))

        source = self._source(tf.uint8)
        epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
        return _batched(
            epochs.flat_map(draws_and_epochs),
            lambda draw, epoch: self._training_example(source, draw, epoch),
            batch_size // num_devices,
        )

    def eval_batches(
        self, *, exact: bool = True, shard: int = 0, num_shards: int = 1, num_parts: int = 1
    ) -> tf.data.Dataset:
        """Returns every image once, in order, not augmented; the last batches are filled up with padding images.

        Batches have batch_size / (num_shards * num_parts) images, rounded down, and one at least. All shards have
        equally many batches, a multiple of `num_parts`, so that devices which wait for each other never wait in vain.

        Args:
          exact: images are float32, as the exported model makes them; else rounded to uint8, a quarter of the memory.
          shard: of several hosts this one, 0..num_shards - 1; it gets the images shard, shard + num_shards, ...
          num_shards: number of hosts.
          num_parts: number of devices of this host, each of which takes a batch at a time.
        """
        rows, batch_size, num_padding = evaluation_rows(
            len(self._dataset), self._hyperparameters.batch_size, shard, num_shards, num_parts
        )
        source = self._source(tf.float32 if exact else tf.uint8)
        nothing = Example(source.nothing, self._boxes[:0], self._classes[:0])
        padding = tf.data.Dataset.from_tensors(self._batchable(nothing, np.int64(-1), np.ones(2, np.int32)))
        return _batched(
            tf.data.Dataset.range(rows.start, rows.stop, rows.step),
            lambda row: self._batchable(self._example(source, row), row, self._sizes[row]),
            batch_size,
            padding.repeat(num_padding),
        )

    def training_example(self, row: int, epoch: int) -> Batch:
        """Returns one image, uint8 [S, S, 3], with its ground truth, as a training batch of an epoch has it."""
        with tf.device("CPU:0"):
            return self._single(tf.constant(row, tf.int64), tf.constant(epoch, tf.int64))

    @functools.cached_property
    def _single(self) -> Callable[[tf.Tensor, tf.Tensor], Batch]:
        source = self._source(tf.uint8)
        return tf.function(lambda row, epoch: self._training_example(source, row, epoch), autograph=False)

    def image_indices_of(self, step: int) -> npt.NDArray[np.int64]:
        """Returns the rows, int64 [B], of the images in a training batch, without those that mosaics add."""
        return self._draws_of_step(step) % len(self._dataset)

    def images_of_step(self, step: int) -> list[str]:
        """Returns the paths of the images in a training batch, and then of those that only its mosaics show."""
        rows = self.image_indices_of(step).tolist()
        if self._hyperparameters.augmentation == "strong":
            epoch = step // self.steps_per_epoch
            with tf.device("CPU:0"):
                for draw in self._draws_of_step(step):
                    seed = self._augmentation_seed(tf.constant(draw), tf.constant(epoch, tf.int64))
                    rows += strong.partners(self._sampling.random_rows, seed).numpy().tolist()
            rows = list(dict.fromkeys(rows))
        return [self._dataset.image_paths[row] for row in rows]

    @property
    def cache_descriptions(self) -> list[str]:
        """Where the decoded images are kept, a sentence for each kind of batches made so far."""
        return [source.description for source in self._sources.values()]

    @contextlib.contextmanager
    def naming_files(self) -> Iterator[None]:
        """Turns TensorFlow's error for a bad image, anywhere in a block that uses batches, into one with its name.

        Raises:
          DataError: an image file is missing or does not decode.
          UsageError: a decoded image cannot be written to the cache.
        """
        try:
            yield
        except tf.errors.OpError as error:
            for source in self._sources.values():
                source.explain(error)
            raise

    def _draws_of_step(self, step: int) -> npt.NDArray[np.int64]:
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        with tf.device("CPU:0"):
            draws: npt.NDArray[np.int64] = self._draws_of(tf.constant(epoch, tf.int64))[step_of_epoch].numpy()
        return draws

    def _draws_of(self, epoch: tf.Tensor) -> tf.Tensor:
        """The draws (see data/sampling.py) of an epoch's batches, int64 [steps_per_epoch, B].

        The last batch goes on at the start of the epoch.
        """
        places = tf.range(self.steps_per_epoch * self._hyperparameters.batch_size) % len(self._dataset)
        draws = tf.gather(self._sampling.draws(epoch), places)
        return tf.reshape(draws, [self.steps_per_epoch, self._hyperparameters.batch_size])

    def _source(self, dtype: tf.DType) -> Source:
        if dtype not in self._sources:
            self._sources[dtype] = ImageSource(self._dataset, self._spec, dtype, self._hyperparameters)
        return self._sources[dtype]

    def _training_example(self, source: Source, draw: tf.Tensor, epoch: tf.Tensor) -> Batch:
        row = draw % len(self._dataset)
        if self._hyperparameters.augmentation == "none":
            return self._batchable(self._example(source, row), row, self._sizes[row])
        seed = self._augmentation_seed(draw, epoch)
        if self._hyperparameters.augmentation == "strong":
            load = functools.partial(self._photograph, source)
            example = strong.augment(load, row, self._sampling.random_rows, seed, self._spec, self.max_boxes)
        else:
            example = self._zoo_example(self._photograph(source, row, seed), seed)
        return self._batchable(example, row, self._sizes[row])

    def _augmentation_seed(self, draw: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        return tf.stack([tf.constant(self._hyperparameters.seed << 32, tf.int64) + epoch, draw])

    def _zoo_example(self, photograph: Photograph, seed: tf.Tensor) -> Example:
        """An example, image uint8 [S, S, 3], augmented as when the model was trained.

        Crops are enlarged from the cached image, hence a little soft: against crops of the photograph, the 50 highest
        scores of a trained 320 detector move by 0.03 on average, to either side; by 0.016 when a crop moves by a pixel.
        Of images that `augmentation.mirror_and_scale` scales by .1 to 2, they move by 0.025 (0.04 above 1.5, where most
        is enlarged) and by 0.013 (0.017).
        """
        augment = augmentation.ZOO[self._spec.structure.augmentation]
        example = augment(photograph.example, photograph.original_size, seed, self._spec.input_size)
        # ResizeBilinear is nearly twice as fast on float32 as on uint8.
        image = tf.cast(example.image, tf.float32)
        boxes = resize.into_square(example.boxes, tf.shape(image)[:2], self._spec)
        return Example(resize.to_uint8(resize.resize(image, self._spec)), boxes, example.classes)

    def _photograph(self, source: Source, row: tf.Tensor, seed: tf.Tensor) -> Photograph:
        size = self._sizes[row]
        height, width = tf.unstack(resize.content_size(size, self._spec))
        photograph = Photograph(Example(source.image(row)[:height, :width], *self._ground_truth(row)), size)
        if self._hyperparameters.random_rotation90:
            turn_seed = tf.random.experimental.stateless_fold_in(seed, _TURN)
            # Sideways, what the model stretches would be stretched the other way than in evaluation.
            sideways = resize.keeps_proportions(size, self._spec)
            photograph = geometry.turn(photograph, turn_seed, self._spec.input_size, sideways=sideways)
        return photograph

    def _example(self, source: Source, row: tf.Tensor) -> Example:
        boxes, classes = self._ground_truth(row)
        return Example(source.image(row), resize.into_square(boxes, self._sizes[row], self._spec), classes)

    def _ground_truth(self, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Boxes [n, 4] of the photograph, classes [n]."""
        boxes = slice(self._offsets[row], self._offsets[row + 1])
        return self._boxes[boxes], self._classes[boxes]

    def _batchable(self, example: Example, row: tf.Tensor, size: tf.Tensor) -> Batch:
        missing = self.max_boxes - tf.shape(example.boxes)[0]
        boxes = tf.pad(example.boxes, [[0, missing], [0, 0]])
        classes = tf.pad(example.classes, [[0, missing]], constant_values=-1)
        return {
            "images": example.image,
            "boxes": tf.ensure_shape(boxes, [self.max_boxes, 4]),
            "classes": tf.ensure_shape(classes, [self.max_boxes]),
            "image_ids": row,
            "original_sizes": size,
        }


def evaluation_rows(
    num_images: int, batch_size: int, shard: int, num_shards: int, num_parts: int
) -> tuple[range, int, int]:
    """Returns a shard's images, its batch size, and how many padding images it needs (see `eval_batches`)."""
    batch_size = max(batch_size // (num_shards * num_parts), 1)
    rows = range(shard, num_images, num_shards)
    most = -(-num_images // num_shards)
    return rows, batch_size, most + -most % (batch_size * num_parts) - len(rows)


def _batched(
    inputs: tf.data.Dataset, example: Callable[..., Batch], batch_size: int, padding: tf.data.Dataset | None = None
) -> tf.data.Dataset:
    """Makes an example of each input, then batches; examples of `padding` come last."""
    threads = os.cpu_count() or 1
    options = tf.data.Options()
    options.deterministic = True
    # Nothing is left to tune, and the tuner's thread sleeps ever longer: an iterator waits for it before it goes away.
    options.autotune.enabled = False
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1  # images in parallel, not parts of one: less work, by 5 %
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF  # see train_batches
    # To convert Python's control flow, of which there is none, would take most of the time of tracing.
    example = tf.autograph.experimental.do_not_convert(example)
    examples = inputs.map(example, num_parallel_calls=threads)
    if padding is not None:
        examples = examples.concatenate(padding)
    return examples.batch(batch_size, drop_remainder=True).prefetch(_PREFETCHED_BATCHES).with_options(options)
