"""Decodes an annotation file in JSON: typed and fast when every record is as it should be, one by one when not."""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import gc
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from tfod_transfer.data.dataset import Finding
from tfod_transfer.data.formats.records import Id
from tfod_transfer.errors import DataError

# Records are converted together as long as all of so many are as they should be.
_CHUNK = 1000
EXPECTED = 'an object with the lists "images" and "annotations"'


class ImageRecord(msgspec.Struct, gc=False):
    """One entry of "images"; other keys are passed over."""

    id: Id
    file_name: str
    width: float | None = None
    height: float | None = None


class BoxRecord(msgspec.Struct, gc=False):
    """One entry of "annotations"; other keys are passed over."""

    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]
    iscrowd: int | bool | None = 0


class CategoryRecord(msgspec.Struct, gc=False):
    """One entry of "categories"."""

    id: Id
    name: str


@dataclasses.dataclass(frozen=True)
class AnnotationFile:
    """A whole file, COCO's or JumpStart's. A record that cannot be read is None, and `findings` says why."""

    images: Sequence[ImageRecord | None]
    annotations: Sequence[BoxRecord | None]
    categories: Sequence[CategoryRecord | None] = ()
    findings: Sequence[Finding] = ()


def decode(path: str) -> AnnotationFile:
    """Reads and decodes an annotation file.

    Raises:
      DataError: when the file is not JSON, or not an object with these lists.
    """
    raw = pathlib.Path(path).read_bytes()
    try:
        text = memoryview(raw)[len(codecs.BOM_UTF8) :] if raw.startswith(codecs.BOM_UTF8) else raw
        typed = msgspec.json.decode(text, type=_TypedFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _one_by_one(path, raw)
    return AnnotationFile(typed.images, typed.annotations, typed.categories)


class _TypedFile(msgspec.Struct):
    images: list[ImageRecord]
    annotations: list[BoxRecord]
    categories: list[CategoryRecord] = []


def _one_by_one(path: str, raw: bytes) -> AnnotationFile:
    content = _parse(path, raw)
    findings: list[Finding] = []
    return AnnotationFile(
        images=_records(path, content, "images", ImageRecord, findings),
        annotations=_records(path, content, "annotations", BoxRecord, findings),
        categories=_records(path, content, "categories", CategoryRecord, findings),
        findings=findings,
    )


def _parse(path: str, raw: bytes) -> dict[str, Any]:
    """Parses with the standard library, which tells line and column, and takes NaN, UTF-16 and lone surrogates."""
    try:
        content = json.loads(raw)
    except json.JSONDecodeError as error:
        near = error.doc[max(0, error.pos - 20) : error.pos + 20]
        where = f"line {error.lineno}, column {error.colno} (character {error.pos} of {len(error.doc)})"
        raise DataError(f"{path} is not valid JSON: {error.msg} at {where}, near {near!r}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: byte {error.start} is 0x{raw[error.start]:02x}") from None
    except RecursionError:
        raise DataError(f"{path} is nested too deeply to be an annotation file; expected {EXPECTED}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected {EXPECTED}, found {_kind(content)}")
    for key in ("images", "annotations", "categories"):
        if key == "categories" and content.get(key) is None:
            continue
        if not isinstance(content.get(key), list):
            found = f"{key!r} is {_kind(content[key])}" if key in content else f"the keys {sorted(content)[:12]}"
            raise DataError(f"{path}: expected {EXPECTED}, found {found}")
    return content


def _records(path: str, content: dict[str, Any], key: str, kind: type[Any], findings: list[Finding]) -> list[Any]:
    values = content.get(key) or []
    records: list[Any] = []
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        try:
            records += msgspec.convert(chunk, list[kind], strict=False)  # type: ignore[valid-type]
        except msgspec.ValidationError:
            records += [_record(path, key, start + row, value, kind, findings) for row, value in enumerate(chunk)]
    return records


def _record(path: str, key: str, index: int, value: Any, kind: type[Any], findings: list[Finding]) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        findings.append(_bad_record(path, key, index, value, error))
        return None


def _bad_record(path: str, key: str, index: int, value: Any, error: msgspec.ValidationError) -> Finding:
    message = f"{key}[{index}] cannot be read: {error}"
    shown = value if key == "annotations" and not isinstance(value, dict) else None
    if isinstance(value, dict):
        shown = value.get("bbox") if key == "annotations" else {name: value.get(name) for name in ("id", "file_name")}
    annotation_index = index if key == "annotations" else None
    return Finding("bad_record", path, message, annotation_index, shown)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "null", bool: "true or false"}
    return names.get(type(value), "a number")


@contextlib.contextmanager
def paused_garbage_collection() -> Iterator[None]:
    """A million small objects without a cycle: collecting in between more than doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
