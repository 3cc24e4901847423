"""Serve an application on a socket, and answer what is not even HTTP.

aiohttp's own answer to a malformed or oversize request, and the log line it writes,
repeat the bytes it stumbled over, the start of a Cookie header among them. Ours say
only what kind of thing was wrong.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from bff.access_log import AccessLogger
from bff.errors import BadRequest, GatewayError
from bff.express import EXPRESS, Express
from bff.front import HEAD_SECONDS, Front
from bff.lifecycle import LIFECYCLE, Lifecycle
from bff.problems import PROBLEM_JSON, problem_body, translate
from bff.telemetry import REQUEST_ID, new_request_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bff.config_server import Server

log = logging.getLogger(__name__)


class HeadersTooLarge(GatewayError):
    """Refuse a request line or header field over the limit (RFC 6585)."""

    status = 431
    code = "headers_too_large"
    detail = (
        "The request's headers are too large. Clearing this site's cookies may help."
    )


class BareProblem(web.Response):
    """Answer with an error where no signal runs that would harden the answer."""

    def __init__(self, error: GatewayError, identity: str) -> None:
        super().__init__(
            status=error.status,
            body=problem_body(error, identity),
            headers={
                "Content-Type": PROBLEM_JSON,
                "Cache-Control": "no-store",
                "X-Request-ID": identity,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
            },
        )

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        # What we are made of, to the version, is nobody's business.
        self.headers.popall("Server", None)


class QuietHandler(RequestHandler):
    """Answer protocol errors as problem+json and log them without their bytes."""

    __slots__ = ("_front", "_lifecycle", "_patience")

    def __init__(
        self,
        manager: web.Server,
        front: Front,
        *,
        lifecycle: Lifecycle,
        loop: asyncio.AbstractEventLoop,
        **limits: Any,  # noqa: ANN401 - passed on to aiohttp as they are
    ) -> None:
        super().__init__(manager, loop=loop, **limits)
        self._front = front
        self._lifecycle = lifecycle

    @property
    def is_idle(self) -> bool:
        """Say whether every request so far is answered and none has begun."""
        return (
            self._waiter is not None
            and not self._waiter.done()
            and not self._messages
            and not self._upgraded
        )

    def _process_keepalive(self) -> None:
        # Answers that did not come by here count as signs of life all the same.
        seen = self._front.last_answer + self._keepalive_timeout
        self._next_keepalive_close_time = max(self._next_keepalive_close_time, seen)
        super()._process_keepalive()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect the first request's head within 30 seconds."""
        super().connection_made(transport)
        self._patience = asyncio.get_running_loop().call_later(
            HEAD_SECONDS, transport.close
        )

    def connection_lost(self, exc: BaseException | None) -> None:
        """Expect nothing any more."""
        self._patience.cancel()
        super().connection_lost(exc)

    async def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> tuple[web.StreamResponse, bool]:
        self._patience.cancel()
        with self._lifecycle.answering():
            return await super()._handle_request(request, start_time, request_handler)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer for what no handler could: bad HTTP, or an error of our own."""
        del message
        if isinstance(exc, ConnectionError):
            raise exc  # the browser has left: there is nobody to answer
        error: GatewayError
        if status >= web.HTTPInternalServerError.status_code:
            log.error("a request failed", exc_info=exc)
            error = GatewayError()
        else:
            log.info("refused a malformed request: %s", type(exc).__name__)
            error = BadRequest("The request is not valid HTTP.")
            if isinstance(exc, LineTooLong):
                error = HeadersTooLarge()
        if request.writer.output_size > 0:
            # Half an answer is out already: only a broken connection is honest.
            raise ConnectionError("the answer has begun") from exc
        response = BareProblem(error, new_request_id())
        response.force_close()
        return response

    def log_exception(self, *args: object, exc_info: object = None) -> None:
        """Log what happened outside handlers; a browser's broken body in one line."""
        if isinstance(exc_info, web.RequestPayloadError):
            log.info("a request body could not be read")
        else:
            super().log_exception(*args, exc_info=exc_info)

    async def finish_response(
        self,
        request: web.BaseRequest,
        resp: web.StreamResponse,
        start_time: float | None,
    ) -> tuple[web.StreamResponse, bool]:
        """Put what aiohttp raised outside our middlewares into our words."""
        if isinstance(resp, web.HTTPException) and (error := translate(resp)):
            identity = request.get(REQUEST_ID) or new_request_id()
            request[REQUEST_ID] = identity
            resp = BareProblem(error, identity)
            resp.force_close()
        return await super().finish_response(request, resp, start_time)


class QuietServer(web.Server):
    """Make a `Front` for each connection, with aiohttp behind it."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - passed on to aiohttp as they are
        express: Express | None,
        lifecycle: Lifecycle,
        **kwargs: Any,  # noqa: ANN401 - the same
    ) -> None:
        super().__init__(*args, **kwargs)
        self._express = express
        self._lifecycle = lifecycle
        self._fronts: set[Front] = set()

    def __call__(self) -> asyncio.Protocol:  # type: ignore[override] # a Front stands before aiohttp's
        """Return the protocol of one connection."""
        front = Front(self._handler, self._express, self._fronts.discard)
        self._fronts.add(front)
        return front

    @property
    def open_fronts(self) -> int:
        """Return how many connections are open."""
        return len(self._fronts)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Close what is idle, then let aiohttp end the rest."""
        for front in list(self._fronts):
            front.close_if_idle()
        await super().shutdown(timeout)

    def _handler(self, front: Front) -> QuietHandler:
        return QuietHandler(
            self, front, lifecycle=self._lifecycle, loop=self._loop, **self._kwargs
        )


class GatewayRunner(web.AppRunner):
    """Run an application with our limits, our access log and our protocol errors.

    Handlers are cancelled when their browser leaves: a silent stream would otherwise
    keep its upstream open. Handlers with effects shield them.
    """

    def __init__(self, app: web.Application, server: Server) -> None:
        self._limits: dict[str, Any] = {
            "access_log_class": AccessLogger,
            "max_line_size": server.max_header,
            "max_field_size": server.max_header,
        }
        super().__init__(
            app,
            handler_cancellation=True,
            shutdown_timeout=1.0,
            handle_signals=False,
            **self._limits,
        )

    @property
    def open_fronts(self) -> int:
        """Return how many connections are open."""
        server = self.server
        return server.open_fronts if isinstance(server, QuietServer) else 0

    async def _make_server(self) -> QuietServer:
        made = await super()._make_server()
        return QuietServer(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=asyncio.get_running_loop(),
            express=self.app.get(EXPRESS),
            lifecycle=self.app.get(LIFECYCLE) or Lifecycle(),
            **self._limits,
        )
