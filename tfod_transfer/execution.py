"""How a model is executed on a machine: number format, batch norm and XLA, chosen by what measured fastest.

`benchmarks/execution_policies.py` prints the figures behind `choose`. Whatever is chosen, variables, checkpoints,
losses and boxes are float32, so that a checkpoint resumes and trains on under any other policy.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import platform
import subprocess
from collections.abc import Mapping
from typing import Any, Literal

from tfod_transfer.registry import ModelSpec

Precision = Literal["float32", "bfloat16", "float16"]
AUTO = "auto"

_CPU_INFO = pathlib.Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
_BFLOAT16_COMPUTE_CAPABILITY = 8.0  # NVIDIA Ampere and later


@dataclasses.dataclass(frozen=True)
class Processor:
    """What does the arithmetic.

    Attributes:
      kind: "cpu" or "gpu".
      name: as its maker calls it.
      bfloat16: whether it multiplies bfloat16 in hardware.
    """

    kind: Literal["cpu", "gpu"]
    name: str
    bfloat16: bool


@dataclasses.dataclass(frozen=True)
class ExecutionPolicy:
    """How a model is executed.

    Attributes:
      precision: number format of activations and convolutions while training and validating.
      batch_norm: frozen batch norm "folded" into the convolution before it, or "fused" after it.
      xla: the network is compiled with XLA.
      export_precision: number format inside the exported SavedModel.
    """

    precision: Precision
    batch_norm: Literal["folded", "fused"]
    xla: bool
    export_precision: Precision

    def __str__(self) -> str:
        compiled = ", XLA" if self.xla else ""
        return f"{self.precision}, batch norm {self.batch_norm}{compiled}; exported in {self.export_precision}"


def choose(spec: ModelSpec, processor: Processor, wanted: Mapping[str, Any] | None = None) -> ExecutionPolicy:
    """The policy for a model on a processor.

    Dense 3x3 convolutions gain from bfloat16 where a CPU multiplies it in hardware, and those of an FPN and its head
    are most of a model's work; depthwise ones gain nothing. XLA is slow on CPUs. Folding a frozen batch norm gains
    everywhere. What a GPU exports is float32: it may be served elsewhere.

    Args:
      spec: the model.
      processor: what it runs on.
      wanted: field name -> value in place of the choice; "auto" or None leaves it, other names are passed over.
    """
    dense = spec.structure.decoder == "fpn" and spec.structure.convolutions == "dense"
    if processor.kind == "gpu":
        policy = ExecutionPolicy("bfloat16" if processor.bfloat16 else "float16", "folded", True, "float32")
    elif dense and processor.bfloat16:
        policy = ExecutionPolicy("bfloat16", "folded", False, "bfloat16")
    else:
        policy = ExecutionPolicy("float32", "folded", False, "float32")
    names = {field.name for field in dataclasses.fields(ExecutionPolicy)}
    given = {name: value for name, value in (wanted or {}).items() if name in names and value not in (AUTO, None)}
    if "xla" in given:
        given["xla"] = str(given["xla"]) == "True"
    return dataclasses.replace(policy, **given)


def cautions(precision: str, processor: Processor) -> list[str]:
    """A sentence when a SavedModel computes in a format that the processor does not know; else nothing."""
    if precision != "bfloat16" or processor.bfloat16:
        return []
    return [
        f"warning: the SavedModel computes in bfloat16, which {processor.name} does slowly, not in hardware; "
        "export it with --export_precision float32 to run it here"
    ]


def processor_of_this_machine(*, gpu: bool | None = None) -> Processor:
    """What TensorFlow would compute on; told without importing it.

    Args:
      gpu: whether it is a GPU, where that is known already; None asks NVIDIA's driver.
    """
    found = None if gpu is False else _gpu()
    if found:
        return found
    if gpu:  # one that the driver's tool does not describe
        return Processor("gpu", "GPU", bfloat16=False)
    fields = _cpu_fields()
    name = fields.get("model name") or platform.processor() or platform.machine()
    return Processor("cpu", name, bool(_BFLOAT16_FLAGS & set(fields.get("flags", "").split())))


def _gpu() -> Processor | None:
    """The first GPU that processes may use, or None."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    query = ["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        name, capability = answer.splitlines()[0].rsplit(",", 1)
        return Processor("gpu", name.strip(), float(capability) >= _BFLOAT16_COMPUTE_CAPABILITY)
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return None


def _cpu_fields() -> dict[str, str]:
    """What Linux says of the first processor; nothing on other systems."""
    try:
        first = _CPU_INFO.read_text(encoding="utf-8").split("\n\n", 1)[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
