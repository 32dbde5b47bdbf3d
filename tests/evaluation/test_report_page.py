"""The page of a report: whole, self-contained, safe with any names, and without what is not known."""

from __future__ import annotations

import base64
import collections
import dataclasses
import html.parser
import io
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from report_contents import NAMES, RESTORE, make_content, measured

from tfod_transfer.evaluation import insights, pictures, report_page
from tfod_transfer.evaluation.assessment import assess
from tfod_transfer.evaluation.coco_metrics import ImageDetections
from tfod_transfer.evaluation.report_content import ReportContent

VOID = {"meta", "link", "img", "br"}
SECTIONS = [
    "curves", "classes", "recall", "threshold", "confusion", "sizes", "images", "data", "restore", "hyperparameters",
    "environment",
]  # fmt: skip


class Page(html.parser.HTMLParser):
    """Tags with their attributes, text, and what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self.texts))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> ReportContent:
    return make_content(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def written(content: ReportContent, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return report_page.write_report(tmp_path_factory.mktemp("report"), content)


@pytest.fixture(scope="module")
def page(written: pathlib.Path) -> Page:
    return Page(written.read_text(encoding="utf-8"))


def test_it_is_written_as_one_file(written: pathlib.Path) -> None:
    assert [path.name for path in written.parent.iterdir()] == ["report.html"]
    assert written.read_text(encoding="utf-8").lstrip().startswith("<!doctype html>")


def test_every_element_is_closed_and_every_link_leads_somewhere(page: Page) -> None:
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert [name for name, count in collections.Counter(ids).items() if count > 1] == []
    targets = {attributes["href"] for attributes in page.all("a")}
    assert {f"#{name}" for name in SECTIONS} == targets
    assert {target[1:] for target in targets if target} <= set(ids)
    used = {
        match
        for _, attributes in page.tags
        for value in attributes.values()
        for match in re.findall(r"^#([^0-9a-f].*)|url\(#(.*?)\)", value or "")
    }
    assert {first or second for first, second in used} <= set(ids)


def test_nothing_is_fetched_or_run(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert (value or "").startswith(("#", "data:")), (tag, name)
    assert "@import" not in report_page.TEMPLATES.joinpath("report.css").read_text()


def test_pictures_and_plots_have_words_for_those_who_cannot_see_them(page: Page) -> None:
    assert len(page.all("img")) > 4
    assert all(attributes["alt"] for attributes in page.all("img"))
    roles = [attributes for attributes in page.all("div") if attributes.get("role") == "img"]
    assert len(roles) == len(page.all("svg")) == 8  # six of history, two of scores
    assert all(attributes["aria-label"] for attributes in roles)
    assert {attributes.get("aria-hidden") for attributes in page.all("svg")} == {"true"}
    assert page.all("meta")[1] == {"name": "viewport", "content": "width=device-width, initial-scale=1"}


def test_names_are_text_and_nothing_else(page: Page) -> None:
    assert page.all("b") == page.all("i") == page.all("somebody") == []
    for name in NAMES:
        assert name in page.text
    assert "weights of <somebody>" in page.text
    assert "a/<i>.json, annotation 3" in page.text


def test_figures_are_those_that_were_measured(content: ReportContent, page: Page) -> None:
    metrics, best = content.assessment.metrics, content.assessment.best
    assert best is not None
    for figure in (metrics.ap, metrics.ap50, best.f1, best.threshold, 0.0123):
        assert f"{figure:.3f}" in page.text
    assert "1 h 2 min" in page.text
    assert "3 epochs, weights of epoch 1" in page.text
    assert "2 \N{MULTIPLICATION SIGN} zero area box, dropped" in page.text
    assert "0.004 recipe: 0.002" in page.text
    assert "adam recipe" not in page.text
    rows = report_page.class_rows(content)
    assert [row["origin"] for row in rows] == ["kept", "new", "new"]
    assert [row["before"] for row in rows] == [0.01] * 3
    strengths = re.findall(r"--share: ([\d.]+)", " ".join(each.get("style") or "" for each in page.all("td")))
    assert len(strengths) == 4 * 4 - 1 + 2 * 4 + 4 + 2 * 3  # confusion, classes, thresholds, sizes
    assert all(0 <= float(value) <= 1 for value in strengths)


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"history": (), "best_epoch": None, "hyperparameters": None, "recipe": None}, ["curves", "hyperparameters"]),
        ({"restore": None, "before": None, "seconds": None, "license": None, "recipe": None}, ["restore"]),
    ],
)
def test_what_is_not_known_is_left_out(content: ReportContent, changes: dict, absent: list[str]) -> None:
    page = Page(report_page.render(dataclasses.replace(content, **changes)))
    headings = [attributes["id"] for attributes in page.all("h2") if attributes["id"] != "summary"]
    assert headings == [name for name in SECTIONS if name not in absent]
    assert ("before training" in page.text) == (changes.get("before", 1) is not None)
    assert "None" not in page.text


def test_a_history_of_one_epoch_that_lacks_something_is_plotted_without_it(content: ReportContent) -> None:
    epochs = [{"epoch": 0, "loss": 0.5, "AP": 0.1, "AP50": 0.2}]
    page = Page(report_page.render(dataclasses.replace(content, history=epochs, best_epoch=0)))
    assert len(page.all("svg")) == 4
    assert "Learning rate" not in page.text


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_model_that_finds_nothing_still_has_its_report(tmp_path: pathlib.Path, is_empty: bool) -> None:
    dataset, found = measured(tmp_path / "images", 3, 64)
    if is_empty:  # nothing to find either
        dataset = dataclasses.replace(
            dataset.select([2, 2]), image_paths=dataset.image_paths[:2], image_ids=[1, 2], class_names=("a", "b", "c")
        )
        found = ImageDetections(found.boxes[:2], found.classes[:2], found.scores[:2])
    else:
        found = ImageDetections(found.boxes, found.classes, np.zeros_like(found.scores))
    content = make_content(
        tmp_path / "other",
        dataset=dataset,
        detections=found,
        assessment=assess(dataset, found),
        before=None,
        diagnosis=["every score is <near> 0"],
    )
    page = Page(report_page.render(content))
    assert "every score is <near> 0" in page.text
    assert "Score threshold" not in page.text
    expected = "nothing to measure on" if is_empty else "None of the 7 boxes was found"
    assert expected in page.text


def test_many_classes_have_a_list_of_mistakes_in_place_of_a_matrix(tmp_path: pathlib.Path) -> None:
    dataset, found = measured(tmp_path / "images", 12, 64, quality=0.4)
    names = tuple(f"class {number}" for number in range(30))
    dataset = dataclasses.replace(
        dataset,
        class_names=names,
        category_ids=tuple(range(30)),
        classes=np.arange(dataset.num_boxes, dtype=np.int32) % 30,
    )
    content = make_content(
        tmp_path / "other", dataset=dataset, detections=found, assessment=assess(dataset, found), before=None
    )
    page = Page(report_page.render(content))
    assert "reported as" not in page.text
    assert "The whole matrix, of 30 classes and background" in page.text
    assert "Most frequent mistakes" in page.text
    assert "the 4 best and the 4 worst of 30 classes" in page.text
    assert "class 0 , class 1" in page.text
    assert "and 25 more" in page.text


def test_the_heaviest_pictures_keep_the_page_under_five_megabytes(tmp_path: pathlib.Path) -> None:
    content = make_content(tmp_path / "images", count=14, side=700)
    page = report_page.render(content)
    uris = re.findall(r"data:image/jpeg;base64,([^\"]+)", page)
    assert len(uris) == 24
    assert len(page) < 5_000_000
    sizes = {Image.open(io.BytesIO(base64.b64decode(uri))).size for uri in uris}
    assert {max(size) for size in sizes} == {pictures.SIDE}


def test_pictures_say_what_is_right_and_wrong(content: ReportContent) -> None:
    best, worst = pictures.best_and_worst(content)
    assert {pair.name for pair in best}.isdisjoint(pair.name for pair in worst)
    assert re.fullmatch(r"F1 0\.\d\d: \d right, \d wrong, \d missed", worst[0].outcome)
    assert worst[0].truth_text.startswith(f"Ground truth of {worst[0].name}: ")


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, insights.NO_FIGURE), (0, "0 %"), (0.001, "under 1 %"), (0.455, "46 %"), (0.999, "over 99 %"), (1, "100 %")],
)
def test_percent(share: float | None, text: str) -> None:
    assert insights.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.2 s"), (59.2, "59.2 s"), (131, "2 min 11 s"), (7260.4, "2 h 1 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert report_page.duration(seconds) == text


@pytest.mark.parametrize(
    ("best_epoch", "last_ap", "expected"),
    [
        (2, 0.5, "more epochs may still gain something"),
        (1, 0.0, "AP was best after epoch 1 and fell by"),
        (1, 1.0, None),  # no worse at the end
    ],
)
def test_sentences_on_training(content: ReportContent, best_epoch: int, last_ap: float, expected: str | None) -> None:
    history = [*content.history[:2], {**content.history[2], "AP": last_ap}]
    told = " ".join(insights.sentences(dataclasses.replace(content, history=history, best_epoch=best_epoch)))
    assert "Measured on 8 images only" in told
    if expected:
        assert expected in told
    else:
        assert "epoch" not in told


def test_classes_are_new_or_kept_by_name(content: ReportContent) -> None:
    assert content.class_origins == ("kept", "new", "new")
    assert dataclasses.replace(content, restore={**RESTORE, "kept_classes": []}).class_origins == ("new",) * 3
    assert dataclasses.replace(content, restore=None).class_origins is None


def test_the_same_content_gives_the_same_page_and_leaves_matplotlib_s_settings_alone(
    content: ReportContent, written: pathlib.Path
) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    assert report_page.render(content) == written.read_text(encoding="utf-8")
    assert dict(matplotlib.rcParams) == before


def test_a_page_is_made_without_tensorflow() -> None:
    code = (
        "import sys\nfrom tfod_transfer.evaluation import assessment, environment, model_card, report_page\n"
        "print(environment.describe()['TensorFlow'], 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+ False\n", done.stdout)
