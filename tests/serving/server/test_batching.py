"""Which images the model gets together, and what becomes of those that it cannot take."""

from __future__ import annotations

import queue
import threading
from concurrent import futures

import pytest
from fake_model import SECONDS, FakeModel, batcher_of

from tfod_transfer.serving.server.batching import Batcher, ClosedError, Image, QueueFullError


def images(*names: str, pixels: int = 1) -> list[Image]:
    return [Image(name.encode(), pixels) for name in names]


def held_up(model: FakeModel, batcher: Batcher) -> futures.Future[object]:
    """Starts; returns the answer of an image on which the model is at work until it is released."""
    model.free.clear()
    (answer,) = batcher.submit(images("first"))
    batcher.start()
    assert model.entered.acquire(timeout=SECONDS)
    return answer


@pytest.mark.parametrize(
    ("waiting", "batches"),
    [
        pytest.param(images("a"), [["a"]], id="one"),
        pytest.param(images("a", "b", "c"), [["a", "b", "c"]], id="several"),
        pytest.param(images("a", "b", "c", "d", "e"), [["a", "b", "c", "d"], ["e"]], id="more than a batch may have"),
        pytest.param(images("a", "b", "c", pixels=400), [["a", "b"], ["c"]], id="more pixels than a batch may have"),
        pytest.param(images("a", "b", pixels=1000), [["a"], ["b"]], id="as many pixels as a batch may have"),
    ],
)
def test_what_waits_when_the_model_is_free_is_a_batch(waiting: list[Image], batches: list[list[str]]) -> None:
    model = FakeModel()
    batcher = batcher_of(model)
    held_up(model, batcher)
    answers = batcher.submit(waiting)
    assert batcher.queue_length == len(waiting)
    model.free.set()
    rows = [answer.result(SECONDS) for answer in answers]
    assert rows == [model.row(image.contents) for image in waiting]
    assert [[image.decode() for image in batch] for batch in model.batches] == [["first"], *batches]
    assert batcher.close(SECONDS)


def test_as_many_are_waited_for_as_came_last() -> None:
    model = FakeModel()
    batcher = batcher_of(model, delay=SECONDS)
    held_up(model, batcher)
    answers = batcher.submit(images("a", "b"))
    model.free.set()
    futures.wait(answers, SECONDS)
    (early,) = batcher.submit(images("c"))
    assert not early.done()
    (late,) = batcher.submit(images("d"))  # without it, the first would wait for half a minute
    assert futures.wait([early, late], SECONDS).not_done == set()
    assert model.batches == [[b"first"], [b"a", b"b"], [b"c", b"d"]]
    assert batcher.close(SECONDS)


def test_the_wait_for_others_ends() -> None:
    model = FakeModel()
    batcher = batcher_of(model, delay=0.01)
    held_up(model, batcher)
    batcher.submit(images("a", "b"))
    model.free.set()
    (alone,) = batcher.submit(images("c"))
    assert alone.result(SECONDS) == model.row(b"c")
    assert batcher.close(SECONDS)


def test_a_full_queue_takes_all_images_of_a_request_or_none() -> None:
    model = FakeModel()
    batcher = batcher_of(model, queue_limit=3)
    held_up(model, batcher)
    batcher.submit(images("a", "b"))
    with pytest.raises(QueueFullError):
        batcher.submit(images("c", "d"))
    assert batcher.queue_length == 2
    batcher.submit(images("e"))
    model.free.set()
    assert batcher.close(SECONDS)
    assert model.batches[1:] == [[b"a", b"b", b"e"]]


def test_what_nobody_waits_for_is_not_run() -> None:
    model = FakeModel()
    batcher = batcher_of(model)
    held_up(model, batcher)
    given_up, wanted = batcher.submit(images("a", "b"))
    assert given_up.cancel()
    model.free.set()
    wanted.result(SECONDS)
    assert model.batches == [[b"first"], [b"b"]]
    assert batcher.close(SECONDS)


def test_a_failure_is_that_of_its_batch_alone() -> None:
    model = FakeModel()
    model.failure = MemoryError("no memory")
    batcher = batcher_of(model)
    first = held_up(model, batcher)
    model.free.set()
    with pytest.raises(MemoryError):
        first.result(SECONDS)
    model.failure = None
    (answer,) = batcher.submit(images("a"))
    assert answer.result(SECONDS) == model.row(b"a")
    assert batcher.close(SECONDS)


def test_closing_finishes_what_was_taken_and_takes_no_more() -> None:
    model = FakeModel()
    batcher = batcher_of(model)
    first = held_up(model, batcher)
    answers = batcher.submit(images("a", "b", "c", "d", "e"))
    assert not batcher.close(0)
    with pytest.raises(ClosedError):
        batcher.submit(images("f"))
    model.free.set()
    assert batcher.close(SECONDS)
    assert all(answer.done() for answer in [first, *answers])


def test_it_is_ready_when_it_says_so() -> None:
    seen: queue.SimpleQueue[tuple[object, float]] = queue.SimpleQueue()
    model = FakeModel()
    batcher = batcher_of(model, on_ready=lambda seconds: seen.put((batcher.model, seconds)))
    batcher.start()
    said_of, seconds = seen.get(timeout=SECONDS)
    assert said_of is model
    assert 0 <= seconds < SECONDS
    assert batcher.close(SECONDS)


def test_a_load_that_fails_is_told() -> None:
    told = threading.Event()

    def load() -> FakeModel:
        raise OSError("no such file")

    batcher = batcher_of(FakeModel(), load, on_failure=told.set)
    batcher.start()
    assert told.wait(SECONDS)
    assert str(batcher.failure) == "no such file"
    assert batcher.model is None


def test_a_load_holds_up_nobody_who_closes() -> None:
    released = threading.Event()

    def load() -> FakeModel:
        released.wait(SECONDS)
        return FakeModel()

    batcher = batcher_of(FakeModel(), load)
    batcher.start()
    assert not batcher.close(SECONDS)
    released.set()
