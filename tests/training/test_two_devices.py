"""Two devices learn what one learns from the same batches; devices are fixed for a process, so these have their own."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.golden  # two devices are held to the numbers of one, in a process of their own

SCRIPT = pathlib.Path(__file__).resolve().with_name("two_devices.py")
ROOT = SCRIPT.parents[2]

# Adam's step is the same whatever the gradients are multiplied with, that of "sgd" where nothing is clipped is not.
CASES = {
    "adam, clip, average, parts": {
        "optimizer": "adam",
        "learning_rate": 0.01,
        "gradient_clip_norm": 0.5,
        "ema_decay": 0.9,
        "gradient_accumulation": 2,
    },
    "float16": {"dtype": "float16"},
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[dict[str, Any]]]:
    """What one device gave and what two gave, for each case."""
    command = [sys.executable, str(SCRIPT), json.dumps(list(CASES.values()))]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}  # of several work trees this one
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize(("case", "tolerance"), [("adam, clip, average, parts", 1e-4), ("float16", 1e-2)])
def test_two_devices_give_the_losses_and_weights_of_one(
    outcomes: dict[str, list[dict[str, Any]]], case: str, tolerance: float
) -> None:
    one, two = outcomes[case]
    for alone, together in zip(one["losses"], two["losses"], strict=True):
        for name, values in together.items():
            assert values == pytest.approx(alone[name] * 2, rel=tolerance)  # the global batch's, on each device
    for name in ("weights", "averages"):
        np.testing.assert_allclose(two[name], one[name], rtol=tolerance, atol=0.1 * tolerance)
    assert two["weights_after"] == two["weights"]
    assert (two["averages"] == two["weights"]) == ("ema_decay" not in CASES[case])
    assert one["traces"] == two["traces"] == 1
    # Frozen ones can be read by one host alone.
    assert two["statistics"] == ["ON_WRITE", "ON_READ"]
