"""Finds the pretrained checkpoint of a run: given, in SageMaker's channel, embedded, cached or downloaded."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import http.client
import logging
import os
import pathlib
import shutil
import socket
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from typing import Literal

from tfod_transfer import archives, authenticity, checkpoint_files, errors
from tfod_transfer.registry import CheckpointSource, ModelSpec

PACKAGE_FOLDER = pathlib.Path(__file__).parent
CHANNEL = "SM_CHANNEL_MODEL"
TIMEOUT_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class PretrainedSource:
    """A checkpoint that is there to be restored.

    Attributes:
      prefix: of the checkpoint, for `tf.train.load_checkpoint`.
      folder: that holds the checkpoint's files.
      origin: one sentence on where it came from.
      class_names: names of its classes, by class; None for a class without a name. They are those of the registry when
        no labels lie beside the checkpoint, so compare their number with the checkpoint's class head.
      finetuned: whether it is of an artifact of this package (incremental training).
    """

    prefix: str
    folder: str
    origin: str
    class_names: tuple[str | None, ...]
    finetuned: bool


def resolve_pretrained(
    spec: ModelSpec,
    pretrained: str | None = None,
    *,
    pretrained_labels: str | None = None,
    environ: Mapping[str, str] = os.environ,
    cache_dir: str | os.PathLike[str] | None = None,
) -> PretrainedSource:
    """Returns the first of: `pretrained`, SageMaker's model channel, the embedded checkpoint, the cache, a download.

    Args:
      spec: the model.
      pretrained: a folder that holds a checkpoint (itself, in `checkpoint/`, or one folder deeper, as in an unpacked
        zoo archive or an artifact), such a folder as .tar.gz or .tgz, or a checkpoint prefix.
      pretrained_labels: file with the checkpoint's class names, one a line, or a labels_info.json.
      environ: where SM_CHANNEL_MODEL and the cache's place are looked up.
      cache_dir: place of the cache; see `cache_folder` for the default.

    Raises:
      WeightsError: there is no checkpoint where there should be one, the download failed, or what came is not the
        checkpoint that the registry knows.
    """
    cache = pathlib.Path(cache_dir) if cache_dir else cache_folder(environ)
    prefix, origin = _located(spec, pretrained, environ.get(CHANNEL), cache)
    labels, finetuned = checkpoint_files.labels_beside(prefix)
    if pretrained_labels:
        labels = pathlib.Path(pretrained_labels).expanduser()
    return PretrainedSource(
        prefix=str(prefix),
        folder=str(prefix.parent),
        origin=f"pretrained weights {origin}",
        class_names=checkpoint_files.read_labels(labels) if labels else spec.class_names,
        finetuned=finetuned,
    )


def _located(
    spec: ModelSpec, pretrained: str | None, channel: str | None, cache: pathlib.Path
) -> tuple[pathlib.Path, str]:
    """Returns the prefix, and where it came from."""
    if pretrained:
        return _given(pathlib.Path(pretrained).expanduser(), cache), f"given as --pretrained {pretrained}"
    if channel:
        return _in_channel(pathlib.Path(channel), cache), f"from the model channel {channel}"
    if spec.checkpoint.path:
        return checkpoint_files.find(PACKAGE_FOLDER / spec.checkpoint.path), "embedded in the package"
    if cached := _cached(spec.checkpoint, cache):
        prefix = checkpoint_files.find(_opened(cached, cache))
        authenticity.verify(prefix, spec, f"{cached} (delete it to download it again)")
        return prefix, f"from the cache {cached}"
    return _downloaded(spec, cache), f"downloaded from {spec.checkpoint.url}"


def cache_folder(environ: Mapping[str, str] = os.environ) -> pathlib.Path:
    """The local cache: TFOD_TRANSFER_CACHE, else TFHUB_CACHE_DIR, else ~/.cache/tfod_transfer."""
    chosen = environ.get("TFOD_TRANSFER_CACHE") or environ.get("TFHUB_CACHE_DIR")
    return pathlib.Path(chosen).expanduser() if chosen else pathlib.Path.home() / ".cache" / "tfod_transfer"


def locality(
    checkpoint: CheckpointSource, environ: Mapping[str, str] = os.environ
) -> Literal["embedded", "cached", "download"]:
    """Where the weights would come from when nothing else is given."""
    if checkpoint.path:
        return "embedded"
    return "cached" if _cached(checkpoint, cache_folder(environ)) else "download"


def _given(path: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    prefix = path.with_name(path.name.removesuffix(".index"))
    if pathlib.Path(f"{prefix}.index").is_file():
        return checkpoint_files.checked_shards(prefix)
    if not path.exists():
        raise errors.WeightsError(f"--pretrained {path} does not exist; expected a folder, a .tar.gz or a checkpoint.")
    return checkpoint_files.find(_opened(path, cache))


def _in_channel(folder: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    """The channel holds files, or, as SageMaker's model_uri gives it, one archive that is not unpacked."""
    found = [path for path in folder.glob("*") if path.name.endswith(archives.SUFFIXES)]
    if len(found) == 1 and not checkpoint_files.index_files(folder):
        return checkpoint_files.find(_opened(found[0], cache))
    return checkpoint_files.find(folder)


def _cached(checkpoint: CheckpointSource, cache: pathlib.Path) -> pathlib.Path | None:
    """Our own entry, one that someone put there by hand, or one that `hub.resolve` made for this URL."""
    hub_name = hashlib.sha1((checkpoint.url or "").encode(), usedforsecurity=False).hexdigest()
    places = (cache / name for name in (checkpoint.name, checkpoint.archive, hub_name))
    return next((place for place in places if place.exists()), None)


def _opened(path: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    """Returns a folder as it is, and an archive unpacked in the cache (once for each state of the file)."""
    if path.is_dir():
        return path
    if not path.name.endswith(archives.SUFFIXES):
        raise errors.WeightsError(
            f"{path} is neither a folder nor an archive; expected {' or '.join(archives.SUFFIXES)}."
        )
    status = path.stat()
    state = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
    folder = cache / "unpacked" / hashlib.sha256(state.encode()).hexdigest()[:32]
    if not folder.is_dir():
        archives.unpack(path, folder)
    return folder


def _downloaded(spec: ModelSpec, cache: pathlib.Path) -> pathlib.Path:
    """Downloads, verifies and then renames, so that what is in the cache is whole and genuine."""
    name = spec.checkpoint.name
    cache.mkdir(parents=True, exist_ok=True)
    with _exclusive(cache / f".{name}.lock"):
        entry = cache / name
        if not entry.exists():  # another process may have been faster
            for leftover in cache.glob(f".{name}.download-*"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=f".{name}.download-", dir=cache) as scratch:
                folder = _genuine(spec, pathlib.Path(scratch), cache)
                inner = folder / name
                (inner if inner.is_dir() else folder).rename(entry)
        return checkpoint_files.find(entry)


def _genuine(spec: ModelSpec, scratch: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    """Returns the folder of the unpacked and verified archive."""
    checkpoint = spec.checkpoint
    try:
        folder = _fetched(str(checkpoint.url), scratch)
        authenticity.verify(checkpoint_files.find(folder), spec, "what came")
    except errors.WeightsError as error:
        size = authenticity.size_in_words(spec)
        raise errors.WeightsError(
            f"cannot get the pretrained weights of {spec.model_id} from {checkpoint.url}: {error} Expected an archive "
            f"with the checkpoint {checkpoint.name}, its data file of {size}. Try again; or put {checkpoint.archive} "
            f"into {cache}; or give its place with --pretrained PATH."
        ) from None
    return folder


def _fetched(url: str, scratch: pathlib.Path) -> pathlib.Path:
    """Returns the folder of the unpacked archive; tensorflow_hub unpacks what it downloads, without links or `..`."""
    import tensorflow as tf
    import tensorflow_hub as hub

    _log.info("downloading %s", url)
    try:
        with _hub_settings(scratch):
            found = pathlib.Path(hub.resolve(url).removeprefix("file://"))
    except (OSError, ValueError, http.client.HTTPException, tf.errors.OpError) as error:
        # hub calls all that tarfile cannot read "not a valid module"; tarfile says why.
        why = error.__context__
        problem = f"what came is no whole .tar.gz archive ({why})" if isinstance(why, tarfile.TarError) else error
        raise errors.WeightsError(f"{problem}.") from None
    if found.is_dir():
        return found
    archives.unpack(found, scratch / "unpacked")
    return scratch / "unpacked"


@contextlib.contextmanager
def _hub_settings(cache: pathlib.Path) -> Iterator[None]:
    """hub.resolve takes its settings from the environment, and waits for a silent server for ever by default."""
    wanted = {"TFHUB_CACHE_DIR": str(cache), "TFHUB_MODEL_LOAD_FORMAT": "COMPRESSED"}
    if sys.stdout.isatty():
        wanted["TFHUB_DOWNLOAD_PROGRESS"] = "1"
    before = {name: os.environ.get(name) for name in wanted}
    timeout = socket.getdefaulttimeout()
    os.environ.update(wanted)
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _exclusive(path: pathlib.Path) -> Iterator[None]:
    """Holds a lock that the system releases when the process dies."""
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("another process is downloading %s; waiting for it", path.name.strip("."))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
