"""Jobs under SageMaker's own training toolkit, in a fake /opt/ml, with the source_dir archive.

The toolkit stands in an environment of its own. In AWS's images it shares one with TensorFlow: its interpreter installs
the requirements and runs the script. So here too: the toolkit's interpreter runs, and finds this environment's
libraries through PYTHONPATH (but not the package, which it must take from the archive).
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sysconfig
import tarfile

import numpy as np
import pytest

from tfod_transfer import artifact
from tfod_transfer.demo import shapes
from tfod_transfer.registry import load_registry
from tfod_transfer.sagemaker import bundle

pytestmark = pytest.mark.acceptance

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRAIN = ROOT / ".venv-toolkit" / "bin" / "train"
MODEL_ID = "tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes"
# As the service has them: each value encoded as JSON.
OWN = {
    "sagemaker_program": '"transfer_learning.py"',
    "sagemaker_container_log_level": "20",
    "sagemaker_job_name": '"job"',
    "sagemaker_region": '"eu-west-1"',
}
# The metric definitions of AWS's notebook.
METRICS = {
    "val_localization_loss": r"Val_localization=([0-9\.]+)",
    "val_classification_loss": r"Val_classification=([0-9\.]+)",
    "train_loss": r"loss=([0-9\.]+).",
}


class Job:
    """One training job: a fake /opt/ml and what became of it."""

    def __init__(self, base, archive, channels, hyperparameters):
        self.base = base
        config = base / "input" / "config"
        config.mkdir(parents=True)
        for name, source in channels.items():
            target = base / "input" / "data" / name
            if source.is_dir():
                shutil.copytree(source, target)
            else:  # model_uri: the channel holds the archive as it is
                target.mkdir(parents=True)
                shutil.copy(source, target)
        values = {**OWN, **hyperparameters, "sagemaker_submit_directory": json.dumps(str(archive))}
        resources = {"current_host": "localhost", "hosts": ["localhost"], "network_interface_name": "lo"}
        inputs = {name: {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"} for name in channels}
        for name, document in (
            ("hyperparameters", values),
            ("resourceconfig", resources),
            ("inputdataconfig", inputs),
        ):
            (config / f"{name}.json").write_text(json.dumps(document))

        (base / "model").mkdir()
        (base / "model" / "left-by-an-earlier-try").write_text("")
        environment = {
            **os.environ,
            "SAGEMAKER_BASE_DIR": str(base),
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "TFOD_TRANSFER_CACHE": str(base / "cache"),
        }
        done = subprocess.run(
            [str(TRAIN)], cwd=base, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        self.status, self.log = done.returncode, done.stdout + done.stderr

    @property
    def model_dir(self):
        return self.base / "model"

    def model_archive(self):
        """The model folder as SageMaker leaves it on S3."""
        path = self.base / "model.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            for file in sorted(self.model_dir.iterdir()):
                tar.add(file, arcname=file.name)
        return path


@pytest.fixture(scope="module")
def toolkit():
    if not TRAIN.exists():
        message = "needs SageMaker's training toolkit in .venv-toolkit: make toolkit"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "sourcedir.tar.gz"
    bundle.write_bundle(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes, and the same with a third."""
    folder = tmp_path_factory.mktemp("data")
    shapes.generate(folder / "two", ("hexagon", "cross"), 12, seed=1)
    shapes.generate(folder / "three", ("arrow", "hexagon", "cross"), 12, seed=2)
    return folder


@pytest.fixture(scope="module")
def fine_tuned(toolkit, tmp_path_factory, archive, data):
    """A first job, from a checkpoint packed as the zoo packs its own; what it has learnt does not matter here."""
    from tfod_transfer.modeling import detector, zoo_checkpoint

    folder = tmp_path_factory.mktemp("first")
    spec = load_registry().get(MODEL_ID)
    zoo_checkpoint.save(detector.build_detector(spec, spec.num_classes), folder / "some_model")
    pretrained = folder / "pretrained.tar.gz"
    with tarfile.open(pretrained, "w:gz") as tar:
        tar.add(folder / "some_model", arcname="some_model")
    hyperparameters = {
        "model_id": json.dumps(MODEL_ID),
        "epochs": '"1"',
        "batch_size": '"4"',
        "early_stopping": '"False"',
        "eps": "1e-6",
        "augmentation": '"none"',
        "comment": json.dumps(f"two words; $(touch {folder}/injected) `touch {folder}/injected` (conv1_|conv2_).*"),
        "early_stoping": '"True"',
        "freeze_layer_pattern": '""',
    }
    return Job(folder / "ml", archive, {"training": data / "two", "model": pretrained}, hyperparameters)


def class_rows(model_dir):
    """The class head's weights and biases by class name, one row of all of them for each class."""
    import tensorflow as tf

    from tfod_transfer.modeling.heads import weight_shared

    info = artifact.load(model_dir).info
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(model_dir / "checkpoint"))
    slots = len(info.class_names) + 1
    parts = [
        reader.get_tensor(key).reshape(-1, slots)
        for key in sorted(reader.get_variable_to_shape_map())
        if key.startswith(weight_shared.CLASS_KEY) and "depthwise" not in key
    ]
    assert len(parts) == 2, "a kernel and a bias"
    return dict(zip(info.class_names, np.concatenate(parts)[:, 1:].T, strict=True))


def test_a_job_leaves_a_model_and_says_so(fine_tuned):
    assert fine_tuned.status == 0, fine_tuned.log[-3000:]
    output = fine_tuned.base / "output"
    assert (output / "success").exists()
    assert not (output / "failure").exists()
    assert sorted(artifact.load(fine_tuned.model_dir).info.labels) == ["N/A", "cross", "hexagon"]
    assert (fine_tuned.model_dir / "1" / "saved_model.pb").exists()
    assert not (fine_tuned.model_dir / "left-by-an-earlier-try").exists()
    assert json.loads((output / "data" / "metrics.json").read_text())["AP"] >= 0
    assert list((output / "data" / "predictions").glob("*.jpg"))


def test_a_job_uses_the_archive_s_package_and_takes_its_values_for_what_they_are(fine_tuned):
    assert f" in {fine_tuned.base / 'code' / 'tfod_transfer'}" in fine_tuned.log
    assert "Requirement already satisfied: msgspec" in fine_tuned.log
    assert not list(fine_tuned.base.parent.glob("injected"))
    settings = json.loads((fine_tuned.model_dir / "hyperparameters.json").read_text())
    assert (settings["epochs"], settings["batch_size"], settings["epsilon"]) == (1, 4, 1e-6)
    assert "unknown hyperparameter 'early_stoping' is ignored. Did you mean 'early_stopping'?" in fine_tuned.log
    assert "unknown hyperparameter 'comment' is ignored." in fine_tuned.log


def test_the_log_gives_sagemaker_s_metrics_once_an_epoch(fine_tuned):
    printed = [line for line in fine_tuned.log.splitlines() if line.startswith("[Epoch 0]")]
    assert re.fullmatch(r"\[Epoch 0\], Speed: \d+\.\d+ samples/sec, loss=\d+\.\d+\.", printed[0])
    assert re.fullmatch(r"\[Epoch 0\], Val_localization=\d+\.\d{3}, Val_classification=\d+\.\d{3}", printed[1])
    for name, expression in METRICS.items():
        values = [float(value.rstrip(".")) for value in re.findall(expression, fine_tuned.log)]
        assert len(values) == 1, (name, values)


def test_incremental_training_takes_the_artifact_and_keeps_its_classes_when_one_is_added(
    fine_tuned, tmp_path, archive, data
):
    # A learning rate of 0: what differs afterwards was not restored.
    hyperparameters = {"epochs": '"1"', "batch_size": '"4"', "learning_rate": '"0"'}
    channels = {"train": data / "three", "model": fine_tuned.model_archive()}
    job = Job(tmp_path / "ml", archive, channels, hyperparameters)
    assert job.status == 0, job.log[-3000:]
    assert f"model_id:   {MODEL_ID} (that of the model channel)" in job.log
    before, after = class_rows(fine_tuned.model_dir), class_rows(job.model_dir)
    assert set(after) == {"arrow", "cross", "hexagon"}
    for name in ("cross", "hexagon"):
        np.testing.assert_array_equal(after[name], before[name])
    assert np.abs(after["arrow"]).max() > 0


def test_a_job_that_cannot_run_says_what_to_mend(toolkit, tmp_path, archive, data):
    without_annotations = shutil.copytree(data / "two", tmp_path / "data")
    (without_annotations / "annotations.json").unlink()
    job = Job(tmp_path / "ml", archive, {"training": without_annotations}, {"model_id": json.dumps(MODEL_ID)})
    assert job.status != 0
    failure = (job.base / "output" / "failure").read_text()
    assert "annotations.json" in failure
    assert len(failure) <= 1024
    assert not (job.base / "output" / "success").exists()
    assert "Traceback" not in job.log
