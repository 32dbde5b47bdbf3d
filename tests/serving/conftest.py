"""One small artifact, of the embedded weights, for all tests of what is served."""

from __future__ import annotations

import pytest
from made_images import encoded
from PIL import Image

from tfod_transfer import artifact, registry, weights
from tfod_transfer.demo import shapes
from tfod_transfer.modeling import zoo_checkpoint
from tfod_transfer.modeling.detector import build_detector
from tfod_transfer.serving import signatures

DEMO = "tfod-transfer-demo-ssd-mobilenet-v2-fpnlite-160x160-shapes"


@pytest.fixture(scope="session")
def demo_artifact(tmp_path_factory: pytest.TempPathFactory) -> artifact.Artifact:
    """The embedded model as an artifact: what `fit --epochs 0` leaves, but for its records."""
    folder = tmp_path_factory.mktemp("demo") / "artifact"
    spec = registry.load_registry().get(DEMO)
    pretrained = weights.resolve_pretrained(spec, environ={})
    detector = build_detector(spec, spec.num_classes)
    names = {"checkpoint_class_names": spec.class_names, "class_names": spec.class_names}
    zoo_checkpoint.restore(detector, pretrained.prefix, **names)
    info = artifact.ModelInfo(DEMO, spec.input_size, False, spec.class_names, tuple(range(1, spec.num_classes + 1)))
    signatures.save(signatures.serving_module(detector, info), folder / artifact.VERSION_FOLDER)
    zoo_checkpoint.save(detector, folder)
    artifact.write_info(folder, info)
    return artifact.load(folder)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Three drawn pictures of shapes that the embedded model knows: JPEG, PNG, and a JPEG of another size."""
    folder = tmp_path_factory.mktemp("photographs")
    shapes.generate(folder, shapes.SOURCE_CLASSES, 3, seed=5)
    files = sorted((folder / "images").iterdir())
    small = Image.open(files[2]).resize((97, 131))
    return [files[0].read_bytes(), encoded(Image.open(files[1]), "PNG"), encoded(small, "JPEG")]
