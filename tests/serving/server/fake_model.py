"""A model that finds one box in each image, and can be held up; and a server around it."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator, Sequence

from PIL import Image
from starlette.testclient import TestClient

from tfod_transfer.serving.server.app import Server
from tfod_transfer.serving.server.batching import Batcher, Row
from tfod_transfer.serving.server.metrics import Metrics
from tfod_transfer.serving.server.settings import Settings

LABELS = ["N/A", "cat", 7]
SECONDS = 30  # longer than anything here takes


def encoded(width: int = 20, height: int = 10, kind: str = "PNG") -> bytes:
    """A gray image."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (9, 9, 9)).save(file, kind)
    return file.getvalue()


class FakeModel:
    """Finds two boxes in each image; `broken` has those that do not decode, `free` holds it up."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.broken: set[bytes] = set()
        self.failure: Exception | None = None
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Semaphore(0)

    def __call__(self, images: Sequence[bytes]) -> list[Row]:
        self.batches.append(list(images))
        self.entered.release()
        assert self.free.wait(SECONDS)
        if self.failure:
            raise self.failure
        return [
            self.blank("this image does not decode") if image in self.broken else self.row(image) for image in images
        ]

    def row(self, image: bytes) -> Row:
        boxes = [[0.5, 0.5, 0.75, 0.75], [0.0, 0.25, 0.5, len(image) / 1e6], [0.0, 0.0, 0.0, 0.0]]
        return {"normalized_boxes": boxes, "classes": [1.0, 2.0, 1.0], "scores": [0.5, 0.75, 0.0], **self._rest("")}

    def blank(self, status: str) -> Row:
        return {"normalized_boxes": [[0.0] * 4] * 3, "classes": [1.0] * 3, "scores": [0.0] * 3, **self._rest(status)}

    def _rest(self, status: str) -> Row:
        return {"labels": [str(label) for label in LABELS], "image_size": [80, 200], "status": status}


def batcher_of(model: FakeModel, load: Callable[[], FakeModel] | None = None, **changes: object) -> Batcher:
    """A batcher that has not been started."""
    limits = {"max_batch_size": 4, "delay": 0.0, "queue_limit": 6, "max_pixels": 1000, **changes}
    return Batcher(load or (lambda: model), **limits)


@contextlib.contextmanager
def serving(
    model: FakeModel, settings: Settings, load: Callable[[], FakeModel] | None = None, algorithm: str = ""
) -> Iterator[tuple[TestClient, Batcher]]:
    """A running server; `model` is released at its end."""
    counts = Metrics()
    batcher = Batcher(
        load or (lambda: model),
        max_batch_size=settings.max_batch_size,
        delay=settings.batch_delay,
        queue_limit=settings.queue_limit,
        max_pixels=settings.max_pixels,
        on_batch=counts.count_batch,
    )
    try:
        with TestClient(
            Server(settings, batcher, counts, LABELS, algorithm).application(), raise_server_exceptions=False
        ) as client:
            yield client, batcher
            model.free.set()
    finally:
        model.free.set()
