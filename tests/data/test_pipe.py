"""Pipe mode with real named pipes: what comes through, how long it is waited for, what is said of other streams."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import pathlib
import threading
from collections.abc import Callable, Iterator

import pytest
import small_sets
from small_sets import HEIGHT, WIDTH, assert_same, encoded

from tfod_transfer.data import addresses, pipe, writers
from tfod_transfer.data.formats import read_dataset, recordio_framing
from tfod_transfer.errors import DataError

Feed = Callable[..., None]
LABELS = {"annotations": [{"class_id": 0, "left": 16, "top": 24, "width": 32, "height": 24}]}


@pytest.fixture
def feed(tmp_path: pathlib.Path) -> Iterator[Feed]:
    """Writes streams into the pipes train_0, train_1, ... as SageMaker does: one after the other, as they are read."""
    threads = []

    def feed(*streams: bytes, made: bool = True) -> None:
        def write() -> None:
            for epoch, stream in enumerate(streams):
                path = tmp_path / f"train_{epoch}"
                if epoch or not made:
                    os.mkfifo(path)
                with path.open("wb") as target:
                    target.write(stream)

        if made:
            os.mkfifo(tmp_path / "train_0")
        threads.append(threading.Thread(target=write))
        threads[-1].start()

    yield feed
    for thread in threads:
        thread.join()


def pair(number: int, labels: object) -> bytes:
    return recordio_framing.frame(encoded(number)) + recordio_framing.frame(json.dumps(labels).encode())


def test_records_with_detection_labels(feed: Feed, tmp_path: pathlib.Path) -> None:
    boxes = [[(1, 2, 30, 40)], [], [(0, 0, 64, 48), (8, 8, 16, 16)]]
    original = small_sets.write(tmp_path / "original", boxes, class_names=("0",))
    writers.write(original, tmp_path / "train", "recordio", writers.Settings())
    stream = (tmp_path / "train" / "train.rec").read_bytes()
    feed(stream)
    dataset = pipe.read_channel(tmp_path / "train", tmp_path / "store")
    assert_same(original, dataset)
    assert (tmp_path / "store" / "train.rec").read_bytes() == stream
    assert "0.0 MB came through the pipe" in dataset.description
    assert "0 records were skipped" in dataset.description


def test_images_and_labels_in_turn_and_what_is_skipped(feed: Feed, tmp_path: pathlib.Path) -> None:
    size = {"image_size": [{"width": WIDTH, "height": HEIGHT}]}
    feed(pair(0, {**LABELS, **size}) + pair(1, "no labels") + pair(2, {**LABELS, **size}), made=False)
    dataset = pipe.read_channel(tmp_path / "train", tmp_path / "store")
    assert [addresses.read(path) for path in dataset.image_paths] == [encoded(0), encoded(2)]
    assert "1 records were skipped" in dataset.description
    assert [(each.reason, "image 1 at offset" in each.file) for each in dataset.findings] == [("bad_record", True)]


def test_the_pipes_of_later_epochs_are_waited_for(feed: Feed, tmp_path: pathlib.Path) -> None:
    streams = [bytes([65 + epoch]) * 300_000 for epoch in range(3)]
    feed(*streams)
    channel = pipe.PipeChannel(tmp_path / "train")
    for epoch, stream in enumerate(streams):
        target = io.BytesIO()
        assert channel.epoch == epoch
        assert channel.copy(target) == len(stream)
        assert target.getvalue() == stream


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        pytest.param(
            encoded(0, "JPEG"), r"found a JPEG image.*not wrapped.*RecordWrapperType to RecordIO", id="images"
        ),
        pytest.param(b' {"source-ref": "a"}', r"found JSON.*not wrapped", id="JSON"),
        pytest.param(gzip.compress(b"x"), r"found gzip: set the channel's CompressionType", id="gzip"),
        pytest.param(b"what else", r"found b'what else'", id="something"),
        pytest.param(b"", r"nothing came through this pipe", id="nothing"),
        pytest.param(recordio_framing.frame(b"x" * 9)[:-4], r"cut off: the record at offset 0", id="cut off"),
    ],
)
def test_other_streams_are_explained(feed: Feed, tmp_path: pathlib.Path, stream: bytes, message: str) -> None:
    feed(stream)
    with pytest.raises(DataError, match=message):
        pipe.read_channel(tmp_path / "train", tmp_path / "store")


def test_a_pipe_that_never_comes_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / "validation_0").touch()
    with pytest.raises(DataError, match=r"train_0: expected the pipe of epoch 0.*after 0\.1 s.*holds validation_0"):
        pipe.PipeChannel(tmp_path / "train", wait_seconds=0.1).copy(io.BytesIO())


def test_a_pipe_that_nobody_writes_into_is_said(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "train_0")
    with pytest.raises(DataError, match=r"nothing has come through this pipe for 0\.1 s"):
        pipe.PipeChannel(tmp_path / "train", wait_seconds=0.1).copy(io.BytesIO())


def test_a_full_disk_does_not_leave_the_writer_waiting(feed: Feed, tmp_path: pathlib.Path) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "full")

    feed(b"x" * 300_000)  # more than a pipe holds: the thread ends only if all of it is read
    with pytest.raises(OSError, match="full"):
        pipe.PipeChannel(tmp_path / "train").copy(Full())


def test_a_plain_file_in_the_place_of_a_pipe_is_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "train_0").write_bytes(pair(0, LABELS))
    assert pipe.read_channel(tmp_path / "train", tmp_path / "store").num_boxes == 1
    assert read_dataset(tmp_path / "store").num_boxes == 1
