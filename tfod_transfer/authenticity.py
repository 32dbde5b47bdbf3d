"""Whether a checkpoint is the one that the registry knows: by size, by SHA-256, tensor by tensor."""

from __future__ import annotations

import hashlib
import os
import pathlib
import struct
import tempfile
from collections.abc import Mapping

from tfod_transfer import checkpoint_files, errors
from tfod_transfer.registry import ModelSpec

#: What a data file holds beside its floats (the object graph), at most, in bytes.
_OVERHEAD_BYTES = 2 << 20


def verify(prefix: pathlib.Path, spec: ModelSpec, what: str) -> None:
    """Checks that a checkpoint is the one that the registry knows: size, SHA-256 and tensor digest, where known.

    Raises:
      WeightsError: it is another one, or it is damaged; `what` names it.
    """
    known = spec.checkpoint
    found = sum(path.stat().st_size for path in checkpoint_files.data_files(prefix))
    low, high = _data_bytes(spec)
    problem = None
    if not low <= found <= high:
        problem = f"expected a data file of {size_in_words(spec)}, found {found:,} bytes"
    elif known.data_sha256 and (sha256 := file_sha256(checkpoint_files.data_files(prefix)[0])) != known.data_sha256:
        problem = f"expected data with SHA-256 {known.data_sha256}, found {sha256}"
    elif known.tensor_crc_digest and (digest := tensor_crc_digest(prefix)) != known.tensor_crc_digest:
        problem = f"expected tensors with digest {known.tensor_crc_digest}, found {digest}"
    if problem:
        raise errors.WeightsError(
            f"{what} is not the checkpoint {known.name} of {spec.model_id}: {problem} ({prefix.name})."
        )


def _data_bytes(spec: ModelSpec) -> tuple[int, int]:
    """Least and largest size of the data file in bytes."""
    if spec.checkpoint.data_bytes is not None:
        return spec.checkpoint.data_bytes, spec.checkpoint.data_bytes
    return 4 * spec.parameters, 4 * spec.parameters + _OVERHEAD_BYTES


def size_in_words(spec: ModelSpec) -> str:
    """The size of a model's data file, or its bounds where only the number of parameters is known."""
    low, high = _data_bytes(spec)
    return f"{low:,} bytes" if low == high else f"{low:,} to {high:,} bytes"


def file_sha256(path: pathlib.Path) -> str:
    """The SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def tensor_crc_digest(prefix: pathlib.Path) -> str:
    r"""Returns the SHA-256, in hex, over the lines "KEY CRC\n" of a checkpoint's `model/` tensors, sorted by key.

    CRC is the masked CRC32C of the tensor's bytes in decimal, as checkpoint indexes hold it. It is computed from the
    values, so that the digest vouches for them and not only for the index.

    Raises:
      WeightsError: the checkpoint cannot be read.
    """
    return crc_digest(tensor_crcs(prefix))


def tensor_crcs(prefix: pathlib.Path) -> dict[str, int]:
    """Returns the masked CRC32C of the bytes of every `model/` tensor of a checkpoint, by key.

    Raises:
      WeightsError: the checkpoint cannot be read, or a tensor is not what the checkpoint's own index says.
    """
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        keys = sorted(key for key in reader.get_variable_to_shape_map() if key.startswith("model/"))
        # TensorFlow compares each tensor that it reads whole with the CRC in the index.
        crcs = masked_crc32c([reader.get_tensor(key).tobytes() for key in keys])
    except (tf.errors.OpError, ValueError) as error:
        raise errors.WeightsError(f"{prefix} is damaged: {error}") from None
    return dict(zip(keys, crcs, strict=True))


def crc_digest(crcs: Mapping[str, int]) -> str:
    """Returns the digest that `tensor_crc_digest` describes, of known checksums."""
    return hashlib.sha256("".join(f"{key} {crcs[key]}\n" for key in sorted(crcs)).encode()).hexdigest()


def masked_crc32c(payloads: list[bytes]) -> list[int]:
    """Returns TensorFlow's masked CRC32C of each payload.

    TFRecord files frame a payload as length (8 bytes), checksum of that (4), payload, checksum of the payload (4); the
    checksum is the very one that checkpoints use.
    """
    import tensorflow as tf

    crcs = []
    with tempfile.NamedTemporaryFile(suffix=".tfrecord") as file:
        with tf.io.TFRecordWriter(file.name) as writer:
            for payload in payloads:
                writer.write(payload)
        for payload in payloads:
            file.seek(12 + len(payload), os.SEEK_CUR)
            crcs.append(struct.unpack("<I", file.read(4))[0])
    return crcs
