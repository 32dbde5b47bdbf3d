"""Finds the SavedModel of a model that can only be run: given, in the cache, or downloaded from TensorFlow Hub."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Literal

from tfod_transfer import errors, model_cache
from tfod_transfer.registry import SavedModelSpec

_FILE = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class SavedModelSource:
    """A SavedModel that is there to be loaded: its folder, and one sentence on where it came from."""

    folder: str
    origin: str


def resolve(
    spec: SavedModelSpec,
    given: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    cache_dir: str | os.PathLike[str] | None = None,
) -> SavedModelSource:
    """Returns the first of: `given`, the cache, a download.

    Args:
      spec: the model.
      given: a folder that holds a SavedModel, itself or further down as in an archive of the zoo; or such a folder as
        .tar.gz or .tgz.
      environ: where the cache's place is looked up.
      cache_dir: place of the cache; see `model_cache.cache_folder` for the default.

    Raises:
      WeightsError: there is no SavedModel where there should be one, or the download failed.
    """
    cache = pathlib.Path(cache_dir) if cache_dir else model_cache.cache_folder(environ)
    if given:
        path = pathlib.Path(given).expanduser()
        if not path.exists():
            raise errors.WeightsError(
                f"--pretrained {given} does not exist; expected a SavedModel folder or a .tar.gz."
            )
        return SavedModelSource(_saved_model_in(model_cache.opened(path, cache)), f"given as --pretrained {given}")
    if cached := model_cache.cached(spec.model_id, spec.url, cache):
        return SavedModelSource(_saved_model_in(model_cache.opened(cached, cache)), f"from the cache {cached}")
    entry = model_cache.downloaded(spec.model_id, cache, lambda scratch: _fetched(spec, scratch, cache))
    return SavedModelSource(_saved_model_in(entry), f"downloaded from {spec.url}")


def locality(spec: SavedModelSpec, environ: Mapping[str, str] = os.environ) -> Literal["cached", "download"]:
    """Where the model would come from when nothing else is given."""
    return "cached" if model_cache.cached(spec.model_id, spec.url, model_cache.cache_folder(environ)) else "download"


def _fetched(spec: SavedModelSpec, scratch: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    try:
        folder = model_cache.fetched(spec.url, scratch)
        _saved_model_in(folder)
    except errors.WeightsError as error:
        raise errors.WeightsError(
            f"cannot get {spec.model_id} from {spec.url}: {error} Try again; or put the archive into {cache} as "
            f"{spec.model_id}.tar.gz; or give its place with --pretrained PATH."
        ) from None
    return folder


def _saved_model_in(folder: pathlib.Path) -> str:
    """The one folder in `folder`, itself included, that holds a SavedModel."""
    found = sorted(folder.rglob(_FILE))
    if (folder / _FILE) in found:
        return str(folder)
    if len(found) != 1:
        places = ", ".join(str(path.parent.relative_to(folder)) for path in found) or "none"
        raise errors.WeightsError(f"{folder} must hold one SavedModel ({_FILE} and variables/); found: {places}.")
    return str(found[0].parent)
