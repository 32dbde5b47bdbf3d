"""An unpacked archive, and a server on this machine that sends what a test tells it to."""

from __future__ import annotations

import contextlib
import http.server
import pathlib
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from fake_zoo import NAME, PARAMETERS, Server


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An unpacked archive as the zoo has them, with a small checkpoint of noise (so that it does not compress)."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("zoo") / NAME
    values = np.random.default_rng(0).standard_normal(PARAMETERS, np.float32)
    module = tf.Module()
    module.kernel = tf.Variable(values)
    tf.train.Checkpoint(model=module).write(str(folder / "checkpoint" / "ckpt-0"))
    (folder / "checkpoint" / "checkpoint").write_text('model_checkpoint_path: "ckpt-0"\n')
    (folder / "saved_model" / "variables").mkdir(parents=True)
    (folder / "saved_model" / "saved_model.pb").write_bytes(b"graph")
    (folder / "saved_model" / "variables" / "variables.index").write_bytes(b"index")
    (folder / "pipeline.config").write_text("model {}")
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.path)
            if state.wait is not None:
                state.wait.wait(30)
            self.send_response(state.status)
            self.send_header("Content-Length", str(state.announced or len(state.body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(state.body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield state
        if state.wait is not None:
            state.wait.set()
        running.shutdown()
        thread.join()
