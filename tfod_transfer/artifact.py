"""The folder that a run leaves: written under a temporary name, renamed when whole, read back by every other command.

1/                     SavedModel (a numeric version folder, as TF Serving wants it)
labels_info.json       {"labels": ["N/A", label of class 1, …]}, 1-based as SageMaker's clients expect
__model_info__.json    model_id, image size, whether fine-tuned, class names and category ids; written last
code/inference.py      what SageMaker's TensorFlow Serving container answers requests with
checkpoint/            weights under the zoo's keys, for incremental training
run.json               what decided the run's result: the same command again finds it done
metrics.json  hyperparameters.json  restore.json  restore.txt  findings.json  split.json  predictions/*.jpg
report.html  model_card.md  tensorboard/
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator
from typing import Any

import tfod_transfer
from tfod_transfer import errors
from tfod_transfer.detection_options import DetectionOptions
from tfod_transfer.hyperparameters import Hyperparameters

LABELS_FILE = "labels_info.json"
INFO_FILE = "__model_info__.json"
RUN_FILE = "run.json"
VERSION_FOLDER = "1"
DEFAULT_MAX_PIXELS = Hyperparameters().max_pixels
CODE_FOLDER = "code"
CHECKPOINT_FOLDER = "checkpoint"


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What an artifact says of itself.

    Attributes:
      model_id: registry entry that it was made from.
      image_size: height and width of the network's input in pixels.
      finetuned: False for a pretrained model exported as it is.
      class_names: name of each class 0..K-1; None where the label map has a hole.
      category_ids: category id of each class as the training annotations give it.
      precision: number format that the SavedModel computes in.
      detection: how the SavedModel picks detections.
      max_pixels: the SavedModel refuses images with more.
      algorithm: SageMaker's name of the algorithm in whose form requests are answered.
      anchor_scale: of the anchors that its boxes are relative to; None for the model's own.
    """

    model_id: str
    image_size: int
    finetuned: bool
    class_names: tuple[str | None, ...]
    category_ids: tuple[int | str, ...]
    precision: str = "float32"
    detection: DetectionOptions = dataclasses.field(default_factory=DetectionOptions)
    max_pixels: int = DEFAULT_MAX_PIXELS
    algorithm: str = "object-detection-tensorflow"
    anchor_scale: float | None = None

    @property
    def labels(self) -> list[str]:
        """SageMaker's label list: "N/A" first, then the classes, "N/A" at holes."""
        return ["N/A", *(name if name is not None else "N/A" for name in self.class_names)]

    @property
    def label_values(self) -> list[str | int]:
        """The same for labels_info.json: classes that the data gives no name have their category id, as it is there."""
        values = zip(self.class_names, self.category_ids, strict=True)
        return ["N/A", *("N/A" if name is None else key if name == str(key) else name for name, key in values)]

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> ModelInfo:
        """Reverses `to_dict`; what earlier versions did not write has the value that it had with them.

        Raises:
          ValueError, KeyError, TypeError, UsageError: the record is damaged.
        """
        return cls(
            record["model_name"],
            int(record["image_size"][0]),
            bool(record["finetuned"]),
            tuple(record["class_names"]),
            tuple(record["category_ids"]),
            record.get("precision", "float32"),
            DetectionOptions(**record.get("detection", {})),
            int(record.get("max_pixels", DEFAULT_MAX_PIXELS)),
            record.get("algorithm", cls.algorithm),
            record.get("anchor_scale"),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "model_name": self.model_id,
            "image_size": [self.image_size, self.image_size, 3],
            "finetuned": self.finetuned,
            "class_names": list(self.class_names),
            "category_ids": list(self.category_ids),
            "precision": self.precision,
            "detection": self.detection.to_dict(),
            "max_pixels": self.max_pixels,
            "algorithm": self.algorithm,
            "anchor_scale": self.anchor_scale,
            "tfod_transfer_version": tfod_transfer.__version__,
        }


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A whole artifact on disk."""

    folder: pathlib.Path
    info: ModelInfo

    @property
    def saved_model(self) -> str:
        return str(self.folder / VERSION_FOLDER)


def load(folder: str | os.PathLike[str]) -> Artifact:
    """Reads what an artifact says of itself.

    Raises:
      ArtifactError: no such folder, or not a whole artifact.
    """
    path = pathlib.Path(folder)
    if not path.is_dir():
        raise errors.ArtifactError(f"no artifact folder {str(path)!r}; expected the --model_dir of a finished fit.")
    missing = [
        name for name in (INFO_FILE, LABELS_FILE, f"{VERSION_FOLDER}/saved_model.pb") if not (path / name).exists()
    ]
    if missing:
        raise errors.ArtifactError(
            f"{str(path)!r} is not a whole artifact: {', '.join(missing)} missing. "
            "Give the --model_dir of a finished fit."
        )
    return Artifact(path, read_info(path / INFO_FILE))


def read_info(path: pathlib.Path) -> ModelInfo:
    """Reads a __model_info__.json.

    Raises:
      ArtifactError: it is damaged.
    """
    try:
        return ModelInfo.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, errors.UsageError) as error:
        raise errors.ArtifactError(f"{str(path)!r} is damaged ({error!r}); export the model again.") from None


def info_beside(checkpoint: str | os.PathLike[str]) -> ModelInfo | None:
    """What the artifact that a checkpoint folder belongs to says of itself; None where it is none of this package.

    Raises:
      ArtifactError: it is one of this package, and damaged.
    """
    path = pathlib.Path(checkpoint).parent / INFO_FILE
    if not path.is_file():
        return None
    try:
        of_another_program = "tfod_transfer_version" not in json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError):
        of_another_program = False
    return None if of_another_program else read_info(path)


def left_behind(info: ModelInfo | None) -> list[str]:
    """What training from an artifact does not take over, in words; or nothing."""
    if info is None or info.detection == DetectionOptions():
        return []
    return [
        f"detections: the pretrained artifact answers with {info.detection}; this run measures and exports "
        "as the model itself does, so `python -m tfod_transfer.export` is to follow"
    ]


def check_target(folder: str | os.PathLike[str], overwrite: bool) -> dict[str, Any] | None:
    """Refuses an output folder that has something in it, unless it may be replaced.

    Returns:
      What decided the run that left a whole artifact there; None where there is nothing that may not be replaced.

    Raises:
      ArtifactError: the folder holds something else and `overwrite` is False, or it is a file.
    """
    path = pathlib.Path(folder)
    if path.exists() and not path.is_dir():
        raise errors.ArtifactError(f"the output folder {str(path)!r} is a file; choose another --model_dir.")
    if not path.is_dir() or overwrite or not any(path.iterdir()):
        return None
    if (path / INFO_FILE).is_file() and (path / RUN_FILE).is_file():
        run: dict[str, Any] = json.loads((path / RUN_FILE).read_text(encoding="utf-8"))
        return run
    raise _in_the_way(path)


def refuse_another(folder: str | os.PathLike[str], finished: dict[str, Any], run: dict[str, Any]) -> None:
    """Refuses an output folder that another run left.

    Raises:
      ArtifactError: `finished`, what decided that run, is not `run`.
    """
    if finished != run:
        raise _in_the_way(pathlib.Path(folder))


def _in_the_way(path: pathlib.Path) -> errors.ArtifactError:
    return errors.ArtifactError(
        f"the output folder {str(path)!r} is not empty; choose another --model_dir or add --overwrite."
    )


@contextlib.contextmanager
def writing(folder: str | os.PathLike[str], overwrite: bool) -> Iterator[pathlib.Path]:
    """A scratch folder that becomes `folder` when the block ends well, and is removed when it does not."""
    check_target(folder, overwrite)
    final = pathlib.Path(folder).absolute()
    final.parent.mkdir(parents=True, exist_ok=True)
    for scrap in (*final.parent.glob(f".{final.name}.partial-*"), *final.parent.glob(f".{final.name}.replaced-*")):
        shutil.rmtree(scrap, ignore_errors=True)  # of a process that was killed here
    scratch = scratch_beside(final, "partial-")
    try:
        yield scratch
        sync(scratch)
        _move_into_place(scratch, final)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def scratch_beside(final: pathlib.Path, kind: str = "") -> pathlib.Path:
    """Makes an empty folder beside `final`, with a name of its own, and for whom the umask says."""
    scratch = final.with_name(f".{final.name}.{kind}{secrets.token_hex(4)}")  # mkdtemp's is for this user alone
    scratch.mkdir()
    return scratch


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes `value` as readable JSON."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_info(folder: pathlib.Path, info: ModelInfo) -> None:
    """Writes the labels and then the file that marks the artifact as whole: the last act of an export."""
    write_json(folder / LABELS_FILE, {"labels": info.label_values})
    write_json(folder / INFO_FILE, info.to_dict())


def _move_into_place(scratch: pathlib.Path, final: pathlib.Path) -> None:
    if final.is_mount():  # SageMaker mounts its model folder: it cannot be renamed over, only filled
        for child in list(final.iterdir()):
            _remove(child)
        for child in sorted(scratch.iterdir(), key=lambda child: child.name == INFO_FILE):
            shutil.move(str(child), str(final / child.name))
        return
    old = None
    if final.exists():
        old = final.with_name(f".{final.name}.replaced-{os.getpid()}")
        final.rename(old)
    scratch.rename(final)
    sync_entry(final.parent)
    if old:
        shutil.rmtree(old, ignore_errors=True)


def _remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def sync(folder: pathlib.Path) -> None:
    """Puts every file on the disk before the rename that makes it visible."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def sync_entry(folder: pathlib.Path) -> None:
    """Puts the names of what is in `folder` on the disk, after a rename."""
    entry = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
