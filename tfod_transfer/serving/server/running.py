"""The life of the server: a port, a thread that loads the model, a signal, and the requests that are left to answer."""

from __future__ import annotations

import os
import signal
import socket
import sys

import uvicorn

from tfod_transfer import artifact, errors
from tfod_transfer.serving.server.app import Server
from tfod_transfer.serving.server.batching import Batcher, Model
from tfod_transfer.serving.server.metrics import Metrics
from tfod_transfer.serving.server.settings import Settings

#: Longer than load balancers keep an idle connection (60 s): who closes first must not be the server, or the next
#: request runs into it.
KEEP_ALIVE_SECONDS = 75


def serve(model: artifact.Artifact, settings: Settings, host: str, port: int) -> int:
    """Serves an artifact until SIGTERM or Ctrl-C, and then what it has taken; returns the exit status.

    Raises:
      UsageError: nothing can listen at this address.
      ArtifactError: the SavedModel cannot be loaded.
    """
    listener = listen(host, port)
    counts = Metrics()

    def stop(*_: object) -> None:
        server.should_exit = True

    batcher = Batcher(
        lambda: _load(model, settings),
        max_batch_size=settings.max_batch_size,
        delay=settings.batch_delay,
        queue_limit=settings.queue_limit,
        max_pixels=settings.max_pixels,
        on_batch=counts.count_batch,
        on_ready=lambda seconds: print(f"ready: loaded and warmed up in {seconds:.1f} s", flush=True),
        on_failure=stop,
    )
    application = Server(settings, batcher, counts, model.info.label_values, model.info.algorithm).application()
    config = uvicorn.Config(
        application, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=KEEP_ALIVE_SECONDS
    )
    server = uvicorn.Server(config)
    # uvicorn sends itself the signal again when it is done; these take it then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    address, bound = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    print(f"serving {settings.model_name} at http://{shown}:{bound}/", flush=True)
    server.run(sockets=[listener])
    if batcher.failure:
        if isinstance(batcher.failure, errors.TransferError):
            raise batcher.failure
        raise errors.ArtifactError(f"{model.saved_model} cannot be loaded: {batcher.failure}") from batcher.failure
    print("stopped", flush=True)
    if not batcher.close(0):  # still loading, or at work on what nobody waits for: TensorFlow would not be ended well
        sys.stderr.flush()
        os._exit(0)
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Binds a socket.

    Raises:
      UsageError: it cannot be.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        # With the protocol in it: asyncio sets TCP_NODELAY on no other socket, and each answer would take 40 ms more.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
        return listener
    except OSError as error:
        raise errors.UsageError(
            f"cannot listen at {host}, port {port}: {error.strerror or error}; choose another --host or --port."
        ) from None


def _load(found: artifact.Artifact, settings: Settings) -> Model:
    from tfod_transfer.serving.server.model import ServedModel

    model = ServedModel(found.saved_model)
    model.warm_up(found.info.image_size, sorted({1, settings.max_batch_size}))
    return model
