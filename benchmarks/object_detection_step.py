"""What a training step of SageMaker's Object Detection takes for an image, and an epoch of the blood cells with it.

    python benchmarks/object_detection_step.py [--image_shape 300] [--batch_size 8] [--repeats 3]

Forward pass, targets, losses and gradients of random images, from random weights; the optimizer is left out. Prints the
median of wall and processor seconds.
"""

from __future__ import annotations

import argparse
import statistics

from _measure import alternate, random_batch, training_step

from tfod_transfer import cli, plans, registry, ssd_hyperparameters

NUM_CLASSES = 3
CELL_IMAGES = 205  # of the blood cells' training images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image_shape", type=int, default=300)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    cli.quiet_tensorflow()

    from tfod_transfer.modeling.detector import build_detector

    batch = random_batch(options.image_shape, options.batch_size, NUM_CLASSES)
    for network in ssd_hyperparameters.MODEL_IDS:
        asked = {"base_network": network, "image_shape": options.image_shape}
        spec = plans.plan(registry.load_registry(), None, asked).spec
        step = training_step(build_detector(spec, NUM_CLASSES), batch)
        elapsed, processor = alternate({network: step}, options.repeats)
        wall, busy = (statistics.median(each[network]) / options.batch_size for each in (elapsed, processor))
        print(
            f"{network} at {options.image_shape}: {wall:.2f} s an image ({busy:.2f} s of processor time), "
            f"{wall * CELL_IMAGES / 60:.1f} minutes for {CELL_IMAGES} images",
            flush=True,
        )


if __name__ == "__main__":
    main()
