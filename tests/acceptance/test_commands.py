"""The commands on drawn shapes with the embedded model: what a user's clone can run without anything else."""

from __future__ import annotations

import json
import pathlib
import re
import resource
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from running import ARTIFACT_FILES, DEMO, ROOT, Command, Done

from tfod_transfer.demo import shapes

pytestmark = pytest.mark.acceptance
Fitted = tuple[pathlib.Path, Done]
Change = Callable[[Any], object]


def annotations(folder: pathlib.Path, change: Change) -> pathlib.Path:
    """Rewrites the annotations of a data set through a function."""
    path = folder / "annotations.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture
def copy_of_training(drawn: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(drawn / "training", tmp_path / "data"))


def test_fit_leaves_a_whole_artifact(fitted: Fitted) -> None:
    folder, done = fitted
    assert {path.name for path in folder.iterdir()} == ARTIFACT_FILES
    assert json.loads((folder / "labels_info.json").read_text()) == {"labels": ["N/A", *shapes.TARGET_CLASSES]}
    info = json.loads((folder / "__model_info__.json").read_text())
    assert (info["model_name"], info["image_size"], info["finetuned"]) == (DEMO, [160, 160, 3], True)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["AP"] > metrics["before"]["AP"]
    assert set(metrics["per_class"]) == set(shapes.TARGET_CLASSES)
    assert len(metrics["history"]) == 2
    assert json.loads((folder / "hyperparameters.json").read_text())["epochs"] == 2
    assert len(list((folder / "predictions").iterdir())) == 16
    assert not list(folder.parent.glob(".*"))
    assert "class rows new:     cross, hexagon, crescent, arrow" in done.output


def test_the_log_is_sagemakers(fitted: Fitted) -> None:
    lines = [line for line in fitted[1].output.splitlines() if line.startswith("[Epoch")]
    patterns = [
        r"\[Epoch \d\], Speed: [0-9.]+ samples/sec, loss=[0-9.]+\.",
        r"\[Epoch \d\], Val_localization=[0-9.]+, Val_classification=[0-9.]+",
        r"\[Epoch \d\], Val_mAP=[0-9.]+",
        r"\[Epoch \d\], Val_mAP50=[0-9.]+",
    ]
    assert len(lines) == 8
    assert all(re.fullmatch(pattern, line) for pattern, line in zip(patterns * 2, lines, strict=True))


# AWS's own metric definitions, letter by letter, then those of mAP; what they find, as metrics.json calls it.
METRIC_DEFINITIONS = {
    r"loss=([0-9\\.]+).": "loss",
    r"Val_localization=([0-9\\.]+)": "val_localization_loss",
    r"Val_classification=([0-9\\.]+)": "val_classification_loss",
    r"Val_mAP=([0-9\.]+)": "AP",
    r"Val_mAP50=([0-9\.]+)": "AP50",
}


@pytest.mark.parametrize("regex", METRIC_DEFINITIONS)
def test_metric_definitions_find_each_epoch_once_in_the_whole_log(regex: str, fitted: Fitted) -> None:
    history = json.loads((fitted[0] / "metrics.json").read_text())["history"]
    found = [float(text.rstrip(".")) for text in re.findall(regex, fitted[1].output + fitted[1].error)]
    assert found == [pytest.approx(epoch[METRIC_DEFINITIONS[regex]], abs=1e-3) for epoch in history]


@pytest.mark.parametrize("document", ["sagemaker.md", "tuning.md"])
def test_the_documents_definitions_are_these(document: str) -> None:
    definitions = re.findall(r'"Regex": r"(.+)"', (ROOT / "docs" / document).read_text())
    tested = {regex.replace(r"\\", "\\") for regex in METRIC_DEFINITIONS}
    assert {definition.replace(r")\.", ").") for definition in definitions} == tested


def test_evaluate_measures_what_fit_measured(
    fitted: Fitted, drawn: pathlib.Path, command: Command, tmp_path: pathlib.Path
) -> None:
    done = command("evaluate", fitted[0], drawn / "validation", "--output_dir", tmp_path / "results")
    assert done.status == 0, done.error
    measured = json.loads((tmp_path / "results" / "metrics.json").read_text())
    expected = json.loads((fitted[0] / "metrics.json").read_text())
    assert measured["AP"] == pytest.approx(expected["AP"], abs=1e-3)
    assert measured["per_class"].keys() == expected["per_class"].keys()


def test_predict_draws_and_writes(
    fitted: Fitted, drawn: pathlib.Path, command: Command, tmp_path: pathlib.Path
) -> None:
    images = sorted((drawn / "validation" / "images").iterdir())[:3]
    (tmp_path / "page.jpg").write_text("<html>")
    done = command("predict", fitted[0], *images, tmp_path / "page.jpg", "--output_dir", tmp_path / "out")
    assert done.status == 2
    assert "page.jpg" in done.error
    assert done.error.count("\n") == 1
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert [line["image"] for line in lines] == [str(path) for path in images]
    for line in lines:
        assert line["labels"] == ["N/A", *shapes.TARGET_CLASSES]
        assert [line["labels"][int(index)] for index in line["classes"]] == line["class_names"]
        assert line["scores"] == sorted(line["scores"], reverse=True)
        xmin, ymin, xmax, ymax = np.array(line["normalized_boxes"]).T
        assert (xmin < xmax).all()
        assert (ymin < ymax).all()
    assert {path.stem for path in (tmp_path / "out").glob("*.jpg")} == {path.stem for path in images}


def test_predict_takes_a_pattern_and_writes_coco_results(
    fitted: Fitted, drawn: pathlib.Path, command: Command, tmp_path: pathlib.Path
) -> None:
    annotations = drawn / "validation" / "annotations.json"
    content = json.loads(annotations.read_text())
    done = command(
        "predict",
        *(fitted[0], drawn / "validation" / "**" / "*1.*", "--output_dir", tmp_path),
        *("--format", "coco", "--annotations", annotations, "--score_threshold", 0.1),
    )
    assert done.status == 0, done.error
    images = {image["id"]: image for image in content["images"] if "1." in image["file_name"]}
    results = json.loads((tmp_path / "predictions.json").read_text())
    assert {result["image_id"] for result in results} == set(images)
    assert {result["category_id"] for result in results} <= {each["id"] for each in content["categories"]}
    for result in results:
        left, top, width, height = result["bbox"]
        image = images[result["image_id"]]
        assert min(left, top) >= 0
        assert 1 < width <= image["width"] - left + 0.01
        assert 1 < height <= image["height"] - top + 0.01
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".jpg"}
    assert len(list(tmp_path.iterdir())) == 1 + len(images)


def test_incremental_training_keeps_the_rows_it_knows(fitted: Fitted, command: Command, tmp_path: pathlib.Path) -> None:
    classes = ("arrow", "cross", "star")  # two known, in another order, and a new one
    shapes.generate(tmp_path / "data", classes, 16, seed=5)
    done = command(
        "fit",
        *("--model_id", DEMO, "--training", tmp_path / "data", "--model_dir", tmp_path / "model"),
        *("--pretrained", fitted[0], "--epochs", 1),
    )
    assert done.status == 0, done.error
    assert "class rows kept:    arrow, cross\n" in done.output
    assert "class rows new:     star\n" in done.output
    assert "class rows dropped: hexagon, crescent\n" in done.output


def test_epochs_0_without_data_exports_the_pretrained_model(
    command: Command, drawn: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    done = command("fit", "--model_id", DEMO, "--model_dir", tmp_path / "model", "--epochs", 0)
    assert done.status == 0, done.error
    assert json.loads((tmp_path / "model" / "labels_info.json").read_text())["labels"] == [
        "N/A",
        *shapes.SOURCE_CLASSES,
    ]
    assert json.loads((tmp_path / "model" / "__model_info__.json").read_text())["finetuned"] is False
    shapes.generate(tmp_path / "data", shapes.SOURCE_CLASSES, 24, seed=6)
    done = command("evaluate", tmp_path / "model", tmp_path / "data", "--output_dir", tmp_path / "results")
    assert done.status == 0, done.error
    assert json.loads((tmp_path / "results" / "metrics.json").read_text())["AP50"] > 0.5
    done = command("evaluate", tmp_path / "model", drawn / "validation", "--output_dir", tmp_path / "results")
    assert done.status == 2  # classes that the model does not know


def test_dry_run_writes_nothing(command: Command, drawn: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = command(
        "fit", "--model_id", DEMO, "--training", drawn / "training", "--model_dir", tmp_path / "model", "--dry_run"
    )
    assert done.status == 0, done.error
    assert "went well; nothing was written" in done.output
    assert re.search(r"estimate: .* for the whole run, [0-9.]+ GB of memory", done.output)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_stops_the_run(command: Command, drawn: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = command(
        "fit",
        *("--model_id", DEMO, "--training", drawn / "training", "--model_dir", tmp_path / "model"),
        *("--optimizer", "sgd", "--learning_rate", 1, "--momentum", 1, "--warmup_fraction", 0, "--epochs", 20),
    )
    assert done.status == 2
    assert re.search(r"error: the (validation )?loss is not a finite number", done.error)
    assert not (tmp_path / "model").exists()


def test_a_full_disk_is_one_sentence(command: Command, tmp_path: pathlib.Path) -> None:
    # No file may grow beyond 200 kB: the weights cannot be written, as on a disk without space.
    limit = 200_000
    done = command(
        "fit", "--model_id", DEMO, "--model_dir", tmp_path / "model", "--epochs", 0,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert done.status == 2
    assert done.error.startswith("error: ")
    assert done.error.count("\n") == 1
    assert "model" in done.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "does not exist"),
        (lambda folder: (folder / "annotations.json").write_text('{"images": ['), "annotations.json"),
        (lambda folder: annotations(folder, lambda content: content["annotations"].clear()), "nothing to learn"),
        (lambda folder: annotations(folder, lambda content: content.pop("annotations")), "annotations"),
        (lambda folder: shutil.rmtree(folder / "images"), "images"),
    ],
    ids=["missing folder", "broken JSON", "no boxes", "no annotations", "no images"],
)
def test_unusable_data_is_one_sentence(
    command: Command, copy_of_training: pathlib.Path, tmp_path: pathlib.Path, change: Change, message: str
) -> None:
    change(copy_of_training)
    done = command("fit", "--model_id", DEMO, "--training", copy_of_training, "--model_dir", tmp_path / "model")
    assert done.status == 2
    assert message in done.error
    assert done.error.startswith("error: ")
    assert "Traceback" not in done.error


def test_what_people_really_have_is_named_and_trained_on(
    command: Command, copy_of_training: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    def spoil(content: dict[str, list[dict[str, object]]]) -> None:
        first, second = content["annotations"][0], content["annotations"][1]
        first["bbox"] = [first["bbox"][i] for i in (2, 3, 0, 1)]  # type: ignore[index]  # corners exchanged
        second["bbox"] = [5, 5, 5, 5]
        content["images"][2]["file_name"] = "gone.jpg"
        content["images"][3].update(file_name="huge.png", width=20_000, height=20_000)

    annotations(copy_of_training, spoil)
    Image.new("1", (20_000, 20_000)).save(copy_of_training / "images" / "huge.png")
    (copy_of_training / "images" / "000004.jpg").write_bytes(b"not an image")
    done = command(
        "fit",
        *("--model_id", DEMO, "--training", copy_of_training, "--model_dir", tmp_path / "model", "--epochs", 1),
    )
    assert done.status == 0, done.error
    findings = json.loads((tmp_path / "model" / "findings.json").read_text())
    about = {pathlib.Path(finding["file"]).name for finding in findings}
    assert {"gone.jpg", "huge.png", "000004.jpg"} <= about
    assert {"reordered", "dropped"} <= {finding["action"] for finding in findings}
