"""The table of SageMaker's Object Detection: names, ranges, defaults, and what they are for the engine."""

from __future__ import annotations

import pathlib

import pytest

from tfod_transfer import errors, hyperparameters, ssd_hyperparameters

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What SageMaker's guide gives as defaults.
DOCUMENTED = {
    "base_network": "vgg-16",
    "use_pretrained_model": "1",
    "mini_batch_size": "32",
    "epochs": "30",
    "learning_rate": "0.001",
    "lr_scheduler_factor": "0.1",
    "optimizer": "sgd",
    "momentum": "0.9",
    "weight_decay": "0.0005",
    "overlap_threshold": "0.5",
    "nms_threshold": "0.45",
    "image_shape": "300",
    "label_width": "350",
    "early_stopping": "False",
    "early_stopping_min_epochs": "10",
    "early_stopping_patience": "5",
    "early_stopping_tolerance": "0.0",
}
EMPTY = {"num_classes", "num_training_samples", "lr_scheduler_step", "freeze_layer_pattern", "kv_store"}


def engine(num_hosts: int = 1, **given: object) -> hyperparameters.Hyperparameters:
    asked = ssd_hyperparameters.resolve(given)
    return hyperparameters.resolve(ssd_hyperparameters.for_engine(asked, given, num_hosts))


def test_names_and_defaults_are_those_of_the_guide() -> None:
    assert ssd_hyperparameters.documented_defaults("object-detection-ssd-vgg-16") == DOCUMENTED
    assert set(ssd_hyperparameters.TABLE.fields) == set(DOCUMENTED) | EMPTY | {"nms_topk"}


def test_documented_defaults_given_back_change_nothing() -> None:
    assert ssd_hyperparameters.resolve(DOCUMENTED) == ssd_hyperparameters.resolve({})


def test_the_defaults_for_the_engine() -> None:
    found = engine()
    expected = {
        "batch_size": 32, "epochs": 30, "learning_rate": 0.001, "optimizer": "sgd", "momentum": 0.9,
        "learning_rate_schedule": "step", "learning_rate_steps": "", "warmup_fraction": 0.0,
        "regularizers_l2": 0.00025, "nms_threshold": 0.45, "nms_topk": 400, "image_shape": 300,
        "overlap_threshold": 0.5, "objective": "mAP_overlap", "freeze_batch_norm": True,
        "early_stopping_min_epochs": 10, "augmentation": "zoo",
    }  # fmt: skip
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"mini_batch_size": "16"}, {"batch_size": 16}, id="batch"),
        pytest.param({"use_pretrained_model": "0"}, {"freeze_batch_norm": False}, id="random weights"),
        pytest.param({"use_pretrained_model": 1}, {"freeze_batch_norm": True}, id="ImageNet's weights"),
        pytest.param(
            {"lr_scheduler_step": "10, 20", "lr_scheduler_factor": "0.5"},
            {"learning_rate_steps": f"{10 / 30!r},{20 / 30!r}", "learning_rate_decay": 0.5},
            id="steps of the rate",
        ),
        pytest.param({"lr_scheduler_step": "2,9", "epochs": "3"}, {"learning_rate_steps": repr(2 / 3)}, id="too late"),
        pytest.param({"weight_decay": "0.01"}, {"regularizers_l2": 0.005}, id="decay"),
        pytest.param({"optimizer": "adam"}, {"regularizers_l2": 0.0, "epsilon": 1e-8}, id="adam does not decay"),
        pytest.param({"optimizer": "adadelta"}, {"rho": 0.9, "epsilon": 1e-5}, id="adadelta as in MXNet"),
        pytest.param({"early_stopping": "true"}, {"early_stopping": True}, id="as the SDK writes it"),
        pytest.param({"freeze_layer_pattern": "false"}, {"freeze_layer_pattern": ""}, id="as the console writes it"),
        pytest.param({"freeze_layer_pattern": "^(conv1_).*"}, {"freeze_layer_pattern": "^(conv1_).*"}, id="pattern"),
        pytest.param({"seed": "4", "augmentation": "none"}, {"seed": 4, "augmentation": "none"}, id="the engine's own"),
        pytest.param({"train_only_top_layer": "True"}, {"train_only_on_top_layer": True}, id="an alias"),
        pytest.param({"learning_rate": "0.5", "mini_batch_size": 2}, {"learning_rate": 0.5}, id="rate as it is"),
        pytest.param({"batch_size": 4}, {"batch_size": 4}, id="the engine's name"),
    ],
)
def test_what_they_are_for_the_engine(given: dict[str, object], expected: dict[str, object]) -> None:
    found = engine(**given)
    assert {name: getattr(found, name) for name in expected} == expected


def test_steps_of_the_rate_fall_on_the_first_step_of_their_epoch() -> None:
    for epochs in (3, 7, 30, 240):
        for steps_per_epoch in (1, 35, 518):
            found = engine(epochs=epochs, lr_scheduler_step=f"1,{epochs - 1}")
            shares = hyperparameters.run_shares(found.learning_rate_steps)
            steps = [round(share * epochs * steps_per_epoch) for share in shares]
            assert steps == [steps_per_epoch, (epochs - 1) * steps_per_epoch]


@pytest.mark.parametrize(
    ("kv_store", "batch"),
    [pytest.param("device", 32, id="by itself"), pytest.param("dist_sync", 96, id="of each host")],
)
def test_a_batch_of_several_hosts(kv_store: str, batch: int) -> None:
    assert engine(num_hosts=3, kv_store=kv_store).batch_size == batch


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"base_network": "vgg16"},
            "one of vgg-16, resnet-50; got 'vgg16'. Did you mean 'vgg-16'?",
        ),
        ({"image_shape": "299"}, "image_shape must be a whole number of at least 300; got '299'."),
        ({"learning_rate": 0}, "learning_rate must be a number above 0 to 1; got 0."),
        ({"lr_scheduler_factor": 1}, "lr_scheduler_factor must be a number above 0 and below 1; got 1."),
        ({"weight_decay": 1}, "weight_decay must be a number from 0 to below 1; got 1."),
        ({"optimizer": "nesterov"}, "optimizer must be one of sgd, adam, rmsprop, adadelta; got 'nesterov'."),
        ({"lr_scheduler_step": "10,5"}, "lr_scheduler_step must be rising epochs, such as 10,20; got '10,5'."),
        ({"lr_scheduler_step": "0.5"}, "lr_scheduler_step must be rising epochs"),
        ({"use_pretrained_model": "2"}, "use_pretrained_model must be True or False; got '2'."),
        ({"batch_size": 2, "mini_batch_size": 2}, "batch_size and mini_batch_size are given, which are the same here"),
        ({"mini_batch": 2}, "unknown hyperparameter 'mini_batch'."),
    ],
)
def test_errors_say_what_is_expected(given: dict[str, object], message: str) -> None:
    with pytest.raises(errors.UsageError) as error:
        engine(**given)
    assert message in str(error.value)


def test_hosts_that_train_out_of_step_are_refused_with_the_reason() -> None:
    assert engine(kv_store="dist_async").batch_size == 32  # one host is in step with itself
    with pytest.raises(errors.UsageError, match="on weights that the others have changed since"):
        engine(num_hosts=2, kv_store="dist_async")


def test_a_document_has_the_table() -> None:
    assert ssd_hyperparameters.TABLE.markdown() in (ROOT / "docs" / "object_detection.md").read_text(encoding="utf-8")
