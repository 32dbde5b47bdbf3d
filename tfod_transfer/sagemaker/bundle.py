"""Makes the source_dir archive: the entry point, the package and what the toolkit has to install.

The same package gives the same bytes: names are sorted, times and owners are fixed.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pathlib
import tarfile
import tempfile
from collections.abc import Iterator, Mapping

import tfod_transfer
from tfod_transfer import errors
from tfod_transfer.sagemaker import libraries
from tfod_transfer.sagemaker.model_choice import BUNDLE_FILE, DEFAULT_MODEL_ID

PACKAGE = pathlib.Path(tfod_transfer.__file__).resolve().parent
ENTRY_POINT = "transfer_learning.py"
SUFFIXES = (".tar.gz", ".tgz")
#: Pythons that wheels are taken along for: those that the package runs on, which AWS's images are among.
PYTHONS = ("3.10", "3.11", "3.12")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_TIME = 315_532_800  # 1980-01-01


def write_bundle(out: pathlib.Path, model_id: str | None = None, with_wheels: bool = False) -> dict[str, int]:
    """Writes the archive; returns the size in bytes of each file in it.

    Args:
      out: where to; a .tar.gz that is there is replaced.
      model_id: what jobs train when neither a hyperparameter nor the model channel says it.
      with_wheels: take along what a job in network isolation has to install.

    Raises:
      UsageError: `out` is no .tar.gz, or the wheels cannot be fetched.
    """
    if not out.name.endswith(SUFFIXES):
        raise errors.UsageError(f"{out}: expected a name that ends with {' or '.join(SUFFIXES)}.")
    files = bundle_files(model_id or DEFAULT_MODEL_ID)
    if with_wheels:
        files |= {f"wheels/{name}": content for name, content in fetch_wheels().items()}
        files["requirements.txt"] = b"--no-index\n--find-links wheels\n" + files["requirements.txt"]
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        partial.write_bytes(packed(files))
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return {name: len(content) for name, content in files.items()}


def bundle_files(model_id: str) -> dict[str, bytes]:
    """The archive's files by name; nothing in it is a link, hidden, or made by running the package."""
    entry_point = PACKAGE / "sagemaker" / ENTRY_POINT
    return {
        ENTRY_POINT: entry_point.read_bytes(),
        "requirements.txt": ("\n".join(libraries.locked(libraries.LACKING)) + "\n").encode(),
        BUNDLE_FILE: (json.dumps({"model_id": model_id, "version": tfod_transfer.__version__}) + "\n").encode(),
        **{f"{PACKAGE.name}/{path.relative_to(PACKAGE)}": path.read_bytes() for path in _package(entry_point)},
    }


def packed(files: Mapping[str, bytes]) -> bytes:
    """Returns a .tar.gz of `files`, owned by root."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=buffer, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(files[name]), _TIME, 0o644
            member.uname = member.gname = "root"
            tar.addfile(member, io.BytesIO(files[name]))
    return buffer.getvalue()


def fetch_wheels() -> dict[str, bytes]:
    """Downloads, and checks against the lock, the wheels of everything that a container might lack.

    Raises:
      UsageError: pip failed.
    """
    everything = list(libraries.locked({**libraries.MODULES, **libraries.BENEATH}.values()))
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--no-deps", "--only-binary=:all:", "--dest", folder, "--quiet"]
        for platform in PLATFORMS:
            flags += ["--platform", platform]
        for python in PYTHONS:
            libraries.pip("download", [*flags, "--implementation", "cp", "--python-version", python], everything)
        for tf_keras in libraries.TF_KERAS.values():
            libraries.pip("download", flags, [tf_keras])
        return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def _package(entry_point: pathlib.Path) -> Iterator[pathlib.Path]:
    for path in sorted(PACKAGE.rglob("*")):
        parts = path.relative_to(PACKAGE).parts
        made = "__pycache__" in parts or path.suffix in (".pyc", ".pyo")
        hidden = any(part.startswith(".") for part in parts)
        if path.is_file() and not made and not hidden and path != entry_point:
            yield path
