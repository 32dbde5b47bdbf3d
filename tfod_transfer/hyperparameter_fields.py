"""Tables of hyperparameters: what a row holds, how values are read from text and described, flags, documents."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tfod_transfer import errors


def hyperparameter(
    default: Any,
    help_text: str,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    below: float = math.inf,
    above: float = -math.inf,
    choices: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    documented: bool = False,
    decides: bool = True,
) -> Any:
    """Returns the dataclass field of one hyperparameter.

    Args:
      default: its value when neither the user nor the model's recipe gives one; None where it may be absent.
      help_text: of its flag and of its row in the README.
      minimum: smallest number that is allowed.
      maximum: largest number that is allowed.
      below: smallest number that is too large, where the largest that is allowed has no name.
      above: largest number that is too small, where the smallest that is allowed has no name.
      choices: of a text, compared without regard to case.
      aliases: further names.
      documented: SageMaker documents it for Object Detection - TensorFlow.
      decides: it changes what training gives of the same images; a run that goes on must not change it.
    """
    metadata = {
        "help": help_text,
        "minimum": minimum,
        "maximum": maximum,
        "below": below,
        "above": above,
        "choices": choices,
        "aliases": aliases,
        "documented": documented,
        "decides": decides,
    }
    return dataclasses.field(default=default, metadata=metadata)


class Table:
    """The hyperparameters of a dataclass whose fields `hyperparameter` made.

    Attributes:
      fields: by name.
      aliases: further name -> name.
    """

    def __init__(self, rows: type) -> None:
        """Args: the dataclass."""
        self.fields = {field.name: field for field in dataclasses.fields(rows)}
        self.aliases = {alias: name for name, field in self.fields.items() for alias in field.metadata["aliases"]}

    @property
    def known_names(self) -> tuple[str, ...]:
        """Names and aliases."""
        return (*self.fields, *self.aliases)

    def parsed(self, values: Mapping[str, Any], on_unknown: Callable[[str], None] | None = None) -> dict[str, Any]:
        """Returns typed values by name, without those that are None.

        Args:
          values: by name or alias; text or typed.
          on_unknown: called with a sentence for each unknown name, which is an error without it.

        Raises:
          UsageError: an unknown name, or a value of the wrong type or out of range.
        """
        found: dict[str, Any] = {}
        for given_name, value in values.items():
            name = self.aliases.get(given_name, given_name)
            if value is None:
                continue
            if name not in self.fields:
                hint = errors.did_you_mean(given_name, self.known_names)
                message = f"unknown hyperparameter {given_name!r}.{hint}"
                if on_unknown is None:
                    raise errors.UsageError(message)
                on_unknown(message)
            elif name in found and found[name] != parse(self.fields[name], value):
                raise errors.UsageError(f"{name} is given twice, once as {given_name}, with different values.")
            else:
                found[name] = parse(self.fields[name], value)
        return found

    def add_flags(self, group: argparse._ArgumentGroup, names: Iterable[str]) -> None:
        """Adds the flags of these hyperparameters; one that is not given stays None."""
        for name in names:
            field = self.fields[name]
            flags = [f"--{name}", *(f"--{alias}" for alias in field.metadata["aliases"])]
            default = "" if field.default in (None, "") else f" [default: {field.default}]"
            description = (field.metadata["help"] + default).replace("%", "%%")
            group.add_argument(*flags, dest=name, metavar="VALUE", help=description)

    def markdown(self) -> str:
        """The table for a document."""
        rows = ["| name | meaning | values | default |", "|---|---|---|---|"]
        for name, field in self.fields.items():
            names = " / ".join(f"`{each}`" for each in (name, *field.metadata["aliases"]))
            default = "" if field.default in (None, "") else f"`{field.default}`"
            rows.append(f"| {names} | {field.metadata['help']} | {expected(field)} | {default} |")
        return "\n".join(rows)


def parse(field: dataclasses.Field[Any], value: Any) -> Any:
    """Returns `value` (text or typed) as the type of `field`.

    Raises:
      UsageError: it is not of that type, or out of range.
    """
    kind, metadata = _kind(field), field.metadata
    try:
        result = _PARSERS[kind](value)
    except (TypeError, ValueError, OverflowError):
        raise errors.UsageError(f"{field.name} must be {expected(field)}; got {value!r}.") from None
    choices = metadata["choices"]
    if choices:
        matches = [choice for choice in choices if choice.lower() == str(result).lower()]
        if not matches:
            hint = errors.did_you_mean(str(result), choices)
            raise errors.UsageError(f"{field.name} must be {expected(field)}; got {value!r}.{hint}")
        return matches[0]
    if kind in ("int", "float") and not (
        metadata["minimum"] <= result <= metadata["maximum"] and metadata["above"] < result < metadata["below"]
    ):
        raise errors.UsageError(f"{field.name} must be {expected(field)}; got {value!r}.")
    return result


def expected(field: dataclasses.Field[Any]) -> str:
    """What values `field` takes, in words."""
    metadata, kind = field.metadata, _kind(field)
    if metadata["choices"]:
        return "one of " + ", ".join(metadata["choices"])
    if kind == "bool":
        return "True or False"
    if kind == "str":
        return "text"
    noun = "a whole number" if kind == "int" else "a number"
    low, high = metadata["minimum"], metadata["maximum"]
    if metadata["above"] != -math.inf:
        ends = f"to {high:g}" if high != math.inf else f"and below {metadata['below']:g}"
        return f"{noun} above {metadata['above']:g} {ends}"
    if metadata["below"] != math.inf:
        return f"{noun} from {low:g} to below {metadata['below']:g}"
    if high != math.inf:
        return f"{noun} from {low:g} to {high:.12g}"
    return f"{noun} of at least {low:g}"


def _kind(field: dataclasses.Field[Any]) -> str:
    kind = str(field.type).removesuffix(" | None")
    return "str" if kind.startswith("Literal") else kind


def _parse_bool(value: Any) -> bool:
    text = str(value).strip().lower()
    if text in ("true", "1", "1.0"):
        return True
    if text in ("false", "0", "0.0"):
        return False
    raise ValueError(value)


def _parse_int(value: Any) -> int:
    number = float(value)
    if isinstance(value, bool) or number != int(number):
        raise ValueError(value)
    return int(number)


def _parse_float(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    return float(value)


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "int": _parse_int,
    "float": _parse_float,
    "bool": _parse_bool,
    "str": str,
}
