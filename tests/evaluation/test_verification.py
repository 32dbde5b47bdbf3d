"""What verify_zoo.py concludes, on small checkpoints and data."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import types
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tfod_transfer import authenticity, cli, errors, registry
from tfod_transfer.evaluation import verification

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NO_DIGEST = "tensorflow-od1-ssd-resnet101-v1-fpn-640x640-coco17-tpu-8"  # published: 35.6
WITH_DIGEST = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"  # published: 22.2
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
A, B, C = (f"model/{name}{SUFFIX}" for name in "abc")


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint with two tensors."""
    import tensorflow as tf

    module = tf.Module()
    module.a, module.b = tf.Variable([1.0, 2.0]), tf.Variable(3.0)
    return str(tf.train.Checkpoint(model=module).write(str(tmp_path_factory.mktemp("checkpoint") / "ckpt-0")))


@pytest.fixture(scope="module")
def crcs(prefix: str) -> dict[str, int]:
    return authenticity.tensor_crcs(pathlib.Path(prefix))


@pytest.mark.parametrize(
    ("change", "genuine", "words"),
    [
        pytest.param({}, True, "2 of 2 tensors authenticated one by one", id="all as in the table"),
        pytest.param({B: 1}, False, "1 differ: model/b", id="one is another"),
        pytest.param({B: None}, False, "1 not in the table: model/b", id="one that nobody knows"),
        pytest.param({C: 1}, False, "1 only in the table: model/c", id="one is missing"),
    ],
)
def test_a_table_names_what_differs(
    prefix: str, crcs: dict[str, int], change: dict[str, Any], genuine: bool, words: str
) -> None:
    table = {key: crc for key, crc in {**crcs, **change}.items() if crc is not None}
    found = verification.authenticate(prefix, registry.load_registry().get(NO_DIGEST), table)
    assert set(crcs) == {A, B}
    assert (found.tensors, found.digest_agrees, found.genuine) == (2, None, genuine)
    assert words in "\n".join(found.lines())
    assert "none is known in the registry" in found.lines()[1]


def test_a_digest_that_differs_is_told(prefix: str) -> None:
    found = verification.authenticate(prefix, registry.load_registry().get(WITH_DIGEST))
    assert (found.digest_agrees, found.genuine, found.table_size) == (False, False, None)
    assert "DIFFERS" in found.lines()[1]
    assert len(found.lines()) == 2


@pytest.mark.parametrize("content", ["[]", "{", '{"model/a": "1"}', None], ids=["list", "cut", "text", "no file"])
def test_a_table_must_be_one(content: str | None, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "table.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(errors.WeightsError, match=r"table\.json: expected a JSON object"):
        verification.read_table(path)


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Three images laid out as COCO's val2017; the boxes would also do as corners."""
    folder = tmp_path_factory.mktemp("coco")
    (folder / "val2017").mkdir()
    (folder / "annotations").mkdir()
    images, boxes = [], []
    for number in range(1, 4):
        PIL.Image.fromarray(np.zeros((80, 100, 3), np.uint8)).save(folder / "val2017" / f"{number:012}.jpg")
        images.append({"id": number, "file_name": f"{number:012}.jpg", "height": 80, "width": 100})
        boxes.append({"id": number, "image_id": number, "category_id": 18, "iscrowd": 0, "bbox": [10, 20, 40, 50]})
    document = {"images": images, "annotations": boxes, "categories": [{"id": 18, "name": "dog"}]}
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize(("num_images", "expected"), [(None, 3), (2, 2), (9, 3)])
def test_the_layout_of_coco_is_read(coco: pathlib.Path, num_images: int | None, expected: int) -> None:
    with verification.coco_dataset(str(coco), num_images) as dataset:
        assert len(dataset) == dataset.num_boxes == expected
        assert all(pathlib.Path(path).is_file() for path in dataset.image_paths)
        np.testing.assert_allclose(dataset.boxes[0], [20 / 80, 10 / 100, 70 / 80, 50 / 100])
        assert dataset.class_names == ("dog",)


@pytest.mark.parametrize(
    ("measured", "agrees"),
    [(22.2, True), (22.69, True), (21.71, True), (22.71, False), (21.69, False)],
)
def test_half_a_point_is_allowed(measured: float, agrees: bool) -> None:
    comparison = verification.Comparison("some-model", 5000, measured, 22.2)
    assert comparison.agrees == agrees
    header, row = comparison.table().splitlines()
    assert row.split() == ["some-model", "5000", f"{measured:.1f}", "22.2", f"{measured - 22.2:+.1f}"]
    assert len(header) == len(row)


@pytest.fixture(scope="module")
def script() -> types.ModuleType:
    found = importlib.util.spec_from_file_location("verify_zoo", ROOT / "scripts" / "verify_zoo.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("model_id", "measured", "table", "status"),
    [
        pytest.param(NO_DIGEST, 0.354, {}, 0, id="near enough and nothing against it"),
        pytest.param(NO_DIGEST, 0.362, {}, 1, id="too good"),
        pytest.param(NO_DIGEST, 0.35, {}, 1, id="too bad"),
        pytest.param(NO_DIGEST, 0.356, {A: 1}, 1, id="a tensor is another"),
        pytest.param(WITH_DIGEST, 0.222, {}, 1, id="another digest"),
    ],
)
def test_the_exit_status(
    model_id: str,
    measured: float,
    table: dict[str, int],
    status: int,
    script: types.ModuleType,
    prefix: str,
    crcs: dict[str, int],
    coco: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "crc.json").write_text(json.dumps({**crcs, **table}))
    monkeypatch.setattr(script, "_measure", lambda options, dataset: measured)
    arguments = ["--coco", str(coco), "--pretrained", prefix, "--crc_table", str(tmp_path / "crc.json")]
    assert cli.run(script.main, [model_id, *arguments]) == status
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "data:       3 images, 3 boxes"
    assert printed[-1].split()[:3] == [model_id, "3", f"{100 * measured:.1f}"]


# arguments that cannot be used: words on standard error
WRONG = {
    "nothing published": (["tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes", "--coco", "x"], "nothing is"),
    "finished model": (["tensorflow-od-efficientdet-d0-1", "--coco", "x"], "cannot be trained"),
    "no data": ([NO_DIGEST, "--coco", "nowhere"], "nowhere does not exist"),
    "no images": ([NO_DIGEST, "--coco", "x", "--images", "0"], "expected a whole number of at least 1, found '0'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case: str, script: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    argv, words = WRONG[case]
    try:
        status = cli.run(script.main, argv)
    except SystemExit as stop:
        status = int(stop.code or 0)
    assert status == 2
    assert words in capsys.readouterr().err
