"""SageMaker's entry point; stands beside the package folder in a source_dir archive, and in scripts/ in a checkout."""

import pathlib
import sys

HERE = pathlib.Path(__file__).absolute().parent
if not (HERE / "tfod_transfer").is_dir():
    sys.path.insert(0, str(HERE.parent))

from tfod_transfer.cluster import leave  # noqa: E402
from tfod_transfer.sagemaker import main  # noqa: E402

if __name__ == "__main__":
    leave(main())
