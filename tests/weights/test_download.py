"""Downloads and the cache: whole and genuine, or explained and gone."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import multiprocessing
import os
import pathlib
import shutil
import socket
import tarfile
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier

import numpy as np
import pytest
from fake_zoo import NAME, PARAMETERS, Server, entries, packed, resolve, resolve_elsewhere, spec_for

from tfod_transfer import errors, model_cache, weights


def test_a_download_is_kept_for_the_next_time(server: Server, zoo: pathlib.Path, tmp_path: pathlib.Path) -> None:
    server.body = packed(zoo)
    spec = spec_for(zoo, server.url)
    first = resolve(spec, tmp_path / "cache")
    assert first.prefix == str(tmp_path / "cache" / NAME / "checkpoint" / "ckpt-0")
    assert first.folder == str(tmp_path / "cache" / NAME / "checkpoint")
    assert first.origin == f"pretrained weights downloaded from {spec.checkpoint.url}"
    assert (first.class_names, first.finetuned) == (spec.class_names, False)
    assert pathlib.Path(f"{first.prefix}.index").read_bytes() == (zoo / "checkpoint/ckpt-0.index").read_bytes()
    assert entries(tmp_path / "cache") == [NAME]
    second = resolve(spec, tmp_path / "cache")
    assert second == dataclasses.replace(first, origin=f"pretrained weights from the cache {tmp_path / 'cache' / NAME}")
    assert [request.split("?")[0] for request in server.requests] == [f"/{NAME}.tar.gz"]


def test_an_archive_without_a_top_folder_will_do(server: Server, zoo: pathlib.Path, tmp_path: pathlib.Path) -> None:
    server.body = packed(zoo, ".")
    assert resolve(spec_for(zoo, server.url), tmp_path).prefix == str(tmp_path / NAME / "checkpoint" / "ckpt-0")


def test_a_file_url_is_unpacked(zoo: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / f"{NAME}.tar.gz").write_bytes(packed(zoo))
    found = resolve(spec_for(zoo, f"file://{tmp_path}"), tmp_path / "cache")
    assert found.prefix == str(tmp_path / "cache" / NAME / "checkpoint" / "ckpt-0")


def other_model(zoo: pathlib.Path) -> bytes:
    import tensorflow as tf

    folder = zoo.parent / "other"
    module = tf.Module()
    module.kernel = tf.Variable(np.zeros(PARAMETERS, np.float32))
    tf.train.Checkpoint(model=module).write(str(folder / "checkpoint" / "ckpt-0"))
    return packed(folder, NAME)


def only_saved_model(zoo: pathlib.Path) -> bytes:
    return packed(zoo / "saved_model")


def link_out(zoo: pathlib.Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("checkpoint")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(info)
    return buffer.getvalue()


# what the server does: (body from the good one, status, bytes it announces beyond those it sends, words of the error)
FAILURES: dict[str, tuple[Callable[[pathlib.Path], bytes], int, int, str]] = {
    "not found": (lambda zoo: b"no such file", 404, 0, "HTTP Error 404"),
    "server error": (lambda zoo: b"", 503, 0, "HTTP Error 503"),
    "connection closed early": (
        lambda zoo: packed(zoo)[:90_000],
        200,
        99_999,
        "no whole .tar.gz archive (unexpected end of data)",
    ),
    "connection closed before any byte": (lambda zoo: b"", 200, 99_999, "no whole .tar.gz archive (empty file)"),
    "truncated archive": (
        lambda zoo: packed(zoo)[:90_000],
        200,
        0,
        "no whole .tar.gz archive (unexpected end of data)",
    ),
    "web page": (lambda zoo: b"<!DOCTYPE html>" * 100, 200, 0, "no whole .tar.gz archive"),
    "another model": (other_model, 200, 0, "expected data with SHA-256"),
    "a SavedModel alone": (only_saved_model, 200, 0, "A SavedModel cannot be trained further"),
    "a link out": (link_out, 200, 0, "Unexpected object type"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failed_download_is_explained_and_leaves_nothing(
    case: str, server: Server, zoo: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    make_body, server.status, missing, words = FAILURES[case]
    server.body = make_body(zoo)
    server.announced = len(server.body) + missing
    spec = spec_for(zoo, server.url)
    with pytest.raises(errors.WeightsError) as caught:
        resolve(spec, tmp_path)
    message = str(caught.value)
    assert words in message
    assert f"from {server.url}/{NAME}.tar.gz" in message
    assert f"its data file of {spec.checkpoint.data_bytes:,} bytes" in message
    assert f"put {NAME}.tar.gz into {tmp_path}; or give its place with --pretrained PATH" in message
    assert entries(tmp_path) == []

    server.body, server.status, server.announced = packed(zoo), 200, None
    assert resolve(spec, tmp_path).prefix == str(tmp_path / NAME / "checkpoint" / "ckpt-0")
    assert entries(tmp_path) == [NAME]


def test_a_damaged_byte_is_noticed_where_only_the_tensors_are_known(
    server: Server, zoo: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(zoo, tmp_path / NAME)
    data = tmp_path / NAME / "checkpoint" / "ckpt-0.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    server.body = packed(tmp_path / NAME)
    spec = spec_for(zoo, server.url)
    spec = dataclasses.replace(spec, checkpoint=dataclasses.replace(spec.checkpoint, data_sha256=None))
    with pytest.raises(errors.WeightsError, match="is damaged"):
        resolve(spec, tmp_path / "cache")
    assert entries(tmp_path / "cache") == []


def test_an_unreachable_server_is_explained(zoo: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with socket.socket() as taken:  # bound, yet nobody listens
        taken.bind(("127.0.0.1", 0))
        spec = spec_for(zoo, f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(errors.WeightsError, match=r"Connection refused.*data file of [\d,]+ bytes.*--pretrained"):
            resolve(spec, tmp_path)


def test_a_silent_server_is_given_up(
    server: Server, zoo: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_cache, "TIMEOUT_SECONDS", 0.2)
    server.wait = threading.Event()
    with pytest.raises(errors.WeightsError, match="timed out"):
        resolve(spec_for(zoo, server.url), tmp_path)
    assert socket.getdefaulttimeout() is None


def test_the_environment_of_the_process_stays(
    server: Server, zoo: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", "/nowhere")
    monkeypatch.delenv("TFHUB_MODEL_LOAD_FORMAT", raising=False)
    before = dict(os.environ)
    server.body = packed(zoo)
    resolve(spec_for(zoo, server.url), tmp_path)
    assert dict(os.environ) == before


def test_processes_share_a_download_and_survive_a_killed_one(
    server: Server, zoo: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    server.body, server.wait = packed(zoo), threading.Event()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tensorflow_hub"])  # imported once for all three
    answers = processes.SimpleQueue()
    spec = spec_for(zoo, server.url)

    def start(together: Barrier) -> list[BaseProcess]:
        arguments = spec, tmp_path, together, answers
        started = [processes.Process(target=resolve_elsewhere, args=arguments) for _ in range(together.parties)]
        for process in started:
            process.start()
        return started

    def wait_for_requests(count: int) -> None:
        while len(server.requests) < count:
            assert all(process.is_alive() for process in running)
            time.sleep(0.01)

    alone, pair = processes.Barrier(1), processes.Barrier(2)
    running = start(alone)
    wait_for_requests(1)
    running[0].kill()
    running[0].join()
    assert entries(tmp_path), "the killed process left something"
    running = start(pair)
    wait_for_requests(2)
    server.wait.set()
    for process in running:
        process.join()
        assert process.exitcode == 0
        assert answers.get() == str(tmp_path / NAME / "checkpoint" / "ckpt-0")
    assert entries(tmp_path) == [NAME]
    assert len(server.requests) == 2, "one of the killed process, one of the two others together"


# what lies in the cache without our having put it there
def place_folder(zoo: pathlib.Path, cache: pathlib.Path, url: str) -> None:
    shutil.copytree(zoo, cache / NAME)


def place_archive(zoo: pathlib.Path, cache: pathlib.Path, url: str) -> None:
    (cache / f"{NAME}.tar.gz").write_bytes(packed(zoo))


def place_as_hub_does(zoo: pathlib.Path, cache: pathlib.Path, url: str) -> None:
    shutil.copytree(zoo, cache / hashlib.sha1(url.encode()).hexdigest() / NAME)


@pytest.mark.parametrize("place", [place_folder, place_archive, place_as_hub_does])
def test_what_is_in_the_cache_is_not_downloaded(
    place: Callable[[pathlib.Path, pathlib.Path, str], None], server: Server, zoo: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    spec = spec_for(zoo, server.url)
    assert spec.checkpoint.url
    place(zoo, tmp_path, spec.checkpoint.url)
    assert weights.locality(spec.checkpoint, {"TFHUB_CACHE_DIR": str(tmp_path)}) == "cached"
    found = resolve(spec, tmp_path)
    assert "from the cache" in found.origin
    assert pathlib.Path(f"{found.prefix}.index").is_file()
    assert server.requests == []


def test_hub_finds_its_own_cache_where_we_look(
    server: Server, zoo: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow_hub as hub

    server.body = packed(zoo)
    spec = spec_for(zoo, server.url)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("TFOD_TRANSFER_CACHE", raising=False)
    monkeypatch.delenv(weights.CHANNEL, raising=False)
    hub.resolve(spec.checkpoint.url)
    found = weights.resolve_pretrained(spec)
    assert "from the cache" in found.origin
    assert len(server.requests) == 1


def test_something_else_in_the_cache_is_refused(server: Server, zoo: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / f"{NAME}.tar.gz").write_bytes(other_model(zoo))
    with pytest.raises(errors.WeightsError, match=rf"{NAME}\.tar\.gz \(delete it .* expected data with SHA-256"):
        resolve(spec_for(zoo, server.url), tmp_path)
    assert server.requests == []
