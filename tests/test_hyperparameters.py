"""The table of hyperparameters: values as text or typed, aliases, ranges, precedence."""

from __future__ import annotations

import pathlib

import pytest

from tfod_transfer import cli, errors, hyperparameters

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch_size", "8", 8),
        ("batch_size", 8.0, 8),
        ("epochs", "0", 0),
        ("epsilon", "1e-8", 1e-8),
        ("eps", "0.001", 0.001),  # alias of epsilon
        ("train_only_top_layer", "True", True),  # alias of train_only_on_top_layer
        ("early_stopping", "true", True),
        ("early_stopping", 1, True),
        ("early_stopping", "False", False),
        ("optimizer", "SGD", "sgd"),
        ("reinitialize_top_layer", "auto", "Auto"),
        ("reinitialize_top_layer", True, "True"),  # a JSON boolean
        ("regularizers_l2", "0.01", 0.01),
        ("objective", "map50", "mAP50"),
        ("monitor", "map", "mAP"),  # alias of objective
        ("max_time", "3600", 3600.0),
    ],
)
def test_values_are_parsed(name: str, value: object, expected: object) -> None:
    resolved = hyperparameters.resolve({name: value})
    assert getattr(resolved, hyperparameters.ALIASES.get(name, name)) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": "eight"}, "batch_size must be a whole number of at least 1; got 'eight'."),
        ({"batch_size": "1.5"}, "batch_size must be a whole number of at least 1; got '1.5'."),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1; got 0."),
        ({"epochs": True}, "epochs must be a whole number of at least 0; got True."),
        ({"learning_rate": "nan"}, "learning_rate must be a number from 0 to 1; got 'nan'."),
        ({"learning_rate": "inf"}, "learning_rate must be a number from 0 to 1; got 'inf'."),
        ({"momentum": -0.1}, "momentum must be a number from 0 to 1; got -0.1."),
        ({"early_stopping": "yes"}, "early_stopping must be True or False; got 'yes'."),
        ({"max_time": 0.5}, "max_time must be a number of at least 1; got 0.5."),
        ({"objective": "mAP95"}, "objective must be one of mAP, mAP50, mAP75, AR, loss"),
        ({"learning_rate_steps": "0.6;0.9"}, "shares of the run between 0 and 1, such as 0.6,0.85; got '0.6;0.9'."),
        ({"learning_rate_steps": "0.6,0.5"}, "learning_rate_steps must be rising"),
        ({"learning_rate_steps": "0.6,nan"}, "learning_rate_steps must be rising"),
        ({"learning_rate_steps": "0.6,1.0"}, "learning_rate_steps must be rising"),
        ({"ema_decay": 1}, "ema_decay must be a number from 0 to below 1; got 1."),
        ({"ema_decay": -0.1}, "ema_decay must be a number from 0 to below 1; got -0.1."),
        ({"gradient_accumulation": 3, "batch_size": 8}, "gradient_accumulation 3 cannot cut batch_size 8 into equal"),
        ({"gradient_clip_norm": -1}, "gradient_clip_norm must be a number of at least 0; got -1."),
        ({"optimizer": "adma"}, "Did you mean 'adam'?"),
        ({"batchsize": 3}, "unknown hyperparameter 'batchsize'. Did you mean 'batch_size'?"),
        ({"eps": 0.1, "epsilon": 0.2}, "epsilon is given twice"),
        ({"cache": "disk"}, "cache=disk needs cache_dir"),
    ],
)
def test_errors_say_what_is_expected(given: dict[str, object], message: str) -> None:
    with pytest.raises(errors.UsageError) as error:
        hyperparameters.resolve(given)
    assert message in str(error.value)


def test_given_beats_recipe_beats_default() -> None:
    recipe = {"epochs": 10, "optimizer": "sgd"}
    resolved = hyperparameters.resolve({"epochs": "3"}, recipe)
    assert (resolved.epochs, resolved.optimizer, resolved.beta_1) == (3, "sgd", 0.9)
    origins = hyperparameters.origins({"epochs": "3", "momentum": None}, recipe)
    assert [origins[name] for name in ("epochs", "optimizer", "momentum")] == ["given", "recipe", "default"]


@pytest.mark.parametrize(
    ("given", "augmentation"),
    [
        pytest.param({}, "zoo", id="all layers"),
        pytest.param({"train_only_top_layer": "True"}, "none", id="top layer"),
        pytest.param({"train_only_top_layer": "True", "random_rotation90": "True"}, "zoo", id="top layer, turned"),
        pytest.param({"train_only_top_layer": "True", "augmentation": "zoo"}, "zoo", id="top layer, given"),
    ],
)
def test_the_top_layer_alone_trains_on_images_as_they_are(given: dict[str, object], augmentation: str) -> None:
    assert hyperparameters.resolve(given, {"augmentation": "zoo"}).augmentation == augmentation


def test_only_the_recipes_learning_rate_follows_the_batch_size() -> None:
    recipe = {"learning_rate": 0.01, "reference_batch_size": 8}
    assert hyperparameters.resolve({"batch_size": 2}, recipe).learning_rate == pytest.approx(0.005)
    assert hyperparameters.resolve({"batch_size": 2, "optimizer": "sgd"}, recipe).learning_rate == pytest.approx(0.0025)
    assert hyperparameters.resolve({"batch_size": 2, "learning_rate": 0.01}, recipe).learning_rate == 0.01


def test_unknown_names_can_be_tolerated() -> None:
    warnings: list[str] = []
    resolved = hyperparameters.resolve({"epoch": 4, "epochs": 2}, on_unknown=warnings.append)
    assert resolved.epochs == 2
    assert warnings == ["unknown hyperparameter 'epoch'. Did you mean 'epochs'?"]


def test_documented_defaults_are_fifteen_texts() -> None:
    defaults = hyperparameters.documented_defaults({"batch_size": 8})
    assert len(defaults) == 15
    assert all(isinstance(value, str) for value in defaults.values())
    assert (defaults["batch_size"], defaults["early_stopping"], defaults["optimizer"]) == ("8", "False", "adam")


def test_documented_defaults_given_back_change_nothing() -> None:
    recipe = {"learning_rate": 0.001, "reference_batch_size": 8, "batch_size": 2}
    defaults = hyperparameters.documented_defaults(recipe)
    assert defaults["learning_rate"] == "0.0005"
    assert hyperparameters.resolve(defaults, recipe) == hyperparameters.resolve({}, recipe)


@pytest.mark.parametrize(("text", "shares"), [("0.6,0.85", (0.6, 0.85)), (" 0.5 ", (0.5,)), ("", ())])
def test_steps_of_the_learning_rate(text: str, shares: tuple[float, ...]) -> None:
    assert (
        hyperparameters.run_shares(hyperparameters.resolve({"learning_rate_steps": text}).learning_rate_steps) == shares
    )


def test_what_a_run_that_goes_on_may_change() -> None:
    free = {name for name, field in hyperparameters.FIELDS.items() if not field.metadata["decides"]}
    reading = {"box_order", "invalid_boxes", "max_findings", "max_pixels", "cache", "cache_dir"}
    assert free == reading | {"max_time", "checkpoint_every", "checkpoint_dir", "tensorboard_dir"}


def test_every_hyperparameter_has_a_flag() -> None:
    parser = cli.ArgumentParser(prog="x")
    hyperparameters.add_arguments(parser)
    arguments = [part for name in hyperparameters.KNOWN_NAMES for part in (f"--{name.replace('_', '-')}", "1")]
    assert set(vars(parser.parse_args(arguments)).values()) == {"1"}


def test_the_readme_has_the_table() -> None:
    assert hyperparameters.markdown_table() in (ROOT / "README.md").read_text(encoding="utf-8")
