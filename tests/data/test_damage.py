"""Whatever happens to a file, what is said is an error of this package or a finding, and never a traceback."""

from __future__ import annotations

import pathlib
import shutil

import pytest
import small_sets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfod_transfer.data import writers
from tfod_transfer.data.formats import read_dataset
from tfod_transfer.errors import DataError

# name of the format, file that is damaged
FILES = {
    "tf_json": "annotations.json",
    "image_json": "../image_json_annotation/000.json",
    "augmented_manifest": "augmented_manifest.manifest",
    "recordio": "recordio.rec",
    "recordio list": "recordio.lst",
    "recordio index": "recordio.idx",
    "recordio classes": "classes.txt",
    "voc": "Annotations/000.xml",
    "voc classes": "classes.txt",
    "tfrecord": "tfrecord.tfrecord",
    "tfrecord classes": "label_map.pbtxt",
}
edits = st.lists(
    st.tuples(
        st.integers(0, 10_000),
        st.integers(0, 30),
        st.binary(max_size=12) | st.sampled_from([b"null", b"-1", b"[]", b"1e999", b'"', b"\t"]),
    ),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("whole")
    dataset = small_sets.write(folder / "source", [[(40, 10, 60, 30), (4, 4, 40, 40)], [], [(30, 20, 50, 40)]])
    for name in writers.WRITERS:
        writers.write(dataset, folder / name, name, writers.Settings())
    return folder


@pytest.mark.parametrize("case", FILES)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=edits)
def test_damage(whole: pathlib.Path, tmp_path: pathlib.Path, case: str, changes: list[tuple[int, int, bytes]]) -> None:
    name = case.split()[0]
    if not (tmp_path / name).exists():
        shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    content = (whole / name / FILES[case]).read_bytes()
    for start, length, inserted in changes:
        start %= len(content) + 1
        content = content[:start] + inserted + content[start + length :]
    (tmp_path / name / FILES[case]).write_bytes(content)
    try:
        dataset = read_dataset(tmp_path / name, box_order="xyxy", max_findings=1)
    except DataError:
        return
    assert len(dataset.boxes) == len(dataset.classes) == dataset.offsets[-1]
    assert ((dataset.boxes >= 0) & (dataset.boxes <= 1)).all()
