"""How long the commands take to answer when there is nothing to compute: median of five, each below one second.

python benchmarks/answers.py
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

from _measure import ROOT, median_seconds

MODEL = ["--model_id", "tensorflow-od1-ssd-mobilenet-v2-fpnlite-320x320-coco17-tpu-8"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        broken = pathlib.Path(folder) / "broken"
        (broken / "images").mkdir(parents=True)
        (broken / "annotations.json").write_text('{"images": [')
        output = ["--model_dir", str(pathlib.Path(folder) / "out")]
        cases = {
            "fit --help": ["--help"],
            "a wrong flag": ["--epoch", "3"],
            "a missing folder": [*MODEL, *output, "--training", str(broken / "nowhere")],
            "a broken JSON": [*MODEL, *output, "--training", str(broken)],
        }
        for name, arguments in cases.items():
            command = [sys.executable, "-m", "tfod_transfer.fit", *arguments]
            seconds = median_seconds(lambda: subprocess.run(command, cwd=ROOT, capture_output=True), 5)  # noqa: B023
            print(f"{name}: {seconds:.2f} s")


if __name__ == "__main__":
    main()
