"""Reading an annotation file of the size of COCO train2017, against `json.load` alone on the same file.

    python benchmarks/read_annotations.py

Generates the file (118 000 images, 860 000 boxes) in a temporary folder, reads it in child processes, and prints two
ratios: time to read, validate and make columns / time of json.load (goal: below 1), and peak memory above an idle
process / size of the file (goal: below 5). json.load is also timed without garbage collection, its best case.
"""

from __future__ import annotations

import json
import multiprocessing
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

NUM_IMAGES, NUM_BOXES, NUM_CLASSES = 118_000, 860_000, 80
REPEATS = 3

READERS = {
    "json.load": "import json; result = json.load(open(path, 'rb'))",
    "json.load, no gc": "import json, gc; gc.disable(); result = json.load(open(path, 'rb'))",
    "read_dataset": "result = read_dataset(path, verify='none')",
}
CHILD = """
import resource, sys, time
from tfod_transfer.data.formats import read_dataset
path = sys.argv[1]
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
{statement}
seconds = time.perf_counter() - start
unit = 1 if sys.platform == "darwin" else 1024
print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) * unit)
"""


def generate(path: pathlib.Path) -> None:
    """Writes a COCO file with the keys of the real one; outlines are short, as those of most of its small objects."""
    rng = np.random.default_rng(0)
    image_ids = np.sort(rng.choice(600_000, NUM_IMAGES, replace=False))
    images = [
        {
            "license": 3,
            "file_name": f"{image_id:012d}.jpg",
            "coco_url": f"http://images.cocodataset.org/train2017/{image_id:012d}.jpg",
            "height": 480,
            "width": 640,
            "date_captured": "2013-11-14 17:02:52",
            "id": image_id,
        }
        for image_id in image_ids.tolist()
    ]
    corners = rng.uniform((0, 0), (600, 440), (NUM_BOXES, 2)).round(2)
    sides = np.minimum(rng.exponential(90, (NUM_BOXES, 2)) + 2, (639, 479) - corners).round(2)
    owners = image_ids[rng.integers(0, NUM_IMAGES, NUM_BOXES)].tolist()
    classes = rng.integers(1, NUM_CLASSES + 1, NUM_BOXES).tolist()
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"info": {{}}, "licenses": [], "images": {json.dumps(images)}, "annotations": [')
        for index in range(NUM_BOXES):
            (x, y), (width, height) = corners[index].tolist(), sides[index].tolist()
            outline = [x, y, round(x + width, 2), y, round(x + width, 2), round(y + height, 2), x, round(y + height, 2)]
            annotation = {
                "segmentation": [outline],
                "area": round(width * height, 4),
                "iscrowd": 0,
                "image_id": owners[index],
                "bbox": [x, y, width, height],
                "category_id": classes[index],
                "id": index + 1,
            }
            file.write((", " if index else "") + json.dumps(annotation))
        categories = [{"supercategory": "thing", "id": i, "name": f"class {i}"} for i in range(1, NUM_CLASSES + 1)]
        file.write(f'], "categories": {json.dumps(categories)}}}')


def measure(path: pathlib.Path, statement: str) -> tuple[float, float]:
    """Median seconds and most bytes of a few child processes."""
    runs = []
    for _ in range(REPEATS):
        command = [sys.executable, "-c", CHILD.format(statement=statement), str(path)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        runs.append([float(value) for value in output.split()])
    return statistics.median(run[0] for run in runs), max(run[1] for run in runs)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "instances.json"
        # In a process of its own: a child's peak begins at what its parent held.
        generator = multiprocessing.get_context("spawn").Process(target=generate, args=(path,))
        generator.start()
        generator.join()
        size = path.stat().st_size
        print(f"{NUM_IMAGES} images, {NUM_BOXES} boxes, {size / 1e6:.0f} MB")
        results = {name: measure(path, statement) for name, statement in READERS.items()}
    for name, (seconds, peak) in results.items():
        print(f"{name:<18}{seconds:6.2f} s   {peak / 1e6:6.0f} MB   {peak / size:.2f} x file")
    ours = results["read_dataset"]
    for name in ("json.load", "json.load, no gc"):
        print(f"time read_dataset / {name}: {ours[0] / results[name][0]:.2f}")
    print(f"peak memory read_dataset / file: {ours[1] / size:.2f}")


if __name__ == "__main__":
    main()
