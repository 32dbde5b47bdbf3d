"""Frames of videos, as images of their own."""

from __future__ import annotations

import pathlib
import sys

import av
import numpy as np
import pytest
from PIL import Image

from tfod_transfer import errors, image_arguments, videos

RATE = 10


@pytest.fixture
def clip(tmp_path: pathlib.Path) -> pathlib.Path:
    """Three seconds, ten frames each; a frame's gray level is about its number times eight."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(3 * RATE):
            image = Image.new("RGB", (64, 48), (8 * number,) * 3)
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("frames_per_second", "numbers"),
    [
        pytest.param(1, [0, 10, 20], id="one a second"),
        pytest.param(2, [0, 5, 10, 15, 20, 25], id="two a second"),
        pytest.param(0.5, [0, 20], id="one in two seconds"),
        pytest.param(4, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28], id="four a second, between frames"),
        pytest.param(100, list(range(30)), id="more than there are"),
    ],
)
def test_frames(clip: pathlib.Path, tmp_path: pathlib.Path, frames_per_second: float, numbers: list[int]) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    still = tmp_path / "still.jpg"
    still.write_bytes(b"any")
    found = image_arguments.find([str(clip), str(still)], scratch, frames_per_second)
    assert [image.name for image in found] == [*(f"{clip}#t={number / RATE:.3f}" for number in numbers), str(still)]
    levels = [np.asarray(Image.open(image.path)).mean() for image in found[:-1]]
    assert levels == pytest.approx([8 * number for number in numbers], abs=6)
    assert {Image.open(image.path).size for image in found[:-1]} == {(64, 48)}


def test_what_does_not_decode_is_said(clip: pathlib.Path, tmp_path: pathlib.Path) -> None:
    half = tmp_path / "half.mp4"
    half.write_bytes(clip.read_bytes()[:900])
    with pytest.raises(errors.DataError, match=r"half\.mp4: this video does not decode \(Invalid data"):
        videos.frames(half, tmp_path / "frames", 1)


def test_sound_alone_is_no_video(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(errors.DataError, match="it has no pictures"):
        videos.frames(path, tmp_path / "frames", 1)


def test_the_missing_package_is_named(
    clip: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(errors.UsageError, match=r"videos need PyAV: pip install 'tfod_transfer\[video\]'"):
        videos.frames(clip, tmp_path / "frames", 1)
