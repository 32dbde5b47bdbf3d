"""Data sets on disk."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from PIL import Image
from records_on_disk import HEIGHT, WIDTH


@pytest.fixture
def write(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Writes a data set; files are named by the records or by `files`."""

    def write(
        images: Sequence[dict[str, Any]],
        annotations: Sequence[dict[str, Any]] = (),
        categories: Sequence[dict[str, Any]] | None = None,
        files: Sequence[str] | None = None,
        folder: str = "images",
        size: tuple[int, int] = (WIDTH, HEIGHT),
    ) -> pathlib.Path:
        names = [record["file_name"] for record in images] if files is None else files
        for name in names:
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size).save(tmp_path / folder / name)
        content: dict[str, Any] = {"images": list(images), "annotations": list(annotations)}
        if categories is not None:
            content["categories"] = list(categories)
        (tmp_path / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
        return tmp_path

    return write
