"""What each target of `export` weighs, takes and finds: the 320 model with the 3 classes of blood cells.

    python benchmarks/export_targets.py [--artifact DIR] [--repeats 30]

For each format and quantisation: size, AP on the validation images, and milliseconds from decoded pixels (640 x 480) to
boxes, wall and processor time, on one thread, the median of calls that take turns. Without --artifact the model is
fitted here first, two epochs from the hands checkpoint. int8 is calibrated on 100 of the training images.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import pathlib
import statistics
import tempfile
from collections.abc import Callable

from _measure import alternate, shared

from tfod_transfer import artifact, cli

MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
EPOCHS = 2
TARGETS = [(name, kind) for name in ("tflite", "onnx") for kind in (None, "float16", "dynamic", "int8")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", metavar="DIR")
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    data = shared("data/bccd")
    cli.quiet_tensorflow()
    import tensorflow as tf

    # Before anything runs; exporting the targets is slower for it, too.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        source = artifact.load(options.artifact or fitted(data, f"{scratch}/artifact"))
        folders = {
            f"{name} {kind or 'float32'}": exported(source, data, f"{scratch}/{name}-{kind}", name, kind)
            for name, kind in TARGETS
        }
        report(source, data, folders, options.repeats)


def fitted(data: pathlib.Path, folder: str) -> str:
    from tfod_transfer import fit

    hands = str(shared("checkpoints/ssd_mobilenet_v2_fpnlite_320x320_hands"))
    settings = {"epochs": EPOCHS}
    with contextlib.redirect_stdout(io.StringIO()):
        fit.fit(
            fit.FitOptions(
                MODEL_ID,
                folder,
                training=str(data / "train"),
                validation=str(data / "validation"),
                pretrained=hands,
                hyperparameters=settings,
            )
        )
    return folder


def exported(source: artifact.Artifact, data: pathlib.Path, folder: str, name: str, kind: str | None) -> pathlib.Path:
    """Runs `export`; whatever AP comes out is let pass."""
    from tfod_transfer import export

    flags = ["--format", name, "--check", str(data / "validation"), "--tolerance", "1", "--output_dir", folder]
    flags += ["--quantize", kind] if kind else []
    flags += ["--calibration", str(data / "train")] if kind == "int8" else []
    with contextlib.redirect_stdout(io.StringIO()):
        export.main([str(source.folder), *flags])
    return pathlib.Path(folder)


def report(source: artifact.Artifact, data: pathlib.Path, folders: dict[str, pathlib.Path], repeats: int) -> None:
    import tensorflow as tf

    from tfod_transfer.targets import calibration, metadata, runners

    photograph = min((data / "validation" / "images").iterdir())
    (image,) = calibration.pixels([str(photograph)])
    savedmodel = tf.saved_model.load(source.saved_model)
    signature, pixels = savedmodel.signatures["image_tensor"], tf.constant(image)
    runs: dict[str, Callable[[], object]] = {"SavedModel float32": lambda: signature(images=pixels)["scores"].numpy()}
    sizes = {"SavedModel float32": sum(path.stat().st_size for path in (source.folder / "1").rglob("*"))}
    aps = {}
    for title, folder in folders.items():
        target = metadata.load(folder)
        runtime = runners.RUNTIMES[target.format](str(target.model_file), threads=1)
        runs[title] = lambda runtime=runtime: runtime(image)
        sizes[title] = target.model_file.stat().st_size
        test = json.loads((folder / metadata.METADATA_FILE).read_text())["self_test"]
        aps["SavedModel float32"], aps[title] = test["savedmodel_ap"], test["target_ap"]
    elapsed, processor = alternate(runs, repeats)
    print(f"{'':<20}{'MB':>7}{'AP':>8}{'ms':>8}{'CPU ms':>8}")
    for title in runs:
        times = (1000 * statistics.median(each[title]) for each in (elapsed, processor))
        print(f"{title:<20}{sizes[title] / 1e6:>7.1f}{aps[title]:>8.4f}" + "".join(f"{each:>8.1f}" for each in times))


if __name__ == "__main__":
    main()
