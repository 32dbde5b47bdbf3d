from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tfod_transfer import authenticity, errors, registry, weights

ROOT = pathlib.Path(__file__).resolve().parent.parent
FPNLITE_320 = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
NAME = "ssd_tiny_coco17_tpu-8"
PARAMETERS = 50_000


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An unpacked archive as the zoo has them, with a small checkpoint of noise (so that it does not compress)."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("zoo") / NAME
    values = np.random.default_rng(0).standard_normal(PARAMETERS, np.float32)
    module = tf.Module()
    module.kernel = tf.Variable(values)
    tf.train.Checkpoint(model=module).write(str(folder / "checkpoint" / "ckpt-0"))
    (folder / "checkpoint" / "checkpoint").write_text('model_checkpoint_path: "ckpt-0"\n')
    (folder / "saved_model" / "variables").mkdir(parents=True)
    (folder / "saved_model" / "saved_model.pb").write_bytes(b"graph")
    (folder / "saved_model" / "variables" / "variables.index").write_bytes(b"index")
    (folder / "pipeline.config").write_text("model {}")
    return folder


def packed(folder: pathlib.Path, name: str | None = None) -> bytes:
    """A .tar.gz of the folder; at its top is `name`, by default the folder's own, "." for its contents alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, name or folder.name)
    return buffer.getvalue()


def spec_for(zoo: pathlib.Path, url: str) -> registry.ModelSpec:
    data = (zoo / "checkpoint" / "ckpt-0.data-00000-of-00001").read_bytes()
    source = registry.CheckpointSource(
        url=f"{url}/{NAME}.tar.gz",
        data_bytes=len(data),
        data_sha256=hashlib.sha256(data).hexdigest(),
        tensor_crc_digest=authenticity.tensor_crc_digest(zoo / "checkpoint" / "ckpt-0"),
    )
    return dataclasses.replace(registry.load_registry().get(FPNLITE_320), checkpoint=source, parameters=PARAMETERS)


@dataclasses.dataclass
class Server:
    """Sends `body` for every path, `announced` bytes of it by its own account, after `wait`; counts the requests."""

    body: bytes = b""
    status: int = 200
    announced: int | None = None
    wait: threading.Event | None = None
    requests: list[str] = dataclasses.field(default_factory=list)
    url: str = ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            if state.wait is not None:
                state.wait.wait(30)
            self.send_response(state.status)
            self.send_header("Content-Length", str(state.announced or len(state.body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(state.body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield state
        if state.wait is not None:
            state.wait.set()
        running.shutdown()
        thread.join()


def resolve(spec: registry.ModelSpec, cache: pathlib.Path, pretrained: str | None = None) -> weights.PretrainedSource:
    return weights.resolve_pretrained(spec, pretrained, environ={}, cache_dir=cache)


def entries(cache: pathlib.Path) -> list[str]:
    """What is in the cache, the lock aside."""
    return sorted(path.name for path in cache.glob("*") if not path.name.endswith(".lock"))


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
    monkeypatch.setattr(weights, "TIMEOUT_SECONDS", 0.2)
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


DOWNLOADER = """
import json, pathlib, sys
from tfod_transfer import registry, weights
source = registry.CheckpointSource(**json.loads(sys.argv[1]))
spec = registry.dataclasses.replace(next(iter(registry.load_registry())), checkpoint=source, parameters=50_000)
import tensorflow_hub
print("ready", flush=True)
sys.stdin.readline()
print(weights.resolve_pretrained(spec, environ={}, cache_dir=sys.argv[2]).prefix)
"""


def test_processes_share_a_download_and_survive_a_killed_one(
    server: Server, zoo: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    server.body, server.wait = packed(zoo), threading.Event()
    source = json.dumps(dataclasses.asdict(spec_for(zoo, server.url).checkpoint))
    command = [sys.executable, "-c", DOWNLOADER, source, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    processes = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    killed, *others = processes
    print(file=killed.stdin, flush=True)
    while not server.requests:
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert entries(tmp_path), "the killed process left something"
    for process in others:
        print(file=process.stdin, flush=True)
    server.wait.set()
    for process in others:
        assert process.communicate()[0].strip() == str(tmp_path / NAME / "checkpoint" / "ckpt-0")
        assert process.returncode == 0
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
    hub.resolve(spec.checkpoint.url)
    found = weights.resolve_pretrained(spec)
    assert "from the cache" in found.origin
    assert len(server.requests) == 1


def test_something_else_in_the_cache_is_refused(server: Server, zoo: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / f"{NAME}.tar.gz").write_bytes(other_model(zoo))
    with pytest.raises(errors.WeightsError, match=rf"{NAME}\.tar\.gz \(delete it .* expected data with SHA-256"):
        resolve(spec_for(zoo, server.url), tmp_path)
    assert server.requests == []


# how a person may give a checkpoint: (made from the unpacked archive, expected prefix below it or None)
def as_archive(zoo: pathlib.Path, tmp: pathlib.Path) -> pathlib.Path:
    (tmp / "mine.tgz").write_bytes(packed(zoo))
    return tmp / "mine.tgz"


GIVEN: dict[str, Callable[[pathlib.Path, pathlib.Path], pathlib.Path]] = {
    "zoo folder": lambda zoo, tmp: zoo,
    "checkpoint folder": lambda zoo, tmp: zoo / "checkpoint",
    "folder around": lambda zoo, tmp: zoo.parent,
    "prefix": lambda zoo, tmp: zoo / "checkpoint" / "ckpt-0",
    "index file": lambda zoo, tmp: zoo / "checkpoint" / "ckpt-0.index",
    "archive": as_archive,
}


@pytest.fixture
def alone(zoo: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """The unpacked archive in a folder of its own."""
    return shutil.copytree(zoo, tmp_path / "alone" / NAME)


@pytest.mark.parametrize("case", GIVEN)
def test_a_checkpoint_can_be_given(case: str, alone: pathlib.Path, server: Server, tmp_path: pathlib.Path) -> None:
    path = GIVEN[case](alone, tmp_path)
    found = resolve(spec_for(alone, server.url), tmp_path / "cache", str(path))
    assert pathlib.Path(f"{found.prefix}.index").read_bytes() == (alone / "checkpoint/ckpt-0.index").read_bytes()
    assert found.origin == f"pretrained weights given as --pretrained {path}"
    assert (case == "archive") == found.prefix.startswith(str(tmp_path / "cache"))
    assert server.requests == []


def test_an_archive_is_unpacked_again_only_when_it_changes(alone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    spec, archive = spec_for(alone, "http://x"), as_archive(alone, tmp_path)
    first = resolve(spec, tmp_path / "cache", str(archive)).prefix
    inode = os.stat(f"{first}.index").st_ino
    assert resolve(spec, tmp_path / "cache", str(archive)).prefix == first
    assert os.stat(f"{first}.index").st_ino == inode
    os.utime(archive, (1, 1))
    assert resolve(spec, tmp_path / "cache", str(archive)).prefix != first


# a path that holds no checkpoint: words of the error
WRONG_PATHS = {
    "nowhere": "does not exist; expected a folder, a .tar.gz or a checkpoint",
    "photo.jpg": "neither a folder nor an archive",
    "empty": "no checkpoint in",
    "broken.tar.gz": "expected a whole .tar.gz archive",
}


@pytest.mark.parametrize("name", WRONG_PATHS)
def test_a_wrong_path_is_explained(name: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "broken.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(errors.WeightsError) as caught:
        resolve(registry.load_registry().get(FPNLITE_320), tmp_path / "cache", str(tmp_path / name))
    assert WRONG_PATHS[name] in str(caught.value)


@pytest.mark.parametrize("unpacked", [True, False])
def test_the_model_channel(unpacked: bool, alone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    channel = tmp_path / "channel"
    channel.mkdir()
    (channel / "model.tar.gz").write_bytes(packed(alone, "."))
    if unpacked:
        shutil.copytree(alone, channel / "model")
    spec = spec_for(alone, "http://x")
    environ = {"SM_CHANNEL_MODEL": str(channel), "TFOD_TRANSFER_CACHE": str(tmp_path / "cache")}
    found = weights.resolve_pretrained(spec, environ=environ)
    assert found.origin == f"pretrained weights from the model channel {channel}"
    assert found.prefix.startswith(str(channel if unpacked else tmp_path / "cache"))
    given = weights.resolve_pretrained(spec, str(alone), environ=environ)
    assert given.prefix == str(alone / "checkpoint" / "ckpt-0")


def test_an_empty_model_channel_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.WeightsError, match=f"no checkpoint in {tmp_path}"):
        weights.resolve_pretrained(
            registry.load_registry().get(FPNLITE_320), environ={"SM_CHANNEL_MODEL": str(tmp_path)}
        )


def test_an_embedded_checkpoint(alone: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE_FOLDER", alone)
    spec = spec_for(alone, "http://x")
    spec = dataclasses.replace(spec, checkpoint=registry.CheckpointSource(path="checkpoint"))
    found = resolve(spec, tmp_path / "cache")
    assert found.prefix == str(alone / "checkpoint" / "ckpt-0")
    assert found.origin == "pretrained weights embedded in the package"
    assert not (tmp_path / "cache").exists()


def test_labels_that_lie_with_the_checkpoint_name_its_classes(alone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    spec = spec_for(alone, "http://x")
    (alone / "labels.txt").write_text("cat\ndog\n")
    assert resolve(spec, tmp_path, str(alone)).class_names == ("cat", "dog")
    (alone / "labels_info.json").write_text('{"labels": ["N/A", "cat", "owl"]}')
    artifact = resolve(spec, tmp_path, str(alone))
    assert (artifact.class_names, artifact.finetuned) == (("cat", "owl"), True)
    (tmp_path / "mine.txt").write_text("eagle\n")
    named = weights.resolve_pretrained(
        spec, str(alone), pretrained_labels=str(tmp_path / "mine.txt"), environ={}, cache_dir=tmp_path
    )
    assert named.class_names == ("eagle",)


# environment: the cache's folder
CACHES = {
    "own": ({"TFOD_TRANSFER_CACHE": "/a", "TFHUB_CACHE_DIR": "/b"}, pathlib.Path("/a")),
    "of hub": ({"TFHUB_CACHE_DIR": "/b"}, pathlib.Path("/b")),
    "default": ({}, pathlib.Path.home() / ".cache" / "tfod_transfer"),
    "home": ({"TFOD_TRANSFER_CACHE": "~/x"}, pathlib.Path.home() / "x"),
}


@pytest.mark.parametrize("case", CACHES)
def test_the_place_of_the_cache(case: str) -> None:
    environ, expected = CACHES[case]
    assert weights.cache_folder(environ) == expected


def test_the_real_checkpoint_of_hands(shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path) -> None:
    folder = shared("checkpoints/ssd_mobilenet_v2_fpnlite_320x320_hands")
    found = resolve(registry.load_registry().get(FPNLITE_320), tmp_path, str(folder))
    assert found.class_names == ("open", "closed", "pinch", "point", "face", "pointtip", "pinchtip")
    assert (found.folder, found.finetuned) == (str(folder / "checkpoint"), False)


def test_a_checkpoint_without_its_data_is_named(shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path) -> None:
    folder = shared("zoo/index/ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8")
    with pytest.raises(errors.WeightsError, match="0 of its 1 data files"):
        resolve(registry.load_registry().get(FPNLITE_320), tmp_path, str(folder))
