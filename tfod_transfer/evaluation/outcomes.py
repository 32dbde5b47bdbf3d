"""How well each image went at a score threshold, and which went best and worst."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.evaluation.matches import Matches


@dataclasses.dataclass(frozen=True)
class ImageOutcomes:
    """N images at a score threshold, by COCO's matching at IoU 0.50; crowd regions are left out.

    Attributes:
      right: int64 [N], detections that found a box.
      wrong: int64 [N], detections that did not.
      missed: int64 [N], boxes that no detection found.
      mean_score: float64 [N], of the detections that are right; 0 without any.
    """

    right: npt.NDArray[np.int64]
    wrong: npt.NDArray[np.int64]
    missed: npt.NDArray[np.int64]
    mean_score: npt.NDArray[np.float64]

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """float64 [N], 2 right / (2 right + wrong + missed); 1 where nothing was to be found and nothing was."""
        whole = 2 * self.right + self.wrong + self.missed
        return np.where(whole > 0, 2 * self.right / np.maximum(1, whole), 1.0)

    def worst(self, count: int) -> list[int]:
        """Images with the lowest F1, of equal ones those with more mistakes first; only such that have a mistake."""
        mistakes = self.wrong + self.missed
        order = np.lexsort((np.arange(len(mistakes)), -mistakes, self.f1))
        return [int(image) for image in order if mistakes[image]][:count]

    def best(self, count: int, without: list[int]) -> list[int]:
        """Images with the highest F1, of equal ones those with more found and then with higher scores first.

        Only such in which something was found, and none of `without`.
        """
        order = np.lexsort((np.arange(len(self.right)), -self.mean_score, -self.right, -self.f1))
        return [int(image) for image in order if self.right[image] and int(image) not in set(without)][:count]


def image_outcomes(dataset: DetectionDataset, matches: Matches, threshold: float) -> ImageOutcomes:
    """Counts each image's right and wrong detections and its missed boxes."""
    kept = matches.kept(threshold)
    is_right = kept & matches.right
    images = len(dataset)
    image_of_box = np.repeat(np.arange(images), dataset.boxes_per_image)
    right = np.bincount(matches.image[is_right], minlength=images)
    boxes = np.bincount(image_of_box[~dataset.is_crowd], minlength=images)
    scores = np.bincount(matches.image[is_right], matches.scores[is_right], minlength=images)
    return ImageOutcomes(
        right=right,
        wrong=np.bincount(matches.image[kept & ~matches.right], minlength=images),
        missed=boxes - right,
        mean_score=scores / np.maximum(1, right),
    )
