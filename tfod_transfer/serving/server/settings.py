"""What the server takes, and how much of it."""

from __future__ import annotations

import dataclasses

from tfod_transfer.data.image_files import DEFAULT_MAX_PIXELS

MEGABYTE = 2**20
#: SageMaker refuses more for all requests of a batch transform that are under way at once.
BATCH_TRANSFORM_MEGABYTES = 100


@dataclasses.dataclass(frozen=True)
class Settings:
    """Limits of the server.

    Attributes:
      model_name: the NAME of /v1/models/NAME.
      max_batch_size: most images that the model gets at once.
      batch_delay: longest time in seconds that an image waits for others.
      queue_limit: most images that wait for the model; requests beyond are refused.
      max_body_bytes: largest request.
      max_pixels: largest image, and most pixels of all images that the model gets at once.
      timeout: seconds that a request may take, from its first byte on.
    """

    model_name: str = "model"
    max_batch_size: int = 8
    batch_delay: float = 0.005
    queue_limit: int = 64
    max_body_bytes: int = 20 * MEGABYTE
    max_pixels: int = DEFAULT_MAX_PIXELS
    timeout: float = 60.0

    @property
    def execution_parameters(self) -> dict[str, object]:
        """What SageMaker's batch transform asks for: how to call this server."""
        megabytes = min(BATCH_TRANSFORM_MEGABYTES, max(1, self.max_body_bytes // MEGABYTE))
        return {
            "MaxConcurrentTransforms": max(1, min(self.max_batch_size, BATCH_TRANSFORM_MEGABYTES // megabytes)),
            "BatchStrategy": "SINGLE_RECORD",
            "MaxPayloadInMB": megabytes,
        }
