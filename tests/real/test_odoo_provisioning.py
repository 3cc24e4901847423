"""A tenant's way from nothing to ready, on the fake and on a real Odoo 19."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from odoo import errors, records
from odoo.cloning import BySql
from odoo.databases import State
from odoo.making import ensure_database
from odoo.models import search
from odoo.ownership import rotate_key, take_ownership
from odoo.preparing import build_template, template_name
from odoo.verifying import PROBE, verify
from tests.fakes.odoo_data import ADMIN, SERVICE
from tests.fakes.odoo_services import ADMIN_PASSWORD
from tests.odoo.provisioning import (
    BASE_URL,
    COMPANY,
    CONTACT,
    FOUNDER,
    PROVIDER,
    TENANT,
    Death,
    Killed,
    MemorySafe,
    configured,
    provisioned,
    site_of,
    template_of,
)
from tests.real import odoo_conformance, odoo_warm

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from odoo.safe import Template
    from tests.real.odoo import Odoo
    from tests.real.odoo_conformance import OdooSide

pytestmark = pytest.mark.real

PARAMETERS = {
    records.MARKER: TENANT,
    records.BASE_URL: BASE_URL,
    "web.base.url.freeze": "True",
    "auth_signup.invitation_scope": "b2b",
    PROBE: None,
}
# Right after: the copy, the passwords, a key that nobody has kept yet, revocation.
DEATHS = (5, 15, 20, 30)


def _template(side: OdooSide) -> Template:
    return template_of(side.template, side.template_uuid, side.key, side.password)


async def test_tenant_is_provisioned_twice_and_its_key_rotated(
    odoo_side: OdooSide,
) -> None:
    await odoo_side.pair()
    name, safe, template = odoo_side.name(), MemorySafe(), _template(odoo_side)
    site = site_of(odoo_side.server, name, safe)

    await provisioned(site, template)
    await _assert_ready(odoo_side, name, safe)
    only = safe.known.key
    models = await provisioned(site, template)
    await _assert_ready(odoo_side, name, safe)
    assert safe.known.key == only

    rotated = await rotate_key(site)
    assert safe.known.key != only
    assert await records.me(rotated) == SERVICE
    with pytest.raises(errors.AccessDenied):
        await records.me(models)
    await verify(site, TENANT, PROVIDER, template=template)
    await _assert_ready(odoo_side, name, safe)


@pytest.mark.parametrize("at", DEATHS)
async def test_tenant_whose_worker_was_killed(odoo_side: OdooSide, at: int) -> None:
    await odoo_side.pair()
    name, safe, template = odoo_side.name(), MemorySafe(), _template(odoo_side)
    site = site_of(odoo_side.server, name, safe, death=Death(at=at))
    with pytest.raises(Killed):
        await provisioned(site, template)
    await provisioned(site_of(odoo_side.server, name, safe), template)
    await _assert_ready(odoo_side, name, safe)


async def test_what_everybody_knows_is_found_out(odoo_side: OdooSide) -> None:
    await odoo_side.pair()
    name, safe, template = odoo_side.name(), MemorySafe(), _template(odoo_side)
    site = site_of(odoo_side.server, name, safe)
    models = await provisioned(site, template)
    await models.call("res.users", "write", [ADMIN], vals={"password": "admin"})
    with pytest.raises(errors.NotReady, match="signs in with a password"):
        await verify(site, TENANT, PROVIDER, template=template)


async def test_database_that_nobody_asked_for_is_left_alone(
    odoo_side: OdooSide,
) -> None:
    name, safe = await odoo_side.copied(), MemorySafe()
    await odoo_side.pair()
    with pytest.raises(errors.NotOurs):
        await provisioned(site_of(odoo_side.server, name, safe), _template(odoo_side))
    assert await records.parameter(odoo_side.json2(name), records.MARKER) is None


@pytest.fixture
async def side(real_odoo: Odoo) -> AsyncGenerator[OdooSide]:
    async with odoo_conformance.running(real_odoo) as one:
        yield one


async def test_template_is_built_and_copied_by_sql(
    side: OdooSide, real_odoo: Odoo
) -> None:
    await side.pair()
    name, safe = template_name("19.0"), MemorySafe()
    side.made.append(name)
    site = site_of(side.server, name, safe)

    @asynccontextmanager
    async def connect(database: str = "postgres") -> AsyncGenerator[asyncpg.Connection]:
        connection = await asyncpg.connect(real_odoo.place.superuser(database))
        try:
            yield connection
        finally:
            await connection.close()

    template = await build_template(site, connect=connect)
    assert await side.databases.state(name) is State.MISSING  # closed
    assert name not in await side.databases.listed()
    assert await build_template(site, connect=connect) == template

    copy, own = side.name(), MemorySafe()
    way = BySql(
        connect=connect,
        owner=odoo_warm.ROLE,
        filestore=real_odoo.place.folder / "data" / "filestore",
        now=site.now,
    )
    tenant = site_of(side.server, copy, own)
    await ensure_database(tenant, TENANT, template, way)
    await configured(tenant, await take_ownership(tenant, TENANT, template))
    await verify(tenant, TENANT, PROVIDER, template=template)
    # Nobody knew the administrator's password in the template, so none was written.
    await _assert_ready(side, copy, own, by_password=None)
    connection = await asyncpg.connect(real_odoo.place.superuser())
    query = "ALTER DATABASE {} IS_TEMPLATE false"
    await connection.execute(query.format(name))  # or it cannot be dropped
    await connection.close()


async def _assert_ready(
    side: OdooSide, name: str, safe: MemorySafe, *, by_password: int | None = ADMIN
) -> None:
    known = safe.known
    site = site_of(side.server, name, safe)
    models = site.by_key(known.user, known.key)
    (key,) = await records.keys_of(models, known.user)
    assert key.name == known.key_name
    assert key.expires is not None
    for parameter, value in PARAMETERS.items():
        assert await records.parameter(models, parameter) == value
    enabled = await search(
        models, records.PROVIDERS, [["enabled", "=", True]], ["name", "code_verifier"]
    )
    assert [row["code_verifier"] for row in enabled] == [known.code_verifier]
    founder = await records.user_by_login(models, FOUNDER.email)
    assert founder is not None
    assert (founder.id, founder.subject) == (ADMIN, FOUNDER.subject)
    assert founder.provider == enabled[0]["id"]
    domain = [["name", "=", CONTACT.name]]
    assert len(await search(models, "res.partner", domain, ["name"])) == 1
    (company,) = await search(models, "res.company", [], ["name"])
    assert company["name"] == COMPANY.name
    signs_in = side.databases.authenticate
    assert await signs_in(name, FOUNDER.email, known.admin_password) == by_password
    assert await signs_in(name, FOUNDER.email, ADMIN_PASSWORD) is None
