"""The real server: asked by programs, by a person with a browser, and stopped."""

from __future__ import annotations

import base64
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from devtools import Tab, chromium
from running import ROOT, Done
from served import SECONDS, Serving, started

pytestmark = pytest.mark.acceptance

ARROW_LEFT, TAB = ("ArrowLeft", 37), ("Tab", 9)
STEPS = 10  # of the slider, each 0.01
COUNT = "document.querySelectorAll('#list li').length"


@pytest.fixture(scope="module")
def server(fitted: tuple[pathlib.Path, Done]) -> Iterator[Serving]:
    with started(fitted[0], "--model_name", "shapes") as serving:
        yield serving


@pytest.fixture(scope="module")
def picture(drawn: pathlib.Path) -> pathlib.Path:
    return sorted((drawn / "validation" / "images").iterdir())[0]


def test_answers_are_those_of_the_exported_model(
    server: Serving, fitted: tuple[pathlib.Path, Done], picture: pathlib.Path
) -> None:
    from tfod_transfer.serving.loaded import LoadedDetector

    contents = picture.read_bytes()
    (expected,) = LoadedDetector(fitted[0] / "1").detect_files([str(picture)])
    verbose = {"Content_Type": "application/x-image", "Accept": "application/json;verbose;n_predictions=5"}
    told = server.post("invocations", contents, **verbose)
    assert told["scores"] == pytest.approx(expected.scores[0, :5].tolist(), abs=1e-5)
    assert told["classes"] == (expected.classes[0, :5] + 1).tolist()
    boxes = expected.boxes[0, :5][:, [1, 0, 3, 2]].tolist()
    assert [told["normalized_boxes"][i] == pytest.approx(boxes[i], abs=1e-4) for i in range(5)] == [True] * 5
    assert told["labels"][0] == "N/A"
    encoded = {"b64": base64.b64encode(contents).decode()}
    cut = {"b64": base64.b64encode(contents[: len(contents) // 2]).decode()}
    body = json.dumps({"instances": [encoded, cut, encoded]}).encode()
    first, bad, last = server.post("v1/models/shapes:predict", body)["predictions"]
    assert first == last
    assert first["scores"][:5] == pytest.approx(told["scores"], abs=1e-5)
    assert bad["status"]
    assert set(bad["scores"]) == {0.0}


def test_a_person_drops_a_picture_and_moves_the_slider(
    server: Serving, picture: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with chromium(tmp_path / "profile") as tab:
        for width, height in ((1280, 900), (390, 844)):
            tab.open(server.url, width, height)
            tab.until("document.getElementById('state').textContent === ''")
            tab.drop(picture, 100, 300)
            tab.until("!document.getElementById('result').hidden")
            look_around(tab, width)
            tab.screenshot(pathlib.Path(os.environ.get("TFOD_TRANSFER_SCREENSHOTS", tmp_path)) / f"page_{width}.png")
            tab.drop(pathlib.Path(__file__), 100, 300)
            tab.until("document.getElementById('state').classList.contains('wrong')")
            assert "is no JPEG or PNG picture" in tab.evaluate("document.getElementById('state').textContent")
        assert tab.complaints == []


def look_around(tab: Tab, width: int) -> None:
    """Moves the slider with the keyboard alone, and chooses a box with it."""
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.getElementById('image').getBoundingClientRect().right") <= width
    tab.evaluate("document.getElementById('file').focus()")
    tab.press(*TAB)
    assert tab.evaluate("document.activeElement.id") == "threshold"
    before = tab.evaluate(COUNT)
    for _ in range(STEPS):
        tab.press(*ARROW_LEFT)
    assert tab.evaluate("document.getElementById('value').textContent") == f"{0.4 - STEPS * 0.01:.2f}"
    at_least = tab.evaluate(f"answer.scores.filter((score) => score >= {0.4 - STEPS * 0.01:.2f}).length")
    assert tab.evaluate(COUNT) == at_least >= before
    tab.evaluate("const slider = document.getElementById('threshold'); slider.value = 0; slider.oninput()")
    assert tab.evaluate(COUNT) == tab.evaluate("answer.scores.length") > 1
    assert tab.evaluate("document.querySelectorAll('#boxes g').length") == tab.evaluate(COUNT)
    tab.evaluate("slider.value = [...answer.scores].sort((a, b) => b - a)[2]; slider.oninput()")
    tab.press(*TAB)
    assert tab.evaluate("document.activeElement.closest('#list') !== null")
    assert tab.evaluate("document.querySelectorAll('#boxes g.lit').length") == 1


def test_a_request_that_was_taken_is_finished_when_the_server_is_stopped(
    fitted: tuple[pathlib.Path, Done], picture: pathlib.Path
) -> None:
    contents = picture.read_bytes()
    with started(fitted[0]) as serving:
        connection = http.client.HTTPConnection(serving.url.split("/")[2], timeout=SECONDS)
        connection.connect()
        headers = f"Host: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(contents)}\r\nExpect: 100-continue"
        connection.sock.sendall(f"POST /invocations HTTP/1.1\r\n{headers}\r\n\r\n".encode())
        assert connection.sock.recv(1000).startswith(b"HTTP/1.1 100")  # it is being read
        serving.process.send_signal(signal.SIGTERM)
        while listens(serving.url):
            pass
        connection.sock.sendall(contents)
        response = http.client.HTTPResponse(connection.sock, method="POST")
        response.begin()
        assert response.status == 200
        assert "scores" in json.loads(response.read())
        output, error = serving.process.communicate(timeout=SECONDS)
        assert (serving.process.returncode, output, error) == (0, "stopped\n", "")


def listens(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "ping", timeout=SECONDS):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_still_loading_stops_at_once(fitted: tuple[pathlib.Path, Done], number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tfod_transfer.serve", str(fitted[0]), "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    process.stdout.readline()
    process.send_signal(number)
    output, error = process.communicate(timeout=SECONDS)
    assert (process.returncode, output, error) == (0, "stopped\n", "")


def test_what_cannot_be_served_is_said_at_once(fitted: tuple[pathlib.Path, Done], tmp_path: pathlib.Path) -> None:
    from running import run_command

    (tmp_path / "1").mkdir()
    for name in ("__model_info__.json", "labels_info.json"):
        (tmp_path / name).write_bytes((fitted[0] / name).read_bytes())
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"nothing")
    done = run_command("serve", tmp_path, "--port", 0)
    assert done.status == 2
    assert done.error.startswith(f"error: {tmp_path / '1'} cannot be loaded")
    assert done.error.count("\n") == 1
