"""The doctor names each thing that is wrong, and changes nothing."""

from __future__ import annotations

from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import asyncpg
from aiohttp import web

from bff import config
from bff.dev import demo
from bff.dev.ports import free_port
from bff.dev.provider import Provider, Realm, serving
from bff.doctor import examine
from bff.migrate import available
from tests.fakes.graph import graph_server
from tests.world import PROVISIONED, PROVISIONER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from bff.doctor_findings import Finding
    from tests.databases import Databases

SECRET = "test-client-secret"
KEY = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def values(databases: Databases, issuer: str, graph: str = "") -> dict[str, Any]:
    return {
        "environment": "dev",
        "database": {"url": databases.app, "worker_url": databases.worker},
        "auth": {"issuer": issuer, "client_secret": SECRET, "timeout": 2},
        "session": {"keys": KEY},
        "proxy": {"graph": {"upstreams": [graph] if graph else []}},
    }


async def look(given: dict[str, Any]) -> dict[str, Finding]:
    return {finding.name: finding for finding in await examine(config.build(given))}


def wrong(found: dict[str, Finding]) -> set[str]:
    return {name for name, finding in found.items() if not finding.ok}


@asynccontextmanager
async def healthy(databases: Databases) -> AsyncGenerator[dict[str, Any]]:
    provider = Provider(Realm(), demo.PEOPLE, [demo.client(SECRET, ())])
    async with serving(provider) as issuer, graph_server() as graph:
        yield values(databases, issuer, graph.url)


@asynccontextmanager
async def odd_provider(keys: Any) -> AsyncGenerator[str]:
    """Serve a discovery document and *keys*, an hour in the past."""
    issuer = f"http://127.0.0.1:{free_port()}"

    async def discovery(_: web.Request) -> web.Response:
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        return web.json_response(
            {"issuer": issuer, **{name: f"{issuer}/{name}" for name in names}},
            headers={"Date": formatdate(0, usegmt=True)},
        )

    async def jwks(_: web.Request) -> web.Response:
        if isinstance(keys, str):
            return web.Response(text=keys)
        return web.json_response(keys, headers={"Date": formatdate(0, usegmt=True)})

    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", discovery)
    app.router.add_get("/jwks_uri", jwks)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(issuer.rpartition(":")[2])).start()
    try:
        yield issuer
    finally:
        await runner.cleanup()


async def test_all_is_well_where_all_is_well(databases: Databases) -> None:
    async with healthy(databases) as given:
        found = await look(given)

    assert wrong(found) == set()
    assert set(found) == {
        "configuration",
        "key ring",
        "database",
        "worker role",
        "schema",
        "isolation",
        "issuer",
        "signing keys",
        "clock",
        "client credentials",
        "upstream graph",
    }
    assert str(found["schema"]) == "ok   schema: up to date"


async def test_what_would_let_tenants_meet_is_named(databases: Databases) -> None:
    async with databases.superuser() as superuser:
        await superuser.execute(
            "CREATE VIEW leaky AS SELECT * FROM lead_scores;"
            "GRANT SELECT ON leaky TO bff_app"
        )
    found = await look(values(databases, "http://127.0.0.1:9/realms/x"))

    assert not found["isolation"].ok
    assert "view leaky reads as its owner" in found["isolation"].said


async def test_each_thing_that_is_wrong_is_named_and_the_rest_is_still_looked_at(
    databases: Databases,
) -> None:
    async with healthy(databases) as given:
        nowhere = f"127.0.0.1:{free_port()}"
        given["session"] = {"keys": "1:short"}
        given["database"]["worker_url"] = f"postgresql://bff_worker:pw-x@{nowhere}/x"
        given["auth"]["client_secret"] = "wrong-secret"
        given["proxy"]["graph"]["upstreams"] = [f"http://{nowhere}"]
        found = await look(given)

    assert wrong(found) == {
        "key ring",
        "worker role",
        "client credentials",
        "upstream graph",
    }
    said = "\n".join(map(str, found.values()))
    assert "FAIL worker role: unreachable" in said
    assert "wrong-secret" not in said
    assert "pw-x" not in said


async def test_the_client_that_makes_accounts_is_looked_at_where_there_is_one(
    databases: Databases,
) -> None:
    clients = [demo.client(SECRET, ()), PROVISIONER]
    async with serving(Provider(Realm(), demo.PEOPLE, clients)) as issuer:
        given = values(databases, issuer)
        given["auth"] |= PROVISIONED
        assert (await look(given))["provisioner client"].ok
        given["auth"]["provisioner_client_secret"] = "wrong-secret"
        found = (await look(given))["provisioner client"]

    assert not found.ok
    assert "wrong-secret" not in str(found)


async def test_an_issuer_that_is_away_is_named(databases: Databases) -> None:
    found = await look(values(databases, f"http://127.0.0.1:{free_port()}/realms/x"))

    assert wrong(found) == {"issuer"}


async def test_keys_that_cannot_be_read_are_named_and_the_clock_is_compared(
    databases: Databases,
) -> None:
    keys: Any
    for keys, missing in (
        ("not json", True),
        ([], True),
        ({"keys": "x"}, True),
        ({"keys": [1, {"use": "enc"}]}, True),
        ({"keys": [{"use": "sig"}]}, False),
    ):
        async with odd_provider(keys) as issuer:
            found = await look(values(databases, issuer))
        assert found["issuer"].ok
        assert ("signing keys" in wrong(found)) is missing, keys
        if not isinstance(keys, str):
            assert "clock" in wrong(found)
        assert not found["client credentials"].ok


async def test_a_superuser_an_owner_and_an_old_schema_must_not_serve(
    databases: Databases,
) -> None:
    given = values(databases, f"http://127.0.0.1:{free_port()}")
    superuser = databases.urls["postgres"]
    given["database"] = {"url": superuser, "worker_url": databases.owner}
    async with databases.superuser() as connection:
        await connection.execute("DELETE FROM schema_migrations WHERE number = 3")
    found = await look(given)

    assert {"database", "worker role", "schema"} <= wrong(found)
    assert "superuser" in found["database"].said
    assert "owns" in found["worker role"].said
    assert "bff migrate up" in found["schema"].said
    async with databases.superuser() as connection:
        await connection.execute("UPDATE schema_migrations SET checksum = 'x'")
    assert "was changed" in (await look(given))["schema"].said


async def test_the_doctor_changes_nothing(databases: Databases) -> None:
    owner = await asyncpg.connect(databases.owner)
    try:
        await owner.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await owner.execute("GRANT USAGE ON SCHEMA public TO bff_app, bff_worker")
        found = await look(values(databases, f"http://127.0.0.1:{free_port()}"))
        tables = await owner.fetchval(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        )
    finally:
        await owner.close()

    missing = len(available())
    assert found["schema"].said == f"{missing} migrations missing: bff migrate up"
    assert tables == 0


async def test_a_client_s_key_that_cannot_be_read_is_named(
    databases: Databases, tmp_path: Path
) -> None:
    given = values(databases, "http://localhost:1/realms/nexius")
    del given["auth"]["client_secret"]
    given["auth"]["client_key_file"] = tmp_path / "absent.pem"

    found = (await look(given))["client credentials"]

    assert not found.ok
    assert found.said == (
        f"auth.client_key_file: {tmp_path / 'absent.pem'} cannot be read"
    )


async def test_what_is_open_for_development_is_warned_of(databases: Databases) -> None:
    async with healthy(databases) as given:
        told = {
            **given,
            "dev": {"bypass": True},
            "split_origin": {"origins": ["http://localhost:3000"]},
        }
        found = await look(told)
        assert wrong(found) == set()
        assert str(found["dev.bypass"]).startswith("WARN dev.bypass: nobody needs")
        assert "http://localhost:3000" in str(found["split_origin.origins"])
        assert str(found["configuration"]).startswith("ok   ")
        assert not {"dev.bypass", "split_origin.origins"} & (await look(given)).keys()
