"""Looks for the learning rate (and batch size) that suits your photographs, with Optuna, on this machine.

    python examples/sweep_learning_rate.py                                    # drawn shapes, the embedded model: a try
    python examples/sweep_learning_rate.py --training photographs/ --model_id ID --trials 12 --epochs 8 -- --seed 1

Each trial is a run of `python -m tfod_transfer.fit` in a process of its own, with what stands after `--` as further
flags. A trial that is worse than most were after as many epochs is stopped. Started again, a sweep goes on.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import Any

MODEL_ID = "tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes"
# --objective -> what it is called in an epoch's lines and in metrics.json, and which way is better.
OBJECTIVES = {
    "mAP": ("Val_mAP", "AP", "maximize"),
    "mAP50": ("Val_mAP50", "AP50", "maximize"),
    "localization": ("Val_localization", "val_localization_loss", "minimize"),
    "classification": ("Val_classification", "val_classification_loss", "minimize"),
}
DIVERGED = "is not a finite number"


def main() -> None:
    """Runs the trials that are still to do; prints all of them and the best command."""
    options = parse()
    try:
        import optuna
    except ImportError:
        sys.exit("error: this example needs Optuna: pip install optuna (or requirements/primary.lock, which holds it)")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    if options.training is None:
        options.training, options.validation = draw_shapes(options.output_dir)
    study = optuna.create_study(
        study_name="sweep",
        storage=f"sqlite:///{options.output_dir / 'study.db'}",
        load_if_exists=True,
        direction=OBJECTIVES[options.objective][2],
        sampler=optuna.samplers.TPESampler(seed=options.seed),
        # Nothing is stopped before it could be compared with three whole trials, nor in the warm-up.
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1),
    )
    over = sum(trial.state.is_finished() for trial in study.trials)
    study.optimize(lambda trial: run(trial, options), n_trials=max(options.trials - over, 0))
    report(study, options)


def run(trial: Any, options: argparse.Namespace) -> float:
    """Fine-tunes with the trial's values; returns the objective of the exported weights."""
    import optuna

    values = {"learning_rate": trial.suggest_float("learning_rate", *options.learning_rates, log=True)}
    if options.batch_sizes:
        values["batch_size"] = trial.suggest_categorical("batch_size", options.batch_sizes)
    print(f"trial {trial.number}: {values}", file=sys.stderr, flush=True)
    folder = options.output_dir / f"trial_{trial.number:03d}"  # the artifact, and checkpoints beside it
    folder.mkdir()
    log_file = folder.with_suffix(".log")
    metric, key, _ = OBJECTIVES[options.objective]
    # The very regex that SageMaker's tuner would be given; see docs/tuning.md.
    pattern = re.compile(rf"\[Epoch (\d+)\].* {metric}=([0-9.]+)")
    line = ""
    command = fit_command(options, values, folder / "model")
    with (
        log_file.open("w", buffering=1, encoding="utf-8") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as fit,
    ):
        for line in fit.stdout or ():
            log.write(line)
            if found := pattern.search(line):
                trial.report(float(found[2]), int(found[1]))
                if trial.should_prune():
                    fit.terminate()
                    fit.communicate()
                    shutil.rmtree(folder)
                    raise optuna.TrialPruned
    if fit.returncode:
        if DIVERGED in line:  # a learning rate that is too high is an answer, too
            raise optuna.TrialPruned
        sys.exit(f"error: trial {trial.number} failed, see {log_file}: {line.strip()}")
    return float(json.loads((folder / "model" / "metrics.json").read_text(encoding="utf-8"))[key])


def fit_command(options: argparse.Namespace, values: dict[str, Any], model_dir: pathlib.Path) -> list[str]:
    """The command line of one run."""
    given = {"model_id": options.model_id, "training": options.training, "validation": options.validation}
    given |= {"model_dir": model_dir, "epochs": options.epochs, "objective": options.objective, **values}
    flags = []
    for name, value in given.items():
        if value is not None:
            flags += [f"--{name}", f"{value:.3g}" if isinstance(value, float) else str(value)]
    return [sys.executable, "-m", "tfod_transfer.fit", *flags, *options.fit_flags]


def report(study: Any, options: argparse.Namespace) -> None:
    """Prints every trial, and how to train with the best values."""
    names = sorted({name for trial in study.trials for name in trial.params})
    print("trial  " + "".join(f"{name:<15}" for name in names) + f"{'epochs':<8}{options.objective}")
    for trial in study.trials:
        values = "".join(f"{trial.params.get(name, ''):<15.3g}" for name in names)
        outcome = f"{trial.value:.4f}" if trial.state.name == "COMPLETE" else trial.state.name.lower()
        print(f"{trial.number:<7}{values}{len(trial.intermediate_values):<8}{outcome}")
    if not any(trial.state.name == "COMPLETE" for trial in study.trials):
        sys.exit("error: no trial came to its end; look for lower learning rates (--learning_rates LOW HIGH)")
    best = study.best_trial
    artifact = options.output_dir / f"trial_{best.number:03d}" / "model"
    print(f"best:    trial {best.number}, {options.objective} {best.value:.4f}; its artifact: {artifact}")
    command = fit_command(options, best.params, pathlib.Path("detector"))
    print("command: " + shlex.join(["python", *command[1:]]))


def draw_shapes(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Training and validation images that the embedded model has not seen."""
    from tfod_transfer.demo import shapes

    for number, (name, count) in enumerate({"training": 96, "validation": 32}.items()):
        if not (folder / name).exists():
            shapes.generate(folder / name, shapes.TARGET_CLASSES, count, seed=number)
    return folder / "training", folder / "validation"


def parse() -> argparse.Namespace:
    """The command line of the sweep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--training", type=pathlib.Path, metavar="DIR", help="your data [default: drawn shapes]")
    add("--validation", type=pathlib.Path, metavar="DIR", help="[default: a share of the training images]")
    add("--model_id", default=MODEL_ID, metavar="ID")
    add("--output_dir", type=pathlib.Path, default=pathlib.Path("sweep"), metavar="DIR", help="[default: sweep]")
    add("--trials", type=int, default=8, metavar="N", help="[default: 8]")
    add("--epochs", type=int, default=4, metavar="N", help="of each trial [default: 4]")
    add("--learning_rates", type=float, nargs=2, default=(1e-4, 1e-1), metavar=("LOW", "HIGH"), help="[1e-4 to 0.1]")
    add("--batch_sizes", type=int, nargs="+", metavar="N", help="sizes to try, too [default: the recipe's]")
    add("--objective", choices=OBJECTIVES, default="mAP", help="[default: mAP]")
    add("--seed", type=int, default=0, help="of the choice of values [default: 0]")
    add("fit_flags", nargs="*", metavar="-- FLAGS", help="further flags of tfod_transfer.fit")
    return parser.parse_args()


if __name__ == "__main__":
    main()
