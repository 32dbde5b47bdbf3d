"""Photographs and answers in a bucket, by the real commands and tensorflow-io."""

from __future__ import annotations

import json
import pathlib

import pytest
from buckets import Bucket
from running import Command, Done

pytestmark = pytest.mark.acceptance

NAMES = ("1.png", "2.png", "more/3.png")


@pytest.fixture(scope="module")
def photographs(bucket: Bucket, drawn: pathlib.Path) -> list[str]:
    files = sorted((drawn / "validation" / "images").iterdir())
    for name, file in zip(NAMES, files, strict=False):
        bucket.put(f"new/{name}", file.read_bytes())
    return [f"{bucket.address}/new/{name}" for name in NAMES]


def test_a_batch_transform_from_prefix_to_prefix(
    bucket: Bucket, photographs: list[str], fitted: tuple[pathlib.Path, Done], command: Command
) -> None:
    places = (f"{bucket.address}/new", "--output_dir", f"{bucket.address}/answers/")
    for expected in ("answered: 3 of 3", "goes on:  3 of 3"):
        done = command("transform", fitted[0], *places, environ=bucket.environment)
        assert done.status == 0, done.error
        assert expected in done.output
    assert bucket.keys("answers/") == [*(f"answers/{name}.out" for name in NAMES), "answers/transform.json"]


def test_predictions_for_a_prefix(
    bucket: Bucket, photographs: list[str], fitted: tuple[pathlib.Path, Done], command: Command, tmp_path: pathlib.Path
) -> None:
    arguments = (f"{bucket.address}/new/*.png", f"{bucket.address}/new/more")
    done = command("predict", fitted[0], *arguments, "--output_dir", tmp_path, environ=bucket.environment)
    assert done.status == 0, done.error
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [line["image"] for line in lines] == photographs
    assert {path.name for path in tmp_path.glob("*.jpg")} == {"1.jpg", "2.jpg", "3.jpg"}


def test_a_bucket_that_is_not_there(
    bucket: Bucket, fitted: tuple[pathlib.Path, Done], command: Command, tmp_path: pathlib.Path
) -> None:
    done = command("predict", fitted[0], "s3://nobodys/new", "--output_dir", tmp_path, environ=bucket.environment)
    assert done.status == 2
    assert done.error.startswith("error: s3://nobodys/new: ")
    assert len(done.error.splitlines()) == 1
