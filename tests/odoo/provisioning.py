"""A tenant's way through all steps, a safe in memory, and a death at any step."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from odoo.client import Server
from odoo.cloning import ByRpc
from odoo.databases import Databases
from odoo.entering import Site
from odoo.making import ensure_database
from odoo.ownership import take_ownership
from odoo.records import Provider
from odoo.safe import Credentials, Template
from odoo.seeding import Company, Contact, seed
from odoo.sso import Founder, ensure_oidc
from odoo.verifying import verify
from tests.fakes import odoo_services as fakes
from tests.fakes.odoo_data import SERVICE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from odoo import rpc
    from odoo.models import Models
    from tests.fakes.odoo import FakeOdoo

T = TypeVar("T")
TENANT = "t-1001"
BASE_URL = "https://acme.odoo.test"
FOUNDER = Founder(subject="sub-1", email="founder@acme.test", name="Fay Founder")
COMPANY = Company(name="Acme Ltd", email="office@acme.test")
CONTACT = Contact(name="Casey Contact", email="casey@acme.test")
PROVIDER = Provider(
    name="Keycloak",
    client_id="acme",
    client_secret="Test-Client-Secret-1",
    code_verifier="",
    auth_endpoint="https://id.test/realms/acme/auth",
    token_endpoint="https://id.test/realms/acme/token",
    jwks_uri="https://id.test/realms/acme/certs",
    label="Sign in with Acme",
)


class Killed(BaseException):
    """The process has ended here; nothing of ours may catch it."""


@dataclass
class Death:
    """Comes right after a step took effect: what would follow does not happen."""

    at: int = 0
    error: BaseException = field(default_factory=Killed)
    steps: int = 0
    came: bool = False

    async def step(self, act: Callable[[], Awaitable[T]]) -> T:
        if self.came and isinstance(self.error, Killed):
            raise self.error
        self.steps += 1
        fatal = self.steps == self.at
        done = await act()
        if fatal:
            self.came = True
            raise self.error
        return done


class Replaced(Exception):
    """Another worker has the database by now."""


@dataclass
class MemorySafe:
    """Keeps what it is given, and all that it ever was."""

    held: Credentials | None = None
    history: list[Credentials] = field(default_factory=list)
    death: Death = field(default_factory=Death)
    replaced: bool = False

    async def kept(self) -> Credentials | None:
        await self.still_ours()
        return self.held

    async def still_ours(self) -> None:
        if self.replaced:
            raise Replaced

    async def keep(self, credentials: Credentials) -> None:
        await self.still_ours()

        async def act() -> None:
            self.held = credentials
            self.history.append(credentials)

        await self.death.step(act)

    @property
    def known(self) -> Credentials:
        assert self.held is not None
        return self.held


@dataclass(frozen=True, kw_only=True)
class MortalServer(Server):
    """A server whose caller dies, or loses the answer, at some call."""

    death: Death

    async def _ask(self, method: str, *rest: Any) -> rpc.Answer:
        ask = super()._ask
        if method == "GET":  # has no effect
            return await ask(method, *rest)
        return await self.death.step(lambda: ask(method, *rest))


def site_of(
    server: Server,
    name: str,
    safe: MemorySafe,
    *,
    series: str = "19.0",
    death: Death | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Site:
    """Return a site whose caller dies as told."""
    death = death or Death()
    safe.death = death
    mortal = MortalServer(
        http=server.http, url=server.url, seconds=server.seconds, death=death
    )
    return Site(
        databases=Databases(server=mortal, master=fakes.MASTER, sleep=sleep),
        name=name,
        series=series,
        safe=safe,
        now=lambda: datetime.now(UTC),
        token=secrets.token_urlsafe,
    )


def template_of(name: str, uuid: str, key: str, password: str) -> Template:
    """Return a prepared template with what opens its copies."""
    held = Credentials(
        user=SERVICE,
        uuid=uuid,
        key=key,
        service_password=password,
        admin_password=fakes.ADMIN_PASSWORD,
    )
    return Template(name=name, credentials=held)


async def provisioned(
    site: Site, template: Template, *, patience: float = 30
) -> Models:
    """Take all steps from nothing to a database that is ready."""
    way = ByRpc(site.databases)
    await ensure_database(site, TENANT, template, way, patience=patience)
    models = await take_ownership(site, TENANT, template)
    await configured(site, models)
    await verify(site, TENANT, PROVIDER, template=template)
    return models


async def configured(site: Site, models: Models) -> None:
    """Take the steps between ownership and verification."""
    await ensure_oidc(site, models, PROVIDER, FOUNDER, BASE_URL)
    await seed(models, COMPANY, CONTACT)


async def at_once(_: float) -> None:
    """Wait for nothing, and let others run."""
    await asyncio.sleep(0)


def fake_template(fake: FakeOdoo) -> Template:
    """Return the fake's template."""
    uuid = fake.databases[fakes.TEMPLATE].uuid
    return template_of(fakes.TEMPLATE, uuid, fakes.TEMPLATE_KEY, fakes.SERVICE_PASSWORD)
