from __future__ import annotations

import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.data import cache

SHAPE = (6, 5, 3)


def image_of(row: int, dtype: tf.DType = tf.uint8) -> tf.Tensor:
    return tf.cast(tf.reshape(tf.range(90) + row, SHAPE), dtype)


def row_of(row: int) -> tf.Tensor:
    return tf.constant(row, tf.int64)


def open_disk(folder: pathlib.Path, *identities: str, dtype: tf.DType = tf.uint8) -> cache.DiskStore:
    return cache.DiskStore(folder, identities, SHAPE, dtype)


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> cache.ImageStore:
    if request.param == "memory":
        return cache.MemoryStore(3, SHAPE, tf.uint8)
    return open_disk(tmp_path, "a", "b", "c")


def test_a_store_returns_what_was_written(store: cache.ImageStore) -> None:
    for row in (2, 0):
        store.write(row_of(row), image_of(row))
    np.testing.assert_array_equal(store.read(row_of(0)), image_of(0))
    np.testing.assert_array_equal(store.read(row_of(2)), image_of(2))
    assert tf.size(store.read(row_of(1))) == 0
    assert [store.holds(row) for row in range(3)] == [True, False, True]


def test_a_store_works_inside_tf_data(store: cache.ImageStore) -> None:
    def through(row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        stored = store.read(row)
        with tf.control_dependencies([stored]):  # a file that is being written is none
            written = store.write(row, tf.fill(SHAPE, tf.cast(row, tf.uint8)))
        with tf.control_dependencies([written]):
            return tf.size(stored), tf.identity(row)

    rows = tf.data.Dataset.range(3).map(through, num_parallel_calls=2)
    assert [int(size) for size, _ in rows] == [0, 0, 0]
    assert [int(size) for size, _ in rows] == [90, 90, 90]


def test_no_store_keeps_nothing() -> None:
    store = cache.ImageStore(tf.uint8)
    store.write(row_of(0), image_of(0))
    assert tf.size(store.read(row_of(0))) == 0


def test_another_run_finds_the_files_by_what_they_were_made_from(tmp_path: pathlib.Path) -> None:
    open_disk(tmp_path, "photo 1", "photo 2").write(row_of(1), image_of(7))
    later = open_disk(tmp_path, "photo 2", "photo 3")
    assert later.num_missing == 1
    np.testing.assert_array_equal(later.read(row_of(0)), image_of(7))
    assert tf.size(later.read(row_of(1))) == 0


@pytest.mark.parametrize(
    ("identity", "shape", "dtype"),
    [
        pytest.param("a, changed since", SHAPE, tf.uint8, id="another image"),
        pytest.param("a", (5, 6, 3), tf.uint8, id="another size"),
        pytest.param("a", SHAPE, tf.float32, id="another type"),
    ],
)
def test_a_file_is_not_taken_for(
    tmp_path: pathlib.Path, identity: str, shape: tuple[int, ...], dtype: tf.DType
) -> None:
    open_disk(tmp_path, "a").write(row_of(0), image_of(0))
    assert tf.size(cache.DiskStore(tmp_path, [identity], shape, dtype).read(row_of(0))) == 0


@pytest.mark.parametrize("position", [0, 30, -30, -5])
@pytest.mark.parametrize("damage", ["cut", "flipped", "zeros from here"])
def test_a_damaged_file_is_made_anew(tmp_path: pathlib.Path, damage: str, position: int) -> None:
    store = open_disk(tmp_path, "a")
    store.write(row_of(0), image_of(0))
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    content = bytearray(file.read_bytes())
    if damage == "cut":
        content = content[:position]
    elif damage == "flipped":
        content[position] ^= 1
    else:
        content[position:] = bytes(len(content[position:]))
    file.write_bytes(content)
    assert tf.size(store.read(row_of(0))) == 0
    store.write(row_of(0), image_of(0))
    np.testing.assert_array_equal(store.read(row_of(0)), image_of(0))


def test_a_killed_process_leaves_no_wrong_image(tmp_path: pathlib.Path) -> None:
    side, count = 500, 200
    writer = f"""
import tensorflow as tf
from tfod_transfer.data import cache
store = cache.DiskStore({str(tmp_path)!r}, [str(i) for i in range({count})], ({side}, {side}, 3), tf.uint8)
print("ready", flush=True)
for row in range({count}):
    store.write(tf.constant(row, tf.int64), tf.fill([{side}, {side}, 3], tf.cast(row, tf.uint8)))
"""
    with subprocess.Popen([sys.executable, "-c", writer], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("*/*"))) < 20 and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    store = cache.DiskStore(tmp_path, [str(i) for i in range(count)], (side, side, 3), tf.uint8)
    assert 0 < store.num_missing <= count - 20
    for row in range(count):
        image = store.read(row_of(row)).numpy()
        assert image.size == 0 or (image == row).all()


def test_a_memory_store_changes_its_tensor_in_place() -> None:
    """A copy at each write would take twice the memory, and the time to copy all images."""
    import psutil

    process = psutil.Process()
    store = cache.MemoryStore(50, (1000, 1000, 3), tf.uint8)
    before = process.memory_info().rss
    for row in range(50):
        store.write(row_of(row), tf.ones([1000, 1000, 3], tf.uint8))
    assert process.memory_info().rss - before < 75e6


GIGABYTE = 10**9
OPENINGS = [
    # mode, folder, free memory, free disk, kind of store, in the sentence
    pytest.param("auto", False, 4, 0, cache.MemoryStore, "in memory", id="auto: memory"),
    pytest.param("auto", True, 4, 9, cache.MemoryStore, "in memory", id="auto: memory before disk"),
    pytest.param("auto", True, 0.1, 9, cache.DiskStore, "cached in", id="auto: disk when memory is short"),
    pytest.param("auto", False, 0.1, 9, cache.ImageStore, "cache_dir would", id="auto: none without a folder"),
    pytest.param("auto", True, 0.1, 0.1, cache.ImageStore, "new has 100 MB free", id="auto: none when both are short"),
    pytest.param("memory", True, 4, 9, cache.MemoryStore, "in memory", id="memory"),
    pytest.param("disk", True, 4, 9, cache.DiskStore, "cached in", id="disk"),
    pytest.param("none", True, 4, 9, cache.ImageStore, "not cached", id="none"),
]
REFUSALS = [
    pytest.param("memory", True, 0.1, 9, r"192 MB.* do not fit.*50 MB.*cache=disk", id="memory is short"),
    pytest.param("memory", True, 0.3, 9, "may take 150 MB", id="only half of it may be taken"),
    pytest.param("disk", True, 4, 0.1, r"192 MB.* do not fit.* has 100 MB free", id="disk is short"),
    pytest.param("disk", False, 4, 9, "cache_dir", id="disk without a folder"),
]


def opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, mode: str, folder: bool, memory: float, disk: float
) -> tuple[cache.ImageStore, str]:
    """A thousand images of 192 kB; free memory and disk in GB."""
    monkeypatch.setattr(cache, "available_memory", lambda: int(memory * GIGABYTE))
    usage = type("usage", (), {"free": int(disk * GIGABYTE)})
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: usage)
    what = "decoded images of 320 x 200 pixels"
    return cache.open_store(mode, tmp_path / "new" if folder else "", what, 1000, (200, 320, 3), tf.uint8, str)


@pytest.mark.parametrize(("mode", "folder", "memory", "disk", "kind", "sentence"), OPENINGS)
def test_open_store(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    mode: str,
    folder: bool,
    memory: float,
    disk: float,
    kind: type,
    sentence: str,
) -> None:
    store, description = opened(monkeypatch, tmp_path, mode, folder, memory, disk)
    assert type(store) is kind
    assert sentence in description
    assert "1000 decoded images of 320 x 200 pixels (192 MB)" in description


@pytest.mark.parametrize(("mode", "folder", "memory", "disk", "message"), REFUSALS)
def test_open_store_refuses(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    mode: str,
    folder: bool,
    memory: float,
    disk: float,
    message: str,
) -> None:
    with pytest.raises(errors.UsageError, match=message):
        opened(monkeypatch, tmp_path, mode, folder, memory, disk)


@pytest.mark.parametrize(
    ("limit", "usage", "expected"),
    [
        pytest.param("1000000", "400000", 600_000, id="a container's limit"),
        pytest.param("1000000", "1400000", 0, id="a limit that is passed"),
        pytest.param("max", "400000", None, id="no limit"),
        pytest.param(str(2**62), "400000", None, id="a limit above what there is"),
    ],
)
def test_available_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, limit: str, usage: str, expected: int | None
) -> None:
    (tmp_path / "limit").write_text(limit)
    (tmp_path / "usage").write_text(usage)
    files = (("/nonexistent/limit", "/nonexistent/usage"), (tmp_path / "limit", tmp_path / "usage"))
    monkeypatch.setattr(cache, "_CGROUP_FILES", files)
    available = cache.available_memory()
    assert available == expected if expected is not None else available > 10**7
