"""The report of a real evaluation, opened in a browser as its reader does."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
from browser import WIDTHS, open_page
from running import Command, Done

from tfod_transfer.demo import shapes

pytestmark = pytest.mark.acceptance
IMAGES = 27  # no multiple of any batch


@pytest.fixture(scope="module")
def evaluated(
    fitted: tuple[pathlib.Path, Done], command: Command, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """What `evaluate` wrote."""
    folder = tmp_path_factory.mktemp("evaluated")
    shapes.generate(folder / "data", shapes.TARGET_CLASSES, IMAGES, seed=9)
    done = command("evaluate", fitted[0], folder / "data", "--output_dir", folder / "results")
    assert done.status == 0, done.error
    return folder / "results"


def test_every_image_and_every_box_is_counted_once(evaluated: pathlib.Path) -> None:
    metrics = json.loads((evaluated / "metrics.json").read_text())
    annotations = json.loads((evaluated.parent / "data" / "annotations.json").read_text())
    boxes = len(annotations["annotations"])
    assert metrics["images"] == len(annotations["images"]) == IMAGES
    assert sum(values["boxes"] for values in metrics["per_class"].values()) == boxes
    assert sum(size["boxes"] for size in metrics["sizes"]) == boxes
    matrix = metrics["confusion_matrix"]
    assert matrix["labels"] == [*shapes.TARGET_CLASSES, "background"]
    assert sum(map(sum, matrix["ground_truth_by_prediction"][:-1])) == boxes
    best = metrics["best_f1"]["all"]
    assert best["right"] + best["missed"] == boxes
    assert best["threshold"] == matrix["score_threshold"]
    assert set(metrics["best_f1"]["per_class"]) == set(shapes.TARGET_CLASSES)


def test_page_and_card_say_what_was_measured(evaluated: pathlib.Path) -> None:
    metrics = json.loads((evaluated / "metrics.json").read_text())
    page = (evaluated / "report.html").read_text(encoding="utf-8")
    card = (evaluated / "model_card.md").read_text(encoding="utf-8")
    for text in (page, card):
        assert f"{metrics['AP']:.3f}" in text
        assert f"{metrics['best_f1']['all']['threshold']:.3f}" in text
        assert all(name in text for name in shapes.TARGET_CLASSES)
    assert re.findall(r'class="tag (\w+)"', page) == ["new"] * len(shapes.TARGET_CLASSES)
    assert "Hyperparameters" in page
    assert len(page) < 5_000_000


def test_a_browser_shows_all_of_it_at_any_width_and_asks_for_nothing_else(
    evaluated: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    opened = open_page(evaluated / "report.html", tmp_path)
    assert opened.console == []
    assert opened.requested <= {"/frame.html", "/report.html", "/favicon.ico"}  # the last is for the frame
    for width in WIDTHS:
        found = opened.by_width[width]
        assert found["inner_width"] == width
        assert found["scroll_width"] <= found["client_width"], found["beyond"]
        assert found["beyond"] == []
        assert len(found["images"]) >= 4
        assert all(found["images"])
        assert len(found["plots"]) == 2
        assert all(found["plots"])
        assert "summary" in found["headings"]
        assert found["font_px"] >= 16
