"""One face for both Odoos: the real one, and the fake."""

from __future__ import annotations

import json
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg

from odoo.client import Server
from odoo.databases import Databases
from odoo.models import ExecuteKwModels, Json2Models
from tests.fakes import odoo_services as fakes
from tests.fakes.odoo import FakeOdoo, odoo_server
from tests.fakes.odoo_data import SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.real.odoo import Odoo

KINDS = ("fake", "odoo")


@dataclass(kw_only=True)
class OdooSide:
    """An Odoo under test, with a template to copy and who may do what in its copies."""

    server: Server
    databases: Databases
    template: str
    template_uuid: str
    key: str
    login: str
    password: str
    fake: FakeOdoo | None = None
    real: Odoo | None = None
    made: list[str] = field(default_factory=list)

    async def copied(self) -> str:
        """Return a new copy of the template."""
        name = self.name()
        await self.databases.duplicate(self.template, name)
        return name

    async def pair(self) -> tuple[str, str]:
        """Return two copies, of which all tests of a real Odoo share one pair.

        Two, because with a single database Odoo forgives a call that names none.
        """
        if self.real is None:
            return await self.copied(), await self.copied()
        if self.real.pair is None:
            names = "t_shared_1", "t_shared_2"
            for name in names:
                await self.databases.duplicate(self.template, name)
            self.real.pair = names
        return self.real.pair

    def name(self) -> str:
        """Return a name that no database has; what gets it is dropped at the end."""
        self.made.append(f"t_{uuid.uuid4().hex[:12]}")
        return self.made[-1]

    def json2(self, name: str) -> Json2Models:
        """Return the models of a copy, by JSON-2 and the template's key."""
        return Json2Models(server=self.server, database=name, key=self.key)

    def execute_kw(self, name: str) -> ExecuteKwModels:
        """Return the same, by execute_kw and the service user's password."""
        return ExecuteKwModels(
            server=self.server, database=name, uid=SERVICE, password=self.password
        )

    @asynccontextmanager
    async def differently(
        self, *, list_db: bool = True, by_host: bool = False, postgres: bool = True
    ) -> AsyncGenerator[OdooSide]:
        """Give the same databases behind a server that is set up in another way."""
        if self.fake is not None:
            before = self.fake.list_db, self.fake.by_host, self.fake.has_postgres
            fake = self.fake
            fake.list_db, fake.by_host, fake.has_postgres = list_db, by_host, postgres
            yield self
            fake.list_db, fake.by_host, fake.has_postgres = before
            return
        assert self.real is not None
        options = {"list_db": str(list_db)}
        if by_host:
            options["dbfilter"] = "^%d$"
        if not postgres:
            options["db_port"] = "9"  # nobody listens there
        with self.real.another(**options) as other:
            yield self.at(other.url)

    def at(self, url: str) -> OdooSide:
        """Return the same behind another address."""
        server = replace(self.server, url=url)
        databases = replace(self.databases, server=server)
        return replace(self, server=server, databases=databases)

    @asynccontextmanager
    async def somebody_in(self, name: str) -> AsyncGenerator[None]:
        """Hold a session of another role in a database."""
        if self.fake is not None:
            self.fake.databases[name].busy = True
            yield
            self.fake.databases[name].busy = False
            return
        assert self.real is not None
        connection = await asyncpg.connect(self.real.place.superuser(name))
        try:
            yield
        finally:
            await connection.close()

    async def raw(
        self, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Raw:
        """Send what our client never would, and return what can be compared."""
        method = "GET" if body is None else "POST"
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        async with self.server.http.request(
            method, self.server.url + path, data=data, headers=sent
        ) as answer:
            text = await answer.text()
            return Raw(answer.status, answer.headers["Content-Type"], text)


@dataclass(frozen=True)
class Raw:
    """An answer as it came."""

    status: int
    content_type: str
    text: str

    def shape(self) -> tuple[Any, ...]:
        """Return what must be the same: all but Odoo's traceback."""
        if not self.content_type.startswith("application/json"):
            return self.status, self.content_type, self.text
        said = json.loads(self.text)
        data = said
        if isinstance(said, dict):
            data = said.get("error", {}).get("data", said)
        if isinstance(data, dict) and "debug" in data:
            assert data.pop("debug")
        return self.status, self.content_type, said


@asynccontextmanager
async def running(real: Odoo | None) -> AsyncGenerator[OdooSide]:
    """Give an Odoo of either kind; what was made in it is dropped at the end."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        )
        fake = None
        if real is None:
            fake = await stack.enter_async_context(odoo_server())
        url = fake.url if fake else real.url if real else ""
        # A busy machine is no failure.
        server = Server(http=http, url=url, seconds=60)
        databases = Databases(server=server, master=fakes.MASTER)
        template = real.template if real else None
        side = OdooSide(
            server=server,
            databases=databases,
            template=template.name if template else fakes.TEMPLATE,
            template_uuid=template.uuid
            if template
            else fake.databases[fakes.TEMPLATE].uuid
            if fake
            else "",
            key=template.key if template else fakes.TEMPLATE_KEY,
            login=template.login if template else fakes.SERVICE_LOGIN,
            password=template.password if template else fakes.SERVICE_PASSWORD,
            fake=fake,
            real=real,
        )
        yield side
        if real is not None:
            await real.place.drop(side.made)
