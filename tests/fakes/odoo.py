"""A fake Odoo server, 16 to 20: the bytes of the real one, and its ways to fail.

What the real Odoo 19 answers to the same calls is compared in
tests/real/test_odoo_conformance.py; older and newer versions are as facts tell.
"""

from __future__ import annotations

import asyncio
import html
import json
import uuid
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes import odoo_backup
from tests.fakes.odoo_data import Asked, FakeDatabase, Row
from tests.fakes.odoo_pages import (
    ALERT,
    DISABLED,
    FAILED,
    NO_DATABASE,
    NO_ROUTE,
    PAGE,
    STATUSES,
    sign_in_page,
)
from tests.fakes.odoo_raised import Raised
from tests.fakes.odoo_services import TEMPLATE, Services

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from aiohttp.typedefs import Handler


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with one call, and whether it takes effect all the same."""

    raises: Raised | None = None
    cut: bool = False  # the connection breaks instead of an answer
    page: tuple[int, str] | None = None  # somebody else answers: status and HTML
    answers: tuple[Any, ...] = ()  # this, in place of what it would say
    happens: bool = False  # the call takes effect before that
    half: bool = False  # … but a copy stays as PostgreSQL alone leaves it
    fileless: bool = False  # … but its files are not where they should be
    late: float = 0.0  # … but so many seconds after that
    broken: bool = False  # … but what is created has no tables
    forgets: bool = False  # … but keeps admin/admin, as a failed initialisation does
    delay: float = 0.0


@dataclass
class FakeOdoo(Services):
    """The server, its databases, what was asked of it, and what is to fail."""

    url: str = ""
    by_host: bool = False  # dbfilter = ^%d$
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    visits: dict[str, str] = field(default_factory=dict)  # by cookie: the database
    # A backup that ends early: after how many bytes, and whether without an end.
    backup_stops_at: int | None = None
    backup_is_cut: bool = False

    def fail(self, method: str, **fault: Any) -> None:
        """Let the next call of this method go wrong."""
        self.faults[method].append(Fault(**fault))

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**24, middlewares=[self._monodb])
        app.router.add_post("/jsonrpc", self._jsonrpc)
        app.router.add_post("/web/session/authenticate", self._session)
        app.router.add_post("/web/dataset/call_kw", self._session)
        app.router.add_get("/web/health", self._health)
        app.router.add_get("/web/login", self._sign_in_page)
        app.router.add_post("/web/database/duplicate", self._form)
        app.router.add_post("/web/database/backup", self._backup)
        if self.major >= 19:
            app.router.add_post("/json/2/{model}/{method}", self._json2)
        app.router.add_route("*", "/{tail:.*}", self._no_route)
        return app

    @web.middleware
    async def _monodb(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Load the only database there is, unless another is named."""
        visible = [one for one in self.listed() if self._passes(request, one)]
        named = "X-Odoo-Database" in request.headers
        if len(visible) == 1 and not named and self.databases[visible[0]].is_broken:
            return web.Response(status=500, text=FAILED, content_type="text/html")
        return await handler(request)

    async def _no_route(self, _: web.Request) -> web.Response:
        page = NO_DATABASE if self.major >= 19 else NO_ROUTE
        return web.Response(status=404, text=page, content_type="text/html")

    async def _health(self, request: web.Request) -> web.Response:
        said: Row = {"status": "pass"}
        if self.major >= 18 and request.query.get("db_server_status"):
            said["db_server_status"] = self.has_postgres
            said["status"] = "pass" if self.has_postgres else "fail"
        status = 200 if said["status"] == "pass" else 500
        return web.json_response(said, status=status)

    async def _sign_in_page(self, request: web.Request) -> web.Response:
        """Show the page of the database in the header (19) or the session's."""
        name = request.query.get("db", "")
        chosen = self.visits.get(request.cookies.get("session_id", ""), "")
        if self.major >= 19:
            chosen = request.headers.get("X-Odoo-Database", chosen)
        if name not in self.listed() or not self._passes(request, name):
            return web.Response(
                status=303, headers={"Location": "/web/database/selector"}
            )
        if chosen != name:
            there = web.Response(status=302, headers={"Location": request.path_qs})
            self.visits[cookie := uuid.uuid4().hex] = name
            there.set_cookie("session_id", cookie, httponly=True)
            return there
        page = sign_in_page(request.host, self.databases[name].records)
        return web.Response(text=page, content_type="text/html")

    async def _jsonrpc(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = await request.json()
        except json.JSONDecodeError:
            return web.Response(
                status=400, text="Invalid JSON data", content_type="text/html"
            )
        params = asked["params"]
        name, arguments = params["method"], params["args"]
        return await self._enveloped(
            *(request, asked["id"], name),
            lambda: self.service(params["service"], name, arguments),
        )

    async def _session(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        params = asked["params"]
        if request.path == "/web/dataset/call_kw":
            cookie = request.cookies.get("session_id", "")
            return await self._enveloped(
                *(request, asked["id"], params["method"]),
                lambda: self.in_session(cookie, params),
            )
        opened: list[str] = []

        def sign_in() -> Row:
            opened.append(self.open_session(params))
            return {"db": params["db"]}

        name = "session.authenticate"
        answer = await self._enveloped(request, asked["id"], name, sign_in)
        for cookie in opened:
            answer.set_cookie("session_id", cookie, httponly=True)
        return answer

    async def _enveloped(
        self, request: web.Request, number: int, name: str, act: Callable[[], Any]
    ) -> web.StreamResponse:
        said: Row = {"jsonrpc": "2.0", "id": number}
        try:
            result = await self._act(request, name, act)
        except Raised as error:
            expired = error.name == "odoo.http.SessionExpiredException"
            said["error"] = {
                "code": 100 if expired else 0 if self.major >= 19 else 200,
                "message": f"Odoo {'Session Expired' if expired else 'Server Error'}",
                "data": error.data(),
            }
        except _Instead as other:
            return other.answer
        else:
            if result is not None:  # odoo/http.py leaves it out
                said["result"] = result
        return web.json_response(said)

    async def _json2(self, request: web.Request) -> web.StreamResponse:
        name = request.headers.get("X-Odoo-Database", "")
        visible = [one for one in self.listed() if self._passes(request, one)]
        if not name and len(visible) == 1:
            name = visible[0]  # Odoo takes the only one by itself
        if name not in visible:
            return web.Response(status=404, text=NO_DATABASE, content_type="text/html")
        database = self.databases[name]
        bearer = request.headers.get("Authorization", "").split()[1:]
        model, method = request.match_info["model"], request.match_info["method"]
        named = await request.json()
        ids = named.pop("ids", [])
        context = named.pop("context", {})
        self.contexts.append(context)

        def act() -> Any:
            key = database.keys.get(bearer[0]) if bearer else None
            if key is None or not database.records["res.users"][key.user]["active"]:
                said = "Invalid apikey"
                raise Raised("werkzeug.exceptions.Unauthorized", said, said, 401)
            return database.orm(Asked(key.user, model, method, ids, named, context))

        try:
            result = await self._act(request, f"{model}/{method}", act)
        except Raised as error:
            status = STATUSES.get(error.name, 500)
            return web.json_response(error.data(), status=status)
        except _Instead as other:
            return other.answer
        return web.json_response(result)

    async def _form(self, request: web.Request) -> web.StreamResponse:
        fields = await request.post()
        arguments = [fields["master_pwd"], fields["name"], fields["new_name"]]
        name = "duplicate_database"
        try:
            await self._act(request, name, lambda: self.manage(name, arguments))
        except Raised as error:
            return self._error_page("Database duplication error", error)
        except _Instead as other:
            return other.answer
        return web.Response(status=303, headers={"Location": "/web/database/manager"})

    async def _backup(self, request: web.Request) -> web.StreamResponse:
        fields = await request.post()
        assert fields["backup_format"] == "zip"
        master, name = str(fields["master_pwd"]), str(fields["name"])
        try:
            content = await self._act(
                request, "backup", lambda: self.backup(master, name)
            )
        except Raised as error:
            return self._error_page("Database backup error", error)
        except _Instead as other:
            return other.answer
        return await odoo_backup.streamed(
            request, content, stops_at=self.backup_stops_at, is_cut=self.backup_is_cut
        )

    def _error_page(self, title: str, error: Raised) -> web.Response:
        shown = f"{title}: {error.message}"
        alerts = ALERT.format("", html.escape(shown, quote=True))
        if not self.list_db:
            alerts = ALERT.format(" text-center", DISABLED) + alerts
        denied = error.name == "odoo.exceptions.AccessDenied"
        refusal = 403 if denied else 422
        status = 200 if self.major <= 19 else refusal
        page = PAGE.format(alerts)
        return web.Response(status=status, text=page, content_type="text/html")

    async def _act(
        self, request: web.Request, name: str, act: Callable[[], Any]
    ) -> Any:
        """Do what was asked, or what is to go wrong with it."""
        queue = self.faults[name]
        fault = queue.popleft() if queue else Fault()
        await asyncio.sleep(fault.delay)
        result = None
        if fault == Fault() or fault.delay or fault.happens or _changed(fault):
            before = set(self.databases)
            result = act()
            self._spoil(fault, set(self.databases) - before)
        if fault.raises is not None:
            raise fault.raises
        if fault.cut:
            assert request.transport is not None
            request.transport.abort()
        if fault.page is not None:
            status, text = fault.page
            page = web.Response(status=status, text=text, content_type="text/html")
            raise _Instead(page)
        return fault.answers[0] if fault.answers else result

    def _passes(self, request: web.Request, name: str) -> bool:
        return not self.by_host or request.host.partition(".")[0] == name

    def _spoil(self, fault: Fault, new: set[str]) -> None:
        for name in new:
            made = self.databases[name]
            made.is_broken = fault.broken
            if fault.fileless:
                made.has_files = False
            if fault.half:
                self.databases[name] = self.databases[TEMPLATE].copied(name, half=True)
            if fault.forgets:
                self.databases[name] = self.initialised(name)
            if fault.late:
                del self.databases[name]
                self.tasks.append(
                    asyncio.create_task(self._arrive(fault.late, name, made))
                )

    async def _arrive(self, seconds: float, name: str, made: FakeDatabase) -> None:
        await asyncio.sleep(seconds)
        self.databases[name] = made


class _Instead(Exception):
    """Carry an answer that is not Odoo's."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__()
        self.answer = answer


def _changed(fault: Fault) -> bool:
    spoilt = fault.half or fault.fileless or fault.broken or fault.forgets
    return bool(spoilt or fault.late)


@asynccontextmanager
async def odoo_server(
    series: str = "19.0", *, programmatic: bool = False
) -> AsyncGenerator[FakeOdoo]:
    """Serve a fake Odoo on loopback; `programmatic` is a build of 19 from 2026."""
    fake = FakeOdoo(series=series, programmatic=programmatic)
    runner = web.AppRunner(fake.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    fake.url = f"http://127.0.0.1:{port}"
    try:
        yield fake
    finally:
        for task in fake.tasks:
            task.cancel()
        await asyncio.gather(*fake.tasks, return_exceptions=True)
        await runner.cleanup()
