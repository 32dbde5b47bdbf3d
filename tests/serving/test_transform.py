"""A folder of images answered like a batch transform, stopped and gone on with."""

from __future__ import annotations

import json
import pathlib

import pytest

from tfod_transfer import cli, transform
from tfod_transfer.artifact import Artifact
from tfod_transfer.serving.server.model import ServedModel

NAMES = ("a.jpg", "inner/b.png", "inner/deep/c.jpg")


@pytest.fixture
def images(photographs: list[bytes], tmp_path: pathlib.Path) -> pathlib.Path:
    for name, contents in zip(NAMES, photographs, strict=True):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    (tmp_path / "images" / ".hidden").write_bytes(b"no image")
    return tmp_path / "images"


def run(*arguments: object) -> int:
    return cli.run(transform.main, [str(argument) for argument in arguments])


def answers(folder: pathlib.Path) -> dict[str, int]:
    """Name of each answer, and when it was written."""
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*.out")}


def test_each_file_has_its_answer_and_none_is_asked_twice(
    demo_artifact: Artifact,
    images: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[int] = []
    original = ServedModel.__call__
    monkeypatch.setattr(ServedModel, "__call__", lambda self, batch: asked.append(len(batch)) or original(self, batch))
    out = tmp_path / "out"
    command = (demo_artifact.folder, images, "--output_dir", out, "--batch_size", 2)
    command += ("--accept", "application/json;verbose;n_predictions=3")
    assert run(*command) == 0
    assert asked == [2, 1]
    written = answers(out)
    assert set(written) == {f"{name}.out" for name in NAMES}
    assert "answered: 3 of 3 files" in capsys.readouterr().out
    for name in NAMES:
        answer = json.loads((out / f"{name}.out").read_text())
        assert len(answer["scores"]) <= 3
        assert answer["labels"] == demo_artifact.info.label_values
        assert all(score > 0.3 for score in answer["scores"][:1]), name

    (out / "inner/b.png.out").unlink()
    assert run(*command) == 0
    assert asked == [2, 1, 1]
    assert "goes on:  2 of 3 files have their answer" in capsys.readouterr().out
    again = answers(out)
    assert {name for name in again if again[name] != written[name]} == {"inner/b.png.out"}
    assert run(*command) == 0
    assert asked == [2, 1, 1]


def test_a_bad_file_is_named_and_the_others_are_answered(
    demo_artifact: Artifact, images: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "notes.txt").write_text("no image")
    assert run(demo_artifact.folder, images, "--output_dir", tmp_path / "out") == cli.EXIT_ERROR
    told = capsys.readouterr()
    assert "error: notes.txt: this is no image; send a JPEG or PNG file" in told.err
    assert "answered: 3 of 4 files" in told.out
    assert len(answers(tmp_path / "out")) == 3


def test_a_file_alone(demo_artifact: Artifact, images: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert run(demo_artifact.folder, images / "inner/b.png", "--output_dir", tmp_path / "out") == 0
    assert set(answers(tmp_path / "out")) == {"b.png.out"}


def test_an_interrupted_run_says_how_to_go_on(
    demo_artifact: Artifact,
    images: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ServedModel, "__call__", interrupted)
    assert run(demo_artifact.folder, images, "--output_dir", tmp_path / "out") == cli.EXIT_INTERRUPTED
    assert "interrupted: the same command goes on where this one was" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["{images}", "--output_dir", "{images}/out"], "lies in", id="answers among the images"),
        pytest.param(["{images}", "--output_dir", "{images}"], "lies in", id="answers beside each image"),
        pytest.param(["{images}/absent", "--output_dir", "{out}"], "holds no files", id="nothing there"),
        pytest.param(["{images}", "--output_dir", "{done}"], "no transform.json", id="answers of nobody"),
        pytest.param(["{images}", "--output_dir", "{other}"], "(another model)", id="answers of another model"),
        pytest.param(["s4://b/x", "--output_dir", "{out}"], "no file system s4://", id="unknown file system"),
    ],
)
def test_what_cannot_be_done_is_said(
    demo_artifact: Artifact,
    images: pathlib.Path,
    tmp_path: pathlib.Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders = {name: tmp_path / name for name in ("images", "out", "done", "other")}
    for name in ("done", "other"):
        folders[name].mkdir()
        (folders[name] / "a.jpg.out").write_text("{}")
    (folders["other"] / transform.RECORD).write_text('{"model": "0"}')
    assert run(demo_artifact.folder, *(argument.format(**folders) for argument in arguments)) == cli.EXIT_ERROR
    assert message in capsys.readouterr().err
