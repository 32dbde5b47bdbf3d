"""The local cache of downloaded models, and how something comes into it: whole and checked, or not at all."""

from __future__ import annotations

import contextlib
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
from collections.abc import Callable, Iterator, Mapping

from tfod_transfer import archives, errors

TIMEOUT_SECONDS = 60.0

_log = logging.getLogger(__name__)


def cache_folder(environ: Mapping[str, str] = os.environ) -> pathlib.Path:
    """The local cache: TFOD_TRANSFER_CACHE, else TFHUB_CACHE_DIR, else ~/.cache/tfod_transfer."""
    chosen = environ.get("TFOD_TRANSFER_CACHE") or environ.get("TFHUB_CACHE_DIR")
    return pathlib.Path(chosen).expanduser() if chosen else pathlib.Path.home() / ".cache" / "tfod_transfer"


def cached(name: str, url: str | None, cache: pathlib.Path) -> pathlib.Path | None:
    """Our own entry, one that someone put there by hand, or one that `hub.resolve` made for this URL."""
    hub_name = hashlib.sha1((url or "").encode(), usedforsecurity=False).hexdigest()
    places = (cache / entry for entry in (name, f"{name}.tar.gz", hub_name))
    return next((place for place in places if place.exists()), None)


def opened(path: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    """Returns a folder as it is, and an archive unpacked in the cache (once for each state of the file).

    Raises:
      WeightsError: neither a folder nor an archive, or an archive that cannot be unpacked.
    """
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


def downloaded(name: str, cache: pathlib.Path, fetch: Callable[[pathlib.Path], pathlib.Path]) -> pathlib.Path:
    """Fetches a model and then renames it, so that what is in the cache is whole; processes share a download.

    Args:
      name: of the entry.
      cache: the cache.
      fetch: gets an empty folder to work in, returns the folder of the unpacked and checked archive.

    Returns:
      The entry's folder.
    """
    cache.mkdir(parents=True, exist_ok=True)
    entry = cache / name
    with _exclusive(cache / f".{name}.lock"):
        if not entry.exists():  # another process may have been faster
            for leftover in cache.glob(f".{name}.download-*"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=f".{name}.download-", dir=cache) as scratch:
                folder = fetch(pathlib.Path(scratch))
                inner = folder / name
                (inner if inner.is_dir() else folder).rename(entry)
    return entry


def fetched(url: str, scratch: pathlib.Path) -> pathlib.Path:
    """Returns the folder of the unpacked archive; tensorflow_hub unpacks what it downloads, without links or `..`.

    Raises:
      WeightsError: it does not come, or not whole.
    """
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
