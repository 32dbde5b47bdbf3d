from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
import yaml

from tfod_transfer import cli, hyperparameters, models, registry

ROOT = pathlib.Path(__file__).resolve().parent.parent
FPNLITE_320 = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
FINISHED = "tensorflow-od-efficientdet-d0-1"
RESNET50 = "tensorflow-od1-ssd-resnet50-v1-fpn-640x640-coco17-tpu-8"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("TFOD_TRANSFER_CACHE", str(tmp_path))
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert cli.run(models.main, argv) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["list"]])
def test_the_table_holds_every_model(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    header, *lines = printed(capsys, *argv).splitlines()
    assert header.split() == ["model_id", "input", "params", "mAP", "status"]
    known = registry.load_registry()
    assert [line.split()[0] for line in lines] == [*known.model_ids(), *known.saved_models]
    assert max(map(len, [header, *lines])) <= 100
    rows = {line.split()[0]: line.split(maxsplit=4)[1:] for line in lines}
    assert rows[FPNLITE_320] == ["320", "2.7M", "22.2", "ready, download"]
    assert rows["tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes"] == ["160", "0.5M", "-", "ready, embedded"]
    assert rows[FINISHED] == ["-", "-", "33.6", "inference only"]
    assert all(rows[model_id][3].startswith("ready") for model_id in known.model_ids())


def test_cached_weights_are_told(empty_cache: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty_cache / "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8").mkdir()
    line = next(line for line in printed(capsys).splitlines() if line.startswith(FPNLITE_320))
    assert line.endswith("ready, cached")


@pytest.mark.parametrize("model_id", [FPNLITE_320, RESNET50])
def test_a_model_is_shown_whole(model_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    spec = registry.load_registry().get(model_id)
    text = printed(capsys, "show", model_id)
    shown = json.loads(printed(capsys, "show", model_id, "--json"))
    assert yaml.safe_load(text) == shown
    assert shown["checkpoint"]["url"] == spec.checkpoint.url
    assert shown["structure"]["l2"] == spec.structure.l2
    assert shown["class_names"] == list(spec.class_names)
    assert (shown["weights"], shown["trainable"]) == ("download", True)


def test_a_finished_model_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(printed(capsys, "show", FINISHED, "--json"))
    assert yaml.safe_load(printed(capsys, "show", FINISHED)) == shown
    assert (shown["weights"], shown["trainable"]) == ("download", False)
    assert shown["url"] == "https://tfhub.dev/tensorflow/efficientdet/d0/1"
    assert shown["nearest"] in registry.load_registry().model_ids()


def test_all_knownas_json(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(printed(capsys, "list", "--json"))
    known = registry.load_registry()
    assert [entry["model_id"] for entry in listed] == [*known.model_ids(), *known.saved_models]


def test_the_defaults_are_a_dictionary_of_strings(capsys: pytest.CaptureFixture[str]) -> None:
    spec = registry.load_registry().get(FPNLITE_320)
    defaults = json.loads(printed(capsys, "show", FPNLITE_320, "--defaults"))
    documented = {name for name, field in hyperparameters.FIELDS.items() if field.metadata["documented"]}
    assert set(defaults) == documented
    assert len(defaults) == 15
    assert all(type(value) is str for value in defaults.values())
    for name in ("epochs", "batch_size", "learning_rate", "optimizer"):
        assert hyperparameters.parse(name, defaults[name]) == spec.defaults[name]


# arguments that cannot be used: words on standard error
WRONG = {
    "unknown model": (["show", FPNLITE_320[:-1]], f"Did you mean '{FPNLITE_320}'?"),
    "no model": (["show"], "expected `show MODEL_ID`"),
    "model without show": (["list", FPNLITE_320], "expected `show MODEL_ID`"),
    "defaults of a finished model": (["show", FINISHED, "--defaults"], "cannot be trained"),
    "defaults of no model": (["--defaults"], "expected `show MODEL_ID`"),
    "unknown flag": (["show", FPNLITE_320, "--default"], "Did you mean '--defaults'?"),
    "unknown command": (["shwo"], "invalid choice: 'shwo'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_answered_with_status_2(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv, words = WRONG[case]
    try:
        status = cli.run(models.main, argv)
    except SystemExit as stop:
        status = int(stop.code or 0)
    output = capsys.readouterr()
    assert (status, output.out) == (2, "")
    assert words in output.err
    assert len(output.err.splitlines()) == 1


def test_listing_imports_neither_tensorflow_nor_numpy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "tfod_transfer.models"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert "yaml" in imported
    assert not {"tensorflow", "numpy", "tf_keras", "tensorflow_hub"} & imported
