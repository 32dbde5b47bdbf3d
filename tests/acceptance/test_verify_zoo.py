"""The verification of a model against its published figure, with a trained checkpoint and boxes drawn by eye."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Callable

import PIL.Image
import pytest
from running import ROOT

pytestmark = pytest.mark.acceptance
MODEL_ID = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"

# file name: [ymin, xmin, ymax, xmax] of a face as shares of the image
FACES = {
    "000000000294.jpg": [0.16, 0.15, 0.42, 0.30],
    "000000000459.jpg": [0.13, 0.24, 0.43, 0.51],
}


@pytest.fixture
def coco(shared: Callable[[str], pathlib.Path], tmp_path: pathlib.Path) -> pathlib.Path:
    """Two photographs and their faces, laid out as COCO lays out val2017."""
    images, annotations = [], []
    folder = tmp_path / "coco"
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").symlink_to(shared("data/coco_permissive/images"))
    for number, (name, (ymin, xmin, ymax, xmax)) in enumerate(FACES.items(), start=1):
        with PIL.Image.open(folder / "val2017" / name) as image:
            width, height = image.size
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        box = [xmin * width, ymin * height, (xmax - xmin) * width, (ymax - ymin) * height]
        annotations.append({"id": number, "image_id": number, "category_id": 5, "iscrowd": 0, "bbox": box})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 5, "name": "face"}]}
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(document))
    return folder


def test_hands_are_not_the_zoos_checkpoint(shared: Callable[[str], pathlib.Path], coco: pathlib.Path) -> None:
    table = shared("zoo/crc32c/ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8.json")
    pretrained = shared("checkpoints/ssd_mobilenet_v2_fpnlite_320x320_hands")
    command = [sys.executable, str(ROOT / "scripts" / "verify_zoo.py"), MODEL_ID, "--coco", str(coco)]
    command += ["--pretrained", str(pretrained), "--crc_table", str(table)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=coco)
    assert done.returncode == 1, done.stderr
    assert "tensors:    384 read" in done.stdout
    assert "DIFFERS from the registry" in done.stdout
    assert "384 differ" in done.stdout
    model_id, images, measured, published, difference = done.stdout.splitlines()[-1].split()
    assert (model_id, images, published) == (MODEL_ID, "2", "22.2")
    assert float(measured) > 40, "it finds the faces, as exactly as an eye does"
    assert float(difference) == pytest.approx(float(measured) - 22.2, abs=0.11)
