"""Batches for several hosts and devices: all together they are those of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import seven_images
from hypothesis import example, given
from hypothesis import strategies as st
from seven_images import assert_same, pipeline_of, taken

from tfod_transfer import errors
from tfod_transfer.data.dataset import DetectionDataset
from tfod_transfer.data.pipeline import evaluation_rows


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    """No test may change it or its files."""
    return seven_images.write(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def trained(dataset: DetectionDataset) -> list[dict[str, Any]]:
    """Four batches of the only device of the only host."""
    return taken(pipeline_of(dataset, batch_size=4).train_batches(1), 4)


@pytest.fixture(scope="module")
def evaluated(dataset: DetectionDataset) -> list[dict[str, Any]]:
    """For each image a batch with nothing else."""
    return taken(pipeline_of(dataset, batch_size=1).eval_batches(), seven_images.NUM_IMAGES)


@pytest.mark.parametrize(("num_shards", "num_parts"), [(2, 1), (1, 2), (2, 2)], ids=str)
def test_shards_and_their_parts_make_up_the_whole_batch(
    dataset: DetectionDataset, trained: list[dict[str, Any]], num_shards: int, num_parts: int
) -> None:
    shards = [
        taken(
            pipeline_of(dataset, batch_size=4).train_batches(
                1, shard=shard, num_shards=num_shards, num_parts=num_parts
            ),
            4 * num_parts,
        )
        for shard in range(num_shards)
    ]
    for step, batch in enumerate(trained):
        parts = [part for shard in shards for part in shard[step * num_parts : (step + 1) * num_parts]]
        assert {len(part["image_ids"]) for part in parts} == {4 // (num_shards * num_parts)}
        assert_same([{name: np.concatenate([part[name] for part in parts]) for name in batch}], [batch])


@given(
    count=st.integers(1, 300), batch_size=st.integers(1, 40), num_shards=st.integers(1, 9), num_parts=st.integers(1, 9)
)
@example(count=1, batch_size=1, num_shards=9, num_parts=9)
def test_all_shards_evaluate_every_image_once_in_equally_many_batches(
    count: int, batch_size: int, num_shards: int, num_parts: int
) -> None:
    shards = [evaluation_rows(count, batch_size, shard, num_shards, num_parts) for shard in range(num_shards)]
    assert sorted(row for rows, _, _ in shards for row in rows) == list(range(count))
    assert {size for _, size, _ in shards} == {max(batch_size // (num_shards * num_parts), 1)}
    (images,) = {len(rows) + padding for rows, _, padding in shards}
    batches, rest = divmod(images, shards[0][1])
    assert rest == 0
    assert batches % num_parts == 0
    assert min(padding for _, _, padding in shards) < shards[0][1] * num_parts  # no more than needed


@pytest.mark.parametrize(
    ("batch_size", "num_shards", "num_parts", "expected"),
    [
        pytest.param(4, 1, 2, [[[0, 1], [2, 3], [4, 5], [6, -1]]], id="two devices"),
        pytest.param(4, 1, 3, [[[0], [1], [2], [3], [4], [5], [6], [-1], [-1]]], id="three devices"),
        pytest.param(4, 2, 1, [[[0, 2], [4, 6]], [[1, 3], [5, -1]]], id="two hosts"),
        pytest.param(8, 2, 2, [[[0, 2], [4, 6]], [[1, 3], [5, -1]]], id="two hosts of two devices"),
        pytest.param(1, 8, 1, [*([[i]] for i in range(7)), [[-1]]], id="more hosts than images"),
    ],
)
def test_a_shard_of_the_evaluation(
    dataset: DetectionDataset,
    evaluated: list[dict[str, Any]],
    batch_size: int,
    num_shards: int,
    num_parts: int,
    expected: list[list[list[int]]],
) -> None:
    pipeline = pipeline_of(dataset, batch_size=batch_size)
    for shard, expected_ids in enumerate(expected):
        shard_batches = pipeline.eval_batches(shard=shard, num_shards=num_shards, num_parts=num_parts)
        batches = list(shard_batches.as_numpy_iterator())
        assert shard_batches.cardinality() == len(batches)
        assert [batch["image_ids"].tolist() for batch in batches] == expected_ids
        for batch in batches:
            for place, row in enumerate(batch["image_ids"]):
                if row >= 0:
                    assert_same([{name: value[place : place + 1] for name, value in batch.items()}], [evaluated[row]])


@pytest.mark.parametrize(("num_shards", "num_parts"), [(2, 1), (1, 2), (3, 2), (1, 6)], ids=str)
def test_a_batch_that_cannot_be_divided_is_refused(dataset: DetectionDataset, num_shards: int, num_parts: int) -> None:
    devices = num_shards * num_parts
    with pytest.raises(errors.UsageError, match=f"batch_size is 3, which {devices} devices.*a multiple of {devices}"):
        pipeline_of(dataset).train_batches(num_shards=num_shards, num_parts=num_parts)
