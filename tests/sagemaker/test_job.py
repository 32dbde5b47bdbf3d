"""A job from its environment to the exit status, with `fit` standing in for the training."""

from __future__ import annotations

import json
import os
import pathlib
import re
import struct
import threading

import pytest

from tfod_transfer import errors, fit, hyperparameters, plans
from tfod_transfer.registry import load_registry
from tfod_transfer.sagemaker import job

MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"


class Runs:
    """Runs jobs in a fake /opt/ml; `options` is what `fit` was asked for."""

    def __init__(self, base, monkeypatch):
        self.base, self.monkeypatch, self.options = base, monkeypatch, None
        (base / "input" / "data" / "training").mkdir(parents=True)
        monkeypatch.setattr(os, "environ", dict(os.environ))  # a job adds to it
        monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(base))
        monkeypatch.setattr(fit, "fit", self.fit)

    def fit(self, options):
        self.options = options

    def run(self, values=None, argv=()):
        self.monkeypatch.setenv("SM_HPS", json.dumps({"model_id": MODEL_ID, **(values or {})}))
        return job.main(argv)

    @property
    def failure(self):
        return (self.base / "output" / "failure").read_text()


@pytest.fixture
def runs(tmp_path, monkeypatch):
    for name in ("SM_MODEL_DIR", "SM_OUTPUT_DIR", "SM_OUTPUT_DATA_DIR", "SM_CHANNEL_MODEL", "SM_USER_ARGS"):
        monkeypatch.delenv(name, raising=False)
    return Runs(tmp_path, monkeypatch)


# The fifteen that SageMaker documents, then the two that only its tuning guide has: name, JSON text, typed.
DOCUMENTED = [
    ("batch_size", '"4"', 4),
    ("beta_1", '"0.8"', 0.8),
    ("beta_2", "0.99", 0.99),
    ("early_stopping", '"True"', True),
    ("early_stopping_min_delta", '"0.01"', 0.01),
    ("early_stopping_patience", "3", 3),
    ("epochs", '"\\"7\\""', 7),
    ("epsilon", "1e-6", 1e-6),
    ("initial_accumulator_value", '"0.2"', 0.2),
    ("learning_rate", '"0.002"', 0.002),
    ("momentum", '"0.85"', 0.85),
    ("optimizer", '"adagrad"', "adagrad"),
    ("reinitialize_top_layer", '"False"', "False"),
    ("rho", "0.9", 0.9),
    ("train_only_on_top_layer", "true", True),
    ("eps", '"1e-05"', 1e-5),
    ("regularizers_l2", '"0.001"', 0.001),
]


def test_every_documented_hyperparameter_is_in_the_table():
    documented = hyperparameters.documented_defaults(load_registry().get(MODEL_ID).defaults)
    assert set(documented) == {name for name, *_ in DOCUMENTED} - {"eps", "regularizers_l2"}


@pytest.mark.parametrize(("name", "text", "typed"), DOCUMENTED)
def test_every_documented_hyperparameter_reaches_the_run_typed(runs, name, text, typed):
    # As the toolkit does: each value of hyperparameters.json through json.loads.
    assert runs.run({name: json.loads(text)}) == 0
    settings = hyperparameters.resolve(runs.options.hyperparameters, load_registry().get(MODEL_ID).defaults)
    value = getattr(settings, hyperparameters.ALIASES.get(name, name))
    assert (value, type(value)) == (typed, type(typed))


# As the published COCO notebook sets them; the service makes text of every value.
NOTEBOOK = {
    "base_network": "resnet-50", "use_pretrained_model": "1", "num_classes": "80", "mini_batch_size": "16",
    "epochs": "30", "learning_rate": "0.001", "lr_scheduler_step": "10", "lr_scheduler_factor": "0.1",
    "optimizer": "sgd", "momentum": "0.9", "weight_decay": "0.0005", "overlap_threshold": "0.5",
    "nms_threshold": "0.45", "image_shape": "512", "label_width": "600", "num_training_samples": "4452",
}  # fmt: skip


def test_a_job_of_object_detection(runs, capsys):
    data = runs.base / "input" / "data"
    (data / "training").rename(data / "train")
    for name in ("validation", "train_annotation", "validation_annotation"):
        (data / name).mkdir()
    runs.monkeypatch.setenv("SM_HPS", json.dumps({**NOTEBOOK, "_kvstore": "device", "_tuning_objective_metric": ""}))
    runs.monkeypatch.setenv("SM_CURRENT_HOST", "algo-7")
    assert job.main(()) == 0
    assert "warning" not in capsys.readouterr().out
    assert runs.options == fit.FitOptions(
        model_id="object-detection-ssd-resnet-50",
        model_dir=str(runs.base / "model"),
        training=str(data / "train"),
        validation=str(data / "validation"),
        train_annotation=str(data / "train_annotation"),
        validation_annotation=str(data / "validation_annotation"),
        overwrite=True,
        hyperparameters={"checkpoint_dir": str(runs.base / "checkpoints"), **NOTEBOOK},
    )
    plan = plans.plan(load_registry(), runs.options.model_id, runs.options.hyperparameters)
    assert (plan.spec.input_size, plan.settings.batch_size, plan.ssd.num_classes) == (512, 16, 80)


def test_a_channel_in_pipe_mode_is_read_through_to_a_file(runs):
    data, config = runs.base / "input" / "data", runs.base / "input" / "config"
    config.mkdir()
    modes = {"training": {"TrainingInputMode": "File"}, "validation": {"TrainingInputMode": "Pipe"}}
    (config / "inputdataconfig.json").write_text(json.dumps(modes))
    os.mkfifo(data / "validation_0")
    record = struct.pack("<II", 0xCED7230A, 4) + b"data"
    writer = threading.Thread(target=lambda: (data / "validation_0").write_bytes(record), daemon=True)
    writer.start()
    kept = []

    def fit_that_looks(options):
        kept.append((options.training, pathlib.Path(options.validation).read_bytes()))

    runs.monkeypatch.setattr(fit, "fit", fit_that_looks)
    assert runs.run() == 0
    writer.join()
    assert kept == [(str(data / "training"), record)]


def test_the_defaults_that_the_sdk_returns_can_be_given_whole_with_one_tuned_by_its_alias(runs):
    defaults = hyperparameters.documented_defaults(load_registry().get(MODEL_ID).defaults)
    assert runs.run({**defaults, "eps": "0.01"}) == 0
    assert hyperparameters.resolve(runs.options.hyperparameters).epsilon == 0.01


def test_a_run_takes_channels_and_writes_over_what_an_interrupted_one_left(runs):
    for name in ("validation", "model"):
        (runs.base / "input" / "data" / name).mkdir()
    assert runs.run({"epochs": "3"}) == 0
    data = runs.base / "input" / "data"
    assert runs.options == fit.FitOptions(
        model_id=MODEL_ID,
        model_dir=str(runs.base / "model"),
        training=str(data / "training"),
        validation=str(data / "validation"),
        overwrite=True,
        hyperparameters={"checkpoint_dir": str(runs.base / "checkpoints"), "epochs": "3"},
    )


def test_unknown_names_are_warned_of_with_the_nearest_and_left_out(runs, capsys):
    assert runs.run({"epoch": "3", "note": "two words; $(touch x)"}) == 0
    printed = capsys.readouterr().out
    assert "warning: unknown hyperparameter 'epoch' is ignored. Did you mean 'epochs'?" in printed
    assert "warning: unknown hyperparameter 'note' is ignored." in printed
    assert runs.options.hyperparameters == {"checkpoint_dir": str(runs.base / "checkpoints")}


def test_nothing_that_a_job_prints_looks_like_a_metric(runs, capsys):
    assert runs.run({"note": "loss=2.5", "loss": "Val_localization=3.5"}) == 0
    assert not re.search(r"(loss|Val_localization)=[0-9.]", capsys.readouterr().out)


def test_what_is_worth_a_look_is_copied_beside_the_model(runs):
    def fit_that_writes(options):
        folder = runs.base / "model"
        (folder / "predictions").mkdir(parents=True)
        (folder / "predictions" / "000.jpg").write_bytes(b"picture")
        (folder / "metrics.json").write_text("{}")

    runs.monkeypatch.setattr(fit, "fit", fit_that_writes)
    assert runs.run() == 0
    copied = runs.base / "output" / "data"
    assert (copied / "metrics.json").read_text() == "{}"
    assert (copied / "predictions" / "000.jpg").read_bytes() == b"picture"


@pytest.mark.parametrize(
    ("error", "status", "expected", "traceback"),
    [
        pytest.param(errors.DataError("images/7.png: none"), 2, "images/7.png: none", False, id="an error of ours"),
        pytest.param(OSError(28, "No space", "/x"), 2, "/x: the disk is full", False, id="a full disk"),
        pytest.param(ValueError("odd"), 1, "ValueError: odd", True, id="a defect"),
        pytest.param(MemoryError("9 GB"), 1, "MemoryError: Out of memory: lower batch_size", True, id="out of memory"),
        pytest.param(errors.DataError("ä" * 5000), 2, "ä" * 1021 + "...", False, id="a long message"),
    ],
)
def test_whatever_stops_a_run_is_its_failure_reason(runs, capsys, error, status, expected, traceback):
    def fit_that_fails(options):
        raise error

    runs.monkeypatch.setattr(fit, "fit", fit_that_fails)
    assert runs.run() == status
    assert runs.failure.startswith(expected)
    assert len(runs.failure) <= 1024
    assert ("Traceback" in capsys.readouterr().err) == traceback


@pytest.mark.parametrize(
    ("values", "environ", "expected"),
    [
        pytest.param({"epochs": "many"}, {}, "epochs must be a whole number", id="a wrong value"),
        pytest.param({"model_id": "x"}, {}, "unknown model_id 'x'", id="an unknown model"),
        pytest.param({}, {"SM_HOSTS": '["algo-1", "algo-2"]'}, "this host is called ''", id="a host without a name"),
        pytest.param({}, {"SAGEMAKER_BASE_DIR": "elsewhere"}, "no training data: expected a channel", id="no channel"),
    ],
)
def test_what_cannot_be_run_is_refused_before_training(runs, tmp_path, values, environ, expected):
    runs.monkeypatch.chdir(tmp_path)
    for name, value in environ.items():
        runs.monkeypatch.setenv(name, value)
    runs.base = tmp_path / environ.get("SAGEMAKER_BASE_DIR", "")
    assert runs.run(values) == 2
    assert runs.failure.startswith(expected)
    assert runs.options is None


def test_without_data_a_pretrained_model_can_be_exported(runs):
    (runs.base / "input" / "data" / "training").rmdir()
    assert runs.run({"epochs": "0"}) == 0
    assert runs.options.training is None


def test_a_failure_file_that_cannot_be_written_does_not_hide_the_failure(runs, capsys):
    (runs.base / "output").write_text("a file where a folder should be")
    assert runs.run({"epochs": "x"}) == 2
    assert "epochs must be a whole number" in capsys.readouterr().err
