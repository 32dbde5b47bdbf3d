"""One step of training: what changes, what does not, and that it is traced once."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from small_backbone import build_small, thin_spec

from tfod_transfer import hyperparameters, registry
from tfod_transfer.modeling.detector import Detector, DetectorOutput, trainable_variables_for
from tfod_transfer.modeling.layers import Execution
from tfod_transfer.modeling.losses import regularization_loss
from tfod_transfer.training.fine_tuner import FineTuner
from tfod_transfer.training.optimizers import build_optimizer


@pytest.fixture(scope="module")
def spec() -> registry.ModelSpec:
    return thin_spec()


def batch(num_boxes: int = 2) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    boxes = np.zeros((2, 8, 4), np.float32)
    boxes[:, :num_boxes] = [0.1, 0.2, 0.6, 0.7]
    classes = np.full((2, 8), -1, np.int32)
    classes[:, :num_boxes] = 1
    return {
        "images": random.integers(0, 255, (2, 64, 64, 3), np.uint8),
        "boxes": boxes,
        "classes": classes,
        "image_ids": np.arange(2),
        "original_sizes": np.full((2, 2), 64, np.int32),
    }


def fine_tuner(
    spec: registry.ModelSpec, freeze: bool = True, execution: Execution | None = None, **given: object
) -> FineTuner:
    settings = hyperparameters.resolve({"optimizer": "sgd", "learning_rate": 0.02, "warmup_fraction": 0, **given})
    detector = build_small(spec, 2, freeze_batch_norm=freeze, execution=execution)
    variables = trainable_variables_for(detector, only_top=settings.train_only_on_top_layer)
    model = FineTuner(detector, variables, settings.regularizers_l2, seed=settings.seed)
    model.compile(build_optimizer(settings, 100))
    return model


@pytest.fixture(scope="module")
def frozen(spec: registry.ModelSpec) -> FineTuner:
    return fine_tuner(spec)


def train(model: FineTuner, example: dict[str, np.ndarray], steps: int = 1) -> list[float]:
    """Runs steps on the same batch; returns the loss of each."""
    dataset = tf.data.Dataset.from_tensors(example)
    return model.fit(dataset, epochs=steps, verbose=0).history["loss"]


def changed(model: FineTuner) -> set[str]:
    variables = model.detector.checkpoint_variables()
    before = {key: variable.numpy() for key, variable in variables.items()}
    train(model, batch(), steps=2)
    return {key for key, value in before.items() if not np.array_equal(value, variables[key].numpy())}


def test_frozen_batch_norm_keeps_its_statistics(frozen: FineTuner) -> None:
    keys = changed(frozen)
    assert not any("/moving_" in key for key in keys)
    assert all(any(part in key for key in keys) for part in ("_class_predictor_layers", "_box_encoder_layers"))


def test_trained_batch_norm_updates_its_statistics(spec: registry.ModelSpec) -> None:
    model = fine_tuner(spec, freeze=False)
    assert any("/moving_mean" in key for key in changed(model))


def test_the_top_layer_is_the_class_head(spec: registry.ModelSpec) -> None:
    keys = changed(fine_tuner(spec, train_only_top_layer="True"))
    assert keys
    assert all("_class_predictor_layers" in key for key in keys)


@pytest.mark.parametrize("num_boxes", [2, 0], ids=["boxes", "no boxes"])
def test_the_loss_falls(frozen: FineTuner, num_boxes: int) -> None:
    bias = frozen.detector.head.class_layers[0].bias
    bias.assign(tf.zeros_like(bias))  # every anchor half sure of every class: there is much to unlearn
    losses = train(frozen, batch(num_boxes), steps=8)
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_one_trace_whatever_the_number_of_boxes(frozen: FineTuner) -> None:
    for num_boxes in (0, 1, 8):
        train(frozen, batch(num_boxes))
    assert frozen.train_function.experimental_get_tracing_count() == 1


def test_regularizers_l2_takes_the_place_of_the_models_own(spec: registry.ModelSpec) -> None:
    detector = build_small(spec, 2)
    without, own, doubled = (
        float(regularization_loss(detector, value)) for value in (0.0, None, 2 * spec.structure.l2)
    )
    assert without == 0.0
    assert doubled == pytest.approx(2 * own)


def test_predict_gives_detections_and_losses_for_each_image(frozen: FineTuner) -> None:
    outputs = frozen.predict(tf.data.Dataset.from_tensors(batch()), verbose=0)
    assert outputs["boxes"].shape[::2] == (2, 4)
    assert outputs["scores"].shape == outputs["classes"].shape == outputs["boxes"].shape[:2]
    assert {outputs[name].shape for name in ("localization", "classification", "positives")} == {(2,)}


class Listener(tf.Module):
    """Stands in for a detector: its one weight is all that it says, and it keeps the noise seed of the last step."""

    def __init__(self, like: Detector) -> None:
        super().__init__()
        self.spec, self.anchors, self.execution = like.spec, like.anchors, like.execution
        self.weight, self.kept, self.heard = tf.Variable(0.1), tf.Variable(1.0), tf.Variable([0, 0])

    def __call__(self, images: tf.Tensor, training: bool, noise_seed: tf.Tensor | None = None) -> DetectorOutput:
        if training and noise_seed is not None:
            self.heard.assign(noise_seed)
        shape = [tf.shape(images)[0], len(self.anchors)]
        return DetectorOutput(tf.fill([*shape, 4], self.weight), tf.fill([*shape, 3], self.weight))

    def checkpoint_variables(self) -> dict[str, tf.Variable]:
        return {"kept": self.kept}

    def l2_coefficients(self) -> dict[str, float]:
        return {"kept": 0.0}


def test_noise_is_a_function_of_seed_and_step(frozen: FineTuner) -> None:
    def heard(seed: int | None, start: int, steps: int) -> list[tuple[int, ...]]:
        detector = Listener(frozen.detector)
        model = FineTuner(detector, [detector.weight], None, seed=seed)
        model.compile(build_optimizer(hyperparameters.resolve({}), 100))
        model.optimizer.iterations.assign(start)
        step, seeds = tf.function(model.train_step), []
        for _ in range(steps):
            step(batch())
            seeds.append(tuple(detector.heard.numpy().tolist()))
        return seeds

    whole = heard(seed=5, start=0, steps=6)
    assert len(set(whole)) == 6
    assert heard(seed=5, start=4, steps=2) == whole[4:]
    assert not set(heard(seed=6, start=0, steps=6)) & set(whole)
    assert heard(seed=None, start=0, steps=2) == [(0, 0)] * 2


def change_of_a_step(spec: registry.ModelSpec, execution: Execution) -> dict[str, np.ndarray]:
    """What one step adds to each variable: enough, as class layers and step are large, to be seen beside rounding."""
    model = fine_tuner(spec, execution=execution, learning_rate=1.0)
    for variable in trainable_variables_for(model.detector, only_top=True):
        if len(variable.shape) == 4:
            variable.assign(10 * variable)
    variables = model.detector.checkpoint_variables()
    before = {key: variable.numpy() for key, variable in variables.items()}
    tf.function(model.train_step)(batch())
    assert {variable.dtype for variable in model.detector.variables} == {tf.float32}
    return {key: variables[key].numpy() - value for key, value in before.items()}


@pytest.fixture(scope="module")
def float32_change(spec: registry.ModelSpec) -> dict[str, np.ndarray]:
    return change_of_a_step(spec, Execution())


@pytest.mark.parametrize(
    ("execution", "tolerance"),
    [
        pytest.param(Execution(tf.bfloat16), 0.2, id="bfloat16"),
        pytest.param(Execution(tf.float16), 0.2, id="float16"),
        pytest.param(Execution(batch_norm="fused"), 0.001, id="fused"),
    ],
)
def test_a_step_changes_the_weights_alike_however_it_is_executed(
    spec: registry.ModelSpec, float32_change: dict[str, np.ndarray], execution: Execution, tolerance: float
) -> None:
    norms = {key: np.linalg.norm(change) for key, change in float32_change.items()}
    rounding = 1e-4 * max(norms.values())  # gradients that float16 takes for zero
    for key, found in change_of_a_step(spec, execution).items():
        assert np.linalg.norm(found - float32_change[key]) <= tolerance * (norms[key] + rounding), key
