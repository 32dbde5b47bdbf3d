"""A small checkpoint packed as the zoo packs its own, and what a local server says of it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pathlib
import tarfile
import threading
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

from tfod_transfer import authenticity, registry, weights

FPNLITE_320 = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
NAME = "ssd_tiny_coco17_tpu-8"
PARAMETERS = 50_000


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


def resolve(spec: registry.ModelSpec, cache: pathlib.Path, pretrained: str | None = None) -> weights.PretrainedSource:
    return weights.resolve_pretrained(spec, pretrained, environ={}, cache_dir=cache)


def resolve_elsewhere(
    spec: registry.ModelSpec, cache: pathlib.Path, together: Barrier, answers: SimpleQueue[str]
) -> None:
    """As `resolve`, in another process, as soon as all processes are there that start together."""
    together.wait()
    answers.put(resolve(spec, cache).prefix)


def entries(cache: pathlib.Path) -> list[str]:
    """What is in the cache, the lock aside."""
    return sorted(path.name for path in cache.glob("*") if not path.name.endswith(".lock"))
