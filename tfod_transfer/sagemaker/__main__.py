"""Makes the source_dir archive for a SageMaker Estimator: `python -m tfod_transfer.sagemaker bundle OUT.tar.gz`.

Upload it and give its S3 address as the Estimator's source_dir, with entry_point="transfer_learning.py".
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

from tfod_transfer import cli, errors


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the command line, writes the archive and prints what is in it.

    Raises:
      UsageError: the archive's name, or pip could not get the wheels.
      RegistryError: the model cannot be trained.
    """
    arguments = _parser().parse_args(argv)

    from tfod_transfer.registry import load_registry
    from tfod_transfer.sagemaker import bundle
    from tfod_transfer.sagemaker.model_choice import DEFAULT_MODEL_ID

    registry = load_registry()
    if arguments.model_id:
        registry.get(arguments.model_id)
    sizes = bundle.write_bundle(arguments.out, arguments.model_id, arguments.with_wheels)
    wheels = [name for name in sizes if name.startswith("wheels/")]
    print(f"{arguments.out}: {_megabytes(arguments.out.stat().st_size)}, {len(sizes)} files")
    if wheels:
        print(f"of these {_megabytes(sum(sizes[name] for name in wheels))} in {len(wheels)} wheels")
    model_id = arguments.model_id or DEFAULT_MODEL_ID
    print(f"model of jobs that name none and have no model channel: {model_id}")
    try:
        registry.get(model_id)
    except errors.RegistryError as error:
        print(f"note: {error} Such jobs will fail; choose their model with --model_id.")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.sagemaker", description=__doc__)
    add = parser.add_argument
    add("command", choices=["bundle"], help="what to make")
    add(
        "out", type=pathlib.Path, metavar="OUT.tar.gz", help="where to write the archive; one that is there is replaced"
    )
    add("--model_id", metavar="ID", help="model of jobs that neither name one nor have a model channel")
    add("--with_wheels", action="store_true", help="take along what a job in network isolation has to install")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
