from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfod_transfer import errors
from tfod_transfer.modeling import zoo_checkpoint
from tfod_transfer.modeling.detector import Detector, build_detector
from tfod_transfer.modeling.heads import weight_shared
from tfod_transfer.modeling.layers import KEY_SUFFIX

NAMES = ("cup", "plate", "spoon")


def values_of(detector: Detector) -> dict[str, np.ndarray]:
    return {key: variable.numpy() for key, variable in detector.checkpoint_variables().items()}


@pytest.fixture(scope="module")
def saved(tiny_spec: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, np.ndarray]]:
    """A checkpoint of three classes with distinct values everywhere, and these values."""
    detector = build_detector(tiny_spec, 3, seed=1)
    rng = np.random.default_rng(0)
    for variable in detector.checkpoint_variables().values():
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return zoo_checkpoint.save(detector, tmp_path_factory.mktemp("saved")), values_of(detector)


def write(folder: pathlib.Path, tensors: dict[str, Any]) -> str:
    """A checkpoint with any content."""
    prefix = str(folder / "ckpt-0")
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.convert_to_tensor(value) for value in tensors.values()],
    )
    return prefix


def restore(detector: Detector, prefix: str, **options: Any) -> zoo_checkpoint.RestoreReport:
    return zoo_checkpoint.restore(
        detector, prefix, **{"checkpoint_class_names": NAMES, "class_names": NAMES, **options}
    )


def test_round_trip_is_exact(tiny_spec: Any, saved: Any) -> None:
    prefix, values = saved
    detector = build_detector(tiny_spec, 3)
    report = restore(detector, prefix)
    assert report.restored == {key: value.size for key, value in values.items()}
    assert report.reinitialized == report.unused == {}
    assert report.kept_classes == NAMES
    for key, value in values_of(detector).items():
        np.testing.assert_array_equal(value, values[key])


def test_a_saved_checkpoint_is_replaced_whole(tiny_spec: Any, tmp_path: pathlib.Path) -> None:
    for seed in (1, 2):
        detector = build_detector(tiny_spec, 3, seed=seed)
        prefix = zoo_checkpoint.save(detector, tmp_path)
    assert prefix == str(tmp_path / "checkpoint" / "ckpt-0")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    files = ["checkpoint", "ckpt-0.data-00000-of-00001", "ckpt-0.index"]
    assert sorted(path.name for path in (tmp_path / "checkpoint").iterdir()) == files
    assert tf.train.latest_checkpoint(str(tmp_path / "checkpoint")) == prefix
    again = build_detector(tiny_spec, 3)
    restore(again, prefix)
    expected = values_of(detector)
    for key, value in values_of(again).items():
        np.testing.assert_array_equal(value, expected[key])


CLASS_BIAS = f"{weight_shared.CLASS_KEY}/bias{KEY_SUFFIX}"
POINTWISE = f"{weight_shared.CLASS_KEY}/pointwise_kernel{KEY_SUFFIX}"
DEPTHWISE = f"{weight_shared.CLASS_KEY}/depthwise_kernel{KEY_SUFFIX}"
ROW = 6 * (16 + 1)  # parameters of one slot: six anchors, sixteen channels and a bias


@pytest.mark.parametrize(
    ("class_names", "mode", "kept_rows", "fresh_rows", "dropped_rows"),
    [
        pytest.param(NAMES, "Auto", {0: 0, 1: 1, 2: 2, 3: 3}, 0, 0, id="same classes"),
        pytest.param(("spoon", "fork"), "Auto", {0: 0, 1: 3}, 1, 2, id="one known, one new"),
        pytest.param((*NAMES, "fork"), "Auto", {0: 0, 1: 1, 2: 2, 3: 3}, 1, 0, id="one more"),
        pytest.param(("a", "b", "c", "d"), "Auto", {0: 0}, 4, 3, id="all new"),
        pytest.param(NAMES, "True", {}, 4, 4, id="reinitialize_top_layer True"),
        pytest.param(NAMES, "False", {0: 0, 1: 1, 2: 2, 3: 3}, 0, 0, id="reinitialize_top_layer False"),
    ],
)
def test_class_rows(
    tiny_spec: Any,
    saved: Any,
    class_names: tuple[str, ...],
    mode: Any,
    kept_rows: dict[int, int],
    fresh_rows: int,
    dropped_rows: int,
) -> None:
    prefix, pretrained = saved
    detector = build_detector(tiny_spec, len(class_names), seed=9)
    fresh = values_of(detector)
    report = restore(detector, prefix, class_names=class_names, reinitialize_top_layer=mode)
    restored = values_of(detector)
    for key in restored.keys() - {POINTWISE, DEPTHWISE, CLASS_BIAS}:
        np.testing.assert_array_equal(restored[key], pretrained[key])
    np.testing.assert_array_equal(restored[DEPTHWISE], (pretrained if kept_rows else fresh)[DEPTHWISE])
    for key in (POINTWISE, CLASS_BIAS):
        new, old, first = (x.reshape(*x.shape[:-1], 6, -1) for x in (restored[key], pretrained[key], fresh[key]))
        for slot in range(new.shape[-1]):
            expected = old[..., kept_rows[slot]] if slot in kept_rows else first[..., slot]
            np.testing.assert_array_equal(new[..., slot], expected)
    whole = 0 if kept_rows else 9 * 16  # the depthwise kernel
    assert sum(report.reinitialized.values()) == fresh_rows * ROW + whole
    assert sum(report.unused.values()) == dropped_rows * ROW + whole
    total = sum(report.restored.values())
    assert total + sum(report.reinitialized.values()) == sum(value.size for value in restored.values())
    assert total + sum(report.unused.values()) == sum(value.size for value in pretrained.values())


def test_report_as_table_and_dictionary(tiny_spec: Any, saved: Any) -> None:
    report = restore(build_detector(tiny_spec, 2), saved[0], class_names=("spoon", "fork"))
    lines = report.table().splitlines()
    size = sum(value.size for value in saved[1].values()) - 2 * ROW
    assert lines[1].split() == ["restored", str(len(saved[1])), f"{size:,}"]
    assert lines[2].split()[:3] == ["re-initialised", "2", str(ROW)]
    assert lines[3].split()[:3] == ["unused", "2", str(2 * ROW)]
    assert [line.split(":")[1].strip() for line in lines[4:]] == ["spoon", "fork", "cup, plate"]
    record = json.loads(json.dumps(report.to_dict()))
    assert record["totals"]["reinitialized"] == {"variables": 2, "parameters": ROW}
    assert record["kept_classes"] == ["spoon"]
    assert POINTWISE in record["unused"]


def test_leftovers_of_a_training_job_are_listed_as_unused(tiny_spec: Any, saved: Any, tmp_path: pathlib.Path) -> None:
    extra = {
        f"save_counter{KEY_SUFFIX}": np.int64(1),
        f"step{KEY_SUFFIX}": np.int64(1),
        f"optimizer/learning_rate{KEY_SUFFIX}": np.float32(1),
        "_CHECKPOINTABLE_OBJECT_GRAPH": "graph",
    }
    report = restore(build_detector(tiny_spec, 3), write(tmp_path, {**saved[1], **extra}))
    assert report.unused == dict.fromkeys(extra, 1)


BN_KEY = f"model/_feature_extractor/_coarse_feature_layers/0/1/gamma{KEY_SUFFIX}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({BN_KEY: None}, r"not in the checkpoint: \S*_coarse_feature_layers/0/1/gamma\.", id="missing"),
        pytest.param(
            {"model/other/kernel": np.zeros(3, "f")}, r"not in the model: model/other/kernel\.", id="left over"
        ),
        pytest.param({BN_KEY: np.zeros(3, "f")}, r"expected float32 \[16\], found float32 \[3\]", id="shape"),
        pytest.param({BN_KEY: np.zeros(16, "f2")}, r"expected float32 \[16\], found float16 \[16\]", id="type"),
        pytest.param({CLASS_BIAS: None}, "expected a class head with 6 anchors .* found no", id="no class head"),
        pytest.param({CLASS_BIAS: np.zeros(25, "f")}, "found 25 channels", id="other anchors"),
        pytest.param({CLASS_BIAS: np.zeros(30, "f")}, "knows 4 classes, but 3 names", id="other classes"),
    ],
)
def test_a_checkpoint_that_does_not_fit(
    tiny_detector: Any, saved: Any, tmp_path: pathlib.Path, change: dict[str, Any], message: str
) -> None:
    tensors = {key: value for key, value in {**saved[1], **change}.items() if value is not None}
    before = values_of(tiny_detector)
    with pytest.raises(errors.CheckpointError, match=message):
        restore(tiny_detector, write(tmp_path, tensors))
    for key, value in values_of(tiny_detector).items():
        np.testing.assert_array_equal(value, before[key])


def test_both_differences_are_listed_up_to_ten(tiny_detector: Any, saved: Any, tmp_path: pathlib.Path) -> None:
    keys = [key for key in saved[1] if "classification_backbone" in key]
    tensors = {("model/x" + key if key in keys else key): value for key, value in saved[1].items()}
    with pytest.raises(errors.CheckpointError) as error:
        restore(tiny_detector, write(tmp_path, tensors))
    assert str(error.value).count(f" and {len(keys) - 10} more") == 2


def no_data(prefix: pathlib.Path) -> None:
    prefix.with_suffix(".data-00000-of-00001").unlink()


def cut_data(prefix: pathlib.Path) -> None:
    path = prefix.with_suffix(".data-00000-of-00001")
    path.write_bytes(path.read_bytes()[:-1000])


def flip_a_bit(prefix: pathlib.Path) -> None:
    path = prefix.with_suffix(".data-00000-of-00001")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def cut_index(prefix: pathlib.Path) -> None:
    path = prefix.with_suffix(".index")
    path.write_bytes(path.read_bytes()[:100])


def no_index(prefix: pathlib.Path) -> None:
    prefix.with_suffix(".index").unlink()


def text_instead(prefix: pathlib.Path) -> None:
    prefix.with_suffix(".index").write_text("<html>404</html>")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_data, "damaged or its data file is missing"),
        (cut_data, "damaged or its data file is missing"),
        (flip_a_bit, "damaged or its data file is missing"),
        (cut_index, "damaged or its data file is missing"),
        (text_instead, "damaged or its data file is missing"),
        (no_index, "expected a TensorFlow checkpoint"),
    ],
)
def test_a_damaged_checkpoint(
    tiny_detector: Any, saved: Any, tmp_path: pathlib.Path, damage: Callable[[pathlib.Path], None], message: str
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(pathlib.Path(saved[0]).parent, folder)
    damage(folder / "ckpt-0")
    before = values_of(tiny_detector)
    with pytest.raises(errors.CheckpointError, match=message):
        restore(tiny_detector, str(folder / "ckpt-0"))
    for key, value in values_of(tiny_detector).items():
        np.testing.assert_array_equal(value, before[key])


def test_the_genuine_index_without_its_data(shared: Callable[[str], pathlib.Path], make_spec: Any) -> None:
    spec = make_spec()
    prefix = str(shared(f"zoo/index/{spec.checkpoint.name}") / "ckpt-0")
    assert zoo_checkpoint.num_classes_in(prefix, spec) == 90
    detector = build_detector(spec, 90)
    with pytest.raises(errors.CheckpointError, match="data file is missing"):
        restore(detector, prefix, checkpoint_class_names=spec.class_names, class_names=spec.class_names)


def test_the_genuine_index_of_another_model(shared: Callable[[str], pathlib.Path], make_spec: Any) -> None:
    prefix = str(shared("zoo/index/efficientdet_d0_coco17_tpu-32") / "ckpt-0")
    spec = make_spec()
    names = [str(i) for i in range(zoo_checkpoint.num_classes_in(prefix, spec))]
    with pytest.raises(errors.CheckpointError, match=r"does not fit the model.* and \d+ more.* and \d+ more"):
        restore(build_detector(spec, 90), prefix, checkpoint_class_names=names, class_names=NAMES)
