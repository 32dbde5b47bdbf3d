"""Tables for a terminal."""

from __future__ import annotations

import re

import pytest

from tfod_transfer.evaluation.coco_metrics import CocoMetrics
from tfod_transfer.evaluation.report import comparison_table, metrics_table


def metrics(values: dict[str, float | None], boxes: int = 3) -> CocoMetrics:
    per_class = {name: {"AP": ap, "AP50": ap, "boxes": boxes} for name, ap in values.items()}
    return CocoMetrics({"AP": 0.5, "AP50": None}, per_class)


def test_a_row_for_each_class_and_one_for_all() -> None:
    table = metrics_table(metrics({"cat": 0.25, "dog": None}))
    assert [line.split() for line in table.splitlines()] == [
        ["class", "boxes", "AP", "AP50"],
        ["cat", "3", "0.250", "0.250"],
        ["dog", "3", "-", "-"],
        ["all", "classes", "6", "0.500", "-"],
    ]


def test_known_classes_come_first_and_have_a_mean_of_their_own() -> None:
    names = ["new one", "old one", "new two", "old two", "old three"]
    before = metrics(dict(zip(names, (0.0, 0.5, 0.0, 0.3, None), strict=True)))
    after = metrics(dict(zip(names, (0.2, 0.4, 0.4, 0.4, None), strict=True)))
    rows = comparison_table(before, after, names, {"old one", "old two", "old three"}).splitlines()
    assert [re.split(r"  +", row)[0] for row in rows[1:]] == [
        "old one", "old two", "old three", "new one", "new two", "all 3 known classes", "all 2 new classes",
    ]  # fmt: skip
    assert rows[1].split()[2:] == ["known", "3", "0.500", "->", "0.400", "-0.100"]
    assert rows[3].split()[2:] == ["known", "3", "-", "->", "-", "-"]
    assert rows[6].split()[5:] == ["9", "0.400", "->", "0.400", "+0.000"]
    assert rows[7].split()[5:] == ["6", "0.000", "->", "0.300", "+0.300"]


def test_two_classes_of_one_name_keep_their_ids() -> None:
    values = metrics({"cat (1)": 0.1, "cat (2)": 0.2})
    table = comparison_table(values, values, ["cat", "cat"], {"cat"})
    assert [line[:7] for line in table.splitlines()[1:3]] == ["cat (1)", "cat (2)"]
    assert "new" not in table


@pytest.mark.parametrize("count", [1, 90])
@pytest.mark.parametrize(
    "name", ["x", "a very long name of a class of things that nobody had seen before " * 2, "a\nb"]
)
def test_eighty_columns_hold_every_table(name: str, count: int) -> None:
    names = [f"{number} {name}" for number in range(count)]
    values = metrics(dict.fromkeys(names, 1.0), boxes=123_456)
    compared = comparison_table(values, values, names, names[::2], [f"dropped-{name.split()[0]}" for name in names])
    for table in (metrics_table(values), compared):
        lines = table.splitlines()
        assert len(lines) >= count + 2
        assert max(map(len, lines)) <= 80
    starts = [line.split()[0] for line in compared.splitlines()[1 : count + 1]]
    assert sorted(starts, key=int) == [str(number) for number in range(count)]
