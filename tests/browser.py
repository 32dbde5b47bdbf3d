"""Opens a page in headless Chromium and measures it there, at several widths."""

from __future__ import annotations

import dataclasses
import functools
import html
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (390, 1280)
SECONDS = 120
VIRTUAL_MS = (20_000, 100_000, 500_000)

# Shows the page in a frame of each width; what it finds goes into <pre>, which --dump-dom prints.
_FRAME = """<!doctype html><title>frame</title><body><pre></pre><script>
const errors = [], results = {};
const measure = (frame) => {
  const page = frame.contentDocument, root = page.documentElement, width = root.clientWidth;
  const boxed = (element) => element.closest('.scroll');
  const shown = (element) => { const box = element.getBoundingClientRect(); return box.width > 40 && box.height > 40; };
  return {
    inner_width: frame.contentWindow.innerWidth,
    scroll_width: Math.max(root.scrollWidth, page.body.scrollWidth),
    client_width: width,
    images: [...page.images].map((image) => image.complete && image.naturalWidth > 0 && shown(image)),
    plots: [...page.querySelectorAll('svg')].map((svg) => shown(svg) && svg.getBBox().width > 100
      && [...svg.querySelectorAll('path')].some((path) => getComputedStyle(path).stroke.startsWith('rgb'))),
    beyond: [...page.body.querySelectorAll('*')].filter((element) => !boxed(element) && !element.closest('svg')
      && element.getBoundingClientRect().right > width + 1).map((element) => element.outerHTML.slice(0, 120)),
    headings: [...page.querySelectorAll('h2')].map((heading) => heading.id),
    font_px: parseFloat(getComputedStyle(page.body).fontSize),
  };
};
const open = (width) => new Promise((done) => {
  const frame = document.createElement('iframe');
  frame.style = `border: 0; width: ${width}px; height: 900px`;
  frame.src = 'PAGE';
  frame.onload = () => {
    frame.contentWindow.addEventListener('error', (event) => errors.push(String(event.message)));
    requestAnimationFrame(() => requestAnimationFrame(() => { results[width] = measure(frame); done(); }));
  };
  document.body.append(frame);
});
Promise.all(WIDTHS.map(open)).then(() => {
  document.querySelector('pre').textContent = JSON.stringify({results, errors});
});
</script>"""


@dataclasses.dataclass(frozen=True)
class Opened:
    """What the browser found.

    Attributes:
      by_width: what was measured at each of WIDTHS.
      console: lines of its console, and errors.
      requested: paths that it asked the server for, each once.
    """

    by_width: dict[int, dict[str, Any]]
    console: list[str]
    requested: set[str]


def find_chromium() -> str:
    """The browser's path; without one the test is skipped, or fails under CI."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    message = f"needs a browser: one of {', '.join(NAMES)} (apt-get install chromium)"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def open_page(page: pathlib.Path, scratch: pathlib.Path) -> Opened:
    """Opens a page from a server of its own, so that nothing else could reach it."""
    chromium = find_chromium()
    shutil.copy(page, scratch / page.name)
    (scratch / "frame.html").write_text(_FRAME.replace("PAGE", page.name).replace("WIDTHS", json.dumps(WIDTHS)))
    requested: set[str] = set()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            requested.add(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(scratch)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        # On a busy machine the browser's own time may be over before it has drawn the page: it gets more of it.
        for budget in VIRTUAL_MS:
            done = subprocess.run(
                [
                    *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                    *("--no-first-run", "--enable-logging=stderr", f"--virtual-time-budget={budget}"),
                    *(f"--user-data-dir={scratch / f'profile_{budget}'}", "--window-size=1400,1000"),
                    *("--dump-dom", f"http://127.0.0.1:{server.server_port}/frame.html"),
                ],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            found = re.search(r"<pre>(\{.*?\})</pre>", done.stdout, re.DOTALL)
            if found:
                break
    finally:
        server.shutdown()
        server.server_close()
    assert found, f"status {done.returncode}: {done.stderr[-2000:]}"
    record = json.loads(html.unescape(found[1]))
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Opened(
        {int(width): values for width, values in record["results"].items()}, console + record["errors"], requested
    )
