"""One image from bytes to boxes through the exported SavedModel: the 320 model, median of 100, 3 and 90 classes.

    python benchmarks/predict_latency.py

The weights are random: every anchor is then a candidate of every class, the most that non-max suppression can get. The
TensorFlow Object Detection API's own graph takes 38 ms with 3 classes and 70 ms with 90, from decoded pixels.
"""

from __future__ import annotations

import pathlib
import tempfile

from _measure import median_seconds, shared

from tfod_transfer import cli, registry


def main() -> None:
    photograph = next(iter(sorted((shared("data/bccd") / "test" / "images").iterdir()))).read_bytes()
    cli.quiet_tensorflow()
    from tfod_transfer.modeling.detector import build_detector
    from tfod_transfer.serving import signatures
    from tfod_transfer.serving.loaded import LoadedDetector

    spec = registry.load_registry().get("tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8")
    for num_classes in (3, 90):
        with tempfile.TemporaryDirectory() as folder:
            target = pathlib.Path(folder) / "1"
            module = signatures.ServingModule(build_detector(spec, num_classes), ["N/A"] * (num_classes + 1))
            signatures.save(module, target)
            detector = LoadedDetector(target)
            milliseconds = 1000 * median_seconds(lambda: detector([photograph]), 100)  # noqa: B023
        print(f"{num_classes} classes: {milliseconds:.1f} ms from a 640x480 JPEG to boxes (median of 100)")


if __name__ == "__main__":
    main()
