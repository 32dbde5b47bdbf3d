"""What the benchmarks share."""

from __future__ import annotations

import pathlib
import statistics
import sys
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def shared(name: str) -> pathlib.Path:
    """A piece of reference data beside the repository; the benchmark ends where there is none."""
    path = SHARED / name
    if not path.exists():
        print(f"left out: needs {name} in a folder 'shared' beside the repository")
        sys.exit(0)
    return path


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of `repeats` calls, after one that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
