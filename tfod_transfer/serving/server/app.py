"""The routes: SageMaker's, TF Serving's, Prometheus's, and the page for people."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tfod_transfer.artifact import VERSION_FOLDER
from tfod_transfer.data import image_files
from tfod_transfer.serving import inference
from tfod_transfer.serving.server import batching, metrics, page, rest
from tfod_transfer.serving.server.answers import RefusedError, error_response, json_response
from tfod_transfer.serving.server.bodies import Deadline, read_body
from tfod_transfer.serving.server.settings import Settings

_LOADING = "the model is being loaded; GET /ping says 200 when it is ready."
_STATUSES = {"too_many_pixels": 413, "unsupported_format": 415}
#: What nginx counts for a client that did not wait for its answer.
_CLIENT_LEFT = 499
_SECONDS_TO_FINISH = 5


class Server:
    """The application, and the thread behind it; both live as long as Starlette's lifespan."""

    def __init__(
        self,
        settings: Settings,
        batcher: batching.Batcher,
        counts: metrics.Metrics,
        labels: Sequence[str | int],
        algorithm: str = "",
    ) -> None:
        """Args: `labels` is what labels_info.json says, "N/A" first; `algorithm` decides the form of answers."""
        self._settings, self._batcher, self._counts, self._labels = settings, batcher, counts, labels
        self._algorithm = algorithm
        self._page = page.render(settings, labels)
        counts.watch(lambda: batcher.queue_length, lambda: batcher.model is not None)

    def application(self) -> ASGIApp:
        """The ASGI application, its requests counted."""
        model = "/v1/models/{name}"
        version = model + "/versions/{version}"
        routes = [
            Route("/", self._show_page),
            Route("/ping", self._ping),
            Route("/invocations", self._invoke, methods=["POST"]),
            Route("/execution-parameters", self._execution_parameters),
            Route("/metrics", self._metrics),
            Route(model + ":predict", self._predict, methods=["POST"]),
            Route(version + ":predict", self._predict, methods=["POST"]),
            Route(model, self._model_status),
            Route(version, self._model_status),
        ]
        handlers = {RefusedError: _refused, HTTPException: _no_such_route, ClientDisconnect: _left, Exception: _failed}
        application = Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)
        names = {"_predict": model + ":predict", "_model_status": model}
        return metrics.counted(
            application, self._counts, {route.endpoint: names.get(route.name, route.path) for route in routes}
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._batcher.start()
        yield
        self._batcher.close(_SECONDS_TO_FINISH)

    async def _show_page(self, _: Request) -> Response:
        return HTMLResponse(self._page, headers={"content-security-policy": page.POLICY})

    async def _ping(self, _: Request) -> Response:
        return Response() if self._batcher.model else error_response(503, _LOADING)

    async def _execution_parameters(self, _: Request) -> Response:
        return json_response(self._settings.execution_parameters)

    async def _metrics(self, _: Request) -> Response:
        return Response(self._counts.text(), headers={"content-type": metrics.CONTENT_TYPE})

    async def _model_status(self, request: Request) -> Response:
        self._check_name(request)
        state = "AVAILABLE" if self._batcher.model else "LOADING"
        status = {"error_code": "OK", "error_message": ""}
        return json_response({"model_version_status": [{"version": VERSION_FOLDER, "state": state, "status": status}]})

    async def _invoke(self, request: Request) -> Response:
        deadline = Deadline(self._settings.timeout)
        kind = _content_type(request)
        if kind == inference.JSON_CONTENT_TYPE:  # as SageMaker's TensorFlow Serving container takes it
            return await self._answer_rest(request, deadline)
        if kind not in inference.IMAGE_CONTENT_TYPES:
            expected = ", ".join((*inference.IMAGE_CONTENT_TYPES, inference.JSON_CONTENT_TYPE))
            raise RefusedError(415, f"expected one of the Content-Types {expected}; found {kind or 'none'}.")
        options = inference.parse_accept(request.headers.get("accept"))
        checked = self._check_image(await read_body(request, self._settings.max_body_bytes, deadline))
        if isinstance(checked, image_files.ImageProblem):
            raise RefusedError(_STATUSES.get(checked.reason, 400), _sentence(checked.message))
        (row,) = await self._detect([checked], deadline)
        try:
            content = inference.answer_of(self._algorithm, row, options, self._labels)
        except inference.BadImageError as error:
            raise RefusedError(400, _sentence(str(error))) from None
        return json_response(content, media_type=options.content_type)

    async def _predict(self, request: Request) -> Response:
        deadline = Deadline(self._settings.timeout)
        self._check_name(request)
        kind = _content_type(request)
        if kind in inference.IMAGE_CONTENT_TYPES:
            raise RefusedError(415, f"this route takes JSON, found {kind}; POST an image as it is to /invocations.")
        return await self._answer_rest(request, deadline)

    async def _answer_rest(self, request: Request, deadline: Deadline) -> Response:
        prediction = rest.read(await read_body(request, self._settings.max_body_bytes, deadline))
        limit = self._batcher.queue_limit
        if len(prediction.images) > limit:
            raise RefusedError(413, f"{len(prediction.images)} images in one request, more than {limit}; send fewer.")
        checked = [self._check_image(image) for image in prediction.images]
        found = iter(await self._detect([image for image in checked if isinstance(image, batching.Image)], deadline))
        rows = [next(found) if isinstance(image, batching.Image) else self._blank(image) for image in checked]
        return json_response(rest.answer(rows, prediction.by_columns))

    async def _detect(self, images: Sequence[batching.Image], deadline: Deadline) -> list[batching.Row]:
        """The row of each image, once the model has had its turn."""
        if not self._batcher.model:
            raise RefusedError(503, _LOADING)
        try:
            answers = self._batcher.submit(images)
        except batching.QueueFullError:
            raise RefusedError(
                429, f"{self._batcher.queue_length} images wait for the model already; ask again in a second."
            ) from None
        except batching.ClosedError:
            raise RefusedError(503, "the server is stopping.") from None
        try:
            return await asyncio.wait_for(asyncio.gather(*map(asyncio.wrap_future, answers)), deadline.left())
        except asyncio.TimeoutError:
            raise RefusedError(
                504, f"no answer within {self._settings.timeout:g} s (--timeout); the model has too much to do."
            ) from None

    def _check_image(self, contents: bytes) -> batching.Image | image_files.ImageProblem:
        header = image_files.check_header(contents, max_pixels=self._settings.max_pixels)
        if isinstance(header, image_files.ImageProblem):
            return header
        return batching.Image(contents, header.width * header.height)

    def _blank(self, problem: image_files.ImageProblem) -> batching.Row:
        if not self._batcher.model:
            raise RefusedError(503, _LOADING)
        return self._batcher.model.blank(problem.message)

    def _check_name(self, request: Request) -> None:
        name, version = request.path_params["name"], request.path_params.get("version", VERSION_FOLDER)
        if name != self._settings.model_name:
            raise RefusedError(404, f"there is no model {name!r} here; this server has {self._settings.model_name!r}.")
        if version != VERSION_FOLDER:
            raise RefusedError(404, f"there is no version {version!r} of {name!r} here; expected {VERSION_FOLDER!r}.")


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _content_type(request: Request) -> str:
    return inference.media_type(request.headers.get("content-type"))


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return error_response(error.status, error.sentence)


async def _left(_: Request, __: Exception) -> Response:
    return Response(status_code=_CLIENT_LEFT)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        response = error_response(405, f"{request.url.path} does not take {request.method}.")
        response.headers.update(error.headers or {})
        return response
    return error_response(
        error.status_code,
        f"there is no {request.url.path} here; POST an image to /invocations, or open / in a browser.",
    )


async def _failed(_: Request, error: Exception) -> Response:
    return error_response(500, f"the server failed at this request ({type(error).__name__}); its log says more.")
