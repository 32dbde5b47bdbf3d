"""Serves an artifact over HTTP: `python -m tfod_transfer.serve ARTIFACT`.

POST /invocations             an image in, boxes out, as SageMaker's endpoints do
POST /v1/models/NAME:predict  TensorFlow Serving's REST form
GET  /                        a page that shows the boxes of an image
GET  /ping /metrics /v1/models/NAME /execution-parameters
SIGTERM and Ctrl-C end it after the requests that it has taken.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

from tfod_transfer import artifact, cli, errors, execution
from tfod_transfer.data.image_files import DEFAULT_MAX_PIXELS


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until a signal comes.

    Raises:
      UsageError: a value cannot be, the port is taken, or the packages of the extra `serve` are missing.
      ArtifactError: there is no whole artifact, or it cannot be loaded.
    """
    options = _parser().parse_args(argv)
    if options.port > 65535:
        raise errors.UsageError(f"--port goes up to 65535; found {options.port}.")
    model = artifact.load(options.artifact)
    for line in execution.cautions(model.info.precision, execution.processor_of_this_machine()):
        print(line, file=sys.stderr)
    try:
        from tfod_transfer.serving.server import running
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "prometheus_client"):
            raise
        raise errors.UsageError(f"serving needs {error.name}: pip install 'tfod_transfer[serve]'.") from None
    from tfod_transfer.serving.server.settings import MEGABYTE, Settings

    settings = Settings(
        model_name=options.model_name or pathlib.Path(options.artifact).resolve().name,
        max_batch_size=options.max_batch_size,
        batch_delay=options.batch_delay,
        queue_limit=options.queue_limit,
        max_body_bytes=round(options.max_body_mb * MEGABYTE),
        max_pixels=options.max_pixels,
        timeout=options.timeout,
    )
    return running.serve(model, settings, options.host, options.port)


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.serve", description=__doc__)
    add = parser.add_argument
    add("artifact", metavar="ARTIFACT", help="the --model_dir of a finished fit")
    add("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for all [default: 127.0.0.1]")
    add(
        "--port",
        type=cli.whole_number(0),
        default=8080,
        metavar="N",
        help="port to listen at; 0 for a free one [default: 8080]",
    )
    add("--model_name", metavar="NAME", help="NAME in /v1/models/NAME [default: name of the artifact's folder]")
    add(
        "--max_batch_size",
        type=cli.whole_number(1),
        default=8,
        metavar="N",
        help="most images the model gets at once [default: 8]",
    )
    add(
        "--batch_delay",
        type=cli.number_from_zero,
        default=0.005,
        metavar="S",
        help="longest wait for a batch to fill [default: 0.005]",
    )
    add(
        "--queue_limit",
        type=cli.whole_number(1),
        default=64,
        metavar="N",
        help="images that may wait; beyond, 429 [default: 64]",
    )
    add(
        "--max_body_mb",
        type=cli.positive_number,
        default=20,
        metavar="MB",
        help="largest request; beyond, 413 [default: 20]",
    )
    add(
        "--max_pixels",
        type=cli.whole_number(1),
        default=DEFAULT_MAX_PIXELS,
        metavar="N",
        help="largest image [default: 50000000]",
    )
    add(
        "--timeout",
        type=cli.positive_number,
        default=60,
        metavar="S",
        help="longest time to an answer; beyond, 504 [default: 60]",
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main))
