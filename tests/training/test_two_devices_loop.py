"""The loop on two devices: the same training as on one, and every image validated once, whatever their number."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.golden  # two devices are held to the numbers of one, in a process of their own

SCRIPT = pathlib.Path(__file__).with_name("two_devices_loop.py")
# Of batches of 4: the second device has nothing but padding; one image too few, as many as fit, and one too many.
COUNTS = (1, 3, 4, 5)


@pytest.fixture(scope="module")
def outcomes() -> list[dict[str, Any]]:
    """What one device gave and what two gave."""
    command = [sys.executable, str(SCRIPT), json.dumps(COUNTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return results


def test_losses_and_weights_are_those_of_one_device(outcomes: list[dict[str, Any]]) -> None:
    one, two = outcomes
    assert len(one["losses"]) == 5
    for alone, together in zip(one["losses"], two["losses"], strict=True):
        assert together == pytest.approx(alone, rel=1e-4)
    np.testing.assert_allclose(two["weights"], one["weights"], rtol=1e-4, atol=1e-5)
    assert one["losses"][-1]["loss"] < one["losses"][0]["loss"]
    assert one["traces"] == two["traces"] == [1, 1]


@pytest.mark.parametrize("number", range(len(COUNTS)), ids=[f"{count} images" for count in COUNTS])
def test_every_image_is_validated_once(outcomes: list[dict[str, Any]], number: int) -> None:
    one, two = (outcome["validations"][number] for outcome in outcomes)
    assert two["image_ids"] == one["image_ids"] == list(range(COUNTS[number]))
    metrics, expected = two.pop("metrics"), one.pop("metrics")
    assert metrics == pytest.approx(expected, abs=1e-4)
    assert expected["AR_100"] > 0
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-4, atol=1e-5)
