"""What all commands share."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from tfod_transfer import cli, errors

COMMANDS = ("fit", "evaluate", "predict", "inspect", "models", "export", "serve", "transform")


def test_flags_take_dashes_or_underscores() -> None:
    parser = cli.ArgumentParser(prog="x")
    parser.add_argument("--model_dir")
    assert parser.parse_args(["--model-dir", "a-b"]).model_dir == "a-b"
    assert parser.parse_args(["--model_dir=c_d"]).model_dir == "c_d"


def test_an_unknown_flag_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    parser = cli.ArgumentParser(prog="x")
    parser.add_argument("--learning_rate")
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["--learning-rat", "1"])
    assert stop.value.code == 2
    assert "unknown argument '--learning_rat'. Did you mean '--learning_rate'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (errors.DataError("no boxes"), 2, "error: no boxes\n"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 2, "error: /x/y: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "error: /x: no permission"),
        (OSError(errno.EIO, "Input/output error"), 2, "error: Input/output error"),
    ],
)
def test_errors_become_one_line_and_a_status(
    raised: BaseException, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(argv: object) -> None:
        raise raised

    assert cli.run(command) == status
    printed = capsys.readouterr().err
    assert printed.startswith(message)
    assert printed.count("\n") == 1


def test_a_defect_keeps_its_traceback() -> None:
    def command(argv: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.run(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_wrong_flags_do_not_wait_for_tensorflow(command: str) -> None:
    code = (
        f"import sys; from tfod_transfer import {command} as command\n"
        "for argv in (['--help'], ['--no_such_flag']):\n"
        "    try: command.main(argv)\n"
        "    except SystemExit as stop: print('status', stop.code)\n"
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-3:] == ["status 0", "status 2", "False"] or (
        "status 0" in done.stdout and done.stdout.splitlines()[-2:] == ["status 2", "False"]
    )
    assert "usage:" in done.stdout


def test_commands_do_not_import_a_second_keras() -> None:
    code = (
        "import sys; from tfod_transfer import cli\n"
        "def command(argv):\n"
        "    import tfod_transfer.training.trainer\n"
        "    print('tf_keras' in sys.modules, 'keras' in sys.modules)\n"
        "cli.run(command)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
