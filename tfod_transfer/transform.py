"""Answers a folder of images as a batch transform: `python -m tfod_transfer.transform MODEL IMAGES --output_dir DIR`.

MODEL is an artifact (the --model_dir of a finished fit). IMAGES is a folder, with the folders in it, a file, or an
address (s3://bucket/prefix); so may DIR be. `IMAGES/a/b.jpg` is answered in `DIR/a/b.jpg.out`, with the JSON of an
endpoint. The same command goes on where it was stopped: what has an answer is not asked again.
"""

from __future__ import annotations

import json
import pathlib
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tfod_transfer import artifact, authenticity, cli, errors, execution, file_trees
from tfod_transfer.file_trees import FileTree
from tfod_transfer.remote_files import RemoteFiles
from tfod_transfer.serving import inference

SUFFIX = ".out"
RECORD = "transform.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Answers what has no answer yet; images that have none in the end are named and make the exit status 2.

    Raises:
      UsageError: the output folder lies among the images, or has the answers of another model or to another question.
      DataError: there are no images, or a place cannot be read.
      ArtifactError: there is no whole artifact.
    """
    options = _parser().parse_args(argv)
    file_trees.check_apart(options.images, options.output_dir)
    model = artifact.load(options.artifact)
    for line in execution.cautions(model.info.precision, execution.processor_of_this_machine()):
        print(line, file=sys.stderr)
    with RemoteFiles() as remote, tempfile.TemporaryDirectory(prefix="tfod_transfer-") as scratch:
        source, target = (
            file_trees.open_tree(place, remote, pathlib.Path(scratch)) for place in (options.images, options.output_dir)
        )
        names = source.names()
        if not names:
            raise errors.DataError(f"{options.images} holds no files; expected images.")
        answered = set(target.names())
        _keep_record(target, answered, model, options)
        wanted = [name for name in names if name + SUFFIX not in answered]
        before = len(names) - len(wanted)
        if before:
            print(f"goes on:  {before} of {len(names)} files have their answer", flush=True)
        try:
            bad = _answer(model, source, target, wanted, before, options) if wanted else 0
        except KeyboardInterrupt:
            raise errors.StoppedError("the same command goes on where this one was", signal.SIGINT) from None
    print(f"answered: {len(names) - bad} of {len(names)} files, in {options.output_dir}")
    return cli.EXIT_ERROR if bad else 0


def _answer(
    model: artifact.Artifact, source: FileTree, target: FileTree, names: Sequence[str], before: int, options: Any
) -> int:
    """Writes the answers of files, and returns how many have none."""
    from tqdm import tqdm

    from tfod_transfer.serving.server.model import ServedModel

    served = ServedModel(model.saved_model)
    accept, labels = inference.parse_accept(options.accept), model.info.label_values
    bad = 0
    interval = 0.1 if sys.stderr.isatty() else 30.0
    with tqdm(total=before + len(names), initial=before, unit=" images", mininterval=interval, file=sys.stderr) as bar:
        for batch in _batches(names, options.batch_size):
            for name, row in zip(batch, served([source.read(name) for name in batch]), strict=True):
                try:
                    answer = inference.answer_of(model.info.algorithm, row, accept, labels)
                except inference.BadImageError as error:
                    bar.clear()
                    print(f"error: {name}: {error}", file=sys.stderr)
                    bad += 1
                    continue
                target.write(name + SUFFIX, json.dumps(answer, ensure_ascii=False).encode())
            bar.update(len(batch))
    return bad


def _keep_record(target: FileTree, names: Iterable[str], model: artifact.Artifact, options: Any) -> None:
    """Writes beside the answers what they are of, and makes sure that those which are there are of the same."""
    files = sorted(pathlib.Path(model.saved_model).rglob("*"))
    digests = [authenticity.file_sha256(path) for path in files if path.name.startswith(("saved_model.", "variables."))]
    record = {"model": " ".join(digests), "model_id": model.info.model_id, "accept": options.accept}
    if RECORD not in names:
        if any(name.endswith(SUFFIX) for name in names):
            raise errors.UsageError(
                f"{options.output_dir} has answers, and no {RECORD} that says of which model; choose another folder."
            )
        target.write(RECORD, json.dumps(record, indent=1).encode())
        return
    try:
        found = json.loads(target.read(RECORD))
    except ValueError:
        found = {}
    differing = [key for key, value in record.items() if found.get(key) != value]
    if differing:
        raise errors.UsageError(
            f"{options.output_dir} has the answers of another run (another {differing[0]}); choose another folder."
        )


def _batches(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.transform", description=__doc__)
    add = parser.add_argument
    add("artifact", metavar="MODEL", help="the --model_dir of a finished fit")
    add("images", metavar="IMAGES", help="folder, file, or address of a folder")
    add("--output_dir", required=True, metavar="DIR", help="folder or address that the answers go to")
    add(
        "--accept",
        default="application/json",
        metavar="TYPE",
        help="what is asked, as in an endpoint's header: 'application/json;verbose;n_predictions=5' "
        "[default: %(default)s]",
    )
    add("--batch_size", type=cli.whole_number(1), default=8, metavar="N", help="images at once [default: %(default)s]")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
