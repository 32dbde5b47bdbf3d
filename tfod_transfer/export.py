"""Exports an artifact anew, without training: `python -m tfod_transfer.export ARTIFACT --output_dir DIR`.

The weights are those of the artifact's own checkpoint; what is not given stays as it is in the artifact.
--format tflite and onnx make a model for another runtime, which is tried there before it is kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from tfod_transfer import artifact, cli, errors, execution, registry
from tfod_transfer.artifact import Artifact, ModelInfo
from tfod_transfer.detection_options import DetectionOptions
from tfod_transfer.registry import ModelSpec
from tfod_transfer.targets.options import MODEL_FILES, QUANTIZATIONS, TargetOptions, require_packages

FORMATS = ("savedmodel", *MODEL_FILES)
PRECISIONS = ("float32", "bfloat16")


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the artifact, builds its detector again, writes the target."""
    options = _parser().parse_args(argv)
    target = _target(options)
    source = artifact.load(options.artifact)
    info = dataclasses.replace(
        source.info,
        detection=_changed(source.info.detection, options),
        precision="float32" if target else options.precision or source.info.precision,
    )
    own = registry.load_registry().get(info.model_id)
    spec = own.adapted(info.image_size, nms_topk=info.detection.nms_topk, anchor_scale=info.anchor_scale)
    if artifact.check_target(options.output_dir, options.overwrite) is not None:
        raise errors.ArtifactError(
            f"the output folder {options.output_dir!r} is not empty; choose another --output_dir or add --overwrite."
        )
    for line in execution.cautions(info.precision, execution.processor_of_this_machine()):
        print(line, file=sys.stderr)
    print(f"model:      {info.model_id}, {len(info.class_names)} classes, from {source.folder}", flush=True)
    print(f"detections: {info.detection}; {info.precision}", flush=True)

    if target:
        _write_target(options, target, source, spec, info)
        return

    from tfod_transfer.serving import rebuilding

    with artifact.writing(options.output_dir, options.overwrite) as folder:
        rebuilding.write(folder, source, spec, info)
    print(f"wrote {options.output_dir}: its scores are those of {source.folder}")


def _write_target(
    options: argparse.Namespace, target: TargetOptions, source: Artifact, spec: ModelSpec, info: ModelInfo
) -> None:
    """Reads the data sets before anything slow, makes the target, says how it compares."""
    from tfod_transfer.data import formats

    images = formats.read_dataset(target.calibration) if target.calibration else None
    check = formats.read_dataset(target.check) if target.check else None
    if check is not None:
        check = formats.align_classes(check, info.class_names, info.category_ids)

    from tfod_transfer.targets import writing

    with artifact.writing(options.output_dir, options.overwrite) as folder:
        test = writing.write(folder, source, spec, info, target, images, check)
        size = (folder / MODEL_FILES[target.format]).stat().st_size
    if check is None:
        print("self-test:  no AP was compared; --check DATA measures it")
    print(f"self-test:  {test}")
    print(f"wrote {options.output_dir}: {MODEL_FILES[target.format]}, {size / 1e6:.1f} MB")


def _target(options: argparse.Namespace) -> TargetOptions | None:
    """What is asked for beside a SavedModel; None for that.

    Raises:
      UsageError: flags do not go together, or packages are missing.
    """
    given = {
        "--quantize": options.quantize,
        "--calibration": options.calibration,
        "--check": options.check,
        "--tolerance": options.tolerance,
    }
    if options.format == "savedmodel":
        for flag, value in given.items():
            if value is not None:
                raise errors.UsageError(f"{flag} goes with --format {' or '.join(MODEL_FILES)}; leave it out.")
        return None
    if options.precision:
        raise errors.UsageError(f"--precision goes with --format savedmodel; {options.format} has --quantize.")
    require_packages(options.format)
    return TargetOptions(options.format, *given.values())


def _changed(own: DetectionOptions, options: argparse.Namespace) -> DetectionOptions:
    """The artifact's own options but for those that are given.

    Raises:
      UsageError: a value is out of its range.
    """
    names = [field.name for field in dataclasses.fields(own)]
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if "class_agnostic_nms" in given:
        given["class_agnostic_nms"] = given["class_agnostic_nms"] == "True"
    return dataclasses.replace(own, **given)


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.export", description=__doc__)
    add = parser.add_argument
    add("artifact", metavar="ARTIFACT", help="the --model_dir of a finished fit")
    add("--output_dir", required=True, metavar="DIR", help="where the export goes; a SavedModel's is an artifact again")
    add("--format", choices=FORMATS, default=FORMATS[0], help="what to make [default: %(default)s]")
    add("--max_detections", type=int, metavar="N", help="boxes in an answer, at most")
    add("--score_threshold", type=float, metavar="S", help="leave out boxes whose score is not above it")
    add("--nms_iou", type=float, metavar="IOU", help="a box goes where a better one overlaps it by more")
    add("--nms_topk", type=int, metavar="N", help="best boxes that compete, for models that limit it")
    add(
        "--class_agnostic_nms",
        nargs="?",
        const="True",
        choices=("True", "False"),
        help="whether a box goes for a better one of any class; else of its own class only",
    )
    add("--precision", choices=PRECISIONS, help="number format that the network computes in")
    add("--quantize", choices=QUANTIZATIONS, help="tflite, onnx: how weights, and with int8 all arithmetic, are stored")
    add("--calibration", metavar="DATA", help="int8: data set whose images show what values occur; that of training")
    add("--check", metavar="DATA", help="tflite, onnx: data set on which AP is compared with the SavedModel's")
    add("--tolerance", type=float, metavar="T", help="tflite, onnx: largest difference of AP that is let pass")
    add("--overwrite", action="store_true", help="replace what is in --output_dir")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
