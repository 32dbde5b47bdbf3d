"""The two data sets of a run: read, checked, split, and described to the person who started it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import Any

from tfod_transfer import errors
from tfod_transfer.data import classes, formats, replay, splits, validation
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.hyperparameters import Hyperparameters


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Training and validation images of the same classes, and how they were divided."""

    train: DetectionDataset
    validation: DetectionDataset
    split: dict[str, Any]

    @property
    def findings(self) -> list[dict[str, Any]]:
        """Every finding in either set, once, as plain values."""
        records = [validation.as_json(finding) for finding in (*self.train.findings, *self.validation.findings)]
        # Both parts of a split carry all that was found before it.
        return list({json.dumps(record): record for record in records}.values())

    def describe(self) -> list[str]:
        """What was read, in a few lines."""
        counts = Counter(finding["reason"] + " " + finding["action"] for finding in self.findings)
        lines = [
            f"training:   {len(self.train)} images, {self.train.num_boxes} boxes; {self.train.description}",
            f"validation: {len(self.validation)} images, {self.validation.num_boxes} boxes; {self.split['how']}",
            f"classes:    {', '.join(self.train.class_names)}",
        ]
        if counts:
            listed = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in counts.most_common())
            lines.append(f"findings:   {listed} (each is named in findings.json)")
        return lines


def read(
    training: str,
    validation: str | None,
    hyperparameters: Hyperparameters,
    replay_data: str | None = None,
    *,
    training_annotations: str | None = None,
    validation_annotations: str | None = None,
    num_classes: int | None = None,
) -> TrainingData:
    """Reads and checks the data of a run; splits the training images when there is no validation folder.

    Args:
      training: folder or annotation file of the training images, in any format.
      validation: the same for validation; None holds out a share of the training images.
      hyperparameters: of the run.
      replay_data: earlier training images, of which a share is mixed in; their classes stay known.
      training_annotations: annotations of the training images, where they lie in a place of their own.
      validation_annotations: the same for validation.
      num_classes: how many classes there are when category ids are numbers from 0 on, shown or not.

    Raises:
      DataError: a data set cannot be read, teaches nothing, or the classes of the two do not agree.
    """
    train = _read(training, hyperparameters, training_annotations)
    if num_classes is not None:
        train = classes.with_all_classes(train, num_classes)
    if train.num_boxes == 0:
        raise errors.DataError(f"{training!r} has no usable boxes in {len(train)} images: there is nothing to learn.")
    if replay_data is not None:
        old = _read(replay_data, hyperparameters)
        train = replay.with_replay(train, old, hyperparameters.replay_share, hyperparameters.seed)
    if validation is not None:
        held_out = _read(validation, hyperparameters, validation_annotations)
        held_out = formats.align_classes(held_out, train.class_names, train.category_ids)
        how = f"given as {validation}"
    else:
        if hyperparameters.validation_split == 0:
            raise errors.DataError("validation_split is 0 and no validation data is given: nothing to measure on.")
        train, held_out = splits.split(train, hyperparameters.validation_split, hyperparameters.seed)
        how = f"{hyperparameters.validation_split:g} of the training images, stratified, seed {hyperparameters.seed}"
    record = {"how": how, "training": list(train.image_ids), "validation": list(held_out.image_ids)}
    return TrainingData(train, held_out, record)


def _read(path: str, hyperparameters: Hyperparameters, annotations: str | None = None) -> DetectionDataset:
    return formats.read_dataset(
        path,
        annotations,
        box_order=hyperparameters.box_order,
        invalid_boxes=hyperparameters.invalid_boxes,
        max_findings=hyperparameters.max_findings,
        max_pixels=hyperparameters.max_pixels,
    )
