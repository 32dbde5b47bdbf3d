"""Artifacts: whole or not there, never in the way, labels as SageMaker's clients expect."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from tfod_transfer import artifact, errors

INFO = artifact.ModelInfo("some-model", 320, True, ("cat", None, "dog"), (3, 7, "d"))


def _write(folder: pathlib.Path) -> None:
    (folder / "1").mkdir()
    (folder / "1" / "saved_model.pb").write_bytes(b"x")
    artifact.write_info(folder, INFO)


def test_what_is_written_is_read_back(tmp_path: pathlib.Path) -> None:
    with artifact.writing(tmp_path / "new" / "model", overwrite=False) as folder:
        _write(folder)
    loaded = artifact.load(tmp_path / "new" / "model")
    assert loaded.info == INFO
    assert loaded.saved_model == str(tmp_path / "new" / "model" / "1")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o002, 0o775), (0o077, 0o700)], ids=oct)
def test_its_folder_is_for_whom_the_umask_says(umask: int, mode: int, tmp_path: pathlib.Path) -> None:
    before = os.umask(umask)
    try:
        with artifact.writing(tmp_path / "model", overwrite=False) as folder:
            _write(folder)
    finally:
        os.umask(before)
    assert [oct((tmp_path / name).stat().st_mode & 0o777) for name in ("model", "model/1")] == [oct(mode)] * 2


def test_labels_are_one_based_with_holes(tmp_path: pathlib.Path) -> None:
    artifact.write_info(tmp_path, INFO)
    assert json.loads((tmp_path / "labels_info.json").read_text()) == {"labels": ["N/A", "cat", "N/A", "dog"]}


def test_classes_without_a_name_keep_their_ids_type(tmp_path: pathlib.Path) -> None:
    info = artifact.ModelInfo("some-model", 320, True, ("1", "x", "dog"), (1, "x", 9))
    artifact.write_info(tmp_path, info)
    assert json.loads((tmp_path / "labels_info.json").read_text()) == {"labels": ["N/A", 1, "x", "dog"]}
    assert info.labels == ["N/A", "1", "x", "dog"]


def test_a_failed_export_leaves_nothing(tmp_path: pathlib.Path) -> None:
    def export() -> None:
        with artifact.writing(tmp_path / "model", overwrite=False) as folder:
            _write(folder)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        export()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(errors.ArtifactError, match=r"is not empty; choose another --model_dir or add --overwrite"):
        artifact.check_target(tmp_path, overwrite=False)


def test_overwrite_replaces_only_once_the_new_one_is_whole(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with artifact.writing(target, overwrite=True) as folder:
        _write(folder)
        assert (target / "old.txt").exists()
    assert not (target / "old.txt").exists()
    assert artifact.load(target).info == INFO
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_file_in_the_place_of_the_folder(tmp_path: pathlib.Path) -> None:
    (tmp_path / "model").write_text("")
    with pytest.raises(errors.ArtifactError, match="is a file"):
        artifact.check_target(tmp_path / "model", overwrite=True)


def test_a_mounted_folder_is_filled(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old.txt").write_text("old")
    inode = target.stat().st_ino
    monkeypatch.setattr(pathlib.Path, "is_mount", lambda path: path == target)
    with artifact.writing(target, overwrite=True) as folder:
        _write(folder)
    assert target.stat().st_ino == inode
    assert not (target / "old.txt").exists()
    assert artifact.load(target).info == INFO


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "__model_info__.json").unlink(),
            "is not a whole artifact: __model_info__.json missing",
        ),
        (lambda folder: (folder / "1" / "saved_model.pb").unlink(), "1/saved_model.pb missing"),
        (lambda folder: (folder / "__model_info__.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "__model_info__.json").write_text("{}"), "is damaged"),
    ],
)
def test_a_damaged_artifact_is_named(tmp_path: pathlib.Path, damage: object, message: str) -> None:
    _write(tmp_path)
    damage(tmp_path)  # type: ignore[operator]
    with pytest.raises(errors.ArtifactError) as error:
        artifact.load(tmp_path)
    assert message in str(error.value)


def test_a_missing_artifact(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.ArtifactError, match="no artifact folder"):
        artifact.load(tmp_path / "nowhere")


def test_what_a_killed_process_left_is_removed(tmp_path: pathlib.Path) -> None:
    for scrap in (".model.partial-abc", ".model.replaced-1"):
        (tmp_path / scrap).mkdir()
        (tmp_path / scrap / "file").write_text("half")
    (tmp_path / ".other.partial-abc").mkdir()
    with artifact.writing(tmp_path / "model", overwrite=False) as folder:
        (folder / "file").write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"model", ".other.partial-abc"}
