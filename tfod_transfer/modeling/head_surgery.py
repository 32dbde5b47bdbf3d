"""What becomes of a pretrained class head when the classes change: rows are matched by class name. NumPy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from tfod_transfer import errors

ReinitializeTopLayer = Literal["Auto", "True", "False"]


@dataclasses.dataclass(frozen=True)
class HeadPlan:
    """Where each slot of the new class head comes from.

    Attributes:
      sources: for each new slot the pretrained slot whose rows it takes, or None where it starts afresh.
      num_pretrained_slots: of the checkpoint's head, background included.
      kept_classes: names whose rows are kept.
      new_classes: names whose rows start afresh.
      dropped_classes: pretrained names whose rows are not used.
    """

    sources: tuple[int | None, ...]
    num_pretrained_slots: int
    kept_classes: tuple[str, ...]
    new_classes: tuple[str, ...]
    dropped_classes: tuple[str, ...]

    @property
    def keeps_all(self) -> bool:
        """Whether the pretrained head is taken over as it is."""
        return self.sources == tuple(range(self.num_pretrained_slots))

    @property
    def keeps_none(self) -> bool:
        """Whether the whole class head starts afresh."""
        return all(source is None for source in self.sources)


def plan(
    pretrained_names: Sequence[str | None],
    class_names: Sequence[str | None],
    background_slot: bool,
    reinitialize_top_layer: ReinitializeTopLayer,
) -> HeadPlan:
    """Decides which rows of a class head to keep.

    "Auto" keeps the background row and those of every class that the checkpoint knows by the same name (case and
    surrounding blanks aside); the same names in the same order keep the whole head, holes (None) included. "True" keeps
    nothing. "False" keeps everything.

    Raises:
      CheckpointError: "False" with other classes, or the same in another order.
    """
    same = [_folded(name) for name in pretrained_names] == [_folded(name) for name in class_names]
    if reinitialize_top_layer == "False" and not same:
        raise errors.CheckpointError(
            "reinitialize_top_layer False needs the checkpoint's own classes in its order, "
            f"{_listed(pretrained_names)}; found {_listed(class_names)}. "
            "Use Auto, which keeps the classes that both know"
        )
    offset = int(background_slot)
    known = {_folded(name): slot for slot, name in reversed([*enumerate(pretrained_names, offset)]) if name is not None}
    sources: tuple[int | None, ...]
    if reinitialize_top_layer == "True":
        sources = (None,) * (offset + len(class_names))
    elif same:
        sources = tuple(range(offset + len(class_names)))
    else:
        sources = (*range(offset), *(None if name is None else known.get(_folded(name)) for name in class_names))
    named = [(name, source) for name, source in zip(class_names, sources[offset:], strict=True) if name is not None]
    return HeadPlan(
        sources=sources,
        num_pretrained_slots=offset + len(pretrained_names),
        kept_classes=tuple(name for name, source in named if source is not None),
        new_classes=tuple(name for name, source in named if source is None),
        dropped_classes=tuple(
            name for slot, name in enumerate(pretrained_names, offset) if name is not None and slot not in sources
        ),
    )


def merge_rows(
    pretrained: npt.NDArray[np.float32], fresh: npt.NDArray[np.float32], head: HeadPlan
) -> npt.NDArray[np.float32]:
    """Puts the kept rows of a class kernel or bias among fresh ones.

    Args:
      pretrained: [..., anchors * pretrained slots], anchor-major.
      fresh: [..., anchors * new slots].
      head: which row goes where.

    Returns:
      float32 of the shape of `fresh`.
    """
    merged = fresh.reshape(*fresh.shape[:-1], -1, len(head.sources)).copy()
    rows = pretrained.reshape(*pretrained.shape[:-1], -1, head.num_pretrained_slots)
    for slot, source in enumerate(head.sources):
        if source is not None:
            merged[..., slot] = rows[..., source]
    return merged.reshape(fresh.shape)


def _folded(name: str | None) -> str | None:
    return name if name is None else name.strip().casefold()


def _listed(names: Sequence[str | None]) -> str:
    shown = ", ".join(str(name) for name in names[:10] if name is not None)
    return f"{len(names)} classes ({shown}{', ...' if len(names) > 10 else ''})"
