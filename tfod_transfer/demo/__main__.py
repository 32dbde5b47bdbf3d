"""The whole path on drawn shapes, offline: `python -m tfod_transfer.demo`.

A small detector that knows circles, squares, triangles and stars learns crosses, hexagons, crescents and arrows.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import sys
import time
from collections.abc import Sequence

from tfod_transfer import cli, fit
from tfod_transfer.demo import shapes

MODEL_ID = "tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes"
PICTURES = 6


def main(argv: Sequence[str] | None = None) -> None:
    """Draws two small data sets, fine-tunes, and says what came of it and where it is."""
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.demo", description=__doc__)
    parser.add_argument("--output_dir", default="demo_output", metavar="DIR", help="[default: demo_output, replaced]")
    parser.add_argument("--epochs", type=int, help="[default: the recipe's]")
    parser.add_argument("--num_images", type=int, default=400, metavar="N", help="images to learn from [default: 400]")
    options = parser.parse_args(argv)
    started = time.monotonic()
    output = pathlib.Path(options.output_dir)
    model_dir = output / "model"
    shutil.rmtree(output, ignore_errors=True)

    print(
        f"drawing {options.num_images} images to learn from and 100 to measure on: {', '.join(shapes.TARGET_CLASSES)}"
    )
    shapes.generate(output / "training", shapes.TARGET_CLASSES, options.num_images, seed=1)
    shapes.generate(output / "validation", shapes.TARGET_CLASSES, 100, seed=2)
    fit.fit(
        fit.FitOptions(
            model_id=MODEL_ID,
            training=str(output / "training"),
            validation=str(output / "validation"),
            model_dir=str(model_dir),
            hyperparameters={"epochs": options.epochs},
        )
    )
    picture = _mosaic(model_dir / "predictions", output / "predictions.jpg")
    metrics = json.loads((model_dir / "metrics.json").read_text(encoding="utf-8"))
    print(
        f"\nmAP before: {metrics['before']['AP']:.3f}\n"
        f"mAP after:  {metrics['AP']:.3f} (mAP50 {metrics['AP50']:.3f}), in {time.monotonic() - started:.0f} s\n"
        f"picture:    {picture} (left: ground truth, right: predictions)\n"
        f"servable:   {model_dir / '1'}"
    )


def _mosaic(folder: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Puts the first pictures of a folder into one."""
    from PIL import Image

    from tfod_transfer import drawing

    pictures = [Image.open(path) for path in sorted(folder.iterdir())[:PICTURES]]
    drawing.mosaic(pictures, columns=2, tile=640).save(target, quality=90)
    return target


if __name__ == "__main__":
    sys.exit(cli.run(main))
