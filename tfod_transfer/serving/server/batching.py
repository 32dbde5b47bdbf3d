"""Images that arrive one by one, given to a model in batches, by one thread."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any, NamedTuple, Protocol

#: One image's part of the model's answer: output name to plain lists.
Row = dict[str, Any]


class Image(NamedTuple):
    """An encoded image, and how many pixels it has once it is decoded."""

    contents: bytes
    pixels: int


class Model(Protocol):
    """What the thread runs."""

    def __call__(self, images: Sequence[bytes]) -> list[Row]:
        """Returns a row for each image."""

    def blank(self, status: str) -> Row:
        """Returns the row of an image that cannot be run, with the sentence that says why."""


class QueueFullError(Exception):
    """No more images can wait."""


class ClosedError(Exception):
    """The server is stopping."""


class _Job(NamedTuple):
    image: Image
    answer: futures.Future[Row]


class Batcher:
    """A queue, and a thread that loads a model and runs it on what waits.

    A batch is what waits when the model is free: under load batches fill by themselves. Only when the last batch had
    several images are as many waited for again, `delay` at the longest, so that who asks one image after the other
    waits for nobody.
    """

    def __init__(
        self,
        load: Callable[[], Model],
        *,
        max_batch_size: int,
        delay: float,
        queue_limit: int,
        max_pixels: int,
        on_batch: Callable[[int, float], None] = lambda size, seconds: None,
        on_ready: Callable[[float], None] = lambda seconds: None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """Args as in Settings; `on_batch` gets each batch's size and seconds.

        `on_ready` gets the seconds of the load, once images are answered; `on_failure` is told of a failed load.
        """
        self._load, self._on_batch, self._on_ready, self._on_failure = load, on_batch, on_ready, on_failure
        self._max_batch_size, self._delay, self._max_pixels = max_batch_size, delay, max_pixels
        self.queue_limit = queue_limit
        self._jobs: collections.deque[_Job] = collections.deque()
        self._changed = threading.Condition()
        self._closing = False
        self._last_size = 1
        self.model: Model | None = None
        self.failure: BaseException | None = None
        # A daemon: a load, or a model that hangs, must not hold up the end of the process.
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Begins to load the model; then `model` is set, or `failure` when it cannot be loaded."""
        self._thread.start()

    @property
    def queue_length(self) -> int:
        """How many images wait."""
        return len(self._jobs)

    def submit(self, images: Sequence[Image]) -> list[futures.Future[Row]]:
        """Queues images, all or none; a future that is cancelled before its turn costs nothing.

        Raises:
          QueueFullError: they would be more than may wait.
          ClosedError: the server is stopping.
        """
        with self._changed:
            if self._closing:
                raise ClosedError
            if len(self._jobs) + len(images) > self.queue_limit:
                raise QueueFullError
            jobs = [_Job(image, futures.Future()) for image in images]
            self._jobs.extend(jobs)
            self._changed.notify_all()
        return [job.answer for job in jobs]

    def close(self, timeout: float | None = None) -> bool:
        """Takes no more, and waits for the thread to finish what is queued; False when it has not by then."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self.model is None:  # a load cannot be interrupted
            return not self._thread.is_alive()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        started = time.perf_counter()
        try:
            model = self._load()
        except BaseException as error:  # whatever it is, the command that waits for the model tells it
            self.failure = error
            self._on_failure()
            return
        self.model = model
        self._on_ready(time.perf_counter() - started)
        while batch := self._next_batch():
            self._answer(model, batch)

    def _next_batch(self) -> list[_Job]:
        """Waits for a batch; empty once the queue is closed and all is done."""
        batch: list[_Job] = []
        with self._changed:
            while not batch:
                self._changed.wait_for(lambda: self._jobs or self._closing)
                if not self._jobs:
                    return []
                self._changed.wait_for(
                    lambda: len(self._jobs) >= min(self._last_size, self._max_batch_size) or self._closing, self._delay
                )
                self._last_size = min(len(self._jobs), self._max_batch_size)
                pixels = 0
                while self._jobs and len(batch) < self._max_batch_size:
                    pixels += self._jobs[0].image.pixels
                    if batch and pixels > self._max_pixels:
                        break
                    job = self._jobs.popleft()
                    if job.answer.set_running_or_notify_cancel():
                        batch.append(job)
        return batch

    def _answer(self, model: Model, batch: list[_Job]) -> None:
        started = time.perf_counter()
        try:
            rows = model([job.image.contents for job in batch])
        except Exception as error:  # the thread goes on; the requests of this batch fail
            for job in batch:
                job.answer.set_exception(error)
            return
        # Before the answers are given, so that who has one finds its batch in the metrics.
        self._on_batch(len(batch), time.perf_counter() - started)
        for job, row in zip(batch, rows, strict=True):
            job.answer.set_result(row)
