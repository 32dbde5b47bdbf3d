"""The check of the Dockerfile, on good and bad ones; and the Dockerfile of this project."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
from types import ModuleType

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_dockerfile", ROOT / "scripts" / "check_dockerfile.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # for the annotations of its classes
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def context(tmp_path: pathlib.Path) -> pathlib.Path:
    for name in ("kept.txt", "other.txt", "secret.txt", "folder/inside.py", "folder/__pycache__/inside.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "empty").mkdir()
    (tmp_path / ".dockerignore").write_text(
        "# all but these\n*\n!kept.txt\n!other.txt\n!folder\n!empty\n**/__pycache__\n"
    )
    return tmp_path


def test_lines_are_joined_and_comments_left_out(check: ModuleType) -> None:
    text = "# comment\nFROM a:1\n\nRUN one \\\n  # between\n  two\nenv A=1\n"
    assert check.parse(text) == [(2, "FROM", "a:1"), (4, "RUN", "one two"), (7, "ENV", "A=1")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param("COPY kept.txt other.txt there/", None, id="files"),
        pytest.param("COPY folder there", None, id="a folder"),
        pytest.param('CMD ["serve", "now"]', None, id="a command without a shell"),
        pytest.param("FROM python", "names no version", id="no version"),
        pytest.param("FROM python:latest", "names no version", id="whichever is the latest"),
        pytest.param("ADD kept.txt .", "ADD is not one of", id="another instruction"),
        pytest.param("RUN pip install x", "leaves its cache", id="a cache"),
        pytest.param("WORKDIR there", "write an absolute folder", id="a relative folder"),
        pytest.param("CMD serve", "a shell would keep SIGTERM to itself", id="a command in a shell"),
        pytest.param("COPY kept.txt other.txt there", "must then end with a slash", id="several files to one"),
        pytest.param("COPY nothing.txt .", "nothing.txt does not exist", id="a file that is not there"),
        pytest.param("COPY empty there", "empty is empty", id="an empty folder"),
        pytest.param("COPY secret.txt .", "secret.txt is kept back by .dockerignore", id="an ignored file"),
    ],
)
def test_problems(check: ModuleType, context: pathlib.Path, line: str, problem: str | None) -> None:
    found = list(check.problems(check.parse(f"FROM a:1\n{line}\n"), context))
    assert len(found) == (problem is not None), found
    if problem:
        assert problem in found[0]
        assert found[0].startswith("line 2: ")


def test_what_is_copied_is_what_the_engine_would_send(
    check: ModuleType, context: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("root")
    lines = ["FROM a:1", "ENV A=1 B='two words'", "WORKDIR /here", "COPY kept.txt other.txt there/", "COPY folder ."]
    environment = check.build(check.parse("\n".join([*lines, "COPY kept.txt /top"])), context, root)
    assert (environment["A"], environment["B"]) == ("1", "two words")
    copied = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert copied == {
        *("here/there/kept.txt", "here/there/other.txt", "here/inside.py", "top"),
        "usr/local/bin/python",
    }


def test_a_lock_that_does_not_pin_is_refused(
    check: ModuleType, context: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (context / "kept.txt").write_text("a==1 --hash=sha256:00\nb>=1\n")
    text = "FROM a:1\nCOPY kept.txt lock\nRUN pip install --no-cache-dir -r lock\n"
    with pytest.raises(SystemExit, match="does not pin b>=1"):
        check.build(check.parse(text), context, tmp_path_factory.mktemp("root"))


def test_the_dockerfile_has_no_problems(check: ModuleType) -> None:
    instructions = check.parse((ROOT / "Dockerfile").read_text())
    assert list(check.problems(instructions, ROOT)) == []
    assert [name for _, name, _ in instructions].count("COPY") >= 4
