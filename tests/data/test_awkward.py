"""Every awkward image file is either read right or named in a finding."""

from __future__ import annotations

import csv
import json
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from tfod_transfer.data import formats, image_files
from tfod_transfer.data.dataset import DetectionDataset

# Files that cannot be used, and why. Every other file has to be read, upright, with the size the manifest gives.
PROBLEMS = {
    # another format, whatever the name says
    "raccoon.bmp": "unsupported_format",
    "badwidth.bmp": "unsupported_format",
    "reallybig.bmp": "unsupported_format",
    "shortfile.bmp": "unsupported_format",
    "chi.gif": "unsupported_format",
    "gif_named.jpg": "unsupported_format",
    "iss634.gif": "unsupported_format",
    "no_palette.gif": "unsupported_format",
    "decompression_bomb.gif": "unsupported_format",
    "decompression_bomb_extents.gif": "unsupported_format",
    "zero_width.gif": "unsupported_format",
    "raccoon.webp": "unsupported_format",
    "iss634.webp": "unsupported_format",
    "animated_webp_named.jpg": "unsupported_format",
    "hopper_orientation_3.webp": "unsupported_format",
    "hopper_orientation_6.webp": "unsupported_format",
    "raccoon.tiff": "unsupported_format",
    "hopper_gray_4bpp.tif": "unsupported_format",
    "tiff_named.jpg": "unsupported_format",
    "jp2_named.jpg": "unsupported_format",
    # no image at all
    "html_named.jpg": "not_an_image",
    "zero_bytes.jpg": "not_an_image",
    "lfs_pointer.jpg": "not_an_image",
    # damaged header
    "only_soi.jpg": "broken_image",
    "broken.png": "broken_image",
    "png_decompression_dos.png": "broken_image",
    "unknown_compression_method.png": "broken_image",
    # damaged body: only decoding finds these
    "half_jpeg.jpg": "broken_image",
    "truncated_jpeg.jpg": "broken_image",
    "ultrahdr.jpg": "broken_image",
    "broken_data_stream.png": "broken_image",
    "truncated_end_chunk.png": "broken_image",
    "truncated_image.png": "broken_image",
    # more pixels than allowed
    "bomb_20000x20000_gray_real.png": "too_many_pixels",
    "bomb_60000x60000_header.png": "too_many_pixels",
}
# Read as it is stored, and named: its orientation is in XMP, which the exported model does not see.
NOT_TURNED = "xmp_tags_orientation.png"
BODY_IS_DAMAGED = {
    "half_jpeg.jpg",
    "truncated_jpeg.jpg",
    "ultrahdr.jpg",
    "broken_data_stream.png",
    "truncated_end_chunk.png",
    "truncated_image.png",
}


@pytest.fixture(scope="module")
def manifest(shared: Callable[[str], pathlib.Path]) -> dict[str, dict[str, str]]:
    with (shared("data/awkward") / "MANIFEST.tsv").open(encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["file"]: row for row in rows}


@pytest.fixture(scope="module")
def read(
    shared: Callable[[str], pathlib.Path], manifest: dict[str, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> DetectionDataset:
    folder = tmp_path_factory.mktemp("awkward")
    (folder / "images").symlink_to(shared("data/awkward") / "images")
    images = [{"id": index, "file_name": name} for index, name in enumerate(manifest)]
    (folder / "annotations.json").write_text(json.dumps({"images": images, "annotations": []}))
    return formats.read_dataset(folder)


def manifest_size(row: dict[str, str]) -> tuple[int, int]:
    """(height, width) upright, from a column like "JPEG/RGB/650x417" and the EXIF orientation."""
    width, height = (int(side) for side in row["pil"].split()[0].split("/")[2].split("x"))
    return (width, height) if int(row["orient"] or 1) >= 5 else (height, width)


def test_the_tables_speak_of_the_files_that_there_are(
    shared: Callable[[str], pathlib.Path], manifest: dict[str, dict[str, str]]
) -> None:
    files = {path.name for path in (shared("data/awkward") / "images").iterdir()}
    assert set(manifest) == files
    assert set(PROBLEMS) <= files


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_unusable_file_is_named_with_its_reason(read: DetectionDataset, name: str) -> None:
    found = [finding for finding in read.findings if pathlib.Path(finding.file).name == name]
    assert [(finding.reason, finding.action) for finding in found] == [(PROBLEMS[name], "dropped")]
    assert name not in {pathlib.Path(path).name for path in read.image_paths}


def test_every_other_file_is_read_with_its_upright_size(
    read: DetectionDataset, manifest: dict[str, dict[str, str]]
) -> None:
    found = {
        pathlib.Path(path).name: (tuple(size), orientation)
        for path, size, orientation in zip(
            read.image_paths, read.sizes.tolist(), read.orientations.tolist(), strict=True
        )
    }
    expected = {
        name: (manifest_size(row), int(row["orient"] or 1)) for name, row in manifest.items() if name not in PROBLEMS
    }
    expected[NOT_TURNED] = ((268, 326), 1)
    assert found == expected
    noted = [each for each in read.findings if each.action != "dropped" and each.reason != "missing_size"]
    assert [(pathlib.Path(each.file).name, each.reason) for each in noted] == [(NOT_TURNED, "orientation_not_applied")]


def test_headers_alone_miss_nothing_but_damaged_bodies(
    shared: Callable[[str], pathlib.Path], manifest: dict[str, dict[str, str]]
) -> None:
    folder = shared("data/awkward") / "images"
    found = image_files.check_images([str(folder / name) for name in manifest], decode=False)
    problems = {name for name, each in zip(manifest, found, strict=True) if isinstance(each, image_files.ImageProblem)}
    assert problems == set(PROBLEMS) - BODY_IS_DAMAGED


def test_tensorflow_decodes_what_was_accepted_to_the_same_picture(read: DetectionDataset) -> None:
    import tensorflow as tf

    from tfod_transfer.data import decode

    @tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)])
    def upright(path: object, orientation: object) -> object:
        contents = tf.io.read_file(path)
        return decode.orient(decode.decode_image(contents), orientation), decode.exif_orientation(contents)

    for path, orientation in zip(read.image_paths, read.orientations.tolist(), strict=True):
        pixels, found_by_the_exported_model = (each.numpy() for each in upright(path, orientation))
        assert found_by_the_exported_model == orientation, path
        expected = np.asarray(image_files.open_upright(path), np.int16)
        assert pixels.shape == expected.shape, path
        # JPEG decoders may differ by a level or two in rounding.
        assert np.abs(pixels - expected).mean() < 2, path
