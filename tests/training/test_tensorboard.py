"""Events for TensorBoard, read back as TensorBoard reads them."""

from __future__ import annotations

import io
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from epochs import epoch
from PIL import Image
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.training import tensorboard
from tfod_transfer.training.tensorboard import PICTURE_PIXELS, PICTURES, TensorBoardEvents, pictured_rows

IMAGES = 10
LOSSES = {"loss": 2.0, "localization": 0.5, "classification": 1.25}
EPOCH_TAGS = {"loss/total", "loss/localization", "loss/classification"}


@pytest.fixture
def dataset(tmp_path: pathlib.Path) -> DetectionDataset:
    """Ten grey photographs; all but the first have a box of a cat in their left half."""
    paths = [str(tmp_path / f"photograph {row}.png") for row in range(IMAGES)]
    for path in paths:
        Image.new("RGB", (60, 30), (128, 128, 128)).save(path)
    return DetectionDataset(
        image_paths=paths,
        image_ids=list(range(IMAGES)),
        sizes=np.full((IMAGES, 2), (30, 60), np.int32),
        orientations=np.ones(IMAGES, np.uint8),
        boxes=np.full((IMAGES - 1, 4), (0.2, 0.1, 0.8, 0.4), np.float32),
        classes=np.zeros(IMAGES - 1, np.int32),
        is_crowd=np.zeros(IMAGES - 1, bool),
        offsets=np.array([0, *range(IMAGES)]),
        class_names=("cat", "dog"),
        category_ids=(1, 2),
    )


def detections(score: float) -> ImageDetections:
    """A dog in the right half of every photograph."""
    return ImageDetections(
        np.full((IMAGES, 1, 4), (0.2, 0.6, 0.8, 0.9), np.float32),
        np.ones((IMAGES, 1), np.int32),
        np.full((IMAGES, 1), score, np.float32),
    )


def read(folder: pathlib.Path, run: str) -> EventAccumulator:
    events = EventAccumulator(str(folder / run), tensor_size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def scalars(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    """Steps and values; TensorBoard keeps every value as a tensor."""
    return [(event.step, float(event.tensor_proto.float_val[0])) for event in events.Tensors(tag)]


def test_every_step_and_every_epoch_is_there(dataset: DetectionDataset, tmp_path: pathlib.Path) -> None:
    listener = TensorBoardEvents(tmp_path / "events", dataset, steps_per_epoch=3)
    for step in range(6):
        listener.on_step(step, {**LOSSES, "loss": 2.0 + step}, 0.1 * step)
        if step % 3 == 2:
            listener.on_epoch(epoch(step // 3, ap=0.25), detections(0.9))
    listener.close()

    training, validation = read(tmp_path / "events", "train"), read(tmp_path / "events", "validation")
    machine = {"machine/images per second", "machine/input-bound percentage", "machine/memory in GB"}
    step_tags = {"step/loss", "step/localization", "step/classification", "step/learning_rate"}
    assert set(training.Tags()["tensors"]) == step_tags | EPOCH_TAGS | machine
    assert scalars(training, "step/loss") == [(step, 2.0 + step) for step in range(6)]
    assert scalars(training, "step/learning_rate") == [(step, pytest.approx(0.1 * step)) for step in range(6)]
    assert scalars(training, "loss/localization") == [(2, 0.5), (5, 0.5)]
    assert scalars(training, "machine/input-bound percentage") == [(2, 3.0), (5, 3.0)]
    assert scalars(training, "machine/memory in GB") == [(2, 1.5), (5, 1.5)]
    pictures = {tag for tag in validation.Tags()["tensors"] if tag.startswith("validation images/")}
    # A class without boxes, here the dog, has no AP.
    assert set(validation.Tags()["tensors"]) - pictures == EPOCH_TAGS | {"AP/AP", "AP/AP50", "per class/AP of cat"}
    assert scalars(validation, "loss/total") == [(2, 1.0), (5, 1.0)]
    assert scalars(validation, "AP/AP50") == [(2, 0.5), (5, 0.5)]


def test_the_same_photographs_are_drawn_after_each_epoch(dataset: DetectionDataset, tmp_path: pathlib.Path) -> None:
    listener = TensorBoardEvents(tmp_path / "events", dataset, steps_per_epoch=3)
    listener.on_epoch(epoch(0), detections(0.1))
    listener.on_epoch(epoch(1), detections(0.9))
    listener.close()
    events = read(tmp_path / "events", "validation")
    tags = sorted(tag for tag in events.Tags()["tensors"] if tag.startswith("validation images/"))
    assert tags == [f"validation images/{row:05d} photograph {row}" for row in pictured_rows(dataset)]
    for tag in tags:
        first, second = events.Tensors(tag)
        assert (first.step, second.step) == (2, 5)
        width, height, encoded = first.tensor_proto.string_val
        before = np.asarray(Image.open(io.BytesIO(encoded)), np.int32)
        after = np.asarray(Image.open(io.BytesIO(second.tensor_proto.string_val[2])), np.int32)
        assert before.shape == after.shape == (int(height), int(width), 3)
        assert PICTURE_PIXELS * 2 < int(width) < PICTURE_PIXELS * 2.2
        # The ground truth stays; the dog appears at the right once its score is high enough.
        changed = np.abs(before - after).max(axis=2) > 100
        assert not changed[:, : int(width) // 2].any()
        assert changed[:, int(width) // 2 :].any()
        assert (np.abs(before[:, : int(width) // 2] - 128) > 60).any()


def test_pictures_show_boxes_where_there_are_any(dataset: DetectionDataset) -> None:
    rows = pictured_rows(dataset)
    assert len(rows) == len(set(rows)) == PICTURES
    assert (rows[0], rows[-1]) == (1, IMAGES - 1)
    assert pictured_rows(dataset.select([0])) == [0]
    assert pictured_rows(dataset.select([0, 4, 0])) == [1]


def test_a_run_that_goes_on_continues_its_curves(dataset: DetectionDataset, tmp_path: pathlib.Path) -> None:
    first = TensorBoardEvents(tmp_path / "events", dataset, steps_per_epoch=4)
    for step in range(7):  # killed after step 6; its last checkpoint is of step 5
        first.on_step(step, LOSSES, 0.1)
        if step == 3:
            first.on_epoch(epoch(0), detections(0.9))
    first.close()
    second = TensorBoardEvents(tmp_path / "events", dataset, steps_per_epoch=4)
    for step in range(5, 8):
        second.on_step(step, {**LOSSES, "loss": 7.0}, 0.1)
    second.on_epoch(epoch(1), detections(0.9))
    second.close()
    training, validation = read(tmp_path / "events", "train"), read(tmp_path / "events", "validation")
    assert scalars(training, "step/loss") == [(step, 2.0 if step < 5 else 7.0) for step in range(8)]
    assert [step for step, _ in scalars(training, "loss/total")] == [3, 7]
    assert [step for step, _ in scalars(validation, "AP/AP")] == [3, 7]


def test_nothing_is_written_before_there_is_something_to_write(
    dataset: DetectionDataset, tmp_path: pathlib.Path
) -> None:
    TensorBoardEvents(tmp_path / "events", dataset, steps_per_epoch=3).close()
    assert not (tmp_path / "events").exists()


@pytest.mark.parametrize("trouble", ["a file in the way", "a photograph is gone", "the writer fails"])
def test_trouble_ends_the_events_with_one_warning(
    trouble: str,
    dataset: DetectionDataset,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if trouble == "a file in the way":
        (tmp_path / "events").write_text("")
    elif trouble == "a photograph is gone":
        pathlib.Path(dataset.image_paths[1]).unlink()
    else:

        def full(*_: object) -> None:
            raise tensorboard.tf.errors.ResourceExhaustedError(None, None, "No space left on device")

        monkeypatch.setattr(tensorboard.tf.compat.v1.summary.FileWriter, "flush", full)
    listener = TensorBoardEvents(tmp_path / "events", dataset, steps_per_epoch=1)
    for step in range(3):
        listener.on_step(step, LOSSES, 0.1)
        listener.on_epoch(epoch(step), detections(0.9))
    listener.close()
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert printed.startswith("warning:    no more events for TensorBoard in ")


def test_events_are_written_where_tensorboard_is_not_installed(tmp_path: pathlib.Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['tensorboard'] = None\n"
        "from tfod_transfer.training import tensorboard\n"
        "class Nothing:\n"
        "    def __len__(self): return 0\n"
        "    boxes_per_image = []\n"
        f"events = tensorboard.TensorBoardEvents({str(tmp_path)!r}, Nothing(), 1)\n"
        "events.on_step(0, {'loss': 1.0}, 0.1)\n"
        "events.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert scalars(read(tmp_path, "train"), "step/loss") == [(0, 1.0)]
