"""SageMaker's pipe mode: a channel comes through named pipes, `train_0` for the first epoch, then `train_1`, ...

What comes through is kept in a local file, so that every later epoch, the report and the data's checks read it there.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import select
import time
from typing import Any, BinaryIO

from tfod_transfer.data import formats, image_files
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.formats import recordio_framing, tfrecord_framing
from tfod_transfer.errors import DataError

WAIT_SECONDS = 600.0
_POLL_SECONDS = 0.05
_AT_ONCE = 1 << 20
_HEAD = 64


class PipeChannel:
    """The pipes of a channel, one for each epoch, which are there one after the other.

    Attributes:
      epoch: whose pipe is read next.
    """

    def __init__(self, base: str | os.PathLike[str], wait_seconds: float = WAIT_SECONDS) -> None:
        """Args: path of the pipes without `_0`; how long to wait for a pipe, and for a byte in it."""
        self._base = os.fspath(base)
        self._wait_seconds = wait_seconds
        self.epoch = 0

    def copy(self, target: BinaryIO) -> int:
        """Reads the pipe of the next epoch to its end, waiting until it is there; returns how many bytes came.

        Raises:
          DataError: the pipe is not there in time, or nothing comes through it for as long.
          OSError: it cannot be read, or the target cannot be written; the pipe is then read to its end nevertheless.
        """
        path = pathlib.Path(f"{self._base}_{self.epoch}")
        self._wait_for(path)
        self.epoch += 1
        # Opened so, it is there before anybody writes, and waiting for that has an end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return self._drain(descriptor, path, target)
        finally:
            os.close(descriptor)

    def _wait_for(self, path: pathlib.Path) -> None:
        end = time.monotonic() + self._wait_seconds
        while not path.exists():
            if time.monotonic() > end:
                there = sorted(os.listdir(path.parent)) if path.parent.is_dir() else []
                raise DataError(
                    f"{path}: expected the pipe of epoch {self.epoch}, which was not there after "
                    f"{self._wait_seconds:g} s; {path.parent} holds {', '.join(there[:8]) or 'nothing'}"
                )
            time.sleep(_POLL_SECONDS)

    def _drain(self, descriptor: int, path: pathlib.Path, target: BinaryIO) -> int:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        count, failure = 0, None
        while True:
            if not poll.poll(1000 * self._wait_seconds):
                raise DataError(f"{path}: nothing has come through this pipe for {self._wait_seconds:g} s")
            part = os.read(descriptor, _AT_ONCE)
            if not part:
                break
            count += len(part)
            try:
                if failure is None:
                    target.write(part)
            except OSError as error:  # whoever writes into the pipe waits until it has been read
                failure = error
        if failure is not None:
            raise failure
        return count


def read_channel(
    base: str | os.PathLike[str],
    store: str | os.PathLike[str],
    *,
    wait_seconds: float = WAIT_SECONDS,
    **settings: Any,
) -> DetectionDataset:
    """Copies the first epoch of a channel to a folder and reads it.

    Args:
      base: path of the pipes without `_0`.
      store: folder for the copy, made if need be; the data set's images lie in it.
      wait_seconds: how long to wait for the pipe, and for a byte in it.
      **settings: of `formats.read_dataset`.

    Returns:
      The data set; records that were skipped are among its `findings`.

    Raises:
      DataError: no pipe, an empty one, one whose records are not wrapped, or data that cannot be used.
      OSError: the pipe cannot be read, or its copy cannot be written.
    """
    path, count = keep_channel(base, store, wait_seconds=wait_seconds)
    dataset = formats.read_dataset(path, **settings)
    skipped = sum(finding.reason == "bad_record" and finding.annotation_index is None for finding in dataset.findings)
    came = f"{count / 1e6:.1f} MB came through the pipe {os.fspath(base)}_0, {skipped} records were skipped"
    return dataclasses.replace(dataset, description=f"{dataset.description}; {came}")


def keep_channel(
    base: str | os.PathLike[str], store: str | os.PathLike[str], *, wait_seconds: float = WAIT_SECONDS
) -> tuple[pathlib.Path, int]:
    """Copies the first epoch of a channel to a folder; returns the file, and how many bytes came.

    Takes and raises what `read_channel` does, but for what the data says.
    """
    path = pathlib.Path(store) / f"{pathlib.Path(base).name}.rec"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.part")
    channel = PipeChannel(base, wait_seconds)
    with new.open("wb") as file:
        count = channel.copy(file)
    with new.open("rb") as file:
        _require_records(file.read(_HEAD), f"{os.fspath(base)}_0")
    new.replace(path)
    return path, count


def _require_records(head: bytes, name: str) -> None:
    """Explains what came through a pipe when it is no records."""
    if recordio_framing.is_recordio(head) or tfrecord_framing.is_tfrecord(head):
        return
    if not head:
        raise DataError(f"{name}: nothing came through this pipe; is there anything under the channel's S3Uri?")
    kind = image_files.sniff(head[:16])
    if kind or head.lstrip().startswith(b"{"):
        found = f"a {kind} image" if kind else "JSON"
        raise DataError(
            f"{name}: expected RecordIO, found {found}: what comes through this pipe is not wrapped. Set the channel's "
            "RecordWrapperType to RecordIO"
        )
    if head.startswith(b"\x1f\x8b"):
        raise DataError(f"{name}: expected RecordIO, found gzip: set the channel's CompressionType to Gzip")
    raise DataError(
        f"{name}: expected RecordIO, found {head[:16]!r}: is this the channel of a .rec file or a manifest?"
    )
