"""Which registry model a job trains: hyperparameters say it, or its channels, or the bundle's default."""

from __future__ import annotations

import gzip
import json
import pathlib
import tarfile
import zlib
from typing import IO

from tfod_transfer import archives, artifact, errors, ssd_hyperparameters
from tfod_transfer.registry import Registry
from tfod_transfer.sagemaker.environment import Job

#: The model of the example in AWS's guide.
DEFAULT_MODEL_ID = "tensorflow-od1-ssd-resnet50-v1-fpn-640x640-coco17-tpu-8"
#: At the root of a bundle: {"model_id": its default}.
BUNDLE_FILE = "bundle.json"
#: Hyperparameters that only jobs of Object Detection (SSD) have.
SSD_NAMES = frozenset(ssd_hyperparameters.OWN_NAMES) - {"num_classes", "weight_decay"}
_ROOT = pathlib.Path(__file__).resolve().parents[2]


def choose_model(job: Job, registry: Registry, root: pathlib.Path = _ROOT) -> tuple[str, str]:
    """Returns the model_id, and where it came from; `root` is the folder that may hold a bundle's default.

    Raises:
      RegistryError: no such model, or this version cannot train it; says where the model_id came from.
      WeightsError: the model channel's archive is damaged.
    """
    model_id, origin = _named(job, registry, root)
    try:
        registry.get(model_id)
    except errors.RegistryError as error:
        raise errors.RegistryError(
            f"{error} (The model_id is {origin}; the hyperparameter model_id sets it.)"
        ) from None
    return model_id, origin


def _named(job: Job, registry: Registry, root: pathlib.Path) -> tuple[str, str]:
    if "model_id" in job.hyperparameters:
        return str(job.hyperparameters["model_id"]), "given as hyperparameter"
    network = job.hyperparameters.get("base_network")
    if network is not None:
        base_network = ssd_hyperparameters.resolve({"base_network": network}).base_network
        return ssd_hyperparameters.MODEL_IDS[base_network], f"of base_network {base_network}"
    if job.model_channel and (model_id := _of_channel(pathlib.Path(job.model_channel), registry)):
        return model_id, "that of the model channel"
    signs = [*sorted(SSD_NAMES & set(job.hyperparameters)), *(["train_annotation"] if job.train_annotation else [])]
    if signs:
        base_network = ssd_hyperparameters.SsdHyperparameters.base_network
        return ssd_hyperparameters.MODEL_IDS[base_network], f"the default of jobs with {signs[0]}"
    try:
        return str(json.loads((root / BUNDLE_FILE).read_text())["model_id"]), "the default of the source_dir archive"
    except FileNotFoundError:
        return DEFAULT_MODEL_ID, "the default"


def _of_channel(folder: pathlib.Path, registry: Registry) -> str | None:
    """Returns the model of an artifact or a zoo checkpoint, as a folder or as one archive; None if neither says."""
    for info in sorted(folder.glob(artifact.INFO_FILE)) + sorted(folder.glob(f"*/{artifact.INFO_FILE}")):
        return _model_name(info.read_bytes(), str(info))
    packed = [path for path in folder.glob("*") if path.name.endswith(archives.SUFFIXES)]
    inner = [path.name for path in sorted(folder.glob("*")) if path.is_dir()]
    for archive in packed if len(packed) == 1 else ():
        by_archive_name = _of_checkpoint(archive.name.removesuffix(".tar.gz").removesuffix(".tgz"), registry)
        return by_archive_name or _in_archive(archive, registry)
    return next(filter(None, (_of_checkpoint(name, registry) for name in inner)), None)


def _in_archive(archive: pathlib.Path, registry: Registry) -> str | None:
    tops: set[str] = set()
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                path = pathlib.PurePosixPath(member.name)
                tops.update(path.parts[:1])
                if path.name == artifact.INFO_FILE and len(path.parts) <= 2 and (file := tar.extractfile(member)):
                    return _model_name(_read(file), f"{archive}:{member.name}")
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise errors.WeightsError(
            f"{archive} in the model channel: expected a whole .tar.gz archive; it is none, is damaged or ends too "
            f"early ({error}). Give model_uri the archive of a zoo model or the model.tar.gz of an earlier job."
        ) from None
    return next(filter(None, (_of_checkpoint(name, registry) for name in sorted(tops))), None)


def _read(file: IO[bytes], limit: int = 1 << 20) -> bytes:
    return file.read(limit)


def _model_name(document: bytes, where: str) -> str:
    try:
        return str(json.loads(document)["model_name"])
    except (ValueError, KeyError, TypeError) as error:
        raise errors.WeightsError(
            f'{where}: expected {{"model_name": a model_id, ...}}; found: {error!r}. Is it the model.tar.gz of a job?'
        ) from None


def _of_checkpoint(name: str, registry: Registry) -> str | None:
    return next((spec.model_id for spec in registry if spec.checkpoint.url and spec.checkpoint.name == name), None)
