"""What a finished run hands to its report."""

from __future__ import annotations

import pathlib

import numpy as np
from epochs import epoch

from tfod_transfer import execution, hyperparameters, registry
from tfod_transfer.data import training_data
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.demo import shapes
from tfod_transfer.evaluation.coco_metrics import ImageDetections, coco_metrics
from tfod_transfer.modeling.zoo_checkpoint import RestoreReport
from tfod_transfer.training import reporting
from tfod_transfer.training.restoring import Restored
from tfod_transfer.training.results import TrainingResult, Validation

DEMO = "tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes"


def everything(dataset: DetectionDataset, score: float) -> ImageDetections:
    """Every box found, with the same score."""
    width = int(dataset.boxes_per_image.max())
    images = len(dataset)
    found = ImageDetections(
        np.zeros((images, width, 4), np.float32),
        np.zeros((images, width), np.int32),
        np.zeros((images, width), np.float32),
    )
    for image in range(images):
        rows = dataset.rows_of(image)
        count = rows.stop - rows.start
        found.boxes[image, :count], found.classes[image, :count] = dataset.boxes[rows], dataset.classes[rows]
        found.scores[image, :count] = score
    return found


def test_page_and_card_hold_what_the_run_gave(tmp_path: pathlib.Path) -> None:
    shapes.generate(tmp_path / "data", shapes.TARGET_CLASSES, 20, seed=3)
    spec = registry.load_registry().get(DEMO)
    settings = hyperparameters.resolve({"epochs": 3, "learning_rate": 0.0123}, spec.defaults)
    data = training_data.read(str(tmp_path / "data"), None, settings)
    names = data.train.class_names
    report = RestoreReport(
        "", {"a": 5}, {"b": 6}, {}, kept_classes=names[:1], new_classes=names[1:], dropped_classes=()
    )
    found, nothing = everything(data.validation, 0.8), everything(data.validation, 0.0)
    result = TrainingResult(
        before=Validation(0.9, 0.9, coco_metrics(data.validation, nothing)),
        history=[epoch(0), epoch(1), epoch(2)],
        best=epoch(1),
        final=Validation(0.1, 0.1, coco_metrics(data.validation, found)),
        detections=found,
        seconds=61.0,
    )
    processor = execution.Processor("cpu", "some processor", bfloat16=False)
    assessment = reporting.write(
        tmp_path,
        Restored(spec, names, data.train.category_ids, report, "weights from somewhere"),
        data,
        result,
        settings,
        execution.choose(spec, processor),
    )
    assert assessment.metrics.ap == result.final.metrics.ap
    assert assessment.to_dict().items() >= result.final.metrics.to_dict().items()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    card = (tmp_path / "model_card.md").read_text(encoding="utf-8")
    for text in (page, card):
        assert "weights from somewhere" in text
        assert "0.0123" in text
        assert f"{len(data.train)}" in text
        assert "Training took AP from 0.000 to 1.000." in text
        assert "of the training images, stratified" in text
    assert "1 min 1 s" in page
    assert "3 epochs, weights of epoch 1" in page
    assert f"recipe: {spec.defaults['learning_rate']:g}" in page
    assert "float32, batch norm folded" in page
    assert page.count('class="tag kept"') == 1
    assert page.count("<svg") == 8
