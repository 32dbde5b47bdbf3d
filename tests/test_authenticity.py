from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tfod_transfer import authenticity, errors, registry

FPNLITE_320 = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"


def crc32c(data: bytes) -> int:
    """CRC32C bit by bit, as RFC 3720 defines it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, dict[str, int]]:
    """A small checkpoint, and the masked CRC32C of its `model/` tensors by key."""
    import tensorflow as tf

    values = {"kernel": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4), "bias": np.float32(0.5)}
    module = tf.Module()
    for name, value in values.items():
        setattr(module, name, tf.Variable(value))
    prefix = tf.train.Checkpoint(model=module, step=tf.Variable(3)).write(
        str(tmp_path_factory.mktemp("checkpoint") / "ckpt-0")
    )
    crcs = {f"model/{name}/.ATTRIBUTES/VARIABLE_VALUE": masked(value.tobytes()) for name, value in values.items()}
    return pathlib.Path(prefix), crcs


def spec_of(prefix: pathlib.Path, **fields: Any) -> registry.ModelSpec:
    spec = registry.load_registry().get(FPNLITE_320)
    data = prefix.with_name("ckpt-0.data-00000-of-00001").stat().st_size
    source = dataclasses.replace(spec.checkpoint, **{"data_bytes": data, "tensor_crc_digest": None, **fields})
    return dataclasses.replace(spec, checkpoint=source, parameters=25)


def test_checksums_are_masked_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the catalogue of CRCs
    payloads = [b"", b"123456789", bytes(1000)]
    assert authenticity.masked_crc32c(payloads) == [masked(payload) for payload in payloads]


def test_checksums_are_those_of_the_index(checkpoint: tuple[pathlib.Path, dict[str, int]]) -> None:
    prefix, crcs = checkpoint
    index = prefix.with_name("ckpt-0.index").read_bytes()
    for crc in crcs.values():
        assert b"\x35" + struct.pack("<I", crc) in index  # field 6 of a BundleEntryProto, a fixed32


def test_the_digest_is_over_sorted_lines(checkpoint: tuple[pathlib.Path, dict[str, int]]) -> None:
    prefix, crcs = checkpoint
    bias, kernel = sorted(crcs)
    lines = f"{bias} {crcs[bias]}\n{kernel} {crcs[kernel]}\n"
    assert authenticity.tensor_crc_digest(prefix) == hashlib.sha256(lines.encode()).hexdigest()


def test_the_digest_of_genuine_checksums(shared: Callable[[str], pathlib.Path]) -> None:
    known = 0
    for spec in registry.load_registry():
        path = shared("zoo/crc32c") / f"{spec.checkpoint.name}.json"
        if path.exists():
            digest = authenticity.crc_digest(json.loads(path.read_text()))
            assert digest == spec.checkpoint.tensor_crc_digest
            known += 1
    assert known == 6


def test_a_genuine_checkpoint_passes(checkpoint: tuple[pathlib.Path, dict[str, int]]) -> None:
    prefix, crcs = checkpoint
    data = prefix.with_name("ckpt-0.data-00000-of-00001").read_bytes()
    known = {"tensor_crc_digest": authenticity.crc_digest(crcs), "data_sha256": hashlib.sha256(data).hexdigest()}
    authenticity.verify(prefix, spec_of(prefix, **known), "the file")
    authenticity.verify(prefix, spec_of(prefix, data_bytes=None), "the file")


# what the registry says otherwise: words of the error
OTHERWISE = {
    "size": ({"data_bytes": 10_752_177}, r"expected a data file of 10,752,177 bytes, found \d+ bytes"),
    "SHA-256": ({"data_sha256": "51e4"}, r"expected data with SHA-256 51e4, found [0-9a-f]{64}"),
    "tensors": ({"tensor_crc_digest": "7a78"}, r"expected tensors with digest 7a78, found [0-9a-f]{64}"),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_another_checkpoint_is_refused(case: str, checkpoint: tuple[pathlib.Path, dict[str, int]]) -> None:
    fields, words = OTHERWISE[case]
    spec = spec_of(checkpoint[0], **fields)
    with pytest.raises(errors.WeightsError, match=words) as caught:
        authenticity.verify(checkpoint[0], spec, "the file")
    assert f"the file is not the checkpoint {spec.checkpoint.name} of {FPNLITE_320}" in str(caught.value)


@pytest.mark.parametrize("parameters", [1_000_000, 0], ids=["too small", "too large"])
def test_the_size_is_bounded_where_it_is_not_known(
    parameters: int, checkpoint: tuple[pathlib.Path, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticity, "_OVERHEAD_BYTES", 10)
    spec = dataclasses.replace(spec_of(checkpoint[0], data_bytes=None), parameters=parameters)
    bounds = f"{4 * parameters:,} to {4 * parameters + 10:,} bytes"
    with pytest.raises(errors.WeightsError, match=re.escape(f"expected a data file of {bounds}, found ")):
        authenticity.verify(checkpoint[0], spec, "the file")


@pytest.mark.parametrize("end", [".index", ".data-00000-of-00001"])
def test_damage_is_named(end: str, checkpoint: tuple[pathlib.Path, dict[str, int]], tmp_path: pathlib.Path) -> None:
    for path in checkpoint[0].parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damaged = tmp_path / f"ckpt-0{end}"
    content = bytearray(damaged.read_bytes())
    kernel = np.linspace(-1, 1, 24, dtype=np.float32).tobytes()
    content[20 if end == ".index" else content.index(kernel) + 7] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(errors.WeightsError, match=f"{tmp_path}/ckpt-0 is damaged"):
        authenticity.tensor_crc_digest(tmp_path / "ckpt-0")
