"""The server against the bare SavedModel: images a second and latency at 1, 8 and 32 clients.

    python benchmarks/serving.py [--requests 400] [--model_id ID]

The bare SavedModel answers the same photographs in a loop, one after the other, in a process of its own, before and
after each run of the server: the mean counts, since a shared machine's speed drifts. Clients are threads of this
process, each with one connection. Weights are random, with 3 classes.
"""

from __future__ import annotations

import argparse
import http.client
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from _measure import ROOT, shared

from tfod_transfer import cli

MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
CLIENTS = (1, 8, 32)
HEADERS = {"Content-Type": "application/x-image", "Accept": "application/json;n_predictions=20"}
# Prints the seconds of each image whenever a number of them is asked for.
BARE = """
import sys, time
from tfod_transfer import cli
cli.quiet_tensorflow()
from tfod_transfer.serving.loaded import LoadedDetector
detector = LoadedDetector(sys.argv[1])
images = [open(path, "rb").read() for path in sys.argv[2:]]
for line in sys.stdin:
    for number in range(-3, int(line)):
        started = time.perf_counter()
        detector([images[number % len(images)]])
        if number >= 0:
            print(time.perf_counter() - started)
    print("done", flush=True)
"""


class Figures(NamedTuple):
    """What was measured: images a second, and each answer's seconds."""

    rate: float
    seconds: list[float]

    def __str__(self) -> str:
        cuts = statistics.quantiles(self.seconds, n=100)
        return f"{self.rate:6.1f} images/s, p50 {1000 * cuts[49]:6.1f} ms, p99 {1000 * cuts[98]:6.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400, metavar="N", help="for each number of clients")
    parser.add_argument("--model_id", default=MODEL_ID, metavar="ID")
    options = parser.parse_args()
    paths = sorted((shared("data/bccd") / "test" / "images").iterdir())[:16]
    with tempfile.TemporaryDirectory() as folder:
        artifact = pathlib.Path(folder) / "model"
        export(options.model_id, artifact)
        images = [path.read_bytes() for path in paths]
        with Bare(artifact, paths) as bare, Server(artifact) as server:
            for clients in CLIENTS:
                before = bare.measure(options.requests // 2)
                served = ask(server.port, images, clients, options.requests)
                after = bare.measure(options.requests // 2)
                seconds = before + after
                loop = Figures(len(seconds) / sum(seconds), seconds)
                print(f"{clients} clients")
                print(f"  bare    {loop}")
                print(f"  server  {served}; {served.rate / loop.rate:.2f} of the bare rate", flush=True)
                if clients == 1:
                    added = statistics.median(served.seconds) - statistics.median(seconds)
                    print(f"  added   {1000 * added:.1f} ms at the median")


def export(model_id: str, folder: pathlib.Path) -> None:
    """Writes an artifact with random weights."""
    code = f"""
from tfod_transfer import artifact, cli, registry
cli.quiet_tensorflow()
import pathlib
from tfod_transfer.modeling.detector import build_detector
from tfod_transfer.serving import signatures
spec, folder = registry.load_registry().get({model_id!r}), pathlib.Path({str(folder)!r})
info = artifact.ModelInfo(spec.model_id, spec.input_size, False, ("a", "b", "c"), (1, 2, 3))
signatures.save(signatures.serving_module(build_detector(spec, 3), info), folder / "1")
artifact.write_info(folder, info)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


class Bare:
    """The SavedModel in a process of its own."""

    def __init__(self, artifact: pathlib.Path, paths: Sequence[pathlib.Path]) -> None:
        command = [sys.executable, "-c", BARE, str(artifact / "1"), *map(str, paths)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.measure(0)

    def measure(self, count: int) -> list[float]:
        """The seconds of each of `count` images."""
        assert self._process.stdin
        assert self._process.stdout
        print(count, file=self._process.stdin, flush=True)
        lines = iter(self._process.stdout.readline, "done\n")
        return [float(line) for line in lines]

    def __enter__(self) -> Bare:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


class Server:
    """The command, ready."""

    def __init__(self, artifact: pathlib.Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "tfod_transfer.serve", str(artifact), "--port", "0", *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline().strip("/\n").rpartition(":")[2])
        self.process.stdout.readline()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def ask(port: int, images: Sequence[bytes], clients: int, requests: int) -> Figures:
    """Sends each of `requests` as soon as one of the clients is free, after a few that do not count."""
    seconds: list[float] = []
    numbers = iter(range(requests))
    start = threading.Barrier(clients + 1)

    def run() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(3):
            post(connection, images[0])
        start.wait()
        for number in numbers:
            started = time.perf_counter()
            post(connection, images[number % len(images)])
            seconds.append(time.perf_counter() - started)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    start.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return Figures(requests / (time.perf_counter() - started), seconds)


def post(connection: http.client.HTTPConnection, image: bytes) -> None:
    connection.request("POST", "/invocations", image, HEADERS)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise RuntimeError(body.decode())


if __name__ == "__main__":
    cli.quiet_tensorflow()
    main()
