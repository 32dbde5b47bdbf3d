"""Readers of annotation formats; each gives the same columns."""

from tfod_transfer.data.classes import align_classes
from tfod_transfer.data.formats.reader import read_dataset

__all__ = ["align_classes", "read_dataset"]
