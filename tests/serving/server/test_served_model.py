"""A real SavedModel as the server runs it."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tfod_transfer import artifact, errors
from tfod_transfer.serving.loaded import LoadedDetector
from tfod_transfer.serving.server.model import ServedModel


@pytest.fixture(scope="module")
def model(demo_artifact: artifact.Artifact) -> ServedModel:
    served = ServedModel(demo_artifact.saved_model)
    served.warm_up(demo_artifact.info.image_size, [1])
    return served


def test_rows_are_the_detections_of_each_image(
    model: ServedModel, demo_artifact: artifact.Artifact, photographs: list[bytes]
) -> None:
    rows = model(photographs)
    expected = LoadedDetector(demo_artifact.saved_model)(photographs)
    assert [row["scores"] for row in rows] == expected.scores.tolist()
    assert [row["classes"] for row in rows] == (expected.classes + 1).tolist()
    assert [row["normalized_boxes"] for row in rows] == expected.boxes[..., [1, 0, 3, 2]].tolist()
    assert [row["labels"] for row in rows] == [demo_artifact.info.labels] * len(photographs)
    assert [row["status"] for row in rows] == [""] * len(photographs)


def test_a_bad_image_has_a_status_and_leaves_the_others_alone(model: ServedModel, photographs: list[bytes]) -> None:
    first, bad, last = model([photographs[0], photographs[1][:200], photographs[2]])
    assert (first["status"], last["status"]) == ("", "")
    assert bad["status"]
    assert set(bad["scores"]) == {0.0}
    assert model.blank(bad["status"]) == bad


def test_a_savedmodel_that_fails_on_bad_images_is_refused(tmp_path: object) -> None:
    class Earlier(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        def detect(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"scores": tf.strings.to_number(image_bytes[:0])}

    module = Earlier()
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.detect})
    with pytest.raises(errors.ArtifactError, match="does not give normalized_boxes, classes, labels, status; export"):
        ServedModel(str(tmp_path)).warm_up(8, [1])
