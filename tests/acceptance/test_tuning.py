"""The example that sweeps the learning rate."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import re
import subprocess
import sys

import pytest
from running import ROOT, Done

pytestmark = pytest.mark.acceptance

Swept = tuple[pathlib.Path, tuple[object, ...], Done]
SWEEP = ROOT / "examples" / "sweep_learning_rate.py"


def sweep(*arguments: object, prelude: str = "") -> Done:
    """Runs the example; `prelude` is Python that comes before it."""
    code = (
        f"{prelude}\nimport runpy, sys; sys.argv[0] = {str(SWEEP)!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def swept(drawn: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """A sweep of two short trials: its folder, its flags, what it printed."""
    folder = tmp_path_factory.mktemp("sweep")
    flags = (
        *("--training", drawn / "validation", "--validation", drawn / "training", "--output_dir", folder),
        *("--trials", 2, "--epochs", 1, "--batch_sizes", 4, 8, "--learning_rates", 1e-3, 1e-2),
    )
    done = sweep(*flags, "--", "--seed", 3)
    assert done.status == 0, done.error
    return folder, flags, done


def test_a_sweep_tells_every_trial_and_the_best_command(
    swept: Swept,
) -> None:
    folder, _, done = swept
    header, *trials, best, command = done.output.splitlines()
    assert header.split() == ["trial", "batch_size", "learning_rate", "epochs", "mAP"]
    assert [line.split()[0] for line in trials] == ["0", "1"]
    measured = []
    for number, line in enumerate(trials):
        artifact = folder / f"trial_{number:03d}" / "model"
        settings = json.loads((artifact / "hyperparameters.json").read_text())
        _, batch_size, learning_rate, epochs, value = line.split()
        assert (settings["batch_size"], settings["learning_rate"]) == (int(batch_size), float(learning_rate))
        assert 1e-3 <= settings["learning_rate"] <= 1e-2
        assert settings["seed"] == 3
        assert epochs == "1"
        measured.append(json.loads((artifact / "metrics.json").read_text())["AP"])
        assert float(value) == pytest.approx(measured[-1], abs=1e-4)
    winner = measured.index(max(measured))
    assert best.startswith(f"best:    trial {winner}, mAP {measured[winner]:.4f}; ")
    winning = trials[winner].split()
    assert command.startswith("command: python -m tfod_transfer.fit --model_id ")
    assert f"--learning_rate {winning[2]} " in command
    assert f"--batch_size {winning[1]} " in command
    assert command.endswith(" --seed 3")


def test_a_sweep_that_is_started_again_goes_on(swept: Swept) -> None:
    _, flags, first = swept
    again = sweep(*flags, "--", "--seed", 3)
    assert (again.status, again.output) == (0, first.output)


class Trials:
    """Stands in for the runs of a sweep: each prints an mAP for each of three epochs, or fails as a diverging one."""

    def __init__(self, *outcomes: list[float] | None) -> None:
        self.outcomes = iter(outcomes)

    def __call__(self, options: object, values: object, model_dir: pathlib.Path) -> list[str]:
        model_dir.mkdir(parents=True)
        outcome = next(self.outcomes, None)
        if outcome is None:
            code = "import sys; sys.exit('error: the loss is not a finite number at step 3')"
        else:
            (model_dir / "metrics.json").write_text(json.dumps({"AP": max(outcome)}))
            lines = [f"[Epoch {number}], Val_mAP={ap:.4f}" for number, ap in enumerate(outcome)]
            # One that is not stopped in time would come to its end with the best result of all.
            seconds = 60 if max(outcome) > 0.9 else 0
            code = f"import time\nfor line in {lines}: print(line, flush=True)\ntime.sleep({seconds})"
        return [sys.executable, "-c", code]


def test_bad_trials_are_stopped_and_diverging_ones_counted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("sweep_learning_rate", SWEEP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    good = [0.1, 0.2, 0.3]
    trials = Trials(good, good, [0.1, 0.2, 0.4], [0.1, 0.01, 0.95], None)
    monkeypatch.setattr(module, "fit_command", lambda *given: trials(*given) if given[2].name == "model" else ["x"])
    monkeypatch.setattr(sys, "argv", ["sweep", "--training", "d", "--output_dir", str(tmp_path), "--trials", "5"])
    module.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[2:] for row in rows[1:6]] == [
        ["3", "0.3000"], ["3", "0.3000"], ["3", "0.4000"], ["2", "pruned"], ["0", "pruned"],
    ]  # fmt: skip
    assert rows[6][:3] == ["best:", "trial", "2,"]
    assert not (tmp_path / "trial_003").exists()


def test_a_trial_that_fails_ends_the_sweep_with_its_reason(tmp_path: pathlib.Path) -> None:
    done = sweep("--training", tmp_path / "nowhere", "--output_dir", tmp_path / "sweep", "--trials", 2)
    assert done.status == 1
    assert re.search(r"trial 0 failed, see .*trial_000\.log: error: .*nowhere", done.error)


def test_without_optuna_the_example_says_what_to_install(tmp_path: pathlib.Path) -> None:
    done = sweep("--output_dir", tmp_path / "sweep", prelude="import sys; sys.modules['optuna'] = None")
    assert done.status == 1
    assert done.error == (
        "error: this example needs Optuna: pip install optuna (or requirements/primary.lock, which holds it)\n"
    )
    assert not (tmp_path / "sweep").exists()
