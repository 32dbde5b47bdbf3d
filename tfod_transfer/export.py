"""Exports an artifact anew, without training: `python -m tfod_transfer.export ARTIFACT --output_dir DIR`.

The weights are those of the artifact's own checkpoint; what is not given stays as it is in the artifact.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from tfod_transfer import artifact, cli, errors, execution, registry
from tfod_transfer.detection_options import DetectionOptions

FORMATS = ("savedmodel",)
PRECISIONS = ("float32", "bfloat16")


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the artifact, builds its detector again, writes the target."""
    options = _parser().parse_args(argv)
    source = artifact.load(options.artifact)
    info = dataclasses.replace(
        source.info,
        detection=_changed(source.info.detection, options),
        precision=options.precision or source.info.precision,
    )
    spec = registry.load_registry().get(info.model_id).adapted(info.image_size, nms_topk=info.detection.nms_topk)
    if artifact.check_target(options.output_dir, options.overwrite) is not None:
        raise errors.ArtifactError(
            f"the output folder {options.output_dir!r} is not empty; choose another --output_dir or add --overwrite."
        )
    for line in execution.cautions(info.precision, execution.processor_of_this_machine()):
        print(line, file=sys.stderr)
    print(f"model:      {info.model_id}, {len(info.class_names)} classes, from {source.folder}", flush=True)
    print(f"detections: {info.detection}; {info.precision}", flush=True)

    from tfod_transfer.serving import rebuilding

    with artifact.writing(options.output_dir, options.overwrite) as folder:
        rebuilding.write(folder, source, spec, info)
    print(f"wrote {options.output_dir}: its scores are those of {source.folder}")


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
    add("--output_dir", required=True, metavar="DIR", help="where the export goes, an artifact again")
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
    add("--overwrite", action="store_true", help="replace what is in --output_dir")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
