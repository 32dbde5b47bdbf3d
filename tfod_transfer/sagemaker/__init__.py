"""Running under SageMaker: `main` is what scripts/transfer_learning.py calls in a training job.

`python -m tfod_transfer.sagemaker bundle OUT.tar.gz` makes the archive that an Estimator takes as its source_dir.
"""

from tfod_transfer.sagemaker.job import main as main
