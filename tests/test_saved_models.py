"""Models that can only be run: found, refused for training, and run like artifacts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest

from tfod_transfer import cli, errors, fit, predict, registry, saved_models

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL_ID = "tensorflow-od-ssd-mobilenet-v2-2"
KEYPOINTS = "tensorflow-od-centernet-resnet50v2-512x512-kpts-1"
TRAINABLE = "tensorflow-od1-ssd-mobilenet-v2-320x320-coco17-tpu-8"


def exported(folder: pathlib.Path, dtype: str = "uint8", dog: float = 18.0) -> pathlib.Path:
    """A SavedModel with the API's signature: a dog whose score is the brightness of the first pixel, and padding."""
    import tensorflow as tf

    module = tf.Module()
    module.boxes = tf.Variable([[[0.1, 0.2, 0.5, 0.8], [0.0, 0.0, 0.0, 0.0]]])

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], dtype, name="input_tensor")])
    def detect(images: tf.Tensor) -> dict[str, tf.Tensor]:
        brightness = tf.cast(images[0, 0, 0, 0], tf.float32) / 255.0
        return {
            "detection_boxes": module.boxes.read_value(),
            "detection_classes": tf.constant([[dog, 1.0]]),
            "detection_scores": tf.stack([brightness, 0.0])[tf.newaxis],
            "num_detections": tf.constant([1.0]),
        }

    tf.saved_model.save(module, str(folder), signatures={"serving_default": detect})
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return exported(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def spec() -> registry.SavedModelSpec:
    return registry.load_registry().saved_models[MODEL_ID]


@pytest.fixture
def photo(tmp_path: pathlib.Path) -> pathlib.Path:
    """40 x 30 pixels, white at the left; stored upside down with the orientation that says so."""
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    exif = PIL.Image.Exif()
    exif[0x0112] = 3
    PIL.Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    return tmp_path / "photo.jpg"


def packed(folder: pathlib.Path, archive: pathlib.Path, name: str) -> pathlib.Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, name)
    return archive


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = cli.run(predict.main, [str(argument) for argument in arguments])
    output = capsys.readouterr()
    return status, output.out, output.err


def test_its_predictions_are_like_those_of_an_artifact(
    model: pathlib.Path, photo: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    status, printed, _ = run(capsys, MODEL_ID, photo, "--output_dir", out, "--pretrained", model)
    assert status == 0
    assert printed.splitlines()[:2] == [
        f"model:      {MODEL_ID}, given as --pretrained {model}",
        f"{photo}: dog 1.00",
    ]
    (line,) = (out / "predictions.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["image"] == str(photo)
    assert record["normalized_boxes"] == [[0.2, 0.1, 0.8, 0.5]]
    assert (record["classes"], record["class_names"]) == ([18.0], ["dog"])
    assert record["scores"][0] > 0.98
    assert len(record["labels"]) == 91
    assert (record["labels"][0], record["labels"][1], record["labels"][12]) == ("N/A", "person", "N/A")
    with PIL.Image.open(out / "photo.jpg") as picture:
        assert picture.size == (40, 30)


def test_keypoints_are_said_to_be_left_out(
    model: pathlib.Path, photo: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed, _ = run(capsys, KEYPOINTS, photo, "--output_dir", tmp_path / "out", "--pretrained", model)
    assert status == 0
    assert "keypoints are left out" in printed


# where the model is: what puts it there and returns what is given
def as_archive(model: pathlib.Path, cache: pathlib.Path, url: str) -> str:
    return str(packed(model, cache / "m.tar.gz", "."))


def as_zoo_archive(model: pathlib.Path, cache: pathlib.Path, url: str) -> str:
    return str(packed(model, cache / "m.tgz", "ssd_some_model/saved_model"))


def as_cached_archive(model: pathlib.Path, cache: pathlib.Path, url: str) -> None:
    packed(model, cache / f"{MODEL_ID}.tar.gz", ".")


def as_hub_caches(model: pathlib.Path, cache: pathlib.Path, url: str) -> None:
    shutil.copytree(model, cache / hashlib.sha1(url.encode()).hexdigest())


def to_download(model: pathlib.Path, cache: pathlib.Path, url: str) -> None:
    packed(model, pathlib.Path(url.removeprefix("file://")), ".")


@pytest.mark.parametrize(
    ("place", "origin"),
    [
        (as_archive, "given as --pretrained"),
        (as_zoo_archive, "given as --pretrained"),
        (as_cached_archive, "from the cache"),
        (as_hub_caches, "from the cache"),
        (to_download, "downloaded from file://"),
    ],
)
def test_it_is_found(
    place: Callable[[pathlib.Path, pathlib.Path, str], str | None],
    origin: str,
    model: pathlib.Path,
    spec: registry.SavedModelSpec,
    tmp_path: pathlib.Path,
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    spec = dataclasses.replace(spec, url=f"file://{tmp_path}/elsewhere.tar.gz")
    given = place(model, cache, spec.url)
    found = saved_models.resolve(spec, given, cache_dir=cache)
    assert found.origin.startswith(origin)
    assert (pathlib.Path(found.folder) / "saved_model.pb").read_bytes() == (model / "saved_model.pb").read_bytes()
    if origin.startswith("downloaded"):
        assert saved_models.locality(spec, {"TFOD_TRANSFER_CACHE": str(cache)}) == "cached"
        assert saved_models.resolve(spec, cache_dir=cache).origin == f"from the cache {cache / MODEL_ID}"


def nothing(model: pathlib.Path, folder: pathlib.Path) -> None:
    folder.mkdir()


def two(model: pathlib.Path, folder: pathlib.Path) -> None:
    shutil.copytree(model, folder / "a")
    shutil.copytree(model, folder / "b")


def not_there(model: pathlib.Path, folder: pathlib.Path) -> None:
    pass


@pytest.mark.parametrize(
    ("place", "words"),
    [
        pytest.param(nothing, "must hold one SavedModel .* found: none", id="empty folder"),
        pytest.param(two, "found: a, b", id="two models"),
        pytest.param(not_there, "does not exist", id="no such folder"),
    ],
)
def test_what_is_given_must_hold_it(
    place: Callable[[pathlib.Path, pathlib.Path], None],
    words: str,
    model: pathlib.Path,
    spec: registry.SavedModelSpec,
    tmp_path: pathlib.Path,
) -> None:
    place(model, tmp_path / "given")
    with pytest.raises(errors.WeightsError, match=words):
        saved_models.resolve(spec, str(tmp_path / "given"), cache_dir=tmp_path / "cache")


def test_a_failed_download_says_what_else_to_do(spec: registry.SavedModelSpec, tmp_path: pathlib.Path) -> None:
    spec = dataclasses.replace(spec, url=f"file://{tmp_path}/nowhere.tar.gz")
    with pytest.raises(errors.WeightsError, match=rf"cannot get {MODEL_ID} from file.* as {MODEL_ID}.tar.gz; or give"):
        saved_models.resolve(spec, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache" / MODEL_ID).exists()


def damaged(folder: pathlib.Path) -> None:
    exported(folder)
    (folder / "saved_model.pb").write_bytes(b"no model")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda f: exported(f, dtype="float32"), "found the inputs input_tensor float32", id="float input"),
        pytest.param(lambda f: exported(f, dog=91.0), "gives class 91, but its label map has 1 to 90", id="class 91"),
        pytest.param(damaged, "cannot be loaded as a SavedModel", id="damaged"),
    ],
)
def test_another_model_is_refused(
    make: Callable[[pathlib.Path], None],
    words: str,
    photo: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(tmp_path / "other")
    status, _, error = run(
        capsys, MODEL_ID, photo, "--output_dir", tmp_path / "out", "--pretrained", tmp_path / "other"
    )
    assert status == 2
    assert words in error
    assert len(error.splitlines()) == 1


# arguments that cannot be used: words on standard error
WRONG = {
    "trainable model": ([TRAINABLE], f"fit --model_id {TRAINABLE} --epochs 0 --model_dir DIR"),
    "nearly a model": ([MODEL_ID.replace("-2", "")], f"Did you mean '{MODEL_ID}'?"),
    "neither": (["nowhere"], "no artifact folder 'nowhere'"),
    "folder with --pretrained": ([str(ROOT), "--pretrained", "x"], "--pretrained goes with a model_id"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case: str, photo: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model, *options), words = WRONG[case]
    status, printed, error = run(capsys, model, photo, "--output_dir", photo.parent / "out", *options)
    assert (status, printed) == (2, "")
    assert words in error
    assert not (photo.parent / "out").exists()


@pytest.mark.parametrize("model_id", registry.load_registry().saved_models)
def test_it_cannot_be_trained(model_id: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = registry.load_registry()
    nearest = models.get(models.saved_models[model_id].nearest)
    assert cli.run(fit.main, ["--model_id", model_id, "--model_dir", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert f"{model_id} cannot be trained" in error
    assert repr(nearest.model_id) in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "--model_id", MODEL_ID, "--model_dir", "x"],
        ["predict", TRAINABLE, "x.jpg", "--output_dir", "x"],
        ["predict", MODEL_ID, "x.jpg", "--output_dir", "x"],
    ],
    ids=["fit of a finished model", "predict of a trainable one", "predict of an image that is not there"],
)
def test_such_answers_import_no_tensorflow(arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", f"tfod_transfer.{arguments[0]}", *arguments[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "yaml" in imported
    assert not {"tensorflow", "tf_keras", "tensorflow_hub"} & imported
