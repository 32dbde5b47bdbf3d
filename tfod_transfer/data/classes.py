"""Brings a data set to the classes that a model already has."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfod_transfer import errors
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.errors import DataError

# Stands for a class number that no class has (the COCO label map has ten such holes).
UNUSED = "N/A"


def with_all_classes(dataset: DetectionDataset, num_classes: int) -> DetectionDataset:
    """Gives a data set whose category ids are some of 0 … num_classes - 1 all of these as classes, in their order.

    So the number of a class is its id, whatever the images happen to show. With other ids nothing changes.

    Raises:
      DataError: it has more classes.
    """
    found = len(dataset.class_names)
    if found > num_classes:
        raise DataError(
            f"num_classes is {num_classes}, and the data has {found} classes: {', '.join(dataset.class_names)}. Give "
            "their number, without background, or leave num_classes out"
        )
    if not all(isinstance(each, int) and 0 <= each < num_classes for each in dataset.category_ids):
        return dataset
    named = dict(zip(dataset.category_ids, dataset.class_names, strict=True))
    numbers = np.asarray(dataset.category_ids, np.int32)
    return dataclasses.replace(
        dataset,
        classes=numbers[dataset.classes] if found else dataset.classes,
        class_names=tuple(named.get(each, str(each)) for each in range(num_classes)),
        category_ids=tuple(range(num_classes)),
    )


def align_classes(
    dataset: DetectionDataset, class_names: Sequence[str | None], category_ids: Sequence[int | str]
) -> DetectionDataset:
    """Renumbers the classes of a data set as a model numbers them.

    A class is found by its name; by its category id where the data set or the model has no name for it (there the
    name is the id).

    Args:
      dataset: the data to evaluate on, or to validate with.
      class_names: the model's K names; None where it has no class.
      category_ids: the model's K category ids.

    Returns:
      The same images and boxes with the model's class numbers, names and category ids.

    Raises:
      DataError: naming a class of the data set that the model does not have.
    """
    rows: list[int] = []
    for index, row in enumerate(find_classes(dataset, class_names, category_ids)):
        if row is None:
            name, category_id = dataset.class_names[index], dataset.category_ids[index]
            known_names = [known for known in class_names if known is not None]
            count = int(np.count_nonzero(dataset.classes == index))
            known = ", ".join(known_names[:10]) + (", ..." if len(known_names) > 10 else "")
            raise DataError(
                f"the images to measure on have {count} boxes of class {name!r} (category id {category_id!r}), which "
                f"is none of the {len(known_names)} classes that the model knows or learns: {known}."
                f"{errors.did_you_mean(name, known_names)} Rename it, leave it out, or train on images with it"
            )
        rows.append(row)
    for row in set(rows):
        if rows.count(row) > 1:
            same = [name for name, other in zip(dataset.class_names, rows, strict=True) if other == row]
            raise DataError(
                f"classes {same} of the images to measure on all stand for the model's {class_names[row]!r}"
            )
    return dataclasses.replace(
        dataset,
        classes=np.asarray(rows, np.int32)[dataset.classes] if rows else dataset.classes,
        class_names=tuple(UNUSED if name is None else name for name in class_names),
        category_ids=tuple(category_ids),
    )


def find_classes(
    dataset: DetectionDataset, class_names: Sequence[str | None], category_ids: Sequence[int | str]
) -> list[int | None]:
    """Returns, for each class of a data set, which of the given ones it is (see `align_classes`), or None."""
    by_name = {name: row for row, name in enumerate(class_names) if name is not None}
    by_id = {str(key): row for row, key in enumerate(category_ids) if class_names[row] is not None}
    rows: list[int | None] = []
    for name, category_id in zip(dataset.class_names, dataset.category_ids, strict=True):
        row = by_name.get(name)
        if row is None and str(category_id) in by_id:
            candidate = by_id[str(category_id)]
            if name == str(category_id) or class_names[candidate] == str(category_ids[candidate]):
                row = candidate
        rows.append(row)
    return rows
