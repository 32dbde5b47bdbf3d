"""What a job reads from SageMaker's environment."""

from __future__ import annotations

import json

import pytest

from tfod_transfer import errors
from tfod_transfer.sagemaker import environment


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("5", "5", id="text"),
        pytest.param('"5"', "5", id="encoded once too often"),
        pytest.param('"\\"True\\""', "True", id="encoded twice too often"),
        pytest.param(True, True, id="typed by the toolkit"),
        pytest.param(1e-7, 1e-7, id="number typed by the toolkit"),
        pytest.param(' "adam" ', "adam", id="spaces around"),
        pytest.param('"unfinished', '"unfinished', id="a quote that is part of the value"),
        pytest.param("a; rm -rf $HOME (x|y).*", "a; rm -rf $HOME (x|y).*", id="shell characters"),
        pytest.param("", None, id="empty"),
        pytest.param('""', None, id="encoded empty"),
        pytest.param("null", None, id="null"),
        pytest.param(None, None, id="null typed by the toolkit"),
    ],
)
def test_a_value_loses_the_quotes_of_json_and_nothing_else(value, expected):
    assert environment.decoded(value) == expected


@pytest.fixture
def base(tmp_path):
    """A fake /opt/ml with a hyperparameters.json of a service that encodes every value."""
    config = tmp_path / "input" / "config"
    config.mkdir(parents=True)
    values = {"epochs": '"2"', "sagemaker_program": '"transfer_learning.py"', "sagemaker_region": '"eu-west-1"'}
    (config / "hyperparameters.json").write_text(json.dumps(values))
    return tmp_path


ARGV = ["--epochs", "9", "--seed=4", "--batch-size", "3", "stray", "--flag"]


@pytest.mark.parametrize(
    ("environ", "argv", "expected"),
    [
        pytest.param({"SM_HPS": '{"epochs": 7}'}, [], {"epochs": 7}, id="SM_HPS before the file"),
        pytest.param({"SM_HPS": "{}"}, [], {}, id="an empty SM_HPS still counts"),
        pytest.param({}, [], {"epochs": "2"}, id="the file without SM_HPS"),
        pytest.param({}, ARGV, {"epochs": "2", "seed": "4", "batch_size": "3"}, id="flags for what the file lacks"),
        pytest.param(
            {"SM_HPS": '{"epochs": 7, "note": "x --seed 5"}', "SM_USER_ARGS": "[]"},
            ["--epochs", "7", "--note", "x", "--seed", "5"],
            {"epochs": 7, "note": "x --seed 5"},
            id="flags that a shell took apart",
        ),
        pytest.param({"SM_HPS": '{"batch-size": 3}'}, [], {"batch_size": 3}, id="a name with a hyphen"),
        pytest.param(
            {"SM_HPS": '{"sagemaker_program": "x", "_tuning_objective_metric": "y", "model_dir": "None/job/model"}'},
            ["--model_dir", "None/job/model"],
            {},
            id="SageMaker's own",
        ),
    ],
)
def test_hyperparameters_come_from_the_most_trustworthy_place(base, environ, argv, expected):
    assert environment.read_hyperparameters(argv, {"SAGEMAKER_BASE_DIR": str(base), **environ}) == expected


@pytest.mark.parametrize("text", ["[1]", "{broken", '"text"'])
def test_hyperparameters_that_are_no_object_are_named(text):
    with pytest.raises(errors.UsageError, match="SM_HPS must be a JSON object"):
        environment.read_hyperparameters([], {"SM_HPS": text})


def test_channels_and_folders_come_from_variables_or_their_usual_places(base):
    for name in ("train", "validation"):
        (base / "input" / "data" / name).mkdir(parents=True)
    usual = environment.read_job([], {"SAGEMAKER_BASE_DIR": str(base)})
    assert usual.training == str(base / "input" / "data" / "train")
    assert usual.validation == str(base / "input" / "data" / "validation")
    assert usual.model_channel is None
    assert usual.model_dir == str(base / "model")
    assert usual.output_data_dir == str(base / "output" / "data")
    assert (usual.hosts, usual.current_host) == ((), "")
    assert usual.checkpoint_dir == str(base / "checkpoints")
    (base / "input" / "config").mkdir(exist_ok=True)
    (base / "input" / "config" / "checkpointconfig.json").write_text('{"S3Uri": "s3://b/c", "LocalPath": "/kept"}')

    named = environment.read_job(
        [],
        {
            "SAGEMAKER_BASE_DIR": str(base),
            "SM_CHANNEL_TRAINING": "/data/training",
            "SM_CHANNEL_MODEL": "/data/model",
            "SM_MODEL_DIR": "/out/model",
            "SM_OUTPUT_DATA_DIR": "/out/data",
            "SM_HOSTS": '["algo-1","algo-2"]',
            "SM_CURRENT_HOST": "algo-2",
        },
    )
    assert (named.training, named.model_channel) == ("/data/training", "/data/model")
    assert (named.model_dir, named.output_data_dir) == ("/out/model", "/out/data")
    assert (named.hosts, named.current_host) == (("algo-1", "algo-2"), "algo-2")
    assert named.checkpoint_dir == "/kept"


def test_without_the_toolkit_the_hosts_are_in_a_file(base):
    resources = {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"], "network_interface_name": "eth0"}
    (base / "input" / "config" / "resourceconfig.json").write_text(json.dumps(resources))
    job = environment.read_job([], {"SAGEMAKER_BASE_DIR": str(base)})
    assert (job.hosts, job.current_host) == (("algo-1", "algo-2"), "algo-2")
    of_the_toolkit = {"SAGEMAKER_BASE_DIR": str(base), "SM_HOSTS": '["here"]', "SM_CURRENT_HOST": "here"}
    job = environment.read_job([], of_the_toolkit)
    assert (job.hosts, job.current_host) == (("here",), "here")
