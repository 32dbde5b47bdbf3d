"""One row of the table of hyperparameters: what it holds, how its values are read from text and described."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from tfod_transfer import errors


def hyperparameter(
    default: Any,
    help_text: str,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    below: float = math.inf,
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
        "choices": choices,
        "aliases": aliases,
        "documented": documented,
        "decides": decides,
    }
    return dataclasses.field(default=default, metadata=metadata)


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
        metadata["minimum"] <= result <= metadata["maximum"] and (result < metadata["below"] or kind == "int")
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
