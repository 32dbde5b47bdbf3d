"""Checkpoints that are given: as a path, by the model channel, with the package."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable

import pytest
from fake_zoo import FPNLITE_320, NAME, Server, packed, resolve, spec_for

from tfod_transfer import errors, model_cache, registry, weights


# how a person may give a checkpoint: (made from the unpacked archive, expected prefix below it or None)
def as_archive(zoo: pathlib.Path, tmp: pathlib.Path) -> pathlib.Path:
    (tmp / "mine.tgz").write_bytes(packed(zoo))
    return tmp / "mine.tgz"


GIVEN: dict[str, Callable[[pathlib.Path, pathlib.Path], pathlib.Path]] = {
    "zoo folder": lambda zoo, tmp: zoo,
    "checkpoint folder": lambda zoo, tmp: zoo / "checkpoint",
    "folder around": lambda zoo, tmp: zoo.parent,
    "prefix": lambda zoo, tmp: zoo / "checkpoint" / "ckpt-0",
    "index file": lambda zoo, tmp: zoo / "checkpoint" / "ckpt-0.index",
    "archive": as_archive,
}


@pytest.fixture
def alone(zoo: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """The unpacked archive in a folder of its own."""
    return shutil.copytree(zoo, tmp_path / "alone" / NAME)


@pytest.mark.parametrize("case", GIVEN)
def test_a_checkpoint_can_be_given(case: str, alone: pathlib.Path, server: Server, tmp_path: pathlib.Path) -> None:
    path = GIVEN[case](alone, tmp_path)
    found = resolve(spec_for(alone, server.url), tmp_path / "cache", str(path))
    assert pathlib.Path(f"{found.prefix}.index").read_bytes() == (alone / "checkpoint/ckpt-0.index").read_bytes()
    assert found.origin == f"pretrained weights given as --pretrained {path}"
    assert (case == "archive") == found.prefix.startswith(str(tmp_path / "cache"))
    assert server.requests == []


def test_an_archive_is_unpacked_again_only_when_it_changes(alone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    spec, archive = spec_for(alone, "http://x"), as_archive(alone, tmp_path)
    first = resolve(spec, tmp_path / "cache", str(archive)).prefix
    inode = os.stat(f"{first}.index").st_ino
    assert resolve(spec, tmp_path / "cache", str(archive)).prefix == first
    assert os.stat(f"{first}.index").st_ino == inode
    os.utime(archive, (1, 1))
    assert resolve(spec, tmp_path / "cache", str(archive)).prefix != first


# a path that holds no checkpoint: words of the error
WRONG_PATHS = {
    "nowhere": "does not exist; expected a folder, a .tar.gz, an .h5 or a checkpoint",
    "photo.jpg": "neither a folder nor an archive",
    "empty": "no checkpoint in",
    "broken.tar.gz": "expected a whole .tar.gz archive",
}


@pytest.mark.parametrize("name", WRONG_PATHS)
def test_a_wrong_path_is_explained(name: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "broken.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(errors.WeightsError) as caught:
        resolve(registry.load_registry().get(FPNLITE_320), tmp_path / "cache", str(tmp_path / name))
    assert WRONG_PATHS[name] in str(caught.value)


@pytest.mark.parametrize("unpacked", [True, False])
def test_the_model_channel(unpacked: bool, alone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    channel = tmp_path / "channel"
    channel.mkdir()
    (channel / "model.tar.gz").write_bytes(packed(alone, "."))
    if unpacked:
        shutil.copytree(alone, channel / "model")
    spec = spec_for(alone, "http://x")
    environ = {"SM_CHANNEL_MODEL": str(channel), "TFOD_TRANSFER_CACHE": str(tmp_path / "cache")}
    found = weights.resolve_pretrained(spec, environ=environ)
    assert found.origin == f"pretrained weights from the model channel {channel}"
    assert found.prefix.startswith(str(channel if unpacked else tmp_path / "cache"))
    given = weights.resolve_pretrained(spec, str(alone), environ=environ)
    assert given.prefix == str(alone / "checkpoint" / "ckpt-0")


def test_an_empty_model_channel_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.WeightsError, match=f"no checkpoint in {tmp_path}"):
        weights.resolve_pretrained(
            registry.load_registry().get(FPNLITE_320), environ={"SM_CHANNEL_MODEL": str(tmp_path)}
        )


def test_an_embedded_checkpoint(alone: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE_FOLDER", alone)
    spec = spec_for(alone, "http://x")
    spec = dataclasses.replace(spec, checkpoint=registry.CheckpointSource(path="checkpoint"))
    found = resolve(spec, tmp_path / "cache")
    assert found.prefix == str(alone / "checkpoint" / "ckpt-0")
    assert found.origin == "pretrained weights embedded in the package"
    assert not (tmp_path / "cache").exists()


def test_labels_that_lie_with_the_checkpoint_name_its_classes(alone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    spec = spec_for(alone, "http://x")
    (alone / "labels.txt").write_text("cat\ndog\n")
    assert resolve(spec, tmp_path, str(alone)).class_names == ("cat", "dog")
    (alone / "labels_info.json").write_text('{"labels": ["N/A", "cat", "owl"]}')
    artifact = resolve(spec, tmp_path, str(alone))
    assert (artifact.class_names, artifact.finetuned) == (("cat", "owl"), True)
    (tmp_path / "mine.txt").write_text("eagle\n")
    named = weights.resolve_pretrained(
        spec, str(alone), pretrained_labels=str(tmp_path / "mine.txt"), environ={}, cache_dir=tmp_path
    )
    assert named.class_names == ("eagle",)


# environment: the cache's folder
CACHES = {
    "own": ({"TFOD_TRANSFER_CACHE": "/a", "TFHUB_CACHE_DIR": "/b"}, pathlib.Path("/a")),
    "of hub": ({"TFHUB_CACHE_DIR": "/b"}, pathlib.Path("/b")),
    "default": ({}, pathlib.Path.home() / ".cache" / "tfod_transfer"),
    "home": ({"TFOD_TRANSFER_CACHE": "~/x"}, pathlib.Path.home() / "x"),
}


@pytest.mark.parametrize("case", CACHES)
def test_the_place_of_the_cache(case: str) -> None:
    environ, expected = CACHES[case]
    assert model_cache.cache_folder(environ) == expected


def test_the_real_checkpoint_of_hands(shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path) -> None:
    folder = shared("checkpoints/ssd_mobilenet_v2_fpnlite_320x320_hands")
    found = resolve(registry.load_registry().get(FPNLITE_320), tmp_path, str(folder))
    assert found.class_names == ("open", "closed", "pinch", "point", "face", "pointtip", "pinchtip")
    assert (found.folder, found.finetuned) == (str(folder / "checkpoint"), False)


def test_a_checkpoint_without_its_data_is_named(shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path) -> None:
    folder = shared("zoo/index/ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8")
    with pytest.raises(errors.WeightsError, match="0 of its 1 data files"):
        resolve(registry.load_registry().get(FPNLITE_320), tmp_path, str(folder))
