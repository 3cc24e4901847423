"""What nobody can know is not changed; what we have just seen is not tried again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from odoo import errors
from odoo.client import Server
from odoo.cloning import ByRpc
from odoo.databases import Databases, State
from odoo.making import ensure_database
from odoo.ownership import rotate_key, take_ownership
from odoo.recent import Recent
from odoo.verifying import verify
from tests.fakes.odoo_data import ADMIN, SERVICE
from tests.fakes.odoo_services import ADMIN_PASSWORD, SERVICE_LOGIN
from tests.odoo.provisioning import (
    FOUNDER,
    PROVIDER,
    TENANT,
    MemorySafe,
    configured,
    fake_template,
    site_of,
)

if TYPE_CHECKING:
    from odoo.entering import Site
    from odoo.safe import Template
    from tests.odoo.conftest import Odoo

NAME = "acme"


@dataclass(frozen=True, kw_only=True)
class Watched(Databases):
    """Databases that tell whose password was tried."""

    tried: list[str] = field(default_factory=list)

    async def authenticate(self, name: str, login: str, password: str) -> int | None:
        self.tried.append(login)
        return await super().authenticate(name, login, password)


@dataclass
class Place:
    """A tenant's database, made of a template, and who is tried there."""

    odoo: Odoo
    site: Site
    safe: MemorySafe
    template: Template

    async def verified(self, *, newly: bool) -> set[str]:
        """Verify, and return the logins that were tried with a password."""
        plain = self.site.databases
        watched = Watched(server=plain.server, master=plain.master)
        site = replace(self.site, databases=watched)
        await verify(site, TENANT, PROVIDER, template=self.template, newly=newly)
        return set(watched.tried)

    def password(self, user: int) -> object:
        """Return what the fake has as somebody's password."""
        return self.odoo.fake.databases[NAME].records["res.users"][user]["password"]


async def _made(odoo: Odoo, template: Template) -> Place:
    safe = MemorySafe()
    site = site_of(odoo.server, NAME, safe, series=odoo.fake.series)
    await ensure_database(site, TENANT, template, ByRpc(site.databases), patience=1)
    models = await take_ownership(site, TENANT, template)
    await configured(site, models)
    return Place(odoo, site, safe, template)


@pytest.fixture
def unknown(odoo: Odoo) -> Template:
    """Give a template whose administrator's password nobody has kept."""
    known = fake_template(odoo.fake)
    return replace(known, credentials=replace(known.credentials, admin_password=""))


async def test_password_that_nobody_knows_stays(odoo: Odoo, unknown: Template) -> None:
    place = await _made(odoo, unknown)
    assert place.password(ADMIN) == ADMIN_PASSWORD
    assert place.password(SERVICE) == place.safe.known.service_password


async def test_password_that_somebody_kept_is_changed(odoo: Odoo) -> None:
    place = await _made(odoo, fake_template(odoo.fake))
    assert place.password(ADMIN) == place.safe.known.admin_password


async def test_only_odoos_own_login_is_tried_in_what_is_new(
    odoo: Odoo, unknown: Template
) -> None:
    place = await _made(odoo, unknown)
    assert place.safe.known.proven
    assert await place.verified(newly=True) == {"admin"}
    later = await place.verified(newly=False)
    assert later == {"admin", FOUNDER.email, SERVICE_LOGIN}


@pytest.mark.parametrize("year", [2026])
async def test_key_by_a_key_proves_no_password(odoo: Odoo, unknown: Template) -> None:
    place = await _made(odoo, unknown)
    assert not place.safe.known.proven
    assert SERVICE_LOGIN in await place.verified(newly=True)


async def test_known_template_is_tried_even_when_new(odoo: Odoo) -> None:
    place = await _made(odoo, fake_template(odoo.fake))
    assert FOUNDER.email in await place.verified(newly=True)


@pytest.mark.parametrize(
    ("user", "newly"), [(ADMIN, False), (SERVICE, False), ("admin", True)]
)
async def test_admin_admin_is_found_all_the_same(
    odoo: Odoo, unknown: Template, user: int | str, *, newly: bool
) -> None:
    place = await _made(odoo, unknown)
    users = odoo.fake.databases[NAME].records["res.users"]
    number = ADMIN if isinstance(user, str) else user
    users[number]["password"] = "admin"
    if isinstance(user, str):
        users[number]["login"] = user
    with pytest.raises(errors.NotReady):
        await place.verified(newly=newly)


async def test_proof_outlives_a_rotation_and_no_new_database(
    odoo: Odoo, unknown: Template
) -> None:
    place = await _made(odoo, unknown)
    await rotate_key(place.site)
    assert place.safe.known.proven
    assert not place.safe.known.for_new(SERVICE).proven


class _Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_what_was_seen_is_remembered_for_a_while() -> None:
    clock = _Clock()
    recent = Recent(clock, 5)
    assert not recent.holds()
    recent.note()
    recent.note(1)
    assert recent.holds()
    assert not recent.holds(2)
    recent.forget(1)
    assert not recent.holds(1)
    clock.seconds += 5
    assert not recent.holds()


async def test_only_broken_database_is_looked_for_again_after_a_while(
    odoo: Odoo,
) -> None:
    clock = _Clock()
    server = Server(
        http=odoo.server.http, url=odoo.server.url, sane=Recent(clock, 2), seconds=20
    )
    databases = Databases(server=server, master=odoo.databases.master)
    await databases.duplicate("tpl_test", NAME)
    assert await databases.state(NAME) is State.USABLE
    odoo.fake.databases[NAME].is_broken = True
    with pytest.raises(errors.OdooError):
        await server.version()
    clock.seconds += 2
    assert await server.version() == "19.0"
