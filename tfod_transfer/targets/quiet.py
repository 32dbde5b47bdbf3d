"""Converters talk much and past Python, and raise anything."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from tfod_transfer import errors


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing in the block reaches the terminal: neither logging and warnings, nor what C++ writes on its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        for number, _ in kept:
            os.dup2(nowhere, number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        logging.disable(before)
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


@contextlib.contextmanager
def converting(failure: str) -> Iterator[None]:
    """A quiet block in which a converter works; what it raises becomes one sentence.

    Args:
      failure: what to say that cannot be done, before the converter's reason.

    Raises:
      ArtifactError: the converter failed, with whatever exception.
      TransferError, OSError: as they are: of the images that it was given.
    """
    try:
        with quiet():
            yield
    except (errors.TransferError, OSError):
        raise
    except Exception as error:  # converters have no errors of their own, or private ones
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise errors.ArtifactError(f"{failure}: {reason}") from error
