"""A manifest whose images are in a bucket, by the real command and tensorflow-io."""

from __future__ import annotations

import io
import json
import pathlib
from typing import Any

import pytest
from PIL import Image
from running import Command

pytestmark = pytest.mark.acceptance

SIDE = 48
BOX = {"class_id": 0, "left": 16, "top": 24, "width": 20, "height": 20}


def picture(side: int, shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 90, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def test_images_are_copied_once_and_again_when_they_change(
    bucket: Any, command: Command, tmp_path: pathlib.Path
) -> None:
    bucket.put("labelled/a b.png", picture(SIDE, 0))
    bucket.put("labelled/b.png", picture(SIDE, 50))
    addresses = [f"{bucket.address}/labelled/{name}" for name in ("a b.png", "b.png", "none.png")]
    labels = {"image_size": [{"width": SIDE, "height": SIDE}], "annotations": [BOX]}
    lines = [json.dumps({"source-ref": address, "boxes": labels}) + "\n" for address in addresses]
    (tmp_path / "output.manifest").write_text("".join(lines))
    environment = {**bucket.environment, "TFOD_TRANSFER_CACHE": str(tmp_path / "cache")}
    copies = tmp_path / "cache" / "remote" / "s3" / "photographs" / "labelled"

    for shade in (50, 99):
        bucket.put("labelled/b.png", picture(2 * SIDE if shade == 99 else SIDE, shade))
        before = {path.name: path.stat().st_ino for path in copies.glob("*")}
        done = command("inspect", tmp_path / "output.manifest", "--max_findings", 1, environ=environment)
        assert done.status == 0, done.error
        assert "2 of 3 images" in done.output
        assert f"{addresses[2]}: it cannot be read" in done.output
        assert (copies / "b.png").read_bytes() == picture(2 * SIDE if shade == 99 else SIDE, shade)
        after = {path.name: path.stat().st_ino for path in copies.glob("*")}
        assert sorted(after) == ["a b.png", "b.png"]
        if before:
            assert after["a b.png"] == before["a b.png"]
