"""Finds the pretrained checkpoint of a run: given, in SageMaker's channel, embedded, cached or downloaded."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Literal

from tfod_transfer import archives, authenticity, checkpoint_files, classifier_weights, errors, model_cache
from tfod_transfer.registry import CheckpointSource, ModelSpec

PACKAGE_FOLDER = pathlib.Path(__file__).parent
CHANNEL = "SM_CHANNEL_MODEL"


@dataclasses.dataclass(frozen=True)
class PretrainedSource:
    """A checkpoint that is there to be restored.

    Attributes:
      prefix: of the checkpoint, for `tf.train.load_checkpoint`; or an .h5 with weights of an image classifier.
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

    @property
    def of_backbone(self) -> bool:
        """Whether it holds an image classifier's weights, of which a detector takes its backbone."""
        return self.prefix.endswith(classifier_weights.SUFFIXES)


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
        zoo archive or an artifact), such a folder as .tar.gz or .tgz, a checkpoint prefix, or an .h5 of
        tf_keras.applications.
      pretrained_labels: file with the checkpoint's class names, one a line, or a labels_info.json.
      environ: where SM_CHANNEL_MODEL and the cache's place are looked up.
      cache_dir: place of the cache; see `model_cache.cache_folder` for the default.

    Raises:
      WeightsError: there is no checkpoint where there should be one, the download failed, or what came is not the
        checkpoint that the registry knows.
    """
    cache = pathlib.Path(cache_dir) if cache_dir else model_cache.cache_folder(environ)
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


def are_given(pretrained: str | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether weights to start from were chosen, and not left to the registry."""
    return bool(pretrained or environ.get(CHANNEL))


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
    if spec.checkpoint.of_backbone:
        return classifier_weights.located(spec, cache)
    if cached := _cached(spec.checkpoint, cache):
        prefix = checkpoint_files.find(model_cache.opened(cached, cache))
        authenticity.verify(prefix, spec, f"{cached} (delete it to download it again)")
        return prefix, f"from the cache {cached}"
    return _downloaded(spec, cache), f"downloaded from {spec.checkpoint.url}"


def locality(
    checkpoint: CheckpointSource, environ: Mapping[str, str] = os.environ
) -> Literal["embedded", "cached", "download"]:
    """Where the weights would come from when nothing else is given."""
    if checkpoint.path:
        return "embedded"
    return "cached" if _cached(checkpoint, model_cache.cache_folder(environ)) else "download"


def _given(path: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    prefix = path.with_name(path.name.removesuffix(".index"))
    if pathlib.Path(f"{prefix}.index").is_file():
        return checkpoint_files.checked_shards(prefix)
    if path.name.endswith(classifier_weights.SUFFIXES) and path.is_file():
        return path
    if not path.exists():
        raise errors.WeightsError(
            f"--pretrained {path} does not exist; expected a folder, a .tar.gz, an .h5 or a checkpoint."
        )
    return checkpoint_files.find(model_cache.opened(path, cache))


def _in_channel(folder: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    """The channel holds files, or, as SageMaker's model_uri gives it, one archive that is not unpacked."""
    found = [path for path in folder.glob("*") if path.name.endswith(archives.SUFFIXES)]
    if len(found) == 1 and not checkpoint_files.index_files(folder):
        return checkpoint_files.find(model_cache.opened(found[0], cache))
    return checkpoint_files.find(folder)


def _cached(checkpoint: CheckpointSource, cache: pathlib.Path) -> pathlib.Path | None:
    return model_cache.cached(checkpoint.name, checkpoint.url, cache)


def _downloaded(spec: ModelSpec, cache: pathlib.Path) -> pathlib.Path:
    """Downloads and verifies, so that what is in the cache is whole and genuine."""
    entry = model_cache.downloaded(spec.checkpoint.name, cache, lambda scratch: _genuine(spec, scratch, cache))
    return checkpoint_files.find(entry)


def _genuine(spec: ModelSpec, scratch: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    """Returns the folder of the unpacked and verified archive."""
    checkpoint = spec.checkpoint
    try:
        folder = model_cache.fetched(str(checkpoint.url), scratch)
        authenticity.verify(checkpoint_files.find(folder), spec, "what came")
    except errors.WeightsError as error:
        size = authenticity.size_in_words(spec)
        raise errors.WeightsError(
            f"cannot get the pretrained weights of {spec.model_id} from {checkpoint.url}: {error} Expected an archive "
            f"with the checkpoint {checkpoint.name}, its data file of {size}. Try again; or put {checkpoint.archive} "
            f"into {cache}; or give its place with --pretrained PATH."
        ) from None
    return folder
