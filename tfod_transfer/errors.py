"""The one family of errors that this package raises for the person who runs it.

A message says what was expected, what was found (file, index, value) and what to do. The commands print it as one line
and exit with status 2; under SageMaker the same text becomes the failure reason.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TransferError(Exception):
    """Base of every error whose message is meant for the person who runs the package."""


class UsageError(TransferError):
    """A flag, a hyperparameter or a combination of them cannot be used."""


class RegistryError(TransferError):
    """A model_id is unknown, or its registry entry cannot be used for what was asked."""


class WeightsError(TransferError):
    """Pretrained weights cannot be found, downloaded, unpacked or authenticated."""


class DataError(TransferError):
    """A data set cannot be read, or is not fit to train or evaluate on."""


class CheckpointError(TransferError):
    """A checkpoint does not fit the detector that it should be restored into."""


class TrainingError(TransferError):
    """Training cannot go on (a loss that is not finite, for one)."""


class ArtifactError(TransferError):
    """An artifact folder is missing, incomplete, in the way, or fails its own check."""


class StoppedError(TransferError):
    """A signal asked the process to stop.

    Attributes:
      status: exit status that shells give to a process that the signal ended.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.status = 128 + signal_number


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the known name nearest to `name`, or "" when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
