"""Unpacks .tar.gz archives that nobody has vouched for."""

from __future__ import annotations

import gzip
import os
import pathlib
import shutil
import tarfile
import tempfile
import zlib

from tfod_transfer import errors

MAX_BYTES = 8 << 30
MAX_MEMBERS = 100_000
_CHUNK = 1 << 20

SUFFIXES = (".tar.gz", ".tgz")


def unpack(archive: str | os.PathLike[str], folder: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> None:
    """Unpacks a gzip-compressed tar into `folder`, which is there whole or not at all.

    Only regular files and folders below `folder` are made, with default permissions. When another process made
    `folder` in the meantime, that one stays.

    Raises:
      WeightsError: the archive is no .tar.gz, is damaged or cut short, or holds an absolute path, a path with `..`,
        a link or a device, or more than `max_bytes` or 100 000 members.
    """
    folder = pathlib.Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _extract(pathlib.Path(archive), scratch, max_bytes)
        scratch.chmod(0o755)
        scratch.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _extract(archive: pathlib.Path, folder: pathlib.Path, max_bytes: int) -> None:
    total = 0
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for count, member in enumerate(tar, start=1):
                total += member.size
                if total > max_bytes or count > MAX_MEMBERS:
                    raise errors.WeightsError(
                        f"{archive}: expected at most {max_bytes:,} bytes in {MAX_MEMBERS:,} members; "
                        f"{member.name!r} exceeds that. Is it the right archive?"
                    )
                _extract_member(tar, member, folder, archive)
            # gzip checks length and checksum only at the end of its stream, which tar need not have reached.
            while stream.read(_CHUNK):
                pass
    except (gzip.BadGzipFile, EOFError, zlib.error, tarfile.TarError) as error:
        size = archive.stat().st_size
        raise errors.WeightsError(
            f"{archive}: expected a whole .tar.gz archive; found {size:,} bytes that are none, are damaged or end too "
            f"early ({error}). Fetch the archive again."
        ) from None


def _extract_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: pathlib.Path, archive: pathlib.Path) -> None:
    path = pathlib.PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise errors.WeightsError(f"{archive}: {member.name!r} would be unpacked outside its folder; nothing is kept.")
    if member.isdir():
        (folder / path).mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise errors.WeightsError(f"{archive}: {member.name!r} is a link or a device; expected files and folders only.")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with source, open(folder / path, "wb") as target:
        shutil.copyfileobj(source, target, _CHUNK)
