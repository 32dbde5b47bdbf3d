"""Frames of videos as image files; needs PyAV, the extra `video`."""

from __future__ import annotations

import os
import pathlib

from tfod_transfer import errors

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a video, by its name."""
    return pathlib.Path(path).suffix.lower() in SUFFIXES


def frames(video: str | os.PathLike[str], folder: pathlib.Path, frames_per_second: float) -> list[tuple[float, str]]:
    """Writes frames as JPEG files.

    Args:
      video: the file.
      folder: where to, made if need be.
      frames_per_second: of each 1 / frames_per_second seconds the first frame is taken; all where the video has fewer.

    Returns:
      Second and path of each frame.

    Raises:
      UsageError: PyAV is missing.
      DataError: the file does not decode, or holds no frame.
    """
    try:
        import av
    except ModuleNotFoundError:
        raise errors.UsageError(f"{video}: videos need PyAV: pip install 'tfod_transfer[video]'.") from None
    folder.mkdir(parents=True, exist_ok=True)
    written: list[tuple[float, str]] = []
    next_slot = 0
    try:
        with av.open(os.fspath(video)) as container:
            for frame in container.decode(video=0):
                seconds = float(frame.time or 0.0)
                slot = int(seconds * frames_per_second + 1e-6)
                if slot < next_slot:
                    continue
                next_slot = slot + 1
                path = folder / f"{len(written):06d}.jpg"
                frame.to_image().save(path, quality=95, subsampling=0)
                written.append((seconds, str(path)))
    except (av.FFmpegError, IndexError) as error:
        if not written:
            reason = getattr(error, "strerror", None) or "it has no pictures"
            raise errors.DataError(f"{video}: this video does not decode ({reason}).") from None
    if not written:
        raise errors.DataError(f"{video}: this video holds no frame.")
    return written
