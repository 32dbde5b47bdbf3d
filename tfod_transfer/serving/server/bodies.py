"""Reading what a client sends, no more of it and no longer than is allowed."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request

from tfod_transfer.serving.server.answers import RefusedError
from tfod_transfer.serving.server.settings import MEGABYTE

#: Of a body that is too large, this much more is read and thrown away: who is still sending sees no answer.
_DISCARDED_BYTES = 64 * MEGABYTE


class Deadline:
    """The time until which a request must be answered."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left, 0 at least."""
        return max(0.0, self._end - time.monotonic())


async def read_body(request: Request, limit: int, deadline: Deadline) -> bytes:
    """Reads a request's body.

    Raises:
      RefusedError: it has more than `limit` bytes, or does not end in time.
    """
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    waits = request.headers.get("expect", "").lower() == "100-continue"
    if size <= limit or (size <= limit + _DISCARDED_BYTES and not waits):
        try:
            size, body = await asyncio.wait_for(_read(request, limit), deadline.left())
        except asyncio.TimeoutError:
            raise RefusedError(408, "the request did not arrive whole in time.") from None
        if size <= limit:
            return body
    raise RefusedError(
        413, f"the request has {size} bytes or more, and {limit} are allowed (--max_body_mb); send a smaller image."
    )


async def _read(request: Request, limit: int) -> tuple[int, bytes]:
    """The size of a body, and the body if it is not larger than `limit`."""
    size, chunks = 0, []
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > limit + _DISCARDED_BYTES:
            break
    return size, b"".join(chunks) if size <= limit else b""
