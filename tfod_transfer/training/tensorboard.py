"""Events for TensorBoard: the curves and pictures of a run, to be looked at while it goes on and after it.

`tensorboard --logdir FOLDER` shows two runs, `train` and `validation`, over the same steps. TensorBoard itself need not
be installed where the training runs. It sorts the groups of tags, AP/ loss/ machine/ ..., by name and unfolds the first
two.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from PIL import Image

from tfod_transfer import drawing
from tfod_transfer.data import addresses, image_files
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.training.results import EpochResult, Validation

TRAINING, VALIDATION = "train", "validation"
#: Pictures for each epoch, and the longer side of the photograph in them.
PICTURES = 6
PICTURE_PIXELS = 448
DRAWN_SCORE = 0.4
# Events are handed to a thread that writes them; a folder on a network that stands still must not stop the steps.
_QUEUED_EVENTS = 1000
_FLUSH_SECONDS = 10
_JPEG_QUALITY = 85


class TensorBoardEvents:
    """A listener that writes events; where they cannot be written any more, it says so and the run goes on."""

    def __init__(self, folder: str | os.PathLike[str], dataset: DetectionDataset, steps_per_epoch: int) -> None:
        """Remembers what to write; files are made with the first event.

        Args:
          folder: where the events go, beside those of an earlier start of the same run.
          dataset: the validation images; a few of them are drawn after each epoch, always the same.
          steps_per_epoch: places what belongs to an epoch at its last step.
        """
        self._folder = os.fspath(folder)
        self._dataset = dataset
        self._steps_per_epoch = steps_per_epoch
        self._rows = pictured_rows(dataset)
        self._photographs: dict[int, Image.Image] = {}
        self._writers: dict[str, tf.compat.v1.summary.FileWriter] = {}
        self._broken = False

    def on_step(self, step: int, losses: Mapping[str, float], learning_rate: float) -> None:
        """Losses and learning rate."""
        if self._broken:
            return
        with self._unfailing():
            values = {f"step/{name}": value for name, value in losses.items()}
            self._add(TRAINING, step, {**values, "step/learning_rate": learning_rate})

    def on_epoch(self, result: EpochResult, detections: ImageDetections) -> None:
        """Losses of both data sets, AP, speed, memory, pictures; all of it is on the disk afterwards."""
        if self._broken:
            return
        step = (result.epoch + 1) * self._steps_per_epoch - 1
        with self._unfailing():
            self._add(TRAINING, step, {**_losses(result), **_machine(result)})
            self._add(VALIDATION, step, {**_losses(result.validation), **_precision(result.validation)})
            for row in self._rows:
                self._add_picture(step, row, detections)
            for writer in self._writers.values():
                writer.flush()

    def close(self) -> None:
        """Writes what is left."""
        if self._broken:
            return
        with self._unfailing():
            for writer in self._writers.values():
                writer.close()

    def _add(self, run: str, step: int, values: Mapping[str, float]) -> None:
        value = [tf.compat.v1.Summary.Value(tag=tag, simple_value=number) for tag, number in values.items()]
        self._writer(run, step).add_summary(tf.compat.v1.Summary(value=value), step)

    def _add_picture(self, step: int, row: int, detections: ImageDetections) -> None:
        picture = self._picture(row, detections)
        encoded = io.BytesIO()
        picture.save(encoded, "JPEG", quality=_JPEG_QUALITY)
        image = tf.compat.v1.Summary.Image(
            height=picture.height, width=picture.width, colorspace=3, encoded_image_string=encoded.getvalue()
        )
        tag = f"validation images/{row:05d} {pathlib.Path(addresses.name(self._dataset.image_paths[row])).stem}"
        value = tf.compat.v1.Summary.Value(tag=tag, image=image)
        self._writer(VALIDATION, step).add_summary(tf.compat.v1.Summary(value=[value]), step)

    def _picture(self, row: int, detections: ImageDetections) -> Image.Image:
        """Ground truth at the left, predictions at the right."""
        if row not in self._photographs:
            photograph = image_files.open_upright(self._dataset.image_paths[row])
            self._photographs[row] = drawing.fit(photograph, PICTURE_PIXELS)
        photograph, names, truth = self._photographs[row], self._dataset.class_names, self._dataset.rows_of(row)
        drawn = detections.scores[row] >= DRAWN_SCORE
        return drawing.side_by_side(
            drawing.draw_boxes(
                photograph, self._dataset.boxes[truth], [names[label] for label in self._dataset.classes[truth]]
            ),
            drawing.draw_boxes(
                photograph,
                detections.boxes[row][drawn],
                [names[label] for label in detections.classes[row][drawn]],
                detections.scores[row][drawn].tolist(),
            ),
        )

    def _writer(self, run: str, step: int) -> tf.compat.v1.summary.FileWriter:
        """The writer of a run; events of an earlier start from `step` on no longer count.

        tf.summary's own writer cannot say that they do not, and a run that was killed repeats the steps since its
        checkpoint.
        """
        if run not in self._writers:
            with tf.Graph().as_default():  # the writer refuses to be made eagerly, and uses no graph
                writer = tf.compat.v1.summary.FileWriter(
                    os.path.join(self._folder, run),
                    max_queue=_QUEUED_EVENTS,
                    flush_secs=_FLUSH_SECONDS,
                    filename_suffix=f".from_step_{step:09d}",  # two starts in one second would share a name
                )
            writer.add_session_log(tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START), step)
            self._writers[run] = writer
        return self._writers[run]

    @contextlib.contextmanager
    def _unfailing(self) -> Iterator[None]:
        """A full disk or a photograph that is gone ends the events, not the run."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            self._broken = True
            print(f"warning:    no more events for TensorBoard in {self._folder!r}: {error}", flush=True)


def pictured_rows(dataset: DetectionDataset) -> list[int]:
    """The images that are drawn: some that have boxes, evenly spread; any, where none has boxes."""
    candidates = np.flatnonzero(dataset.boxes_per_image)
    if not len(candidates):
        candidates = np.arange(len(dataset))
    places = np.linspace(0, len(candidates) - 1, min(PICTURES, len(candidates))).round().astype(int)
    return [int(row) for row in candidates[places]]


def _losses(result: EpochResult | Validation) -> dict[str, float]:
    return {
        "loss/total": result.loss,
        "loss/localization": result.localization_loss,
        "loss/classification": result.classification_loss,
    }


def _precision(validation: Validation) -> dict[str, float]:
    classes = {f"per class/AP of {name}": values["AP"] for name, values in validation.metrics.per_class.items()}
    present = {tag: value for tag, value in classes.items() if value is not None}
    return {"AP/AP": validation.metrics.ap, "AP/AP50": validation.metrics.ap50, **present}


def _machine(result: EpochResult) -> dict[str, float]:
    return {
        "machine/images per second": result.samples_per_second,
        "machine/input-bound percentage": 100 * result.input_bound,
        "machine/memory in GB": result.memory_bytes / 2**30,
    }
