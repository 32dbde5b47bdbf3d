"""Lists the models, or shows one.

python -m tfod_transfer.models [list]               a table: input side in pixels, parameters, published COCO mAP,
                                                    whether it can be trained and where its weights would come from
python -m tfod_transfer.models show MODEL_ID        one model whole
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

import yaml

from tfod_transfer import cli, execution, hyperparameters, plans, registry, saved_models, ssd_hyperparameters, weights


def main(argv: Sequence[str] | None = None) -> int | None:
    """Prints a table of all models, or one registry entry."""
    parser = _parser()
    options = parser.parse_args(argv)
    if (options.command == "show") != (options.model_id is not None) or (options.defaults and not options.model_id):
        parser.error("expected `show MODEL_ID`, with or without --defaults; or `list` without both")
    models = registry.load_registry()
    if options.command == "list":
        everything = [*models, *models.saved_models.values()]
        print(_json([described(spec) for spec in everything]) if options.json else table(models))
        return None
    spec = models.saved_models.get(options.model_id) or models.get(options.model_id)
    if options.defaults:
        print(_json(_defaults(models.get(options.model_id))))
    else:
        print(_json(described(spec)) if options.json else _yaml(described(spec)))
    return None


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m tfod_transfer.models", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("list", "show"), default="list", help="list is the default")
    parser.add_argument("model_id", nargs="?", metavar="MODEL_ID")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--defaults",
        action="store_true",
        help="of the model, print the default hyperparameters alone, as the JSON dictionary of strings that "
        "SageMaker's hyperparameters.retrieve_default returns",
    )
    return parser


def _defaults(spec: registry.ModelSpec) -> dict[str, str]:
    if spec.algorithm == plans.SSD:
        return ssd_hyperparameters.documented_defaults(spec.model_id)
    return hyperparameters.documented_defaults(spec.defaults)


def table(models: registry.Registry) -> str:
    """The models as lines of text."""
    rows = [("model_id", "input", "params", "mAP", "status")]
    rows += [
        (
            spec.model_id,
            str(spec.input_size),
            f"{spec.parameters / 1e6:.1f}M",
            "-" if spec.coco_map is None else f"{spec.coco_map:.1f}",
            f"ready, {weights.locality(spec.checkpoint)}",
        )
        for spec in models
    ]
    rows += [
        (spec.model_id, "-", "-", f"{spec.coco_map:.1f}", "inference only") for spec in models.saved_models.values()
    ]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{row[0]:<{width}}  {row[1]:>5}  {row[2]:>6}  {row[3]:>4}  {row[4]}" for row in rows)


def described(spec: registry.ModelSpec | registry.SavedModelSpec) -> dict[str, Any]:
    """An entry as JSON-like data, with what follows from it."""
    if isinstance(spec, registry.SavedModelSpec):
        return {**dataclasses.asdict(spec), "trainable": False, "weights": saved_models.locality(spec)}
    processor = execution.processor_of_this_machine()
    return {
        **dataclasses.asdict(spec),
        "trainable": True,
        "weights": weights.locality(spec.checkpoint),
        "execution": {"processor": processor.name, **dataclasses.asdict(execution.choose(spec, processor))},
    }


def _json(document: Any) -> str:
    return json.dumps(document, indent=2)


class _Dumper(yaml.SafeDumper):
    """Writes sequences in one line where they fit."""


_Dumper.add_representer(
    tuple, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)


def _yaml(document: Any) -> str:
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=98)).rstrip()


if __name__ == "__main__":
    sys.exit(cli.run(main))
