"""A training job under SageMaker, from its environment to the exit status."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tfod_transfer
from tfod_transfer import cli, cluster, errors
from tfod_transfer.sagemaker import environment, libraries
from tfod_transfer.sagemaker.environment import Job

if TYPE_CHECKING:
    from tfod_transfer.registry import ModelSpec

EXIT_DEFECT = 1
#: DescribeTrainingJob gives no more of the failure file than this.
MAX_FAILURE_CHARACTERS = 1024
#: By name, since TensorFlow need not have been imported.
OUT_OF_MEMORY = ("MemoryError", "ResourceExhaustedError")
#: Parts of the artifact that are worth a look without unpacking the model.
REPORTED = ("report.html", "model_card.md", "metrics.json", "findings.json", "predictions", "tensorboard")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a job; returns its exit status.

    Whatever stops the run is written to output/failure, which SageMaker shows as the job's failure reason. Errors of
    this package and of the file system give status 2 and no traceback; any other exception is a defect: its traceback
    is printed and the status is 1.
    """
    cli.quiet_tensorflow()
    try:
        run(sys.argv[1:] if argv is None else argv, os.environ)
    except errors.StoppedError as stopped:  # by SageMaker, which does not ask why
        print(f"interrupted: {stopped}", file=sys.stderr, flush=True)
        return stopped.status
    except errors.TransferError as error:
        return _failed(str(error), cli.EXIT_ERROR)
    except OSError as error:
        return _failed(cli.describe_os_error(error), cli.EXIT_ERROR)
    except Exception as error:
        traceback.print_exc()
        name = type(error).__name__
        advice = " Out of memory: lower batch_size, or choose a larger instance." if name in OUT_OF_MEMORY else ""
        return _failed(f"{name}:{advice} {error}", EXIT_DEFECT)
    return 0


def run(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Fine-tunes as the job asks; the artifact is in its model folder.

    Raises:
      TransferError: of the kind that says what to mend.
    """
    package = pathlib.Path(tfod_transfer.__file__).parent
    print(f"package:    tfod_transfer {tfod_transfer.__version__} in {package}", flush=True)
    libraries.ensure()
    job = environment.read_job(argv, environ)
    if len(job.hosts) > 1:
        os.environ.setdefault(cluster.VARIABLE, cluster.config_for(job.hosts, job.current_host))

    # These need the libraries.
    from tfod_transfer import fit, plans, weights
    from tfod_transfer.registry import load_registry
    from tfod_transfer.sagemaker.model_choice import choose_model

    model_id, origin = choose_model(job, load_registry())
    given = known_hyperparameters(job, load_registry().get(model_id))
    plan = plans.plan(load_registry(), model_id, given, num_hosts=max(len(job.hosts), 1))
    if job.training is None and plan.settings.epochs > 0:
        raise errors.UsageError(
            'no training data: expected a channel "training" (or "train"), found '
            f"{environ.get('SM_CHANNELS') or 'none'}. Call estimator.fit({{'training': 's3://bucket/folder/'}})."
        )
    if job.current_host:
        os.environ.setdefault("SM_CURRENT_HOST", job.current_host)  # log lines of Object Detection have it
    if job.model_channel:
        os.environ.setdefault(weights.CHANNEL, job.model_channel)
    print(f"model_id:   {model_id} ({origin})")
    print(f"channels:   training {job.training}, validation {job.validation}, model {job.model_channel}", flush=True)
    options = fit.FitOptions(
        model_id=model_id,
        model_dir=job.model_dir,
        train_annotation=job.train_annotation,
        validation_annotation=job.validation_annotation,
        overwrite=True,  # a spot instance that was interrupted leaves its files, and its checkpoints, to the next
        hyperparameters={"checkpoint_dir": job.checkpoint_dir, **given},
    )
    with tempfile.TemporaryDirectory(prefix="tfod_transfer-") as store:
        training, validation = (_local(channel, job, store) for channel in (job.training, job.validation))
        fit.fit(dataclasses.replace(options, training=training, validation=validation))
    if cluster.from_environment(os.environ).is_chief:
        report(pathlib.Path(job.model_dir), pathlib.Path(job.output_data_dir))


def _local(channel: str | None, job: Job, store: str) -> str | None:
    """Where a channel's data is; what comes through a pipe is first kept in the folder `store`.

    Raises:
      DataError: nothing comes, or nothing that can be used.
    """
    if channel is None or channel not in job.piped:
        return channel
    from tfod_transfer.data import pipe

    file, count = pipe.keep_channel(channel, store)
    print(f"pipe:       {count / 1e6:.1f} MB came through {channel}_0", flush=True)
    return str(file)


def known_hyperparameters(job: Job, spec: ModelSpec) -> dict[str, Any]:
    """Returns the hyperparameters of a run of a model; warns of those that it does not have.

    Where a name is given along with its alias, the alias counts: the name comes with the dictionary of defaults, while
    the alias was asked for (SageMaker's tuning guide calls epsilon `eps`).
    """
    from tfod_transfer import hyperparameters, plans, ssd_hyperparameters

    names: tuple[str, ...] = hyperparameters.KNOWN_NAMES
    hidden: frozenset[str] = frozenset()
    if spec.algorithm == plans.SSD:
        names, hidden = (*names, *ssd_hyperparameters.OWN_NAMES), ssd_hyperparameters.HIDDEN
    known = {name: value for name, value in job.hyperparameters.items() if name in names}
    for name in sorted(set(job.hyperparameters) - set(known) - hidden - {"model_id"}):
        hint = errors.did_you_mean(name, (*names, "model_id"))
        print(f"warning: unknown hyperparameter {name!r} is ignored.{hint}", flush=True)
    for alias in set(known) & set(hyperparameters.ALIASES):
        known.pop(hyperparameters.ALIASES[alias], None)
    return known


def report(model_dir: pathlib.Path, output_data_dir: pathlib.Path) -> None:
    """Copies metrics, findings and pictures of predictions to where SageMaker makes output.tar.gz of."""
    output_data_dir.mkdir(parents=True, exist_ok=True)
    for source in (model_dir / name for name in REPORTED):
        if source.is_dir():
            shutil.copytree(source, output_data_dir / source.name, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy(source, output_data_dir)


def _failed(message: str, status: int) -> int:
    """Leaves the failure reason where SageMaker reads it, before its toolkit writes a less telling one."""
    if len(message) > MAX_FAILURE_CHARACTERS:
        message = message[: MAX_FAILURE_CHARACTERS - 3] + "..."
    print(f"error: {message}", file=sys.stderr, flush=True)
    try:
        folder = environment.output_dir(os.environ)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "failure").write_text(message, encoding="utf-8")
    except OSError as error:
        print(f"error: the failure file cannot be written: {cli.describe_os_error(error)}", file=sys.stderr)
    return status
