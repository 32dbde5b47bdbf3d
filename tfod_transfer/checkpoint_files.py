"""Checkpoint files on disk: which checkpoint a folder holds, and the class names that lie with it."""

from __future__ import annotations

import json
import pathlib
import re

from tfod_transfer import errors


def find(folder: pathlib.Path) -> pathlib.Path:
    """Returns the prefix of the one checkpoint in `folder`: in itself, or up to two folders deeper.

    Of several in one folder it is the one that the `checkpoint` state file names, else that of the highest number.

    Raises:
      WeightsError: there is none, there are several in different folders, or its data files are incomplete.
    """
    found = index_files(folder)
    places = sorted({path.parent for path in found})
    if len(places) > 1:
        raise errors.WeightsError(f"{folder} holds several checkpoints: {_listed(places)}. Name one of these folders.")
    if not found:
        there = _listed(sorted(path.name for path in folder.glob("*"))) if folder.is_dir() else "no such folder"
        hint = " A SavedModel cannot be trained further; its checkpoint is needed." if _is_saved_model(folder) else ""
        raise errors.WeightsError(f"no checkpoint in {folder}; expected checkpoint/ckpt-0.index, found: {there}.{hint}")
    prefixes = {path.stem: path.with_suffix("") for path in found}
    newest = max(prefixes, key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])
    return checked_shards(prefixes.get(_named_in_state_file(places[0]), prefixes[newest]))


def index_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The .index files at the least depth that has any; a SavedModel's variables.index does not count."""
    for pattern in ("*.index", "*/*.index", "*/*/*.index"):
        found = [path for path in folder.glob(pattern) if path.name != "variables.index"]
        if found:
            return found
    return []


def _is_saved_model(folder: pathlib.Path) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in ("saved_model.pb", "*/saved_model.pb"))


def _named_in_state_file(folder: pathlib.Path) -> str:
    state = folder / "checkpoint"
    match = re.search(
        r'^model_checkpoint_path: "(.*)"', state.read_text(errors="replace") if state.is_file() else "", re.MULTILINE
    )
    return pathlib.PurePath(match.group(1)).name if match else ""


def checked_shards(prefix: pathlib.Path) -> pathlib.Path:
    """Returns a prefix whose data files are all there; raises WeightsError when they are not."""
    shards = data_files(prefix)
    count = int(shards[0].name.rpartition("-of-")[2]) if shards else 1
    if len(shards) != count:
        raise errors.WeightsError(
            f"{prefix}.index is there, but {len(shards)} of its {count} data files "
            f"({prefix.name}.data-00000-of-{count:05d}); copy all files of the checkpoint."
        )
    return prefix


def data_files(prefix: pathlib.Path) -> list[pathlib.Path]:
    """The .data-NNNNN-of-NNNNN files of a checkpoint, in order."""
    pattern = re.compile(re.escape(prefix.name) + r"\.data-\d{5}-of-\d{5}")
    return sorted(path for path in prefix.parent.iterdir() if pattern.fullmatch(path.name))


def _listed(items: list[pathlib.Path] | list[str]) -> str:
    return ", ".join(map(str, items[:8])) + (", ..." if len(items) > 8 else "") if items else "nothing"


def labels_beside(prefix: pathlib.Path) -> tuple[pathlib.Path | None, bool]:
    """The labels that lie with a checkpoint, and whether it is of an artifact."""
    folders = [prefix.parent, prefix.parent.parent] if prefix.parent.name == "checkpoint" else [prefix.parent]
    for name in ("labels_info.json", "labels.txt"):
        for folder in folders:
            if (folder / name).is_file():
                return folder / name, name == "labels_info.json"
    return None, False


def read_labels(path: pathlib.Path) -> tuple[str | None, ...]:
    """Returns class names by class from a labels_info.json, or from a text file with a name on each line.

    "N/A" and an empty line stand for a class without a name; the first label of a labels_info.json is background.

    Raises:
      WeightsError: the file is missing or holds no names.
    """
    try:
        text = path.read_text(encoding="utf-8")
        names = [str(name) for name in json.loads(text)["labels"][1:]] if path.suffix == ".json" else text.split("\n")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.WeightsError(
            f'{path}: expected one class name on each line, or {{"labels": ["N/A", ...]}}; found: {error!r}.'
        ) from None
    names = [name.strip() for name in names]
    while names and path.suffix != ".json" and not names[-1]:
        names.pop()
    if not names:
        raise errors.WeightsError(f"{path}: expected class names, found none.")
    return tuple(None if name in ("", "N/A") else name for name in names)
