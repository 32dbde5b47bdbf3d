"""Headless Chromium as a person uses it: real drops, keys and screens, through its DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import pathlib
import selectors
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from browser import find_chromium

SECONDS = 60
# Where pipes lie before Chromium's 3 and 4 are made of them; either may be one of these itself.
_ASIDE = 20


class Tab:
    """One page. What its console says, and what it fails to load, is in `complaints`."""

    def __init__(self, commands: int, replies: int) -> None:
        self._commands, self._replies, self._session = commands, replies, None
        self._buffer, self._number = b"", 0
        self.complaints: list[str] = []
        self._readable = selectors.DefaultSelector()
        self._readable.register(replies, selectors.EVENT_READ)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and returns its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._next()
            if reply.get("id") == self._number:
                assert "error" not in reply, (method, reply["error"])
                return reply["result"]

    def open(self, url: str, width: int, height: int) -> None:
        """Opens a page on a screen of this size."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, expression: str) -> Any:
        """Returns what JavaScript makes of an expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Waits for a condition."""
        end = time.monotonic() + SECONDS
        while not self.evaluate(condition):
            assert time.monotonic() < end, f"{condition} has not come true: {self.evaluate('document.body.innerText')}"
            time.sleep(0.02)

    def drop(self, file: pathlib.Path, x: int, y: int) -> None:
        """Drags a file onto the page and lets go of it."""
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def press(self, key: str, code: int) -> None:
        """Presses and releases a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self, path: pathlib.Path) -> None:
        """Writes a PNG of the whole page."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert self._readable.select(SECONDS), "Chromium says nothing"
            part = os.read(self._replies, 1 << 20)
            assert part, "Chromium has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        if found.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed"):
            self.complaints.append(json.dumps(found["params"])[:500])
        return found


@contextlib.contextmanager
def chromium(profile: pathlib.Path) -> Iterator[Tab]:
    """A browser of its own, with one tab."""
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    aside = [fcntl.fcntl(end, fcntl.F_DUPFD, _ASIDE) for end in (theirs_in, theirs_out)]
    os.close(theirs_in)
    os.close(theirs_out)
    # The shell makes descriptors 3 and 4 of them.
    script = f'exec "$@" 3<&{aside[0]} 4>&{aside[1]}'
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    process = subprocess.Popen(
        [
            *("bash", "-c", script, "bash", find_chromium()),
            *options,
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ],
        pass_fds=aside,
        stderr=subprocess.DEVNULL,
    )
    for end in aside:
        os.close(end)
    try:
        yield Tab(ours_out, ours_in)
    finally:
        process.terminate()
        process.wait(SECONDS)
        os.close(ours_out)
        os.close(ours_in)
