"""Many requests, one in a hundred of them garbage: whether each is answered as it should be, and memory stays flat.

    python benchmarks/serving_soak.py [--requests 10000] [--clients 8]

Prints the server's memory as it goes. Ends with status 1 if an answer was not the expected one, or if the last tenth of
the run has a tenth more memory than the second.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import pathlib
import random
import sys
import tempfile
import threading

import psutil
from _measure import shared
from serving import HEADERS, MODEL_ID, Server, export

PARTS = 10
#: kind: body made of an image, expected status
GARBAGE = {
    "a cut image": (lambda image: image[: len(image) // 2], 400),
    "no image": (lambda image: b"no image" * 100, 400),
    "nothing": (lambda image: b"", 400),
    "another format": (lambda image: b"GIF89a" + image[6:], 415),
    "too large": (lambda image: image + bytes(21 * 2**20), 413),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000, metavar="N")
    parser.add_argument("--clients", type=int, default=8, metavar="N")
    parser.add_argument("--model_id", default=MODEL_ID, metavar="ID")
    options = parser.parse_args()
    images = [path.read_bytes() for path in sorted((shared("data/bccd") / "test" / "images").iterdir())[:16]]
    with tempfile.TemporaryDirectory() as folder:
        export(options.model_id, pathlib.Path(folder) / "model")
        with Server(pathlib.Path(folder) / "model") as server:
            process = psutil.Process(server.process.pid)
            memory, wrong = [process.memory_info().rss], collections.Counter[str]()
            print(f"   0 % {memory[0] / 1e6:6.0f} MB", flush=True)
            for part in range(PARTS):
                wrong += soak(server.port, images, options.requests // PARTS, options.clients, seed=part)
                memory.append(process.memory_info().rss)
                print(f"{100 * (part + 1) // PARTS:4} % {memory[-1] / 1e6:6.0f} MB", flush=True)
    growth = memory[-1] / memory[2] - 1
    print(f"{options.requests} requests, {wrong.total()} answers that were not the expected ones {dict(wrong) or ''}")
    print(f"memory at the end against a fifth of the way: {100 * growth:+.1f} %")
    sys.exit(1 if wrong or growth > 0.1 else 0)


def soak(port: int, images: list[bytes], count: int, clients: int, seed: int) -> collections.Counter[str]:
    """Sends `count` requests; returns how many were answered otherwise than expected, by what happened."""
    wrong: collections.Counter[str] = collections.Counter()
    numbers = iter(range(count))

    def run() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for number in numbers:
            choice = random.Random(seed * count + number)
            image, kind, expected = choice.choice(images), "an image", 200
            if number % 100 == 0:
                kind, (spoil, expected) = choice.choice(list(GARBAGE.items()))
                image = spoil(image)
            try:
                connection.request("POST", "/invocations", image, HEADERS)
                response = connection.getresponse()
                response.read()
                status = str(response.status)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                status = type(error).__name__
            if status != str(expected):
                wrong[f"{kind}: {status}"] += 1

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


if __name__ == "__main__":
    main()
