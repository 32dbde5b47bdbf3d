"""Fixtures for all tests; reference data lives in a folder `shared` beside the repository, where there is one."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import hypothesis
import pytest

# A loaded machine is no defect.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # as commands do

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Callable[[str], pathlib.Path]:
    """Returns the path of a piece of reference data; skips the test where it is absent, fails it under CI."""

    def find(name: str) -> pathlib.Path:
        path = SHARED / name
        if not path.exists():
            message = f"needs reference data {name!r} in a folder 'shared' beside the repository"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
        return path

    return find
