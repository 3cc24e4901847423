"""Show a user interface that another server makes: `next start`, a development server.

Nothing of the session reaches that server, and nothing it says reaches the session: no
token, no cookie of ours in either direction. WebSockets (reloading while one develops)
pass through as bytes.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from bff.access import OPEN_PAGE, PAGE, guarded
from bff.client_address import address_of
from bff.current_session import CONFIG, SESSION
from bff.errors import TooBusy
from bff.hardening import SAME_FOR_ALL
from bff.pages.away import away
from bff.pages.crossing import FORWARDED, may_be_set, to_ui, wanted
from bff.pages.names import PAGES, covers
from bff.pages.policy import INLINE, policy
from bff.sessions.revocation import ENDED
from bff.telemetry import REQUEST_ID
from graph_proxy import Allow, Forwarded, Proxy, UpstreamBroken, UpstreamUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from bff.config import Config
    from bff.sessions.session import AccessTicket
    from graph_proxy.answers import Head
    from graph_proxy.headers import Header
    from graph_proxy.upstream import Upstream as Address

log = logging.getLogger(__name__)

RETRY = {"Retry-After": "2"}
READS = frozenset({"GET", "HEAD"})
KEPT = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.NOT_MODIFIED})
# Under way at once in one process; and of these without a session, so that whoever has
# none never takes the place of those who have.
MOST, MOST_OPEN = 2000, 1000


class UiProxy(Proxy):
    """Forward to a user interface's server, whose own cookies pass."""

    def __init__(self, config: Config) -> None:
        ui, session = config.ui, config.session
        self._ours = frozenset({session.access_cookie, session.refresh_cookie})
        super().__init__(
            upstreams=[ui.upstream],
            prefix="/",
            allow=Allow.everything(),
            connect_timeout=ui.connect_timeout,
            head_timeout=ui.head_timeout,
            max_body=ui.max_body,
            forward_headers=[*FORWARDED, *ui.forward_headers],
        )

    def fields_for_browser(
        self, head: Head, upstream: Address, public: str
    ) -> list[Header]:
        """Choose the answer's fields that the browser may see."""
        fields = wanted(super().fields_for_browser(head, upstream, public))
        fields += [
            (name, value)
            for name, value in head.headers
            if name.lower() == "set-cookie" and may_be_set(value, self._ours)
        ]
        return fields

    def cookies(self, sent: list[str]) -> str:
        """Return what of the browser's Cookie fields may cross."""
        return to_ui(sent, self._ours)


class Upstream:
    """Answer with what one server says; *path_of* reads a request's path."""

    def __init__(self, config: Config, path_of: Callable[[web.Request], str]) -> None:
        self._proxy = UiProxy(config)
        self._public = config.ui.public
        self._path_of = path_of
        sockets = [
            origin.replace("http", "ws", 1) for origin in config.server.public_origins
        ]
        # Pages come as a stream, so nobody has read their scripts before.
        self._policy = policy(config.ui.csp, scripts=(INLINE,), connect=sockets)
        self._streams: set[Forwarded] = set()
        self._outstanding_open = 0
        self._open = guarded(self._forward_open, OPEN_PAGE)
        self._closed = guarded(self._forward, PAGE)

    async def close(self, app: web.Application) -> None:
        """Cut what still streams, and drop the connections that rest."""
        del app
        for stream in list(self._streams):
            stream.cut()
        await self._proxy.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Show what the user interface's server answers.

        Raises:
            NotFound: the address is the gateway's own.
            UiUnavailable: the server cannot be reached, or broke off.
        """
        path = self._path_of(request)
        is_open = (
            request.method in READS
            and "Upgrade" not in request.headers
            and covers(self._public, path)
        )
        return await (self._open if is_open else self._closed)(request)

    async def _forward_open(self, request: web.Request) -> web.StreamResponse:
        answer = await self._counted(request)
        headers = answer.headers
        if (
            answer.status in KEPT
            and answer.content_type not in PAGES
            and "Set-Cookie" not in headers
        ):
            headers.setdefault("Cache-Control", "no-cache")
            answer[SAME_FOR_ALL] = True
        return answer

    async def _counted(self, request: web.Request) -> web.StreamResponse:
        """Forward what needs no session, unless there is too much of it."""
        if self._outstanding_open >= MOST_OPEN:
            raise TooBusy(headers=RETRY)
        self._outstanding_open += 1
        try:
            answer = await self._forward(request)
        except BaseException:
            self._one_less()
            raise
        if isinstance(answer, Forwarded):
            answer.add_done_callback(self._one_less)
        else:
            self._one_less()
        return answer

    def _one_less(self) -> None:
        self._outstanding_open -= 1

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        if self._proxy.outstanding >= MOST:
            raise TooBusy(headers=RETRY)
        try:
            stream = await self._proxy.forward(
                request,
                headers=self._own_headers(request),
                public_url=request.app[CONFIG].canonical_origin,
            )
        except (UpstreamUnavailable, UpstreamBroken) as error:
            log.warning("the user interface's server cannot be asked: %s", error)
            return away(request, error)
        # Beside its own: a browser keeps to both.
        stream.headers.add("Content-Security-Policy", self._policy)
        await self._watch(request, stream)
        return stream

    def _own_headers(self, request: web.Request) -> list[Header]:
        scheme, _, host = request.app[CONFIG].canonical_origin.partition("://")
        headers = [
            ("X-Request-ID", request[REQUEST_ID]),
            ("X-Forwarded-For", address_of(request)),
            ("X-Forwarded-Proto", scheme),
            ("X-Forwarded-Host", host),
        ]
        if kept := self._proxy.cookies(request.headers.getall("Cookie", [])):
            headers.append(("Cookie", kept))
        return headers

    async def _watch(self, request: web.Request, stream: Forwarded) -> None:
        """Have *stream* cut when its session ends, or this process."""
        self._streams.add(stream)
        stream.add_done_callback(lambda: self._streams.discard(stream))
        ticket: AccessTicket | None = request.get(SESSION)
        if ticket is None:
            return
        ended, sid = request.app[ENDED], ticket.sid
        ended.add(sid, stream)
        stream.add_done_callback(lambda: ended.discard(sid, stream))
        if await ended.is_ended(sid):
            stream.cut()  # it ended while the server was thinking
