"""The founder's account comes to name the tenant."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bff.onboarding import jobs
from tests.bff.waiting import until
from tests.world import PROVISIONED, World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import pytest

    from tests.databases import Databases
    from tests.world import Browser

CAROL = "carol@initech.test"


@asynccontextmanager
async def provisioned(databases: Databases, **auth: Any) -> AsyncGenerator[World]:
    settings: dict[str, dict[str, Any]] = {"auth": {**PROVISIONED, **auth}}
    async with World(databases, settings).running() as world:
        yield world


def tenant_of(world: World, email: str) -> int | None:
    found = world.provider.accounts.find(email)
    assert found is not None
    return found.person.tenant_id


async def founded(browser: Browser) -> int:
    """Found a workspace, wait until it is ready, and return its number."""
    assert (await browser.post("/onboarding/first_login")).status == 202

    async def ready() -> dict[str, Any] | None:
        found: dict[str, Any] = await (await browser.get("/onboarding/status")).json()
        return found if found["status"] == "ready" else None

    return int((await until(ready, seconds=30))["tenant_id"])


async def no_jobs(world: World) -> None:
    async with world.databases.superuser() as superuser:

        async def none() -> bool:
            return not await superuser.fetchval("SELECT count(*) FROM pgqueuer")

        await until(none, seconds=30)


async def test_the_founder_s_next_token_names_the_tenant(databases: Databases) -> None:
    async with provisioned(databases) as world, world.signed_in(CAROL) as carol:
        tenant_id = await founded(carol)
        await no_jobs(world)

        assert tenant_of(world, CAROL) == tenant_id
        assert (await carol.post("/auth/refresh")).status == 200
        who = await (await carol.get("/whoami")).json()
        assert (who["tenant_id"], who["roles"]) == (tenant_id, ["viewer", "admin"])


async def test_an_outage_keeps_nobody_waiting_and_is_made_good_for(
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(jobs, "LONGEST_PAUSE", 0.2)
    async with provisioned(databases) as world, world.signed_in(CAROL) as carol:
        asked = asyncio.Event()

        async def away(request: web.Request) -> web.Response | None:
            if not request.path.startswith("/admin/"):
                return None
            asked.set()
            return web.Response(status=503)

        world.provider.intercept = away
        tenant_id = await founded(carol)
        await asked.wait()
        assert tenant_of(world, CAROL) is None

        world.provider.intercept = None
        await no_jobs(world)
        assert tenant_of(world, CAROL) == tenant_id

    assert "a job could not be done, again in" in caplog.text


async def test_a_tenant_named_there_already_stays(
    databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"auth": PROVISIONED, "tenancy": {"claim": "ignore"}}
    world = World(databases, settings)
    async with world.running(), world.signed_in("bob@globex.test") as bob:
        await founded(bob)
        await no_jobs(world)

        assert tenant_of(world, "bob@globex.test") == 1002

    assert "has another there" in caplog.text


async def test_a_refusal_for_good_is_not_asked_again(
    databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    async with provisioned(databases) as world, world.signed_in(CAROL) as carol:

        async def forbidden(request: web.Request) -> web.Response | None:
            if not request.path.startswith("/admin/"):
                return None
            return web.Response(status=403)

        world.provider.intercept = forbidden
        await founded(carol)
        await no_jobs(world)

    assert "was not noted at the provider: the provider refused with 403" in caplog.text


async def test_one_who_only_joined_is_not_written_to(databases: Databases) -> None:
    async with provisioned(databases) as world, world.signed_in() as alice:
        # A tenant that was there before; alice is its admin by her claim alone.
        found = world.provider.accounts.find("alice@acme.test")
        assert found is not None
        world.provider.accounts.change(found, tenant_id=None)
        await founded(alice)
        await no_jobs(world)

        assert tenant_of(world, "alice@acme.test") is None


async def test_without_the_client_nothing_is_written(world: World) -> None:
    async with world.signed_in(CAROL) as carol:
        await founded(carol)
        await no_jobs(world)

        assert tenant_of(world, CAROL) is None


async def test_a_tenant_that_the_provider_drops_is_told_to_the_operator(
    databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    async with provisioned(databases) as world, world.signed_in(CAROL) as carol:

        async def drops(request: web.Request) -> web.Response | None:
            if request.method == "PUT" and request.path.startswith("/admin/"):
                return web.Response(status=204)
            return None

        world.provider.intercept = drops
        await founded(carol)
        await no_jobs(world)

        assert tenant_of(world, CAROL) is None
    assert "declare the attribute" in caplog.text
