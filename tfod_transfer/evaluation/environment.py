"""What a result was computed with: versions and processor, told without importing TensorFlow."""

from __future__ import annotations

import importlib.metadata
import os
import platform

import tfod_transfer
from tfod_transfer import execution

# Some containers hold TensorFlow under other names.
_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu")
_LIBRARIES = ("tf-keras", "numpy", "pycocotools", "pillow")


def describe() -> dict[str, str]:
    """Name -> version or description, in the order in which they are worth reading."""
    processor = execution.processor_of_this_machine()
    return {
        "tfod_transfer": tfod_transfer.__version__,
        "Python": platform.python_version(),
        "TensorFlow": next((version for name in _TENSORFLOW if (version := _version(name))), "not found"),
        **{name: _version(name) or "not found" for name in _LIBRARIES},
        "processor": processor.name,
        "processors (logical)": str(os.cpu_count()),
        "system": platform.platform(),
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
