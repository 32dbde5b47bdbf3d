"""A manifest whose images are on S3: a server that answers as S3 does, tensorflow-io, and the real command."""

from __future__ import annotations

import http.server
import io
import json
import os
import pathlib
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator

import pytest
from PIL import Image

from tfod_transfer.data.formats import read_dataset

pytestmark = pytest.mark.acceptance

SIDE = 48
BOX = {"class_id": 0, "left": 16, "top": 24, "width": 20, "height": 20}


def picture(side: int, shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 90, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: pathlib.Path, names: list[str]) -> pathlib.Path:
    labels = {"image_size": [{"width": SIDE, "height": SIDE}], "annotations": [BOX]}
    lines = [json.dumps({"source-ref": f"s3://photos/{name}", "boxes": labels}) + "\n" for name in names]
    (folder / "output.manifest").write_text("".join(lines))
    return folder


class Bucket(http.server.BaseHTTPRequestHandler):
    """As much of S3 as reading objects takes."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    requests: list[tuple[str, str]]

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urllib.parse.unquote(self.path.split("?")[0])
        content = self.objects.get(path)
        self.requests.append((self.command, path))
        wanted = self.headers.get("Range")
        if content is not None and wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            content = content[int(first) : int(last) + 1 if last else None]
        self.send_response(404 if content is None else 206 if wanted else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content or b"")

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[type[Bucket]]:
    pytest.importorskip("tensorflow_io")
    handler = type("Handler", (Bucket,), {"objects": {}, "requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for key, value in {
        "S3_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "TFOD_TRANSFER_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(key, value)
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_images_on_s3_are_copied_once_and_again_when_they_change(bucket: type[Bucket], tmp_path: pathlib.Path) -> None:
    bucket.objects |= {"/photos/a b.png": picture(SIDE, 0), "/photos/b.png": picture(SIDE, 50)}
    folder = write(tmp_path, ["a b.png", "b.png", "none.png"])
    command = [sys.executable, "-m", "tfod_transfer.inspect", str(folder), "--max_findings", "1"]
    root = pathlib.Path(__file__).parents[2]

    def fetched() -> set[str]:
        paths = {path for method, path in bucket.requests if method == "GET" and path in bucket.objects}
        bucket.requests.clear()
        return paths

    # A command, because a process that has used tensorflow-io's S3 itself would abort at its end.
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "2 of 3 images" in done.stdout
    assert fetched() == set(bucket.objects)

    bucket.objects["/photos/b.png"] = picture(2 * SIDE, 99)
    dataset = read_dataset(folder, max_findings=1)
    assert fetched() == {"/photos/b.png"}
    assert [pathlib.Path(path).read_bytes() for path in dataset.image_paths] == [*bucket.objects.values()]
    assert list(dataset.image_ids) == ["s3://photos/a b.png", "s3://photos/b.png"]
    (missing,) = [each for each in dataset.findings if each.action == "dropped"]
    assert (missing.reason, missing.file) == ("missing_image", "s3://photos/none.png")
