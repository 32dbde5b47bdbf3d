"""The image's steps and its two commands, where no container engine runs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from running import ROOT

pytestmark = pytest.mark.acceptance


def test_the_image_trains_and_serves_as_sagemaker_starts_it() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "check_dockerfile.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "train:     status 0" in done.stdout
    assert "status 0 after SIGTERM" in done.stdout
