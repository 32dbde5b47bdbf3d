"""What a target is asked to be: its format, how it is quantised, and what it is tested on."""

from __future__ import annotations

import dataclasses
import importlib.util

from tfod_transfer import errors

#: format -> file of the model.
MODEL_FILES = {"tflite": "model.tflite", "onnx": "model.onnx"}
QUANTIZATIONS = ("float16", "dynamic", "int8")
#: packages of the extra of the same name.
_PACKAGES = {"onnx": ("onnx", "onnxruntime", "tf2onnx")}

# Largest difference of AP, and largest share of the SavedModel's best boxes that may be missing, by quantisation.
_AP_TOLERANCES = {None: 0.005, "float16": 0.005, "dynamic": 0.03, "int8": 0.03}
_MISSING_TOLERANCES = {None: 0.05, "float16": 0.1, "dynamic": 0.4, "int8": 0.6}


@dataclasses.dataclass(frozen=True)
class TargetOptions:
    """A target to be made.

    Attributes:
      format: a key of MODEL_FILES.
      quantization: one of QUANTIZATIONS, or None for float32.
      calibration: folder of the data set whose images int8 is calibrated on.
      check: folder of the data set that AP is measured on; None compares detections on other images.
      tolerance: largest difference that is let pass; None for what is usual.

    Raises:
      UsageError: values do not go together, or are out of their range.
    """

    format: str
    quantization: str | None = None
    calibration: str | None = None
    check: str | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if self.quantization == "int8" and not self.calibration:
            raise errors.UsageError(
                "--quantize int8 needs --calibration DATA, a data set whose images show what values occur; give "
                "that of the training."
            )
        if self.calibration and self.quantization != "int8":
            raise errors.UsageError("--calibration goes with --quantize int8; leave it out.")
        if self.tolerance is not None and not 0 <= self.tolerance <= 1:
            raise errors.UsageError(f"tolerance: expected a number from 0 to 1, found {self.tolerance!r}.")

    def allowed(self, precision: str = "float32") -> float:
        """The tolerance in force: a difference of AP with `check`, else a share of boxes that are missing.

        Args:
          precision: number format of the SavedModel, which rounds too.
        """
        if self.tolerance is not None:
            return self.tolerance
        table = _AP_TOLERANCES if self.check else _MISSING_TOLERANCES
        return table[self.quantization] if precision == "float32" else max(table["dynamic"], table[self.quantization])


def require_packages(target_format: str) -> None:
    """Looks for the packages of a format without importing them.

    Raises:
      UsageError: one is missing.
    """
    for name in _PACKAGES.get(target_format, ()):
        if importlib.util.find_spec(name) is None:
            raise errors.UsageError(
                f"{target_format} models need {name}, which is not installed: pip install "
                f"'tfod_transfer[{target_format}]'."
            )
