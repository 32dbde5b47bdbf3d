"""Images in parts of files: how they are addressed, and that everything that opens images finds them."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
import seven_images
from hypothesis import given
from hypothesis import strategies as st
from seven_images import SPEC, pipeline_of, taken

from tfod_transfer import errors
from tfod_transfer.data import addresses, image_files, inspection
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.images import identity

segments = st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**29)), min_size=1, max_size=3)


@given(segments=segments, name=st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_an_address_comes_apart_as_it_was_put_together(segments: list[addresses.Segment], name: str) -> None:
    address = addresses.inside("folder/train.rec", segments, name)
    assert addresses.parse(address) == ("folder/train.rec", tuple(segments), name)


@pytest.mark.parametrize(
    ("address", "path", "name"),
    [
        pytest.param("a/b.jpg", "a/b.jpg", "b.jpg", id="a file"),
        pytest.param("a/b#1.jpg", "a/b#1.jpg", "b#1.jpg", id="a file with a sharp"),
        pytest.param("a#offset=1&length=2&name=x/b.jpg", "a#offset=1&length=2&name=x/b.jpg", "b.jpg", id="a folder"),
        pytest.param("a.rec#offset=1&length=2&name=c%2Fd.jpg", "a.rec", "d.jpg", id="a part of a file"),
    ],
)
def test_what_an_address_names(address: str, path: str, name: str) -> None:
    assert addresses.parse(address).path == path
    assert addresses.name(address) == name


def test_pieces_are_put_together(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    address = addresses.inside(tmp_path / "file", [(2, 3), (7, 2)], "x")
    assert addresses.read(address) == addresses.open_image(address).read() == b"23478"
    assert (addresses.size(address), addresses.size(str(tmp_path / "file"))) == (5, 10)


@pytest.fixture
def in_files(tmp_path: pathlib.Path) -> DetectionDataset:
    return seven_images.write(tmp_path)


@pytest.fixture
def in_one_file(in_files: DetectionDataset, tmp_path: pathlib.Path) -> DetectionDataset:
    """The same images, each in two pieces of one file."""
    container, paths = b"", []
    for path in in_files.image_paths:
        contents = pathlib.Path(path).read_bytes()
        start = len(container)
        container += contents[:100] + b"between" + contents[100:] + b"behind"
        pieces = [(start, 100), (start + 107, len(contents) - 100)]
        paths.append(addresses.inside(tmp_path / "all.bin", pieces, pathlib.Path(path).name))
    (tmp_path / "all.bin").write_bytes(container)
    return dataclasses.replace(in_files, image_paths=paths)


def test_everything_that_opens_images_sees_the_same(in_files: DetectionDataset, in_one_file: DetectionDataset) -> None:
    assert image_files.check_images(in_one_file.image_paths) == image_files.check_images(in_files.image_paths)
    for inside, path in zip(in_one_file.image_paths, in_files.image_paths, strict=True):
        assert image_files.open_upright(inside).tobytes() == image_files.open_upright(path).tobytes()
        assert addresses.name(inside) == addresses.name(path)
    assert inspection.same_content([in_one_file.image_paths[0], in_files.image_paths[0]])
    ours, theirs = (taken(pipeline_of(each).train_batches(), 3) for each in (in_one_file, in_files))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one["images"], other["images"])


def test_images_of_one_file_are_told_apart(in_one_file: DetectionDataset) -> None:
    count = len(in_one_file)
    assert len({identity(in_one_file, row, SPEC) for row in range(count)}) == count


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_file_that_has_changed_is_named(in_one_file: DetectionDataset, tmp_path: pathlib.Path, damage: str) -> None:
    container = tmp_path / "all.bin"
    if damage == "gone":
        container.unlink()
    else:
        container.write_bytes(container.read_bytes()[:200])
    pipeline = pipeline_of(in_one_file)
    with (
        pytest.raises(errors.DataError, match=r"all\.bin#offset=.*expected an image that decodes"),
        pipeline.naming_files(),
    ):
        taken(pipeline.eval_batches(), 1)
