"""Old images among the new ones, so that a model that learns new classes does not forget the old."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from tfod_transfer.data import splits
from tfod_transfer.data.classes import UNUSED, find_classes
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.errors import DataError, UsageError


def with_replay(train: DetectionDataset, old: DetectionDataset, share: float, seed: int) -> DetectionDataset:
    """Joins new images with a sample of old ones.

    The classes are those of the new images, then the others of the old ones; they are matched as in `align_classes`.
    The sample has every old class in its proportion, rare ones rounded up; it depends on the old images' ids, the
    classes of their boxes and the seed, and not on the order of the images.

    Args:
      train: the new images.
      old: images that the model was trained on before.
      share: of old images among all, from 0 up to but not including 1; fewer where there are not as many.
      seed: another seed gives another sample.

    Returns:
      The new images, then the sample. A category id or an image id of the old data that the new data uses for something
      else is replaced: by the next free number, and by a text that names it.

    Raises:
      UsageError: `share` is out of range.
      DataError: two classes of the old data are one of the new.
    """
    if not 0 <= share < 1:
        raise UsageError(
            f"replay_share is {share:g}; expected a share of all images from 0 up to, but not including, 1."
        )
    count = min(round(share / (1 - share) * len(train)), len(old))
    names, category_ids, class_of = _join_classes(train, old)
    sample = old.select(_sample(old, count, seed))
    taken = set(train.image_ids)
    image_ids = [f"replay {key}" if key in taken else key for key in sample.image_ids]
    return dataclasses.replace(
        train,
        image_paths=[*train.image_paths, *sample.image_paths],
        image_ids=[*train.image_ids, *image_ids],
        sizes=np.concatenate([train.sizes, sample.sizes]),
        orientations=np.concatenate([train.orientations, sample.orientations]),
        boxes=np.concatenate([train.boxes, sample.boxes]),
        classes=np.concatenate([train.classes, class_of[sample.classes]]),
        is_crowd=np.concatenate([train.is_crowd, sample.is_crowd]),
        offsets=np.concatenate([train.offsets, train.offsets[-1] + sample.offsets[1:]]),
        class_names=names,
        category_ids=category_ids,
        findings=(*train.findings, *old.findings),
        description=f"{train.description}; replayed: {count} of {len(old)} images of {old.description}",
    )


def _join_classes(
    train: DetectionDataset, old: DetectionDataset
) -> tuple[tuple[str, ...], tuple[int | str, ...], npt.NDArray[np.int32]]:
    """Returns names and category ids of all classes, and which of them each old class is, int32 [K of `old`]."""
    names, category_ids = list(train.class_names), list(train.category_ids)
    numbers = [key for key in (*train.category_ids, *old.category_ids) if isinstance(key, int)]
    next_free = max(numbers, default=0) + 1
    class_of: list[int] = []
    for name, category_id, row in zip(
        old.class_names, old.category_ids, find_classes(old, train.class_names, train.category_ids), strict=True
    ):
        if row in class_of:
            same = [old.class_names[index] for index, other in enumerate(class_of) if other == row]
            raise DataError(
                f"classes {[*same, name]} of the images to replay all stand for {train.class_names[row]!r}."
            )
        if row is None and name == UNUSED:  # no class, so that no box is of it
            row = -1
        elif row is None:
            row = len(names)
            names.append(name)
            if category_id in train.category_ids:
                category_id, next_free = next_free, next_free + 1
            category_ids.append(category_id)
        class_of.append(row)
    return tuple(names), tuple(category_ids), np.array(class_of, np.int32)


def _sample(dataset: DetectionDataset, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Chooses `count` images, in the order of the data set: whichever class lacks most of its part has the next one."""
    has = splits.presence(dataset)
    order = np.array(splits.random_order(dataset, seed), np.int64)
    waiting = [iter(order[has[order, column]]) for column in range(has.shape[1])]
    of_class = has.sum(axis=0)
    part = np.maximum(of_class * (count / max(len(dataset), 1)), 1e-9)
    chosen = np.zeros(len(dataset), np.bool_)
    shown = np.zeros(has.shape[1])
    # The share of its part that a class lacks; ties, as at the start, go to the rarest.
    rarest_first = np.argsort(of_class, kind="stable")
    exhausted = of_class == 0
    for _ in range(count):
        while True:
            lacking = np.where(exhausted, -np.inf, 1 - shown / part)[rarest_first]
            column = int(rarest_first[np.argmax(lacking)])
            image = next((image for image in waiting[column] if not chosen[image]), None)
            if image is not None:
                break
            exhausted[column] = True
        chosen[image] = True
        shown += has[image]
    return np.flatnonzero(chosen)
