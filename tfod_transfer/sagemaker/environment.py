"""What SageMaker tells a training job: hyperparameters, channels and folders."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tfod_transfer import errors

#: Keys that SageMaker adds to the hyperparameters. `model_dir` is of its TensorFlow container, which sets it to a path
#: in no bucket ("None/<job>/model") when it tunes.
OWN_KEYS = frozenset({"_tuning_objective_metric", "default_user_module_name", "model_dir"})
OWN_PREFIX = "sagemaker_"


@dataclasses.dataclass(frozen=True)
class Job:
    """A training job as SageMaker describes it.

    Attributes:
      hyperparameters: what the user gave, by name with `_`; text or typed; without SageMaker's own and empty ones.
      training: folder of the training channel, or None.
      validation: folder of the validation channel, or None.
      piped: those of the channels' folders that are no folders: the data comes through named pipes, `train_0` for one.
      train_annotation: folder of that channel, which Object Detection has for annotations apart from images, or None.
      validation_annotation: the same.
      model_channel: folder of the model channel, or None.
      model_dir: folder that becomes model.tar.gz.
      output_data_dir: folder that becomes output.tar.gz.
      checkpoint_dir: folder that SageMaker copies to and from S3 while the job runs.
      hosts: names of the instances.
      current_host: this one's name.
    """

    hyperparameters: dict[str, Any]
    training: str | None
    validation: str | None
    model_channel: str | None
    model_dir: str
    output_data_dir: str
    checkpoint_dir: str
    hosts: tuple[str, ...]
    current_host: str
    piped: frozenset[str] = frozenset()
    train_annotation: str | None = None
    validation_annotation: str | None = None


def read_job(argv: Sequence[str], environ: Mapping[str, str]) -> Job:
    """Reads a job from its environment.

    Raises:
      UsageError: the hyperparameters are not a JSON object.
    """
    base = base_dir(environ)
    resources = _resources(base)
    pipes = _piped_channels(environ)
    return Job(
        hyperparameters=read_hyperparameters(argv, environ),
        training=_channel("training", environ, pipes) or _channel("train", environ, pipes),
        validation=_channel("validation", environ, pipes),
        model_channel=_channel("model", environ),
        model_dir=environ.get("SM_MODEL_DIR") or str(base / "model"),
        output_data_dir=environ.get("SM_OUTPUT_DATA_DIR") or str(base / "output" / "data"),
        checkpoint_dir=_checkpoint_dir(base),
        hosts=tuple(json.loads(environ.get("SM_HOSTS") or "[]") or resources.get("hosts", ())),
        current_host=environ.get("SM_CURRENT_HOST") or resources.get("current_host", ""),
        piped=frozenset(str(_channel(name, environ, pipes)) for name in pipes),
        train_annotation=_channel("train_annotation", environ),
        validation_annotation=_channel("validation_annotation", environ),
    )


def base_dir(environ: Mapping[str, str]) -> pathlib.Path:
    """The folder that is /opt/ml in a job; SAGEMAKER_BASE_DIR moves it, as in SageMaker's own toolkit."""
    return pathlib.Path(environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")


def output_dir(environ: Mapping[str, str]) -> pathlib.Path:
    """The folder whose file `failure` SageMaker shows as the failure reason."""
    return pathlib.Path(environ.get("SM_OUTPUT_DIR") or base_dir(environ) / "output")


def read_hyperparameters(argv: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """Returns the user's hyperparameters: of SM_HPS, else of hyperparameters.json; what is in neither, of the flags.

    Raises:
      UsageError: SM_HPS or the file is not a JSON object.
    """
    # The toolkit's flags repeat SM_HPS, and its releases before 5 join them through a shell without quotes: values
    # with spaces or an empty value then look like other flags.
    values: dict[str, Any] = {} if "SM_USER_ARGS" in environ else _flags(argv)
    file = base_dir(environ) / "input" / "config" / "hyperparameters.json"
    if "SM_HPS" in environ:
        values |= _json_object(environ["SM_HPS"], "SM_HPS")
    elif file.is_file():
        values |= _json_object(file.read_text(encoding="utf-8"), str(file))
    named = {name.replace("-", "_"): decoded(value) for name, value in values.items()}
    return {
        name: value
        for name, value in named.items()
        if value is not None and name not in OWN_KEYS and not name.startswith(OWN_PREFIX)
    }


def decoded(value: Any) -> Any:
    """Returns a value without the quotes that JSON-encoding it (once or more) put around; None for an empty one."""
    while isinstance(value, str) and value.strip()[:1] == '"':
        try:
            value = json.loads(value)
        except ValueError:
            break
    return None if isinstance(value, str) and value.strip() in ("", "null") else value


def _checkpoint_dir(base: pathlib.Path) -> str:
    """What the job's CheckpointConfig says, or SageMaker's default."""
    file = base / "input" / "config" / "checkpointconfig.json"
    if file.is_file():
        path = _json_object(file.read_text(encoding="utf-8"), str(file)).get("LocalPath")
        if path:
            return str(path)
    return str(base / "checkpoints")


def _resources(base: pathlib.Path) -> dict[str, Any]:
    """What the service says of the hosts; a container without SageMaker's toolkit learns of them here alone."""
    file = base / "input" / "config" / "resourceconfig.json"
    return _json_object(file.read_text(encoding="utf-8"), str(file)) if file.is_file() else {}


def _json_object(text: str, where: str) -> dict[str, Any]:
    try:
        document = json.loads(text or "{}")
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise errors.UsageError(f"{where} must be a JSON object; found {text[:80]!r}.")
    return document


def _flags(argv: Sequence[str]) -> dict[str, str]:
    """Reads `--name value` and `--name=value`; passes over everything else."""
    values: dict[str, str] = {}
    for position, flag in enumerate(argv):
        name, equals, value = flag.removeprefix("--").partition("=")
        following = argv[position + 1 : position + 2]
        if not flag.startswith("--") or not name:
            continue
        if not equals and following and not following[0].startswith("--"):
            value = following[0]
        values[name.replace("-", "_")] = value
    return values


def _channel(name: str, environ: Mapping[str, str], pipes: Collection[str] = ()) -> str | None:
    folder = base_dir(environ) / "input" / "data" / name
    is_there = folder.is_dir() or name in pipes
    return environ.get(f"SM_CHANNEL_{name.upper()}") or (os.fspath(folder) if is_there else None)


def _piped_channels(environ: Mapping[str, str]) -> list[str]:
    """The channels whose input mode is Pipe."""
    file = base_dir(environ) / "input" / "config" / "inputdataconfig.json"
    channels: dict[str, Any] = {}
    if environ.get("SM_INPUT_DATA_CONFIG"):
        channels = _json_object(environ["SM_INPUT_DATA_CONFIG"], "SM_INPUT_DATA_CONFIG")
    elif file.is_file():
        channels = _json_object(file.read_text(encoding="utf-8"), str(file))
    return [name for name, each in channels.items() if str(each.get("TrainingInputMode", "")).lower() == "pipe"]
