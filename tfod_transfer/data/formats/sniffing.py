"""Which annotation format a file is of, by what is in it."""

from __future__ import annotations

import codecs
import json
import pathlib
import re

from tfod_transfer.data.formats import recordio_framing, tfrecord_framing
from tfod_transfer.errors import DataError

# Where the content is no help, because the file is empty or damaged, its name is.
_SUFFIXES = {
    ".json": "json",
    ".rec": "recordio",
    ".lst": "lst",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
    ".record": "tfrecord",
    ".manifest": "manifest",
    ".jsonl": "manifest",
    ".xml": "voc",
}
_HEAD = 4096
_WHOLE = 1_000_000  # no annotation file of a single image is larger
_SHARD = re.compile(r"-\d{5}-of-(\d{5})$")
_XML_ANNOTATION = re.compile(rb"<annotation\b")
_LIST_LINE = re.compile(r"\d+(\t-?[\d.]+)+\t[^\t]+\s*\Z")
_MANIFEST_KEYS = ("source-ref", "source")


def format_of(path: pathlib.Path) -> str | None:
    """Returns a key of `places.CALLED`, or None.

    Raises:
      DataError: the file is compressed.
      OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"\x1f\x8b"):
        raise DataError(f"{path} is compressed with gzip, so that nothing in it can be found by its place: unpack it")
    if recordio_framing.is_recordio(head):
        return "recordio"
    if tfrecord_framing.is_tfrecord(head):
        return "tfrecord"
    if _XML_ANNOTATION.search(head):
        return "voc"
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.startswith(b"{"):
        return _json_format(path) or _SUFFIXES.get(path.suffix.lower())
    if _LIST_LINE.match(head.decode("utf-8", "replace").split("\n")[0] + "\n"):
        return "lst"
    return "tfrecord" if shards_of(path.name) else _SUFFIXES.get(path.suffix.lower())


def shards_of(name: str) -> int:
    """How many files there are in the set of `train.record-00000-of-00010`, by this name; 0 for other names."""
    found = _SHARD.search(name)
    return int(found.group(1)) if found else 0


def _json_format(path: pathlib.Path) -> str | None:
    with path.open("rb") as file:
        first = file.readline(_WHOLE)
        content = _object(first)
        if content is None and path.stat().st_size <= _WHOLE:
            content = _object(first + file.read())
    if content is None:
        return None
    if any(key in content for key in _MANIFEST_KEYS):
        return "manifest"
    if "file" in content and "images" not in content:
        return "image_json"
    return "json" if path.suffix.lower() == ".json" else None


def _object(text: bytes) -> dict[str, object] | None:
    try:
        content = json.loads(text.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
