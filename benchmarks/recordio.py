"""Reading a RecordIO file, against reading its bytes alone.

    python benchmarks/recordio.py [--copies 20]

Writes a `.rec` file of many copies of the blood cells' training images in a temporary folder, then takes turns: the raw
file in pieces of a megabyte; its annotations, for which images are passed over; annotations and the bytes of every
image, as training reads them; and annotations with every image decoded once, as `fit` does before it trains. Prints MB
for each second of the processor, and the share of the raw file's. The file is in the page cache: this is what reading
costs beside the disk, which gives a few hundred MB/s.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import tempfile
from collections.abc import Callable

import numpy as np
from _measure import alternate, shared

from tfod_transfer.data import addresses, writers
from tfod_transfer.data.formats import places, read_dataset, table

REPEATS = 5
RAW, ANNOTATIONS, IMAGES, VERIFIED = "raw file", "annotations", "annotations and image bytes", "annotations, decoded"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=20)
    copies = parser.parse_args().copies
    source = read_dataset(shared("data/bccd/train"), verify="header")
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder) / "train"
        many = source.select(np.tile(np.arange(len(source)), copies))
        writers.write(many, place, "recordio", writers.Settings())
        path = place / "train.rec"
        megabytes = path.stat().st_size / 1e6
        print(f"{path.name}: {len(many)} images, {many.num_boxes} boxes, {megabytes:.0f} MB")
        found = places.locate(str(path))

        def raw() -> None:
            with path.open("rb") as file:
                while file.read(1 << 20):
                    pass

        def annotations() -> list[str]:
            return table.READERS["recordio"](found).addresses or []

        def images() -> None:
            for address in annotations():
                addresses.read(address)

        functions: dict[str, Callable[[], object]] = {RAW: raw, ANNOTATIONS: annotations, IMAGES: images}
        _, processor = alternate(functions, REPEATS)
        processor[VERIFIED] = alternate({VERIFIED: lambda: read_dataset(path)}, 1)[1][VERIFIED]
    seconds = {name: statistics.median(times) for name, times in processor.items()}
    for name, each in seconds.items():
        per_image = each / len(many) * 1e6
        print(f"{name:<30}{megabytes / each:8.0f} MB/s{per_image:8.1f} us/image{seconds[RAW] / each:8.3f} of raw")


if __name__ == "__main__":
    main()
