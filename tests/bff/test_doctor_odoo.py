"""The doctor looks at Odoo: a line for each thing, and nothing is changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from bff import config
from bff.dev.postgres import SUPERUSER
from bff.doctor import examine
from bff.sessions.sealing import KeyRing, parse_keys
from bff.sites.safe import name_of_template, name_of_tenant, seal
from tests.fakes.keycloak_clients import MANAGES, KeycloakClients, serving
from tests.fakes.odoo import FakeOdoo, odoo_server
from tests.fakes.odoo_data import FakeDatabase
from tests.fakes.odoo_services import MASTER, TEMPLATE
from tests.odoo.provisioning import fake_template
from tests.world import KEY, PROVISIONED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from bff.dev.postgres import Postgres
    from bff.doctor_findings import Finding
    from tests.databases import Databases

OTHER_KEY = "2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
BUILD = "new tenants take a minute; bff odoo template build"


@pytest.fixture
async def odoo() -> AsyncGenerator[FakeOdoo]:
    async with odoo_server() as fake:
        yield fake


def values(databases: Databases, odoo: FakeOdoo, **changes: Any) -> dict[str, Any]:
    return {
        "environment": "dev",
        "database": {"url": databases.app, "worker_url": databases.worker},
        "auth": {"issuer": "http://127.0.0.1:9/realms/x", "client_secret": "test"},
        "session": {"keys": KEY},
        "odoo": {
            "server_url": odoo.url,
            "master_password": MASTER,
            "template": TEMPLATE,
            "sso_client_id": "odoo",
            "sso_client_secret": "test-odoo-client-secret",
            **changes,
        },
    }


async def keep(databases: Databases, odoo: FakeOdoo, **changes: object) -> None:
    ring = KeyRing(parse_keys(KEY))
    credentials = fake_template(odoo).credentials
    row = {
        "name": TEMPLATE,
        "series": "19.0",
        "sealed": seal(ring, name_of_template(TEMPLATE), credentials),
        "usable": True,
        "recipe": "",
        **changes,
    }
    async with databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO odoo_templates (name, series, sealed, usable, recipe) "
            "VALUES ($1, $2, $3, $4, $5)",
            *row.values(),
        )


async def look(given: dict[str, Any]) -> dict[str, Finding]:
    found = await examine(config.build(given))
    return {one.name: one for one in found if one.name.startswith("odoo")}


async def test_all_is_well_where_all_is_well(
    databases: Databases, odoo: FakeOdoo, tmp_path: Path
) -> None:
    await keep(databases, odoo)
    odoo.databases[TEMPLATE].allows_connections = True

    found = await look(values(databases, odoo, filestore=tmp_path))

    assert all(one.ok for one in found.values()), found
    ours = urlsplit(databases.app).path[1:]
    assert {name: one.said for name, one in found.items()} == {
        "odoo": f"19.0 at {odoo.url}",
        "odoo manager": "takes our master password",
        "odoo template": f"{TEMPLATE} is usable",
        "odoo secrets": "1 sealed, each with a key of the ring",
        "odoo and our database": f"{ours} belongs to bff_owner; Odoo has none so",
        "odoo filestore": str(tmp_path),
        "odoo sign-in": "by the client odoo for all tenants",
    }
    calls = {name for name, _ in odoo.seen}
    assert calls <= {"version", "list", "migrate_databases", "authenticate"}


async def test_without_odoo_nothing_is_said_of_it(
    databases: Databases, odoo: FakeOdoo
) -> None:
    given = values(databases, odoo)
    del given["odoo"]

    assert await look(given) == {}
    assert odoo.seen == []


async def test_an_odoo_that_is_away_hides_nothing_else(
    databases: Databases, odoo: FakeOdoo
) -> None:
    await keep(databases, odoo)

    found = await look(values(databases, odoo, server_url="http://127.0.0.1:9"))

    assert not found["odoo"].ok
    assert "odoo manager" not in found
    assert found["odoo secrets"].ok
    assert found["odoo and our database"].ok


@pytest.mark.parametrize("clone", ["rpc", "command"])
async def test_a_wrong_password_and_a_manager_that_is_off_are_told_apart(
    databases: Databases, odoo: FakeOdoo, clone: str
) -> None:
    more = {"clone": clone}
    if clone == "command":
        more |= {"bin_path": "/nowhere/odoo-bin", "conf": "/nowhere/odoo.conf"}
    wrong = await look(values(databases, odoo, master_password="test-no", **more))
    odoo.list_db = False
    off = await look(values(databases, odoo, **more))

    assert not wrong["odoo manager"].ok
    assert "odoo.master_password is wrong" in wrong["odoo manager"].said
    assert "test-no" not in str(wrong)
    assert "list_db = False" in off["odoo manager"].said
    # Odoo's command copies without it.
    assert off["odoo manager"].ok is (clone == "command")
    assert ("odoo command" in off) is (clone == "command")
    if clone == "command":
        assert off["odoo command"].said == "/nowhere/odoo-bin does not exist"
        assert not off["odoo configuration file"].ok


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "tpl_other"}, f"{TEMPLATE} is missing: {BUILD}"),
        ({"usable": False}, f"{TEMPLATE} is not finished: {BUILD}"),
        (
            {"series": "18.0"},
            f"{TEMPLATE} is of Odoo 18.0, and the server is 19.0: {BUILD}",
        ),
        (
            {"recipe": "0123456789"},
            f"{TEMPLATE} was made with other odoo.apps, or by another release: {BUILD}",
        ),
    ],
)
async def test_a_template_that_is_no_good_is_told_with_what_to_do(
    databases: Databases, odoo: FakeOdoo, changes: dict[str, object], said: str
) -> None:
    await keep(databases, odoo, **changes)

    found = (await look(values(databases, odoo)))["odoo template"]

    assert (found.ok, found.said) == (False, said)


async def test_a_template_that_odoo_does_not_see_is_closed_or_gone(
    databases: Databases, odoo: FakeOdoo, postgres_server: Postgres
) -> None:
    await keep(databases, odoo)

    found = (await look(values(databases, odoo)))["odoo template"]
    assert found.ok
    assert "if it is closed and not gone" in found.said

    url = postgres_server.url(SUPERUSER, "postgres")
    found = (await look(values(databases, odoo, postgres_url=url)))["odoo template"]
    assert (found.ok, found.said) == (False, f"{TEMPLATE} is gone: {BUILD}")


async def test_a_key_that_the_ring_has_lost_is_told(
    databases: Databases, odoo: FakeOdoo
) -> None:
    await keep(databases, odoo)
    given = values(databases, odoo)
    given["session"] = {"keys": OTHER_KEY}

    found = (await look(given))["odoo secrets"]

    assert (found.ok, found.said) == (
        False,
        "the ring has lost what sealed 1 of odoo_templates with key 1: give it back",
    )


async def test_what_opens_a_tenant_s_is_looked_at_too(
    databases: Databases, odoo: FakeOdoo
) -> None:
    await keep(databases, odoo)
    lost = KeyRing(parse_keys(OTHER_KEY))
    credentials = fake_template(odoo).credentials
    async with databases.superuser() as superuser:
        for number in (7, 8):
            await superuser.execute(
                "INSERT INTO tenants (tenant_id, name) VALUES ($1, 'T')", number
            )
            await superuser.execute(
                "INSERT INTO odoo_connections "
                "(tenant_id, server_url, db_name, base_url, sealed) "
                "VALUES ($1, $2, $3, $2, $4)",
                *(number, odoo.url, f"odoo_t{number}"),
                seal(lost, name_of_tenant(number), credentials),
            )

    found = (await look(values(databases, odoo)))["odoo secrets"]

    assert (found.ok, found.said) == (
        False,
        "the ring has lost what sealed 2 of odoo_connections with key 2: give it back",
    )
    given = values(databases, odoo)
    given["session"] = {"keys": f"{KEY},{OTHER_KEY}"}
    assert (await look(given))["odoo secrets"].ok


async def test_our_database_must_be_nothing_of_odoo_s(
    databases: Databases, odoo: FakeOdoo
) -> None:
    ours = urlsplit(databases.app).path[1:]
    owned = await look(values(databases, odoo, postgres_owner="bff_owner"))
    odoo.databases[ours] = FakeDatabase.initialised(ours)
    listed = await look(values(databases, odoo))

    finding = owned["odoo and our database"]
    assert not finding.ok
    assert f"{ours} belongs to Odoo's role bff_owner" in finding.said
    finding = listed["odoo and our database"]
    assert not finding.ok
    assert f"Odoo lists a database {ours}" in finding.said


async def test_who_copies_by_sql_must_be_allowed_to(
    databases: Databases, odoo: FakeOdoo, postgres_server: Postgres
) -> None:
    async def said(role: str, owner: str) -> tuple[bool, str]:
        url = postgres_server.url(role, "postgres")
        given = values(databases, odoo, postgres_url=url, postgres_owner=owner)
        found = (await look(given))["odoo postgres"]
        return found.ok, found.said

    assert await said(SUPERUSER, "pg_monitor") == (
        *(True, "may copy databases for pg_monitor"),
    )
    assert await said("bff_worker", "pg_monitor") == (
        *(False, "our role needs CREATEDB, and membership in pg_monitor"),
    )
    assert await said(SUPERUSER, "nobody_here") == (
        *(False, "odoo.postgres_owner: there is no role nobody_here"),
    )
    url = "postgresql://x:pw-secret@127.0.0.1:9/x"
    found = (await look(values(databases, odoo, postgres_url=url)))["odoo postgres"]
    assert not found.ok
    assert "pw-secret" not in found.said


async def test_a_role_that_may_create_and_is_a_member_may_copy(
    databases: Databases, odoo: FakeOdoo, postgres_server: Postgres
) -> None:
    superuser = await asyncpg.connect(postgres_server.url(SUPERUSER, "postgres"))
    try:
        await superuser.execute("ALTER ROLE bff_worker CREATEDB")
        await superuser.execute("GRANT pg_monitor TO bff_worker")
        url = postgres_server.url("bff_worker", "postgres")
        given = values(databases, odoo, postgres_url=url, postgres_owner="pg_monitor")
        assert (await look(given))["odoo postgres"].ok
    finally:
        await superuser.execute("REVOKE pg_monitor FROM bff_worker")
        await superuser.execute("ALTER ROLE bff_worker NOCREATEDB")
        await superuser.close()


async def test_a_filestore_that_cannot_be_written_is_told(
    databases: Databases,
    odoo: FakeOdoo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = values(databases, odoo, filestore=tmp_path)
    # The superuser of a test machine may write anywhere.
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)

    found = (await look(given))["odoo filestore"]

    assert (found.ok, found.said) == (False, f"{tmp_path} cannot be used by this user")


async def test_the_provisioner_must_manage_clients_where_each_tenant_has_one(
    databases: Databases, odoo: FakeOdoo
) -> None:
    keycloak = KeycloakClients()
    secret = PROVISIONED["provisioner_client_secret"]
    own = keycloak.add(PROVISIONED["provisioner_client_id"], MANAGES, secret=secret)
    async with serving(keycloak):
        given = values(databases, odoo)
        del given["odoo"]["sso_client_id"]
        del given["odoo"]["sso_client_secret"]
        given["auth"] |= {**PROVISIONED, "issuer": keycloak.issuer}
        good = (await look(given))["odoo sign-in"]
        keycloak.roles[own["clientId"]] = set()
        bad = (await look(given))["odoo sign-in"]

    assert (good.ok, good.said) == (True, "the provisioner may manage clients")
    assert not bad.ok
    assert "manage-clients" in bad.said


async def test_without_the_worker_s_role_nobody_knows_the_templates(
    databases: Databases, odoo: FakeOdoo
) -> None:
    given = values(databases, odoo)
    given["database"]["worker_url"] = "postgresql://bff_worker:pw-x@127.0.0.1:9/x"
    found = (await look(given))["odoo template"]

    assert not found.ok
    assert "cannot be looked up" in found.said
    assert "pw-x" not in found.said
