"""Records of annotation files, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfod_transfer.data.dataset import DetectionDataset

WIDTH, HEIGHT = 64, 48


def image(index: int, **more: Any) -> dict[str, Any]:
    return {"id": index, "file_name": f"{index}.png", "width": WIDTH, "height": HEIGHT, **more}


def box(image_id: Any, bbox: Sequence[float] = (40, 10, 60, 30), category_id: Any = 1, **more: Any) -> dict[str, Any]:
    """Read as sizes, the default box reaches past the edge, so that its order is never in doubt."""
    return {"image_id": image_id, "bbox": list(bbox), "category_id": category_id, **more}


def reasons(dataset: DetectionDataset) -> list[tuple[str, str]]:
    return [(finding.reason, finding.action) for finding in dataset.findings]
