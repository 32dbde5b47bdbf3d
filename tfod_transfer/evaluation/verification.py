"""Whether a pretrained model is what was published: its tensors authenticated, its COCO AP measured."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping

from tfod_transfer import authenticity, errors
from tfod_transfer.data import formats
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.registry import ModelSpec

TOLERANCE = 0.5  # of AP, in percent: kernels and resizing round differently from those of the published measurement
_COCO_ANNOTATIONS, _COCO_IMAGES = "annotations/instances_val2017.json", "val2017"
_MAX_LISTED = 10


@dataclasses.dataclass(frozen=True)
class Authentication:
    """What is known of the tensors of a checkpoint.

    Attributes:
      tensors: how many were read, each compared by TensorFlow with the CRC32C in the checkpoint's own index.
      digest_agrees: whether all together have the digest that the registry knows; None where it knows none.
      table_size: tensors that a given table names; None without a table.
      differing: those that the table knows otherwise, by key.
      unknown: those that the table does not name.
      missing: those that only the table has.
    """

    tensors: int
    digest_agrees: bool | None
    table_size: int | None
    differing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def genuine(self) -> bool:
        """Whether nothing that is known speaks against it."""
        return self.digest_agrees is not False and not (self.differing or self.unknown or self.missing)

    def lines(self) -> list[str]:
        """The same for a person."""
        digest = {True: "agrees with", False: "DIFFERS from", None: "none is known in"}[self.digest_agrees]
        lines = [
            f"tensors:    {self.tensors} read, each equal to its CRC32C in the checkpoint's index",
            f"digest:     over all tensors, {digest} the registry",
        ]
        if self.table_size is not None:
            same = self.tensors - len(self.differing) - len(self.unknown)
            lines.append(f"table:      {same} of {self.table_size} tensors authenticated one by one")
            for what, keys in (
                ("differ", self.differing),
                ("not in the table", self.unknown),
                ("only in the table", self.missing),
            ):
                if keys:
                    shown = ", ".join(key.split("/.ATTRIBUTES", 1)[0] for key in keys[:_MAX_LISTED])
                    more = f" and {len(keys) - _MAX_LISTED} more" if len(keys) > _MAX_LISTED else ""
                    lines.append(f"            {len(keys)} {what}: {shown}{more}")
        return lines


def authenticate(prefix: str, spec: ModelSpec, table: Mapping[str, int] | None = None) -> Authentication:
    """Reads every tensor of a checkpoint and compares it with what is known.

    Args:
      prefix: of the checkpoint.
      spec: the registry entry, which may know a digest.
      table: masked CRC32C of genuine tensors, by key.

    Raises:
      WeightsError: the checkpoint is damaged.
    """
    crcs = authenticity.tensor_crcs(pathlib.Path(prefix))
    known = spec.checkpoint.tensor_crc_digest
    table_or_none = table or {}
    return Authentication(
        tensors=len(crcs),
        digest_agrees=None if known is None else authenticity.crc_digest(crcs) == known,
        table_size=None if table is None else len(table),
        differing=tuple(key for key in crcs if key in table_or_none and crcs[key] != table_or_none[key]),
        unknown=tuple(key for key in crcs if table is not None and key not in table),
        missing=tuple(key for key in table_or_none if key not in crcs),
    )


def read_table(path: str | os.PathLike[str]) -> dict[str, int]:
    """Reads masked CRC32Cs by tensor key from a JSON file.

    Raises:
      WeightsError: it is missing or not of this form.
    """
    try:
        table = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        if all(type(value) is int for value in table.values()):
            return dict(table)
        problem = "values that are no whole numbers"
    except (OSError, ValueError, AttributeError) as error:
        problem = repr(error)
    raise errors.WeightsError(f'{path}: expected a JSON object {{"tensor key": masked CRC32C}}; found {problem}.')


@contextlib.contextmanager
def coco_dataset(folder: str, num_images: int | None = None) -> Iterator[DetectionDataset]:
    """The data set in a folder with val2017/ and annotations/instances_val2017.json, or in any that `fit` reads.

    Args:
      folder: where it lies.
      num_images: how many of its images, from the first; None for all.

    Raises:
      DataError: it cannot be read.
    """
    place = pathlib.Path(folder).expanduser().absolute()
    with tempfile.TemporaryDirectory(prefix="tfod_transfer-coco-") as scratch:
        if (place / _COCO_ANNOTATIONS).is_file():
            # COCO keeps the two apart; the reader wants them side by side.
            pathlib.Path(scratch, "annotations.json").symlink_to(place / _COCO_ANNOTATIONS)
            pathlib.Path(scratch, "images").symlink_to(place / _COCO_IMAGES)
            dataset = formats.read_dataset(scratch, box_order="xywh", verify="header")
        else:
            dataset = formats.read_dataset(str(place), verify="header")
        yield dataset if num_images is None else dataset.select(range(min(num_images, len(dataset))))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """AP@[.5:.95] of a model in percent, measured and published, and the number of images measured on."""

    model_id: str
    images: int
    measured: float
    published: float

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than TOLERANCE."""
        return abs(self.measured - self.published) <= TOLERANCE

    def table(self) -> str:
        """The same for a person."""
        width = len(self.model_id)
        return (
            f"{'model_id':<{width}}  images  measured  published  difference\n"
            f"{self.model_id:<{width}}  {self.images:>6}  {self.measured:>8.1f}  {self.published:>9.1f}  "
            f"{self.measured - self.published:>+10.1f}"
        )
