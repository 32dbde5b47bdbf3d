"""Fine-tunes a registry model: `python -m tfod_transfer.fit --model_id ID --training DIR --model_dir OUT`.

With `--epochs 0` and no data it exports the pretrained model as it is.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tfod_transfer import artifact, cli, errors, execution, hyperparameters, registry

FROM_SCRATCH = "none"


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """What a run is asked to do.

    Attributes:
      model_id: registry entry to start from.
      model_dir: where the artifact goes.
      training: folder of training data; None only to export a pretrained model (epochs 0).
      validation: folder of validation data; None holds out a share of the training images.
      pretrained: checkpoint folder, artifact or .tar.gz to start from instead of the registry's weights; "none" starts
        from random weights.
      pretrained_labels: file with the class names of `pretrained`, one a line.
      overwrite: replace what is in `model_dir`.
      dry_run: try everything for one step, estimate time and memory, write nothing.
      hyperparameters: those given, by name; text or typed.
    """

    model_id: str
    model_dir: str
    training: str | None = None
    validation: str | None = None
    pretrained: str | None = None
    pretrained_labels: str | None = None
    overwrite: bool = False
    dry_run: bool = False
    hyperparameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the command line and runs `fit`."""
    values = vars(_parser().parse_args(argv))
    given = {name: values.pop(name) for name in hyperparameters.FIELDS}
    fit(FitOptions(**values, hyperparameters=given))


def fit(options: FitOptions) -> None:
    """The whole life of a run, from photographs to a checked artifact in `options.model_dir`.

    Raises:
      TransferError: of the kind that says what to mend; `model_dir` is then as it was.
    """
    spec = registry.load_registry().get(options.model_id)
    settings = hyperparameters.resolve(options.hyperparameters, spec.defaults)
    artifact.check_target(options.model_dir, options.overwrite)

    from tfod_transfer import weights
    from tfod_transfer.data import training_data

    data = None
    if options.training is not None:
        data = training_data.read(options.training, options.validation, settings)
        _print_lines(data.describe())
    elif settings.epochs > 0:
        raise errors.UsageError("--training DIR is needed; without data only --epochs 0 (export as it is) can be done.")
    pretrained = None
    if options.pretrained != FROM_SCRATCH:
        pretrained = weights.resolve_pretrained(spec, options.pretrained, pretrained_labels=options.pretrained_labels)

    # TensorFlow from here on.
    from tfod_transfer.training import dry_run, exporting, memory, progress, restoring
    from tfod_transfer.training.strategy import build_strategy, processor_in_use
    from tfod_transfer.training.trainer import Trainer

    strategy = build_strategy(settings.batch_size)
    processor = processor_in_use()
    policy = execution.choose(spec, processor, settings.to_dict())
    with strategy.scope():
        detector, restored = restoring.restored_detector(spec, pretrained, data, settings, policy)
    _print_lines([f"weights:    {restored.origin}", restored.report.table()])
    _print_lines(progress.settings_lines(settings, options.hyperparameters, spec, policy))
    if data:
        _print_lines(memory.warnings(spec, processor, policy.precision, settings.batch_size))
    trainer = Trainer(detector, data.train, data.validation, settings, strategy) if data else None
    _print_lines(trainer.describe_input() if trainer else [])
    if options.dry_run:
        _print_lines(dry_run.rehearse(detector, trainer, settings, policy))
        return
    result = trainer.train(progress.print_epoch) if trainer else None
    with artifact.writing(options.model_dir, options.overwrite) as folder:
        diagnosis = exporting.export(folder, detector, restored, data, result, settings, policy)
    _print_lines(progress.summary_lines(options.model_dir, result, diagnosis))


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.fit", description=__doc__)
    add = parser.add_argument
    add("--model_id", required=True, metavar="ID", help="registry model; `python -m tfod_transfer.models` lists them")
    add("--training", metavar="DIR", help="folder with images/ and annotations.json")
    add("--validation", metavar="DIR", help="the same for validation [default: a share of the training images]")
    add("--model_dir", required=True, metavar="OUT", help="folder for the artifact")
    add("--pretrained", metavar="PATH", help="checkpoint folder, earlier artifact or .tar.gz to start from, or none")
    add("--pretrained_labels", metavar="FILE", help="class names of --pretrained, one a line")
    add("--overwrite", action="store_true", help="replace what is in --model_dir")
    add("--dry_run", action="store_true", help="check data and model, try one step and one export, write nothing")
    hyperparameters.add_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
