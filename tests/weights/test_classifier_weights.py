"""Weights of image classifiers: given, in the cache, downloaded; known by their MD5."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib

import pytest
from fake_zoo import Server, entries, resolve

from tfod_transfer import errors, registry

NAME = "thin_weights_notop.h5"
CONTENT = b"weights of an image classifier"


def spec_for(url: str) -> registry.ModelSpec:
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    source = registry.CheckpointSource(url=f"{url}/{NAME}", md5=md5)
    return dataclasses.replace(registry.load_registry().get("object-detection-ssd-vgg-16"), checkpoint=source)


def test_a_download_is_kept_for_the_next_time(server: Server, tmp_path: pathlib.Path) -> None:
    server.body = CONTENT
    spec = spec_for(server.url)
    first = resolve(spec, tmp_path / "cache")
    assert pathlib.Path(first.prefix).read_bytes() == CONTENT
    assert (first.origin, first.of_backbone) == (f"pretrained weights downloaded from {spec.checkpoint.url}", True)
    assert (first.class_names, first.finetuned) == ((), False)
    assert resolve(spec, tmp_path / "cache").origin == f"pretrained weights from the cache {tmp_path / 'cache' / NAME}"
    assert len(server.requests) == 1
    assert entries(tmp_path / "cache") == [NAME]


def test_a_file_that_someone_put_into_the_cache_will_do(tmp_path: pathlib.Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)
    assert resolve(spec_for("http://localhost:1"), tmp_path).prefix == str(tmp_path / NAME)


def test_a_given_file_is_taken_as_it_is(tmp_path: pathlib.Path) -> None:
    (tmp_path / "own.hdf5").write_bytes(b"other weights")
    found = resolve(spec_for("http://localhost:1"), tmp_path / "cache", str(tmp_path / "own.hdf5"))
    assert (found.prefix, found.of_backbone) == (str(tmp_path / "own.hdf5"), True)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        pytest.param(b"no such file", 404, "HTTP Error 404", id="not found"),
        pytest.param(CONTENT[:-1], 200, "expected the MD5", id="cut short"),
    ],
)
def test_what_does_not_come_whole_is_not_kept(
    body: bytes, status: int, message: str, server: Server, tmp_path: pathlib.Path
) -> None:
    server.body, server.status = body, status
    with pytest.raises(errors.WeightsError) as caught:
        resolve(spec_for(server.url), tmp_path / "cache")
    assert message in str(caught.value)
    assert f"put {NAME} into {tmp_path / 'cache'}" in str(caught.value)
    assert entries(tmp_path / "cache") == []


def test_a_damaged_file_in_the_cache_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / NAME).write_bytes(b"something else")
    with pytest.raises(errors.WeightsError, match=r"delete it to download it again.* expected the MD5"):
        resolve(spec_for("http://localhost:1"), tmp_path)
