"""Which model a job trains."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile

import pytest

from tfod_transfer import errors
from tfod_transfer.registry import load_registry
from tfod_transfer.sagemaker import model_choice
from tfod_transfer.sagemaker.environment import Job

SMALL = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"
LARGE = "tensorflow-od1-ssd-mobilenet-v2-fpnlite-640x640-coco17-tpu-8"
SMALL_ARCHIVE = "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8"
VGG, RESNET = "object-detection-ssd-vgg-16", "object-detection-ssd-resnet-50"
INFO = json.dumps({"model_name": LARGE}).encode()


def job(model_channel=None, **hyperparameters):
    return Job(hyperparameters, None, None, model_channel and str(model_channel), "", "", "", (), "")


def archive(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def choose(tmp_path, *args, **kwargs):
    return model_choice.choose_model(job(*args, **kwargs), load_registry(), tmp_path)[0]


@pytest.mark.parametrize(
    ("hyperparameters", "channels", "expected"),
    [
        pytest.param({"base_network": "resnet-50"}, {}, RESNET, id="its base network"),
        pytest.param({"num_training_samples": "9", "num_classes": "2"}, {}, VGG, id="a name that only SSD has"),
        pytest.param({}, {"train_annotation": "/data"}, VGG, id="a channel that only SSD has"),
        pytest.param({"num_classes": "2", "epochs": "3"}, {}, SMALL, id="names that anybody may have given"),
        pytest.param({"base_network": "resnet-50", "model_id": SMALL}, {}, SMALL, id="a model_id, which says it all"),
    ],
)
def test_jobs_of_object_detection_are_known(tmp_path, hyperparameters, channels, expected):
    (tmp_path / "bundle.json").write_text(json.dumps({"model_id": SMALL}))
    asked = dataclasses.replace(job(**hyperparameters), **channels)
    assert model_choice.choose_model(asked, load_registry(), tmp_path)[0] == expected


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        pytest.param("model.tar.gz", {"1/x": b"", "__model_info__.json": INFO}, LARGE, id="an artifact"),
        pytest.param("model.tar.gz", {"./__model_info__.json": INFO}, LARGE, id="an artifact, tarred with ./"),
        pytest.param("m.tgz", {"run/__model_info__.json": INFO}, LARGE, id="an artifact in a folder"),
        pytest.param("m.tar.gz", {f"{SMALL_ARCHIVE}/pipeline.config": b""}, SMALL, id="a zoo archive, renamed"),
        pytest.param(f"{SMALL_ARCHIVE}.tar.gz", {"checkpoint/x": b""}, SMALL, id="a zoo archive by its name"),
        pytest.param("m.tar.gz", {"a/b/__model_info__.json": INFO}, "the default", id="an info too deep"),
        pytest.param("m.tar.gz", {"other/pipeline.config": b""}, "the default", id="an unknown checkpoint"),
        pytest.param("m.tar.gz", {"checkpoint/ckpt-0.index": b""}, "the default", id="a checkpoint without a name"),
    ],
)
def test_the_model_channel_says_which_model_it_holds(tmp_path, name, files, expected):
    (tmp_path / "bundle.json").write_text(json.dumps({"model_id": SMALL}))
    channel = tmp_path / "channel"
    channel.mkdir()
    archive(channel / name, files)
    model_id, origin = model_choice.choose_model(job(channel), load_registry(), tmp_path)
    if expected == "the default":
        assert (model_id, origin) == (SMALL, "the default of the source_dir archive")
    else:
        assert (model_id, origin) == (expected, "that of the model channel")


def test_a_model_channel_that_is_unpacked_says_it_too(tmp_path):
    (tmp_path / SMALL_ARCHIVE).mkdir()
    assert choose(tmp_path, tmp_path) == SMALL
    (tmp_path / "__model_info__.json").write_bytes(INFO)
    assert choose(tmp_path, tmp_path) == LARGE


def test_the_hyperparameter_wins_over_the_channel_and_the_channel_over_the_default(tmp_path):
    (tmp_path / "bundle.json").write_text(json.dumps({"model_id": SMALL}))
    assert choose(tmp_path) == SMALL
    (tmp_path / "__model_info__.json").write_bytes(INFO)
    assert choose(tmp_path, tmp_path) == LARGE
    assert choose(tmp_path, tmp_path, model_id=SMALL) == SMALL


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        pytest.param({"model_id": SMALL[:-2]}, f"Did you mean {SMALL!r}.*given as hyperparameter", id="unknown"),
        pytest.param({"model_id": 5}, "unknown model_id '5'", id="not text"),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused_with_where_it_came_from(tmp_path, hyperparameters, message):
    with pytest.raises(errors.RegistryError, match=message):
        choose(tmp_path, **hyperparameters)


def test_a_default_that_cannot_be_built_says_how_to_choose_another(tmp_path):
    (tmp_path / "bundle.json").write_text('{"model_id": "not-there"}')
    with pytest.raises(errors.RegistryError, match="default of the source_dir archive; the hyperparameter model_id"):
        choose(tmp_path)


@pytest.mark.parametrize("cut", [0, 20, 150])
def test_a_damaged_archive_is_named(tmp_path, cut):
    path = tmp_path / "model.tar.gz"
    archive(path, {"a/x": bytes(range(256)) * 100})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(errors.WeightsError, match=r"model\.tar\.gz in the model channel"):
        choose(tmp_path, tmp_path)


@pytest.mark.parametrize("info", [b"{", b"{}", b"[]"])
def test_a_damaged_info_is_named(tmp_path, info):
    archive(tmp_path / "model.tar.gz", {"__model_info__.json": info})
    with pytest.raises(errors.WeightsError, match=r"__model_info__\.json: expected"):
        choose(tmp_path, tmp_path)
