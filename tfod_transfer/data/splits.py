"""Sets images apart for validation, so that every class is on both sides."""

from __future__ import annotations

import dataclasses
import hashlib
import os

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import DetectionDataset, Finding
from tfod_transfer.errors import DataError, UsageError

# How many images of a class that is on one side only are tried for an exchange.
_TRIED = 50


def split(dataset: DetectionDataset, validation_share: float, seed: int) -> tuple[DetectionDataset, DetectionDataset]:
    """Divides a data set into (train, validation), stratified by class.

    The class with the fewest images left to place goes first (iterative stratification: Sechidis, Tsoumakas and
    Vlahavas, 2011). Images without a box are a stratum of their own. A class on two or more images is on both sides
    wherever that is possible, even if the share comes out larger; where it is not, a finding says so. The result
    depends on the image ids, the boxes' classes and the seed, and not on the order of the images.

    Args:
      dataset: at least two images.
      validation_share: between 0 and 1.
      seed: another seed gives another division.

    Raises:
      UsageError: `validation_share` is not between 0 and 1.
      DataError: there are fewer than two images.
    """
    if not 0 < validation_share < 1:
        raise UsageError(f"validation_split is {validation_share:g}; expected a share between 0 and 1")
    if len(dataset) < 2:
        raise DataError(
            f"{len(dataset)} image cannot be divided into training and validation: bring a second one, or name a "
            "validation folder"
        )
    has = presence(dataset)
    order = random_order(dataset, seed)
    in_validation = _stratify(has, np.array(order), validation_share)
    _repair(has[:, :-1], in_validation, order)
    findings = (*dataset.findings, *_findings(dataset, has[:, :-1], in_validation))
    dataset = dataclasses.replace(dataset, findings=findings)
    return dataset.select(np.flatnonzero(~in_validation)), dataset.select(np.flatnonzero(in_validation))


def presence(dataset: DetectionDataset) -> npt.NDArray[np.bool_]:
    """Which classes (crowds aside) an image shows, bool [N, K + 1]; the last column: none."""
    has = np.zeros((len(dataset), dataset.num_classes + 1), np.bool_)
    image_of_box = np.repeat(np.arange(len(dataset)), dataset.boxes_per_image)
    has[image_of_box[~dataset.is_crowd], dataset.classes[~dataset.is_crowd]] = True
    has[:, -1] = ~has[:, :-1].any(axis=1)
    return has


def random_order(dataset: DetectionDataset, seed: int) -> list[int]:
    """Returns the images in an order that depends on their ids and the seed, and not on their order in the data."""
    return sorted(range(len(dataset)), key=lambda image: _draw(dataset.image_ids[image], seed))


def _draw(image_id: int | str, seed: int) -> bytes:
    """A place in the random order that depends on nothing but the image's id and the seed."""
    return hashlib.blake2b(f"{seed}:{image_id}".encode(errors="surrogatepass"), digest_size=16).digest()


def _stratify(has: npt.NDArray[np.bool_], order: npt.NDArray[np.int64], share: float) -> npt.NDArray[np.bool_]:
    counts = has.sum(axis=0)
    wanted = np.clip(np.rint(share * counts), np.minimum(counts - 1, 1), counts - 1).clip(0)
    room = np.array([counts - wanted, wanted])  # [2, K + 1]: images of each class still to come, (train, validation)
    seats = [(1 - share) * len(has), share * len(has)]  # decides between sides that a class needs equally
    remaining = counts.copy()
    in_validation = np.zeros(len(has), np.bool_)
    is_left = np.ones(len(has), np.bool_)
    while is_left.any():
        column = int(np.argmin(np.where(remaining > 0, remaining, len(has) + 1)))
        for image in order[(has[:, column] & is_left)[order]]:
            side = max((0, 1), key=lambda side: (room[side, column], seats[side]))
            in_validation[image], is_left[image] = bool(side), False
            room[side, has[image]] -= 1
            remaining[has[image]] -= 1
            seats[side] -= 1
    return in_validation


def _repair(has: npt.NDArray[np.bool_], in_validation: npt.NDArray[np.bool_], order: list[int]) -> None:
    """Moves an image to the other side, or exchanges two, where that puts more classes on the sides they belong to."""
    counts = has.sum(axis=0)
    nobody = np.zeros((1, has.shape[1]), np.bool_)
    if not in_validation.any():  # every class has a single image
        in_validation[order[-1]] = True
    for column in np.flatnonzero(_is_misplaced(counts, has[in_validation].sum(axis=0))):
        for image in [image for image in order if has[image, column]][:_TRIED]:
            shown = has[in_validation].sum(axis=0)
            sign = -1 if in_validation[image] else 1
            partners = np.flatnonzero(in_validation != in_validation[image])
            coming = np.concatenate([has[partners], nobody]).astype(np.int64)
            misplaced = _is_misplaced(counts, shown + sign * (has[image] - coming)).sum(axis=1)
            if (in_validation == in_validation[image]).sum() == 1:
                misplaced[-1] = len(counts) + 1  # to move the only one would empty its side
            best = int(np.argmin(misplaced))
            if misplaced[best] < _is_misplaced(counts, shown).sum():
                in_validation[[image, *partners[best : best + 1]]] ^= True
                break


def _is_misplaced(counts: npt.NDArray[np.int64], shown: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Classes that lack a side which they could be on: of `counts` images in all, `shown` are in validation."""
    misplaced: npt.NDArray[np.bool_] = ((counts >= 1) & (shown == counts)) | ((counts >= 2) & (shown == 0))
    return misplaced


def _findings(
    dataset: DetectionDataset, has: npt.NDArray[np.bool_], in_validation: npt.NDArray[np.bool_]
) -> list[Finding]:
    counts, shown = has.sum(axis=0), has[in_validation].sum(axis=0)
    findings = []
    for side, absent in (("training", shown == counts), ("validation", shown == 0)):
        names = [dataset.class_names[column] for column in np.flatnonzero(absent & (counts > 0))]
        if names:
            message = f"{len(names)} classes are on too few images to have one in {side}: {', '.join(names)}"
            source = os.path.dirname(dataset.image_paths[0])
            findings.append(Finding("class_not_split", source, message, value=names, action="noted"))
    return findings
