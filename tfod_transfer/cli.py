"""What every command shares: flags with - or _, the nearest known flag, one-line errors, exit statuses."""

from __future__ import annotations

import argparse
import errno
import logging
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from tfod_transfer import errors

if TYPE_CHECKING:
    import tensorflow as tf

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

_NODE_NAMES = re.compile(r"\{\{.*?\}\} | \[Op:.*", re.DOTALL)  # what TensorFlow puts around a message


class ArgumentParser(argparse.ArgumentParser):
    """An ArgumentParser whose flags accept `-` or `_` and whose errors name the nearest known flag."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        args = [_underscored(arg) for arg in (sys.argv[1:] if args is None else args)]
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        namespace, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flag = next((arg for arg in unknown if arg.startswith("-")), unknown[0])
            self.error(f"unknown argument {flag!r}.{errors.did_you_mean(flag.split('=')[0], self.flags())}")
        return namespace

    def flags(self) -> list[str]:
        """Every long flag that this parser knows."""
        return [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: error: {message}", file=sys.stderr)
        raise SystemExit(EXIT_ERROR)


def _underscored(arg: str) -> str:
    """--max-boxes=3 -> --max_boxes=3; values and single dashes stay."""
    if not arg.startswith("--") or arg == "--":
        return arg
    flag, equals, value = arg.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value


def whole_number(least: int) -> Callable[[str], int]:
    """An argument's type: whole numbers from `least` on."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}; found {text!r}")
        return int(text)

    return read


def positive_number(text: str) -> float:
    """An argument's type: finite numbers above 0."""
    value = number_from_zero(text)
    if not value:
        raise argparse.ArgumentTypeError(f"expected a number above 0; found {text!r}")
    return value


def number_from_zero(text: str) -> float:
    """An argument's type: finite numbers of at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0; found {text!r}")
    return value


def run(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> int:
    """Runs a command: returns its exit status, prints what went wrong as one line.

    Returns 0 when `main` returns None. Errors of this package and of the file system give 2, Ctrl-C gives 130; any
    other exception is a defect and keeps its traceback.
    """
    quiet_tensorflow()
    # Else TensorFlow imports Keras 3 beside tf_keras: a third of a command's start, 100 MB.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    try:
        return main(argv) or 0
    except errors.StoppedError as stopped:
        print(f"interrupted: {stopped}", file=sys.stderr)
        return stopped.status
    except errors.TransferError as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted: stopped on request; nothing was exported", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"error: {describe_os_error(error)}", file=sys.stderr)
    return EXIT_ERROR


def describe_os_error(error: OSError) -> str:
    """One sentence for a failed file operation, with what to do where that is known."""
    what = f"{error.filename}: " if error.filename else ""
    advice = {
        errno.ENOSPC: "the disk is full; free some space or choose another folder",
        errno.EACCES: "no permission; choose another folder or change its permissions",
        errno.EROFS: "the file system is read-only; choose another folder",
    }.get(error.errno or 0)
    return what + (advice or error.strerror or str(error))


def describe_tf_error(error: tf.errors.OpError) -> str:
    """The first line of TensorFlow's message without the names of its nodes."""
    return _NODE_NAMES.sub("", error.message).split("\n")[0].rstrip(". ")


def quiet_tensorflow() -> None:
    """Keeps TensorFlow's start-up chatter off the terminal; to be called before TensorFlow is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    for noisy in ("google", "tensorflow_hub", "official", "tensorflow_models"):
        warnings.filterwarnings("ignore", module=noisy)
