"""The input pipeline against a bare decode loop (read, decode, forget) on the same photographs with the same threads.

    python benchmarks/input_pipeline.py [--data FOLDER] [--size 320] [--images 48] [--rounds 5]

Without --data it draws photographs of two megapixels (1632 x 1224, about 400 kB each) in a temporary folder. In each
round the bare loop, a first epoch (read, decode, resize, store, augment, batch) and epochs from the cache take turns,
so that other load on the machine slows all three. Prints medians of images/s, of processor milliseconds for an image,
which suffer least from other load, and of the ratios to the bare loop (goals: at least 0.9 in the first epoch, 5 from
the cache), for the cache in memory and on disk; all with the augmentation zoo. The last row of each is the augmentation
strong from the cache, with its ratio to zoo.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from tfod_transfer import cli, hyperparameters, registry

CACHED_EPOCHS = 4
STRONG = "strong, cached"
Pace = tuple[float, float]  # images/s, processor milliseconds for an image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, help="folder of JPEG photographs")
    parser.add_argument("--size", type=int, default=320, help="side of the training images")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cli.quiet_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or draw_photographs(pathlib.Path(folder) / "photographs", options.images)
        paths = sorted(str(path) for path in data.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
        paths = paths[: options.images]
        kilobytes = statistics.mean(os.path.getsize(path) for path in paths) / 1000
        print(f"{len(paths)} photographs, {kilobytes:.0f} kB each on average, to {options.size} pixels")
        for cache in ("memory", "disk"):
            report(cache, [run_round(paths, options.size, cache, folder) for _ in range(options.rounds)])


def draw_photographs(folder: pathlib.Path, count: int) -> pathlib.Path:
    """Writes smooth shades with texture of several sizes and a little noise, which compress as photographs do."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for i in range(count):
        layers = [(8, 70), (32, 40), (128, 25), (612, 7)]
        pixels = np.full((1224, 1632, 3), 128.0) + generator.normal(0, 2, (1224, 1632, 1))
        for cells, contrast in layers:
            for channel in range(3):
                coarse = Image.fromarray(generator.normal(0, contrast, (cells, cells * 4 // 3)).astype(np.float32))
                pixels[..., channel] += np.asarray(coarse.resize((1632, 1224), Image.Resampling.BICUBIC))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{i:04}.jpg", quality=85)
    return folder


def run_round(paths: list[str], size: int, cache: str, folder: str) -> dict[str, Pace]:
    import tensorflow as tf

    from tfod_transfer.data.dataset import DetectionDataset
    from tfod_transfer.data.pipeline import InputPipeline

    count, boxes_each = len(paths), 10
    low = np.random.default_rng(0).uniform(0, 0.6, (count * boxes_each, 2))
    sizes = [Image.open(path).size[::-1] for path in paths]
    dataset = DetectionDataset(
        image_paths=paths,
        image_ids=range(count),
        sizes=np.array(sizes, np.int32),
        orientations=np.ones(count, np.uint8),
        boxes=np.concatenate([low, low + 0.3], axis=1).astype(np.float32),
        classes=np.zeros(count * boxes_each, np.int32),
        is_crowd=np.zeros(count * boxes_each, np.bool_),
        offsets=np.arange(count + 1) * boxes_each,
        class_names=("thing",),
        category_ids=(1,),
    )
    spec = registry.load_registry().get("tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8")
    spec = dataclasses.replace(spec, input_size=size)
    bare = tf.data.Dataset.from_tensor_slices(paths).map(
        lambda path: tf.io.decode_jpeg(tf.io.read_file(path), channels=3), num_parallel_calls=os.cpu_count()
    )
    with tempfile.TemporaryDirectory(dir=folder) as cache_dir:
        given = {"batch_size": 8, "cache": cache, "cache_dir": cache_dir}
        zoo, strong = (
            iter(InputPipeline(dataset, spec, hyperparameters.resolve({**given, "augmentation": name})).train_batches())
            for name in ("zoo", "strong")
        )
        steps = -(-count // 8)
        paces = {
            "bare loop": pace(iter(bare.repeat()), count, 1),
            "first epoch": pace(zoo, steps, 8),
            "from the cache": pace(zoo, CACHED_EPOCHS * steps, 8),
        }
        pace(strong, 2 * steps, 8)  # fills its own cache
        return {**paces, STRONG: pace(strong, CACHED_EPOCHS * steps, 8)}


def pace(elements: Iterator[object], count: int, images_each: int) -> Pace:
    started, processor = time.perf_counter(), time.process_time()
    for _ in range(count):
        next(elements)
    images = count * images_each
    return images / (time.perf_counter() - started), 1000 * (time.process_time() - processor) / images


def report(cache: str, rounds: list[dict[str, Pace]]) -> None:
    def median(of: Callable[[dict[str, Pace]], float]) -> float:
        return statistics.median(of(one) for one in rounds)

    print("cache in memory:" if cache == "memory" else "cache on disk:")
    for name in rounds[0]:
        speed, milliseconds = (median(lambda one, i=i: one[name][i]) for i in (0, 1))  # noqa: B023
        ratio = median(lambda one: one[name][0] / one["bare loop"][0])  # noqa: B023
        work = median(lambda one: one["bare loop"][1] / one[name][1])  # noqa: B023
        print(f"  {name:<15}{speed:7.0f} images/s {milliseconds:6.2f} processor ms; ", end="")
        print(f"bare loop x {ratio:.2f}, by processor time x {work:.2f}")
    speed = median(lambda one: one[STRONG][0] / one["from the cache"][0])
    work = median(lambda one: one[STRONG][1] / one["from the cache"][1])
    print(f"  strong against zoo, from the cache: speed x {speed:.2f}, processor time x {work:.2f}")


if __name__ == "__main__":
    main()
