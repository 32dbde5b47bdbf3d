"""Fine-tunes a registry model: `python -m tfod_transfer.fit --model_id ID --training DIR --model_dir OUT`.

In the form of SageMaker's Object Detection (SSD): `… fit --base_network resnet-50 --train DIR --validation DIR …`.

With `--epochs 0` and no data it exports the pretrained model as it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfod_transfer import (
    artifact,
    cli,
    cluster,
    errors,
    execution,
    hyperparameters,
    plans,
    registry,
    ssd_hyperparameters,
    weights,
)
from tfod_transfer.training.interruption import StopRequests

if TYPE_CHECKING:
    from tfod_transfer.training.checkpoints import RunCheckpoints
    from tfod_transfer.training.results import TrainingResult
    from tfod_transfer.training.trainer import Trainer

FROM_SCRATCH = "none"


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """What a run is asked to do.

    Attributes:
      model_id: registry entry to start from; None where the hyperparameter base_network says it.
      model_dir: where the artifact goes.
      training: folder of training data; None only to export a pretrained model (epochs 0).
      validation: folder of validation data; None holds out a share of the training images.
      train_annotation: folder of the training annotations, where they are not with the images.
      validation_annotation: the same of the validation images.
      replay: folder of earlier training images, of which some are mixed in, so that old classes are not forgotten.
      pretrained: checkpoint folder, artifact or .tar.gz to start from instead of the registry's weights; "none" starts
        from random weights.
      pretrained_labels: file with the class names of `pretrained`, one a line.
      overwrite: replace what is in `model_dir`.
      dry_run: try everything for one step, estimate time and memory, write nothing.
      hyperparameters: those given, by name, of the model's algorithm; text or typed.
    """

    model_id: str | None
    model_dir: str
    training: str | None = None
    validation: str | None = None
    train_annotation: str | None = None
    validation_annotation: str | None = None
    replay: str | None = None
    pretrained: str | None = None
    pretrained_labels: str | None = None
    overwrite: bool = False
    dry_run: bool = False
    hyperparameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the command line and runs `fit`."""
    values = vars(_parser().parse_args(argv))
    given = {name: values.pop(name) for name in (*hyperparameters.FIELDS, *ssd_hyperparameters.OWN_NAMES)}
    fit(FitOptions(**values, hyperparameters=given))


def fit(options: FitOptions) -> None:
    """The whole life of a run, from photographs to a checked artifact in `options.model_dir`.

    A run that was stopped, by a signal or worse, goes on from its newest checkpoint when it is started again.

    Raises:
      TransferError: of the kind that says what to mend; `model_dir` is then as it was.
    """
    stop_requests = StopRequests()
    with stop_requests.handled():
        try:
            _fit(options, stop_requests, started=time.monotonic())
        except errors.StoppedError as stopped:
            if cluster.from_environment(os.environ).num_hosts > 1:
                cluster.keep_until_the_end(stopped)  # its traceback has the trainer
            raise


def _fit(options: FitOptions, stop_requests: StopRequests, started: float) -> None:
    hosts = cluster.from_environment(os.environ)
    tell = _print_lines if hosts.is_chief else _say_nothing
    plan = plans.plan(
        registry.load_registry(),
        options.model_id,
        options.hyperparameters,
        num_hosts=hosts.num_hosts,
        from_weights=weights.are_given(options.pretrained),
    )
    spec, settings = plan.spec, plan.settings
    finished = artifact.check_target(options.model_dir, options.overwrite)

    from tfod_transfer.data import training_data
    from tfod_transfer.modeling import anchor_fit
    from tfod_transfer.training import run_identity

    data = None
    if options.training is not None:
        data = training_data.read(
            options.training,
            options.validation,
            settings,
            options.replay,
            training_annotations=options.train_annotation,
            validation_annotations=options.validation_annotation,
            num_classes=plan.ssd.num_classes if plan.ssd else None,
        )
        tell([*data.describe(), *(plans.remarks(plan.ssd, data) if plan.ssd else [])])
    elif settings.epochs > 0:
        raise errors.UsageError("--training DIR is needed; without data only --epochs 0 (export as it is) can be done.")
    pretrained = None
    if options.pretrained != FROM_SCRATCH and not (plan.from_scratch and not weights.are_given(options.pretrained)):
        pretrained = weights.resolve_pretrained(spec, options.pretrained, pretrained_labels=options.pretrained_labels)
        earlier = artifact.info_beside(pretrained.folder)
        tell(artifact.left_behind(earlier))
        spec = plans.with_anchors_of(earlier, spec, settings)
        if plan.ssd and data:
            pretrained = plans.continued(spec, pretrained, data)
    identity = run_identity.identity_of(spec.model_id, settings, data, pretrained)
    if finished is not None:
        artifact.refuse_another(options.model_dir, finished, identity.values)
        print(f"finished:   this very run left its artifact in {options.model_dir}; --overwrite does it all again")
        return
    if data and hosts.is_chief and (advice := anchor_fit.sentence(anchor_fit.measure(data.train, spec))):
        tell([f"note:       {advice}"])

    # TensorFlow from here on.
    from tfod_transfer.training import checkpoints, dry_run, exporting, memory, progress, restoring, strategy
    from tfod_transfer.training.trainer import Trainer

    devices = strategy.find_devices(settings, hosts)
    stop_requests.handle_again()
    processor = strategy.processor_in_use()
    policy = execution.choose(spec, processor, settings.to_dict())
    with devices.strategy.scope():
        detector, restored = restoring.restored_detector(spec, pretrained, data, settings, policy)
    tell([f"weights:    {restored.origin}", restored.report.table()])
    tell(progress.settings_lines(settings, options.hyperparameters, spec, policy, str(devices)))
    if data:
        parts = settings.gradient_accumulation
        tell(memory.warnings(spec, processor, policy.precision, settings.batch_size, parts))
    trainer = Trainer(detector, data.train, data.validation, settings, devices) if data else None
    tell(trainer.open_input() if trainer else [])
    if options.dry_run:
        tell(dry_run.rehearse(detector, trainer, settings, policy))
        return
    folder = settings.checkpoint_dir or checkpoints.default_folder(options.model_dir)
    kept = checkpoints.RunCheckpoints(folder, identity)
    with kept.opened(writes=hosts.is_chief) if trainer else contextlib.nullcontext():
        events = pathlib.Path(settings.tensorboard_dir or kept.folder / "tensorboard")
        result = _train(trainer, kept, events, stop_requests, started, plan) if trainer else None
        if hosts.is_chief:
            with artifact.writing(options.model_dir, options.overwrite) as new:
                diagnosis = exporting.export(new, detector, restored, data, result, settings, policy, identity, events)
            tell(progress.summary_lines(options.model_dir, result, diagnosis, restored))
            if not settings.checkpoint_dir:
                kept.remove()
    devices.wait_for_all()
    if hosts.num_hosts > 1:
        cluster.keep_until_the_end(trainer, devices)


def _train(
    trainer: Trainer,
    kept: RunCheckpoints,
    events: pathlib.Path,
    stop_requests: StopRequests,
    started: float,
    plan: plans.Plan,
) -> TrainingResult | None:
    from tfod_transfer.training import ssd_log
    from tfod_transfer.training.console import Console
    from tfod_transfer.training.run import Run
    from tfod_transfer.training.tensorboard import TensorBoardEvents

    settings = trainer.hyperparameters
    run = Run(trainer, kept, stop_requests, started=started)
    if trainer.devices.cluster.is_chief:
        log = ssd_log.SsdLog(lambda: run.state, trainer, kept.folder, plan.ssd) if plan.ssd else None
        run.listeners = [
            *([log] if log else []),
            Console(lambda: run.state, trainer.steps_per_epoch, settings.batch_size, with_metrics=log is None),
            TensorBoardEvents(events, trainer.validation_set, trainer.steps_per_epoch),
        ]
    return run.finish()


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _say_nothing(lines: Sequence[str]) -> None:
    """Hosts beside the first one print nothing."""


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.fit", description=__doc__)
    add = parser.add_argument
    add("--model_id", metavar="ID", help="registry model; `python -m tfod_transfer.models` lists them")
    add(
        "--training",
        "--train",
        metavar="DIR",
        help="data set in any format of docs/formats.md",
    )
    add("--validation", metavar="DIR", help="the same for validation [default: a share of the training images]")
    add("--train_annotation", metavar="DIR", help="the training annotations, where they are not with the images")
    add("--validation_annotation", metavar="DIR", help="the same of the validation images")
    add("--replay", metavar="DIR", help="earlier training images, of which a share (replay_share) is mixed in")
    add("--model_dir", required=True, metavar="OUT", help="folder for the artifact")
    add("--pretrained", metavar="PATH", help="checkpoint folder, earlier artifact or .tar.gz to start from, or none")
    add("--pretrained_labels", metavar="FILE", help="class names of --pretrained, one a line")
    add("--overwrite", action="store_true", help="replace what is in --model_dir")
    add("--dry_run", action="store_true", help="check data and model, try one step and one export, write nothing")
    hyperparameters.add_arguments(parser)
    ssd = parser.add_argument_group("hyperparameters of SageMaker's Object Detection (SSD)")
    ssd_hyperparameters.TABLE.add_flags(ssd, ssd_hyperparameters.OWN_NAMES)
    return parser


if __name__ == "__main__":
    cluster.leave(cli.run(main))
