"""What the server counts, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        prefix = "tfod_transfer_"
        self._requests = Counter(
            prefix + "requests", "requests by route and status", ["route", "status"], registry=self.registry
        )
        self._latency = Histogram(
            prefix + "request_seconds",
            "time from a request's headers to the end of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batch_sizes = Histogram(
            prefix + "batch_size", "images that the model got at once", buckets=_SIZES, registry=self.registry
        )
        self._batch_seconds = Histogram(
            prefix + "batch_seconds", "time of the model for a batch", buckets=_SECONDS, registry=self.registry
        )
        self._queue = Gauge(prefix + "queue_length", "images that wait for the model", registry=self.registry)
        self._ready = Gauge(prefix + "ready", "1 once the model is loaded and warmed up", registry=self.registry)

    def watch(self, queue_length: Callable[[], float], is_ready: Callable[[], bool]) -> None:
        """Reads these whenever somebody asks."""
        self._queue.set_function(queue_length)
        self._ready.set_function(is_ready)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Counts one answered request."""
        self._requests.labels(route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def count_batch(self, size: int, seconds: float) -> None:
        """Counts one run of the model."""
        self._batch_sizes.observe(size)
        self._batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """Prometheus's text format."""
        return prometheus_client.generate_latest(self.registry)


def counted(application: ASGIApp, counts: Metrics, names: Mapping[object, str]) -> ASGIApp:
    """Counts the requests of an application; `names` has the route of each of its endpoints."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await application(scope, receive, watched)
        finally:
            route = names.get(scope.get("endpoint"), "other")
            counts.count_request(route, status, time.perf_counter() - started)

    return run
