from __future__ import annotations

import pathlib
import subprocess
from typing import Any

import pytest

from tfod_transfer import execution, registry
from tfod_transfer.execution import Processor

RESNET = "tensorflow-od1-ssd-resnet50-v1-fpn-640x640-coco17-tpu-8"
FPNLITE = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
MOBILENET_V1 = "tensorflow-od1-ssd-mobilenet-v1-fpn-640x640-coco17-tpu-8"
MOBILENET_SSD = "tensorflow-od1-ssd-mobilenet-v2-320x320-coco17-tpu-8"
EFFICIENTDET = "tensorflow-od1-ssd-efficientdet-d0-512x512-coco17-tpu-8"

OLD_CPU, NEW_CPU = Processor("cpu", "old", bfloat16=False), Processor("cpu", "new", bfloat16=True)
T4, A100 = Processor("gpu", "T4", bfloat16=False), Processor("gpu", "A100", bfloat16=True)


@pytest.mark.parametrize(
    ("model_id", "processor", "wanted", "expected"),
    [
        pytest.param(RESNET, OLD_CPU, {}, "float32, batch norm folded; exported in float32", id="dense, old cpu"),
        pytest.param(RESNET, NEW_CPU, {}, "bfloat16, batch norm folded; exported in bfloat16", id="dense, new cpu"),
        pytest.param(FPNLITE, NEW_CPU, {}, "float32, batch norm folded; exported in float32", id="depthwise, new cpu"),
        pytest.param(MOBILENET_V1, NEW_CPU, {}, "bfloat16, batch norm folded; exported in bfloat16", id="dense head"),
        pytest.param(MOBILENET_SSD, NEW_CPU, {}, "float32, batch norm folded; exported in float32", id="1x1 head"),
        pytest.param(EFFICIENTDET, NEW_CPU, {}, "float32, batch norm folded; exported in float32", id="efficientdet"),
        pytest.param(FPNLITE, T4, {}, "float16, batch norm folded, XLA; exported in float32", id="older gpu"),
        pytest.param(RESNET, A100, {}, "bfloat16, batch norm folded, XLA; exported in float32", id="newer gpu"),
        pytest.param(
            RESNET,
            NEW_CPU,
            {"precision": "float32", "batch_norm": "fused", "xla": "True", "export_precision": "float32", "epochs": 3},
            "float32, batch norm fused, XLA; exported in float32",
            id="all overridden",
        ),
        pytest.param(
            RESNET,
            A100,
            {"precision": "auto", "xla": "False", "batch_norm": None},
            "bfloat16, batch norm folded; exported in float32",
            id="some overridden",
        ),
    ],
)
def test_the_policy(model_id: str, processor: Processor, wanted: dict[str, Any], expected: str) -> None:
    spec = registry.load_registry().get(model_id)
    assert str(execution.choose(spec, processor, wanted)) == expected


CPU_INFO = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu sse2 {}\n\nprocessor\t: 1\nmodel name\t: Other\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(CPU_INFO.format("avx2"), Processor("cpu", "Some CPU", False), id="without"),
        pytest.param(CPU_INFO.format("avx512_bf16"), Processor("cpu", "Some CPU", True), id="AVX-512"),
        pytest.param(CPU_INFO.format("amx_bf16 amx_tile"), Processor("cpu", "Some CPU", True), id="AMX"),
        pytest.param(None, None, id="no Linux"),
    ],
)
def test_a_cpu_is_known_by_its_flags(
    content: str | None, expected: Processor | None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "cpuinfo").write_text(content)
    monkeypatch.setattr(execution, "_CPU_INFO", tmp_path / "cpuinfo")
    found = execution.processor_of_this_machine(gpu=False)
    assert found == expected if expected else (found.kind, found.bfloat16) == ("cpu", False) and found.name


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param("NVIDIA A10G, 8.6\nTesla T4, 7.5\n", Processor("gpu", "NVIDIA A10G", True), id="new"),
        pytest.param("Tesla T4, 7.5\n", Processor("gpu", "Tesla T4", False), id="old"),
        pytest.param("", None, id="none"),
        pytest.param("No devices were found\n", None, id="a sentence"),
        pytest.param(FileNotFoundError("nvidia-smi"), None, id="no driver"),
        pytest.param(subprocess.TimeoutExpired("nvidia-smi", 10), None, id="it hangs"),
    ],
)
def test_a_gpu_is_known_by_its_driver(
    answer: str | Exception, expected: Processor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, **__: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return subprocess.CompletedProcess([], 0, answer)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(subprocess, "run", run)
    found = execution.processor_of_this_machine()
    assert found == expected if expected else found.kind == "cpu"
    assert execution.processor_of_this_machine(gpu=True).kind == "gpu"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert execution.processor_of_this_machine().kind == "cpu"


@pytest.mark.parametrize(
    ("precision", "processor", "cautious"),
    [("bfloat16", OLD_CPU, True), ("bfloat16", NEW_CPU, False), ("float32", OLD_CPU, False), ("bfloat16", T4, True)],
)
def test_a_format_that_the_processor_does_not_know_is_told(
    precision: str, processor: Processor, cautious: bool
) -> None:
    lines = execution.cautions(precision, processor)
    assert len(lines) == cautious
    assert all(processor.name in line and "--export_precision float32" in line for line in lines)
