"""In which picture the boxes were drawn: the upright one, the one as stored, or one of another size.

An annotation file gives each image's width and height; the image file has a stored size and an EXIF orientation. Where
they disagree, boxes land elsewhere than they were drawn, so each disagreement is resolved here and becomes a finding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import Finding
from tfod_transfer.data.image_files import ImageHeader

ASPECT_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Frames:
    """The picture that the boxes of each of N images refer to.

    Attributes:
      sizes: int64 [N, 2], (height, width) in pixels of the frame that the boxes are measured in.
      box_orientations: uint8 [N], EXIF orientation to apply to the boxes (1: they are upright already).
      usable: bool [N]; False where the boxes' frame cannot be told.
      findings: one for each image whose size in the annotation file is not that of its upright picture.
    """

    sizes: npt.NDArray[np.int64]
    box_orientations: npt.NDArray[np.uint8]
    usable: npt.NDArray[np.bool_]
    findings: list[Finding]


def resolve(paths: list[str], headers: list[ImageHeader], stated: npt.NDArray[np.int64]) -> Frames:
    """Finds the frame of each image.

    Stated size = upright size: the boxes are upright. Stated size = stored size of an image that EXIF turns by 90
    degrees: the boxes are turned with it. Same aspect ratio: the boxes were drawn on a larger or smaller copy and scale
    with it. Anything else: the boxes cannot be placed. Where both sizes agree although EXIF mirrors or turns the
    picture by 180 degrees, the file is taken to treat it as it treats those turned by 90.

    Args:
      paths: N image files.
      headers: N headers.
      stated: int64 [N, 2], (height, width) as the annotation file gives them; 0 where it gives none.
    """
    upright = np.array([header.upright_size for header in headers], np.int64).reshape(-1, 2)
    stored = np.array([(header.height, header.width) for header in headers], np.int64).reshape(-1, 2)
    orientations = np.array([header.orientation for header in headers], np.uint8)

    given = (stated > 0).all(axis=1)
    is_upright = (stated == upright).all(axis=1)
    is_stored = (stated == stored).all(axis=1)
    on_stored = given & is_stored & ~is_upright
    if on_stored.sum() > (given & is_upright & ~is_stored).sum():
        on_stored |= given & is_stored & (orientations > 1)
    is_scaled = given & ~is_upright & ~is_stored & _same_aspect(stated, upright)
    lost = given & ~is_upright & ~is_stored & ~is_scaled

    findings = [_turned(paths[i], headers[i], stated[i]) for i in np.flatnonzero(on_stored)]
    findings += [_scaled(paths[i], headers[i], stated[i]) for i in np.flatnonzero(is_scaled)]
    findings += [_lost(paths[i], headers[i], stated[i]) for i in np.flatnonzero(lost)]
    findings += [_not_applied(*each) for each in zip(paths, headers, strict=True) if each[1].other_orientation > 1]
    return Frames(
        sizes=np.where(given[:, None], stated, upright),
        box_orientations=np.where(on_stored, orientations, 1).astype(np.uint8),
        usable=~lost,
        findings=findings,
    )


def boxes_to_upright(boxes: npt.NDArray[np.float64], orientations: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Moves boxes from the stored picture to the upright one.

    Args:
      boxes: float [M, 4], normalised [ymin, xmin, ymax, xmax] of the stored picture.
      orientations: uint8 [M], the EXIF orientation (1..8) of each box's picture.

    Returns:
      float [M, 4], normalised [ymin, xmin, ymax, xmax] of the upright picture.
    """
    ymin, xmin, ymax, xmax = boxes.T
    turns = {  # EXIF 2.32, tag 0x0112: where row 0 and column 0 of the stored picture lie
        2: (ymin, 1 - xmax, ymax, 1 - xmin),
        3: (1 - ymax, 1 - xmax, 1 - ymin, 1 - xmin),
        4: (1 - ymax, xmin, 1 - ymin, xmax),
        5: (xmin, ymin, xmax, ymax),
        6: (xmin, 1 - ymax, xmax, 1 - ymin),
        7: (1 - xmax, 1 - ymax, 1 - xmin, 1 - ymin),
        8: (1 - xmax, ymin, 1 - xmin, ymax),
    }
    upright = boxes.copy()
    for orientation in np.unique(orientations[orientations > 1]).tolist():
        rows = orientations == orientation
        upright[rows] = np.stack(turns[orientation], axis=1)[rows]
    return upright


def _same_aspect(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    across, along = a[:, 0] * b[:, 1], a[:, 1] * b[:, 0]
    same: npt.NDArray[np.bool_] = np.abs(across - along) <= ASPECT_TOLERANCE * np.maximum(across, along)
    return same


def _turned(path: str, header: ImageHeader, stated: npt.NDArray[np.int64]) -> Finding:
    message = (
        f"the annotation file measures this picture as it is stored ({_size(stated)}), but its EXIF orientation "
        f"{header.orientation} makes it {_size(header.upright_size)}; the boxes are turned with it"
    )
    return Finding("not_upright", path, message, value=stated.tolist(), action="converted")


def _scaled(path: str, header: ImageHeader, stated: npt.NDArray[np.int64]) -> Finding:
    message = (
        f"the annotation file says {_size(stated)}, the picture has {_size(header.upright_size)}; "
        "the boxes are scaled from one to the other"
    )
    return Finding("other_size", path, message, value=stated.tolist(), action="converted")


def _not_applied(path: str, header: ImageHeader) -> Finding:
    message = (
        f"orientation {header.other_orientation} in its XMP, or in the EXIF of a PNG, is not applied, here or in the "
        "exported model; save the picture upright if its boxes were drawn so"
    )
    return Finding("orientation_not_applied", path, message, value=header.other_orientation, action="noted")


def _lost(path: str, header: ImageHeader, stated: npt.NDArray[np.int64]) -> Finding:
    swapped = (stated[1], stated[0]) == header.upright_size
    hint = "; width and height look swapped: put them right in the annotation file" if swapped else ""
    message = (
        f"the annotation file says {_size(stated)}, but the picture has {_size(header.upright_size)}, "
        f"so its boxes cannot be placed{hint}"
    )
    return Finding("size_mismatch", path, message, value=stated.tolist())


def _size(height_width: Iterable[int]) -> str:
    height, width = height_width
    return f"{width} x {height}"
