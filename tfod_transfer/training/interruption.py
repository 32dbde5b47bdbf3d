"""SIGTERM and Ctrl-C: a wish to stop, granted at the end of a step while training, at once at any other time."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from tfod_transfer import errors

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = b"\nstopping at the end of this step; once more stops at once\n"


class StopRequests:
    """Keeps the signal that asked the process to stop.

    Attributes:
      received: the signal that waits to be granted; None without one.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._handles = self._deferring = False

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Inside the block both signals raise `errors.StoppedError`, save in `deferred` blocks.

        Outside the main thread, where Python does not let handlers be set, they act as before.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        self._handles = True
        self.handle_again()
        try:
            yield
        finally:
            self._handles = False
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_again(self) -> None:
        """Takes the signals back from libraries that took them: TensorFlow does, for SIGTERM, with several hosts."""
        if self._handles:
            for number in _SIGNALS:
                signal.signal(number, self._handle)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside the block the first signal is only kept, for `received`; a second one raises."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._deferring and self.received is None:
            self.received = signal.Signals(number)
            os.write(2, _NOTICE)  # print could be in the middle of a line of its own
            return
        raise errors.StoppedError("stopped on request; nothing was exported", number)
