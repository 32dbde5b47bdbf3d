"""Which files the arguments of a command mean, here and elsewhere."""

from __future__ import annotations

import os
import pathlib

import pytest

from tfod_transfer import errors, image_arguments, remote_files

FILES = ("b.jpg", "a.png", "c[1].jpg", "inner/d.jpg", "inner/deep/e.jpg", "inner/deep/notes.txt", "empty/.keep")


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "empty" / ".keep").unlink()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        pytest.param(["b.jpg"], ["b.jpg"], id="file"),
        pytest.param(["c[1].jpg"], ["c[1].jpg"], id="file whose name looks like a pattern"),
        pytest.param(["absent.jpg"], ["absent.jpg"], id="no file: told when it is opened"),
        pytest.param(["."], ["a.png", "b.jpg", "c[1].jpg"], id="folder"),
        pytest.param(["*.jpg", "a.png"], ["b.jpg", "c[1].jpg", "a.png"], id="pattern"),
        pytest.param(["inner/*"], ["inner/d.jpg"], id="pattern that a folder matches, too"),
        pytest.param(
            ["**/*.jpg"], ["b.jpg", "c[1].jpg", "inner/d.jpg", "inner/deep/e.jpg"], id="pattern through folders"
        ),
    ],
)
def test_arguments(folder: pathlib.Path, arguments: list[str], names: list[str]) -> None:
    found = image_arguments.find(arguments, folder)
    assert found == [image_arguments.GivenImage(os.path.normpath(name), os.path.normpath(name)) for name in names]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        pytest.param("*.gif", r"^no file matches the pattern '\*\.gif'\.$", id="pattern"),
        pytest.param("empty", r"^the folder 'empty' holds no images\.$", id="folder"),
        pytest.param("s4://bucket/x", r"TensorFlow knows no file system s4:// here, only .*file", id="file system"),
    ],
)
def test_nothing_there_is_said(folder: pathlib.Path, argument: str, message: str) -> None:
    with pytest.raises(errors.DataError, match=message):
        image_arguments.find([argument], folder)


def test_addresses_are_copied(folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    found = image_arguments.find(["b.jpg", f"file://{folder}/inner/deep"], scratch)
    base = f"file://{folder}/inner/deep"
    assert [image.name for image in found] == ["b.jpg", f"{base}/e.jpg", f"{base}/notes.txt"]
    assert [pathlib.Path(image.path).read_text() for image in found[1:]] == list(FILES[4:6])
    assert all(pathlib.Path(image.path).is_relative_to(scratch) for image in found[1:])


class Bucket:
    """What TensorFlow's file system says of objects that only look like files in folders."""

    KEYS = ("s3://b/photos/1.jpg", "s3://b/photos/2.jpg", "s3://b/photos/more/3.jpg")

    def isdir(self, address: str) -> bool:
        return any(key.startswith(address.rstrip("/") + "/") for key in self.KEYS)

    def listdir(self, address: str) -> list[str]:
        base = address.rstrip("/") + "/"
        rest = [key.removeprefix(base) for key in self.KEYS if key.startswith(base)]
        return list({name.partition("/")[0] + ("/" if "/" in name else "") for name in rest})

    def glob(self, pattern: str) -> list[str]:
        known = {*self.KEYS, "s3://b/photos", "s3://b/photos/more"}
        return [key for key in known if key == pattern or (pattern[-1] == "*" and key.startswith(pattern[:-1]))]


@pytest.mark.parametrize(
    ("address", "keys"),
    [
        pytest.param("s3://b/photos", Bucket.KEYS[:2], id="folder"),
        pytest.param("s3://b/photos/", Bucket.KEYS[:2], id="folder with a slash"),
        pytest.param("s3://b/photos/2.jpg", Bucket.KEYS[1:2], id="file"),
        pytest.param("s3://b/photos/more/*", Bucket.KEYS[2:], id="pattern"),
        pytest.param("s3://b/photos/1", Bucket.KEYS[:1], id="beginning of names"),
        pytest.param("s3://b/other", (), id="nothing"),
    ],
)
def test_which_objects_an_address_means(address: str, keys: tuple[str, ...]) -> None:
    assert remote_files._matching(Bucket(), address) == list(keys)
