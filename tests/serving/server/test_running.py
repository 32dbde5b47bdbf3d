"""The socket that the server listens at."""

from __future__ import annotations

import socket

import pytest

from tfod_transfer import errors
from tfod_transfer.serving.server import running


def test_the_socket_is_one_that_asyncio_sets_tcp_nodelay_on() -> None:
    with running.listen("127.0.0.1", 0) as listener:
        assert (listener.type, listener.proto) == (socket.SOCK_STREAM, socket.IPPROTO_TCP)
        with socket.create_connection(listener.getsockname()):
            pass


def test_a_port_that_is_taken_or_a_host_that_is_not_here_is_said() -> None:
    with running.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(errors.UsageError, match=f"cannot listen at 127.0.0.1, port {port}: Address already in use"):
            running.listen("127.0.0.1", port)
    with pytest.raises(errors.UsageError, match=r"cannot listen at 192.0.2.1, port 0: .*; choose another --host"):
        running.listen("192.0.2.1", 0)
