"""Fixtures: a model's reference tensors, and the very weights that they were computed from."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable, Iterator

import pytest
from golden_reference import TOLERANCES, Reference

from tfod_transfer import registry

_OF_A_MODEL = ("reference", "trained_reference")  # fixtures that are made for each model

# The demonstration's model was trained here: there is nothing of the zoo to compare it with.
AVAILABLE = [spec for spec in registry.load_registry() if spec.checkpoint.url and not spec.checkpoint.of_backbone]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` the tests of a model share a worker, and so its network; elsewhere those of a file do."""
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        model = next((parameters[name].model_id for name in _OF_A_MODEL if name in parameters), "")
        item.add_marker(pytest.mark.xdist_group(f"{item.path}:{model}"))


@pytest.fixture(
    scope="session",
    params=[spec for spec in AVAILABLE if spec.checkpoint.name in TOLERANCES],
    ids=lambda spec: spec.checkpoint.name,
)
def reference(request: pytest.FixtureRequest, shared: Callable[[str], pathlib.Path]) -> Reference:
    return Reference(request.param, shared)


@pytest.fixture(params=AVAILABLE, ids=lambda spec: spec.model_id)
def built_model(request: pytest.FixtureRequest) -> registry.ModelSpec:
    """Each model of the zoo that can be built."""
    return request.param


@pytest.fixture(scope="session")
def prefix(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A zoo-format checkpoint with the reference's weights."""
    folder = tmp_path_factory.mktemp("golden")
    yield reference.write_checkpoint(folder)
    shutil.rmtree(folder)
