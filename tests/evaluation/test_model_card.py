"""The model card: complete, and Markdown whatever the classes are called."""

from __future__ import annotations

import ast
import dataclasses
import pathlib
import re

import pytest
from report_contents import make_content

from tfod_transfer.evaluation import model_card
from tfod_transfer.evaluation.report_content import ReportContent


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> ReportContent:
    return make_content(tmp_path_factory.mktemp("images"))


def test_it_says_what_a_card_says(content: ReportContent, tmp_path: pathlib.Path) -> None:
    path = model_card.write_model_card(tmp_path, content)
    card = path.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", card, re.MULTILINE)
    assert headings == [
        "What it does", "Data", "How good it is", "Which score to ask for", "Limits", "How to use it", "Licence",
    ]  # fmt: skip
    best = content.assessment.best
    assert best is not None
    assert f"From {best.threshold:.3f} on" in card
    assert "2 \N{MULTIPLICATION SIGN} zero area box (dropped)" in card
    assert "the Apache License 2.0" in card
    assert "learning rate 0.004" in card
    assert "weights of epoch 1 (counted from 0)" in card
    assert "\n\n\n" not in card


def test_every_table_has_cells_for_its_columns(content: ReportContent) -> None:
    for changes in ({}, {"before": None}, {"restore": None, "history": (), "hyperparameters": None}):
        card = model_card.render(dataclasses.replace(content, **changes))
        tables = re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE)
        assert len(tables) == 4
        for table in tables:
            cells = {len(re.split(r"(?<!\\)\|", row)) for row in table.splitlines()}
            assert len(cells) == 1, table


def test_names_are_text_and_nothing_else(content: ReportContent) -> None:
    card = model_card.render(content)
    assert r"\<b\>bold\</b\> \& " in card
    assert r"plain\|\`name\`\_\*" in card
    assert "<b>" not in card


def test_the_code_in_it_is_python(content: ReportContent) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", model_card.render(content), re.DOTALL)
    ast.parse(code)
    assert "kept = scores >= 0." in code


def test_nothing_known_is_nothing_said(content: ReportContent) -> None:
    card = model_card.render(
        dataclasses.replace(content, restore=None, license=None, findings=(), history=(), hyperparameters=None)
    )
    assert "Nothing was left out or put right" in card
    assert "Apache" not in card
    assert "started from" not in card
