"""Image files out of arrays."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def encoded(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    """The image as a file of that kind."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()
