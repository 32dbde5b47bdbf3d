from __future__ import annotations

import gzip
import io
import os
import pathlib
import tarfile
from typing import Any

import pytest

from tfod_transfer import archives, errors


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def pack(path: pathlib.Path, *members: tuple[tarfile.TarInfo, bytes]) -> pathlib.Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


GOOD = (
    (member("./model", tarfile.DIRTYPE), b""),
    (member("model/checkpoint/ckpt-0.index"), b"index"),
    (member("model/empty"), b""),
    (member("model/tool.sh", mode=0o4777), b"#!"),
)


def test_files_and_folders_are_unpacked(tmp_path: pathlib.Path) -> None:
    archives.unpack(pack(tmp_path / "a.tar.gz", *GOOD), tmp_path / "deep" / "out")
    out = tmp_path / "deep" / "out"
    assert (out / "model/checkpoint/ckpt-0.index").read_bytes() == b"index"
    assert (out / "model/empty").read_bytes() == b""
    assert not os.access(out / "model/tool.sh", os.X_OK)
    assert os.listdir(tmp_path / "deep") == ["out"]


def test_a_folder_that_is_there_already_stays(tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").touch()
    archives.unpack(pack(tmp_path / "a.tar.gz", *GOOD), out)
    assert os.listdir(out) == ["mine"]
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz", "out"]


# members that must not be unpacked: words of the error
HOSTILE = {
    "absolute path": ((member("/tmp/tfod_transfer_escaped"), b"x"), "outside its folder"),
    "parent folder": ((member("model/../../escaped"), b"x"), "outside its folder"),
    "parent folder, as a folder": ((member("../escaped", tarfile.DIRTYPE), b""), "outside its folder"),
    "symbolic link out": ((member("link", tarfile.SYMTYPE, linkname="/etc"), b""), "link or a device"),
    "symbolic link inside": ((member("link", tarfile.SYMTYPE, linkname="model"), b""), "link or a device"),
    "hard link out": ((member("link", tarfile.LNKTYPE, linkname="../../etc/passwd"), b""), "link or a device"),
    "named pipe": ((member("pipe", tarfile.FIFOTYPE), b""), "link or a device"),
    "device": ((member("zero", tarfile.CHRTYPE, devmajor=1, devminor=5), b""), "link or a device"),
    "too much": ((member("big"), b"0" * 2_000), "at most 1,000 bytes"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_leaves_nothing_behind(case: str, tmp_path: pathlib.Path) -> None:
    bad, words = HOSTILE[case]
    archive = pack(tmp_path / "a.tar.gz", GOOD[1], bad)
    with pytest.raises(errors.WeightsError, match=words):
        archives.unpack(archive, tmp_path / "in" / "out", max_bytes=1_000)
    assert os.listdir(tmp_path / "in") == []
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz", "in"]


def test_a_link_cannot_be_written_through(tmp_path: pathlib.Path) -> None:
    link = member("out", tarfile.SYMTYPE, linkname=str(tmp_path))
    archive = pack(tmp_path / "a.tar.gz", (link, b""), (member("out/escaped"), b"x"))
    with pytest.raises(errors.WeightsError):
        archives.unpack(archive, tmp_path / "in" / "out")
    assert not (tmp_path / "escaped").exists()


def test_too_many_members_are_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    with pytest.raises(errors.WeightsError, match="in 3 members"):
        archives.unpack(pack(tmp_path / "a.tar.gz", *GOOD), tmp_path / "out")


def test_an_archive_that_is_cut_anywhere_is_refused(tmp_path: pathlib.Path) -> None:
    noise = os.urandom(3_000)  # does not compress, so that the cuts fall into every part
    whole = pack(tmp_path / "a.tar.gz", *GOOD, (member("noise"), noise)).read_bytes()
    for length in [0, 1, 9, 40, *range(100, len(whole), 97), len(whole) - 8, len(whole) - 1]:
        (tmp_path / "cut.tar.gz").write_bytes(whole[:length])
        with pytest.raises(errors.WeightsError, match=r"whole \.tar\.gz"):
            archives.unpack(tmp_path / "cut.tar.gz", tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz", "cut.tar.gz"]


# contents of a file that is no archive, or a damaged one
DAMAGED = {
    "web page": b"<!DOCTYPE html><title>Not found</title>",
    "compressed web page": gzip.compress(b"<!DOCTYPE html>" + b" " * 2_000),
    "plain tar": b"model/ckpt" + b"\0" * 1_014,
}


@pytest.mark.parametrize("case", DAMAGED)
def test_something_else_is_refused(case: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(DAMAGED[case])
    with pytest.raises(errors.WeightsError, match=r"expected a whole \.tar\.gz archive; found"):
        archives.unpack(tmp_path / "a.tar.gz", tmp_path / "out")


def test_a_flipped_bit_is_noticed(tmp_path: pathlib.Path) -> None:
    data = bytearray(pack(tmp_path / "a.tar.gz", (member("noise"), os.urandom(3_000))).read_bytes())
    data[1_500] ^= 1
    (tmp_path / "a.tar.gz").write_bytes(data)
    with pytest.raises(errors.WeightsError, match="damaged"):
        archives.unpack(tmp_path / "a.tar.gz", tmp_path / "out")
