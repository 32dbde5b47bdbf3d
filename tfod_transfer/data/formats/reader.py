"""Makes a DetectionDataset of what an annotation file states and what its image files are."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tfod_transfer.data import frames, image_files, validation
from tfod_transfer.data.dataset import DetectionDataset, Finding
from tfod_transfer.data.formats import box_order as box_orders
from tfod_transfer.data.formats import json_file, layout, places, table
from tfod_transfer.data.formats.box_order import BOX_ORDERS, SPELLED
from tfod_transfer.data.formats.records import BoxOrder, Records
from tfod_transfer.data.image_files import ImageHeader
from tfod_transfer.data.validation import INVALID_BOXES
from tfod_transfer.errors import DataError, UsageError, did_you_mean

_JSON_FORMS = {"xyxy": "SageMaker's annotations.json", "xywh": "COCO"}


def read_dataset(
    path: str | os.PathLike[str],
    annotations: str | os.PathLike[str] | None = None,
    *,
    box_order: str = "auto",
    invalid_boxes: str = "clip",
    max_pixels: int = image_files.DEFAULT_MAX_PIXELS,
    max_findings: float = 0.5,
    verify: str = "full",
) -> DetectionDataset:
    """Reads, checks and normalises a data set.

    Args:
      path: a folder with `images/` and `annotations.json`, an annotation file with its images beside it, or a data set
        in another format, which is found out (docs/formats.md).
      annotations: the annotations of the images in the folder `path`, where they lie in a place of their own.
      box_order: "xyxy" (xmin, ymin, xmax, ymax), "xywh" (x, y, width, height: COCO), or "auto" to find out; for
        annotations in JSON, the other formats say it.
      invalid_boxes: what to do with a box further than rounding over the edge: "clip", "drop", or "error" for any
        invalid box.
      max_pixels: images with more pixels are left out without being decoded.
      max_findings: the share of images and boxes that may be left out, 0..1.
      verify: "full" decodes every image once, "header" reads headers only, "none" opens no image whose size the
        annotation file gives (and then trusts that size).

    Returns:
      The data set. Everything left out or put right is among its `findings`; `description` says how it was read.

    Raises:
      DataError: when the files are missing or not of this form, when the order of the numbers in a box cannot be told,
        when too much had to be left out, or when no image is left.
      UsageError: when an argument is none of the values above.
    """
    _require("box_order", box_order, BOX_ORDERS)
    _require("invalid_boxes", invalid_boxes, INVALID_BOXES)
    _require("verify", verify, image_files.VERIFY)
    place = places.locate(os.fspath(path), None if annotations is None else os.fspath(annotations))
    with json_file.paused_garbage_collection():
        records = table.READERS[place.format](place)
    sizes_stated = bool((records.stated_sizes > 0).all())
    if sizes_stated:  # what the annotation file alone can tell is told before any image is opened
        order, said = _decide_order(box_order, records, records.stated_sizes)
    images = _Images.check(records, max_pixels, verify)
    if not sizes_stated:
        order, said = _decide_order(box_order, records, images.frames.sizes)

    of_box = records.image_rows
    # Nothing is said of the boxes of an image that is not used.
    sizes = np.where(images.usable[:, None], images.frames.sizes, np.iinfo(np.int32).max)[of_box]
    pixels = records.numbers * (sizes[:, [1, 0, 1, 0]] if records.normalised else 1)
    checked = validation.check_boxes(
        box_orders.to_xyxy(pixels, order),
        sizes,
        invalid_boxes,
        file=records.box_origins,
        annotation_indices=records.annotation_indices,
        as_found=records.numbers,
    )
    usable_boxes = checked.usable & images.usable[of_box]
    findings = [*records.findings, *images.findings, *checked.findings]
    left_out = records.images_listed - images.usable.sum() + records.boxes_listed - usable_boxes.sum()
    total = records.images_listed + records.boxes_listed
    validation.require_few(findings, int(left_out), total, max_findings, records.source)
    if not images.usable.any():
        raise DataError(f"{records.source}: no image is left to use.{validation.name_first(findings)}")
    dataset = _columns(records, images, checked.boxes_xyxy_px, usable_boxes)
    return dataclasses.replace(dataset, findings=tuple(findings), description=_describe(dataset, records, order, said))


def _require(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"{name} is {value!r}; expected one of {', '.join(known)}.{did_you_mean(value, known)}")


@dataclasses.dataclass(frozen=True)
class _Images:
    """The image files behind N records."""

    paths: list[str]
    upright_sizes: npt.NDArray[np.int64]
    orientations: npt.NDArray[np.uint8]
    frames: frames.Frames
    usable: npt.NDArray[np.bool_]
    findings: list[Finding]

    @classmethod
    def check(cls, records: Records, max_pixels: int, verify: str) -> _Images:
        """Looks at the images and relates them to the sizes that the annotation file states."""
        folder, paths = _find_images(records, required=verify != "none")
        stated = records.stated_sizes
        headers = [ImageHeader("JPEG", int(width), int(height), 1) for height, width in stated]
        rows = np.flatnonzero((stated == 0).any(axis=1)) if verify == "none" else np.arange(len(paths))
        opened = [paths[row] for row in rows]
        looked_at = image_files.check_images(opened, max_pixels=max_pixels, decode=verify == "full")

        findings: list[Finding] = []
        readable = np.ones(len(paths), np.bool_)
        for row, found in zip(rows, looked_at, strict=True):
            if isinstance(found, ImageHeader):
                headers[row] = found
                continue
            readable[row] = False
            headers[row] = ImageHeader("", 0, 0, 1)
            is_missing = folder and found.reason == "missing_image"
            similar = layout.similar_file(folder, records.file_names[row]) if folder and is_missing else ""
            findings.append(Finding(found.reason, paths[row], found.message + similar, value=found.value))
        resolved = frames.resolve(paths, headers, np.where(readable[:, None], stated, 0))
        findings += resolved.findings + (_missing_sizes(records.source, stated) if records.states_sizes else [])
        findings += layout.unlisted_files(folder, records.file_names) if folder and verify != "none" else []
        return cls(
            paths=paths,
            upright_sizes=np.array([header.upright_size for header in headers], np.int64).reshape(-1, 2),
            orientations=np.array([header.orientation for header in headers], np.uint8),
            frames=resolved,
            usable=readable & resolved.usable,
            findings=findings,
        )


def _find_images(records: Records, *, required: bool) -> tuple[pathlib.Path | None, list[str]]:
    """Returns the folder of the image files, where they have one, and the address of each image."""
    if records.addresses is not None:
        return None, records.addresses
    folder = layout.image_folder(records.folders, records.file_names, required=required)
    return folder, [f"{folder}{os.sep}{name}" for name in records.file_names]


def _decide_order(box_order: str, records: Records, sizes: npt.NDArray[np.int64]) -> tuple[BoxOrder, str]:
    if records.order:
        unit = "shares of the image" if records.normalised else "pixels"
        return records.order, f"boxes read as {SPELLED[records.order]} {unit}"
    known = (sizes > 0).all(axis=1)[records.image_rows]
    return box_orders.decide(box_order, records.numbers[known], sizes[records.image_rows[known]], records.source)


def _missing_sizes(source: str, stated: npt.NDArray[np.int64]) -> list[Finding]:
    count = int((stated == 0).any(axis=1).sum())
    if not count:
        return []
    message = f"{count} images have no width and height here; the image files say them"
    return [Finding("missing_size", source, message, value=count, action="noted")]


def _columns(
    records: Records,
    images: _Images,
    boxes_xyxy_px: npt.NDArray[np.float64],
    usable: npt.NDArray[np.bool_],
) -> DetectionDataset:
    image_rows = records.image_rows[usable]
    by_image = np.argsort(image_rows, kind="stable")
    image_rows, usable_rows = image_rows[by_image], np.flatnonzero(usable)[by_image]

    sides = images.frames.sizes[image_rows][:, [0, 1, 0, 1]]
    boxes = boxes_xyxy_px[usable_rows][:, [1, 0, 3, 2]] / sides
    boxes = frames.boxes_to_upright(boxes, images.frames.box_orientations[image_rows])

    kept = np.flatnonzero(images.usable)
    counts = np.bincount(image_rows, minlength=len(images.paths))[kept]
    return DetectionDataset(
        image_paths=[images.paths[row] for row in kept],
        image_ids=[records.image_ids[row] for row in kept],
        sizes=images.upright_sizes[kept].astype(np.int32),
        orientations=images.orientations[kept],
        boxes=boxes.clip(0, 1).astype(np.float32),
        classes=records.class_rows[usable_rows],
        is_crowd=records.is_crowd[usable_rows],
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        class_names=records.class_names,
        category_ids=records.category_ids,
    )


def _describe(dataset: DetectionDataset, records: Records, order: BoxOrder, order_said: str) -> str:
    negatives = int((dataset.boxes_per_image == 0).sum())
    without = f" ({negatives} without a box)" if negatives else ""
    called = records.format or _JSON_FORMS[order]
    return (
        f"{records.source} ({called}): {len(dataset)} of {records.images_listed} images{without}, "
        f"{dataset.num_boxes} of {records.boxes_listed} boxes, {dataset.num_classes} classes; {order_said}"
    )
