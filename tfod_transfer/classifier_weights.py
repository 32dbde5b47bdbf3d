"""Weights of tf_keras.applications, an .h5 each: found in the cache or downloaded, and known by their MD5."""

from __future__ import annotations

import hashlib
import http.client
import logging
import pathlib
import shutil
import urllib.request

from tfod_transfer import errors, model_cache
from tfod_transfer.registry import ModelSpec

SUFFIXES = (".h5", ".hdf5")

_log = logging.getLogger(__name__)


def located(spec: ModelSpec, cache: pathlib.Path) -> tuple[pathlib.Path, str]:
    """Returns the file with a model's backbone, and where it came from: the cache, or a download into it.

    Raises:
      WeightsError: it cannot be downloaded, or is not the file that the registry knows.
    """
    checkpoint = spec.checkpoint
    entry = model_cache.cached(checkpoint.name, checkpoint.url, cache)
    origin = f"from the cache {entry}"
    if entry is None:
        entry = model_cache.downloaded(checkpoint.name, cache, lambda scratch: _downloaded(spec, scratch, cache))
        origin = f"downloaded from {checkpoint.url}"
    file = entry / checkpoint.name if entry.is_dir() else entry
    _verify(file, spec, f"{file} (delete it to download it again)")
    return file, origin


def _downloaded(spec: ModelSpec, scratch: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    """Returns the folder with the file, whole and genuine."""
    url, folder = str(spec.checkpoint.url), scratch / "file"
    folder.mkdir()
    file = folder / spec.checkpoint.name
    _log.info("downloading %s", url)
    try:
        with urllib.request.urlopen(url, timeout=model_cache.TIMEOUT_SECONDS) as answer, file.open("wb") as target:
            shutil.copyfileobj(answer, target, 1 << 20)
        _verify(file, spec, "what came")
    except (OSError, http.client.HTTPException, errors.WeightsError) as error:
        raise errors.WeightsError(
            f"cannot get the ImageNet weights of {spec.model_id} from {url}: {error} Try again; or put "
            f"{file.name} into {cache}; or give its place with --pretrained PATH; or train "
            "without them: --use_pretrained_model 0."
        ) from None
    return folder


def _verify(file: pathlib.Path, spec: ModelSpec, what: str) -> None:
    digest = hashlib.md5(usedforsecurity=False)  # all that Keras publishes
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != spec.checkpoint.md5:
        raise errors.WeightsError(
            f"{what} is not {spec.checkpoint.name}: expected the MD5 {spec.checkpoint.md5}, found {digest.hexdigest()}."
        )
