"""What is done to a tenant's database later, on the fake and on a real Odoo 19."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import asyncpg
import pytest

from odoo import errors, records
from odoo.cloning import ByRpc
from odoo.databases import State
from odoo.dumping import ToFile, dump
from odoo.keys import mint
from odoo.leads import LEAD, Lead, Pushed, push
from odoo.making import ensure_database
from odoo.models import SessionModels, create, search, unlink, write
from odoo.ownership import take_ownership
from odoo.repairing import repair
from odoo.signing_out import sign_out
from odoo.suspending import resume, suspend
from odoo.verifying import smoke
from odoo.warming import ByRename, warm_copy
from tests.fakes.odoo_data import ADMIN, SERVICE
from tests.odoo.provisioning import (
    FOUNDER,
    PROVIDER,
    TENANT,
    MemorySafe,
    provisioned,
    site_of,
    template_of,
)
from tests.real import odoo_conformance

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from odoo.entering import Site
    from odoo.models import Models
    from odoo.safe import Template
    from tests.real.odoo import Odoo
    from tests.real.odoo_conformance import OdooSide

pytestmark = pytest.mark.real
CLERK, PASSWORD = "clerk@acme.test", "Test-Clerk-Password-1"
ANY = ["active", "in", [True, False]]
BAD = "\0"


@dataclass
class Tenant:
    """A tenant whose database is ready."""

    side: OdooSide
    site: Site
    safe: MemorySafe
    models: Models

    async def clerk(self) -> int:
        """Make a user of the tenant's."""
        values = {"login": CLERK, "name": "Clerk", "password": PASSWORD}
        return await create(self.models, records.USERS, values)

    async def user(self, number: int) -> dict[str, object]:
        """Return what counts of a user."""
        fields = ["login", "oauth_uid", "oauth_provider_id", "active"]
        domain = [["id", "=", number], ANY]
        (row,) = await search(self.models, records.USERS, domain, fields)
        return row


def _template(side: OdooSide) -> Template:
    return template_of(side.template, side.template_uuid, side.key, side.password)


@pytest.fixture
async def tenant(odoo_side: OdooSide) -> Tenant:
    await odoo_side.pair()
    name, safe = odoo_side.name(), MemorySafe()
    site = site_of(odoo_side.server, name, safe)
    models = await provisioned(site, _template(odoo_side))
    return Tenant(odoo_side, site, safe, models)


async def test_light_check(tenant: Tenant) -> None:
    for _ in range(2):
        await smoke(tenant.site, TENANT)
    with pytest.raises(errors.NotReady, match="marker"):
        await smoke(tenant.site, "t-2002")


async def test_founder_s_account_is_repaired(tenant: Tenant) -> None:
    models, site = tenant.models, tenant.site
    linked = await tenant.user(ADMIN)
    provider = [["name", "=", PROVIDER.name]]
    (row,) = await search(models, records.PROVIDERS, provider, ["enabled"])
    thief = await tenant.clerk()
    before = tenant.safe.known.admin_password
    session = await SessionModels.opened(site.server, site.name, FOUNDER.email, before)
    await mint(session, name="theirs", password=before, days=1)

    await write(models, records.PROVIDERS, [row["id"]], {"enabled": False})
    nobody = {"oauth_uid": False, "active": False, "login": "admin"}
    await write(models, records.USERS, [ADMIN], nobody)
    taken = {"oauth_uid": FOUNDER.subject, "oauth_provider_id": row["id"]}
    await write(models, records.USERS, [thief], taken)
    for _ in range(2):
        await repair(site, PROVIDER, FOUNDER)

    assert await tenant.user(ADMIN) == linked
    assert not await records.keys_of(models, ADMIN)
    assert not (await tenant.user(thief))["oauth_uid"]
    (row,) = await search(models, records.PROVIDERS, provider, ["enabled"])
    assert row["enabled"]
    signs_in = tenant.side.databases.authenticate
    now = tenant.safe.known.admin_password
    assert await signs_in(site.name, FOUNDER.email, now) == ADMIN
    assert await signs_in(site.name, FOUNDER.email, before) is None
    with pytest.raises(errors.SessionExpired):
        await records.me(session)


async def test_suspended_people_are_out_at_once(tenant: Tenant) -> None:
    site, signs_in = tenant.site, tenant.side.databases.authenticate
    clerk = await tenant.clerk()
    left = {"login": "gone@acme.test", "name": "Gone", "active": False}
    gone = await create(tenant.models, records.USERS, left)
    session = await SessionModels.opened(site.server, site.name, CLERK, PASSWORD)
    assert await records.me(session) == clerk
    key = await mint(session, name="theirs", password=PASSWORD, days=1)
    by_key = (site.by_key(clerk, key), site.by_password(clerk, key))
    for models in by_key:
        assert await records.me(models) == clerk
    before = await _users(tenant.models)
    prepared = {"password": PASSWORD, "oauth_uid": "sub-9"}
    await write(tenant.models, records.USERS, [SERVICE], prepared)
    bff = await SessionModels.opened(site.server, site.name, "bff-service", PASSWORD)
    stolen = await mint(bff, name=tenant.safe.known.key_name, password=PASSWORD, days=1)
    public = await records.external(tenant.models, "base.public_user")
    assert public is not None
    await write(tenant.models, records.USERS, [public], {"active": True})

    for _ in range(2):
        await suspend(site)
    tenant.models = site.by_key(SERVICE, tenant.safe.known.key)
    with pytest.raises(errors.SessionExpired):
        await records.me(bff)
    with pytest.raises(errors.AccessDenied):
        await records.me(site.by_key(SERVICE, stolen))
    assert await signs_in(site.name, "bff-service", PASSWORD) is None
    assert not (await tenant.user(SERVICE))["oauth_uid"]
    with pytest.raises(errors.SessionExpired):
        await records.me(session)
    assert await signs_in(site.name, CLERK, PASSWORD) is None
    with pytest.raises(errors.AccessDenied):
        await SessionModels.opened(site.server, site.name, CLERK, PASSWORD)
    for models in by_key:
        with pytest.raises(errors.AccessDenied):
            await records.me(models)
    active = await search(tenant.models, records.USERS, [], ["login"])
    assert [row["id"] for row in active] == [SERVICE]
    await smoke(site, TENANT)

    for _ in range(2):
        await resume(site)
    assert await _users(tenant.models) == before | {public: True}
    assert not before[gone]
    assert await signs_in(site.name, CLERK, PASSWORD) == clerk


async def _users(models: Models) -> dict[int, bool]:
    rows = await search(models, records.USERS, [ANY], ["active"])
    return {row["id"]: row["active"] for row in rows}


async def test_sessions_of_a_person_end_without_their_account(tenant: Tenant) -> None:
    site, clerk = tenant.site, await tenant.clerk()
    await write(tenant.models, records.USERS, [clerk], {"oauth_uid": "sub-7"})
    await _signed_in_by_sso(tenant, clerk)
    session = await SessionModels.opened(site.server, site.name, CLERK, PASSWORD)
    assert await records.me(session) == clerk
    assert not await sign_out(tenant.models, "sub-8")
    assert await records.me(session) == clerk
    for _ in range(2):
        assert await sign_out(tenant.models, "sub-7")
    with pytest.raises(errors.SessionExpired):
        await records.me(session)
    again = await SessionModels.opened(site.server, site.name, CLERK, PASSWORD)
    assert await records.me(again) == clerk


async def _signed_in_by_sso(tenant: Tenant, user: int) -> None:
    """Leave what a sign-in through the provider leaves; nobody may write it by RPC."""
    side, name, token = tenant.side, tenant.site.name, "test-access-token"
    if side.fake is not None:
        row = side.fake.databases[name].records[records.USERS][user]
        row["oauth_access_token"] = token
        return
    assert side.real is not None
    connection = await asyncpg.connect(side.real.place.superuser(name))
    try:
        query = "UPDATE res_users SET oauth_access_token = $1 WHERE id = $2"
        await connection.execute(query, token, user)
    finally:
        await connection.close()


def _leads(*companies: int) -> list[Lead]:
    return [
        Lead(
            company_id=number,
            name=f"Company {number}",
            partner_name=f"Company {number} Pte Ltd",
            email_from=f"office@{number}.example.com",
            phone="+65 6123 4567" if number % 2 else "",
            description=f"<p>Score {number}</p>",
        )
        for number in companies
    ]


async def test_companies_become_leads_once(tenant: Tenant) -> None:
    models = tenant.models
    assert await push(models, TENANT, _leads(1, 2, 3)) == Pushed(created=(1, 2, 3))
    fields = ["name", "type", "user_id", "description", "phone"]
    rows = sorted(await search(models, LEAD, [], fields), key=lambda row: row["name"])
    assert [row["name"] for row in rows] == ["Company 1", "Company 2", "Company 3"]
    assert {row["type"] for row in rows} == {"opportunity"}
    assert {row["user_id"] for row in rows} == {False}

    first, second, third = (row["id"] for row in rows)
    theirs = {"description": "<p>Called</p>", "user_id": ADMIN, "priority": "2"}
    await write(models, LEAD, [first], theirs)
    await write(models, LEAD, [second], {"phone": "+65 6999 9999", "active": False})
    await unlink(models, LEAD, [third])
    again = [replace(one, name=f"New {one.company_id}") for one in _leads(1, 2, 3, 4)]
    pushed = await push(models, TENANT, again)
    assert pushed == Pushed(created=(4,), updated=(1, 2), left=(3,))

    fields = ["name", "description", "user_id", "priority", "phone", "active"]
    (one,) = await search(models, LEAD, [["id", "=", first], ANY], fields)
    assert (one["name"], one["priority"]) == ("New 1", "2")
    assert "Called" in one["description"]
    assert one["user_id"][0] == ADMIN
    (two,) = await search(models, LEAD, [["id", "=", second], ANY], fields)
    assert (two["name"], two["phone"]) == ("New 2", "+65 6999 9999")
    assert not two["active"]
    assert len(await search(models, LEAD, [ANY], ["name"])) == 3


async def test_company_that_odoo_refuses_holds_up_no_other(tenant: Tenant) -> None:
    each = _leads(1, 2, 3, 4, 5)
    each[3] = replace(each[3], name=BAD)
    pushed = await push(tenant.models, TENANT, each)
    assert pushed.created == (1, 2, 3, 5)
    assert set(pushed.errors) == {4}
    with pytest.raises(errors.NotOurs):
        await push(tenant.models, "t-2002", each)
    rows = await search(tenant.models, LEAD, [], ["name"])
    assert len(rows) == 4


async def test_backup_by_odoo(tenant: Tenant, tmp_path: Path) -> None:
    file, databases = tmp_path / "backup.zip", tenant.side.databases
    with file.open("wb") as out:
        size = await dump(databases, tenant.site.name, ToFile(out))
    assert file.stat().st_size == size
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert {"dump.sql", "manifest.json"} <= set(archive.namelist())
    with file.open("wb") as out:
        with pytest.raises(errors.AccessDenied):
            await dump(replace(databases, master="wrong"), "acme", ToFile(out))
        with pytest.raises(errors.ServerFault):
            await dump(databases, "no_such_database", ToFile(out))
        async with tenant.side.differently(list_db=False) as closed:
            with pytest.raises(errors.ManagerDisabled):
                await dump(closed.databases, tenant.site.name, ToFile(out))
    assert file.stat().st_size == 0


async def test_warm_copy_becomes_a_tenant_s(odoo_side: OdooSide) -> None:
    await odoo_side.pair()
    warm, name, template = odoo_side.name(), odoo_side.name(), _template(odoo_side)
    copied = site_of(odoo_side.server, warm, MemorySafe())
    for _ in range(2):
        await warm_copy(copied, template, ByRpc(copied.databases))
    models = odoo_side.json2(warm)
    uuid = await records.parameter(models, records.UUID)
    assert uuid != odoo_side.template_uuid
    assert await records.parameter(models, records.MARKER) is None

    safe = MemorySafe()
    site = site_of(odoo_side.server, name, safe)
    way = ByRename(site.databases, warm)
    await ensure_database(site, TENANT, template, way)
    await ensure_database(site, TENANT, template, way)
    own = await take_ownership(site, TENANT, template)
    assert await records.parameter(own, records.UUID) == uuid
    assert await odoo_side.databases.state(warm) is State.MISSING
    with pytest.raises(errors.AccessDenied):
        await records.me(odoo_side.json2(name))


@pytest.fixture
async def side(real_odoo: Odoo) -> AsyncGenerator[OdooSide]:
    async with odoo_conformance.running(real_odoo) as one:
        yield one


async def test_rename_that_broke_off_before_the_files_were_moved(
    side: OdooSide, real_odoo: Odoo
) -> None:
    await side.pair()
    warm, name, template = side.name(), side.name(), _template(side)
    copied = site_of(side.server, warm, MemorySafe())
    await warm_copy(copied, template, ByRpc(copied.databases))
    files = real_odoo.place.folder / "data" / "filestore"
    connection = await asyncpg.connect(real_odoo.place.superuser())
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
    try:
        # All that Odoo had come to when it was killed.
        await connection.execute(end, warm)
        await connection.execute(f'ALTER DATABASE "{warm}" RENAME TO "{name}"')
    finally:
        await connection.close()
    assert not (files / name).exists()

    safe = MemorySafe()
    site = site_of(side.server, name, safe)
    await site.safe.keep(replace(await site.kept(), begun=True))
    way = ByRename(site.databases, warm, ByRpc(site.databases))
    await ensure_database(site, TENANT, template, way)
    await take_ownership(site, TENANT, template)
    assert (files / name).is_dir()
    await smoke(site, TENANT)
