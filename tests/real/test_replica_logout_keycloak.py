"""A session that ends at one process or at Keycloak is over at the other process."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.real.deployment import Deployment, deployment
from tests.replicas import open_stream, time_to_break

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.databases import Databases
    from tests.real.keycloak import Keycloak

pytestmark = pytest.mark.acceptance

# Promised is one second; the rest is for a busy machine.
SECONDS = 2.0


@pytest.fixture
async def here(
    keycloak: Keycloak, databases: Databases, tmp_path: Path
) -> AsyncGenerator[Deployment]:
    """Run two processes with a realm whose refresh tokens rotate."""
    async with deployment(keycloak, databases, tmp_path, rotate=True) as running:
        yield running


async def test_a_logout_at_one_process_breaks_the_stream_at_the_other(
    here: Deployment,
) -> None:
    user, other = await here.realm.person(), await here.realm.person()
    async with (
        here.signed_in(user["email"]) as first,
        here.replicas.browser(here.second, first.cookies) as second,
        here.signed_in(other["email"], here.second) as bystander,
    ):
        old = first.cookies
        stream = await open_stream(second)
        untouched = await open_stream(bystander)
        breaking = asyncio.ensure_future(time_to_break(stream))

        assert (await first.post("/auth/logout")).status == 204
        ended = time.monotonic()

        assert await breaking - ended < SECONDS
        assert first.cookies == {}
        for browser in (first, second):
            for method, path in (("GET", "/whoami"), ("POST", "/auth/refresh")):
                browser.set_cookies(old)
                assert (await browser.request(method, path)).status == 401
            browser.set_cookies(old)
            assert (await browser.get("/graph/threads/x")).status == 401
        assert await untouched.content.readany()
        untouched.close()


async def test_a_logout_at_keycloak_breaks_the_stream_at_the_process_not_told(
    here: Deployment,
) -> None:
    user = await here.realm.person()
    await here.realm.tell_of_logouts(f"{here.first.url}/auth/backchannel-logout")
    async with (
        here.signed_in(user["email"]) as first,
        here.replicas.browser(here.second, first.cookies) as second,
    ):
        old = first.cookies
        breaking = asyncio.ensure_future(time_to_break(await open_stream(second)))

        await here.realm.end_sessions(user)
        ended = time.monotonic()

        # Keycloak tells the clients before it answers.
        assert await breaking - ended < SECONDS
        for browser in (first, second):
            browser.set_cookies(old)
            assert (await browser.get("/whoami")).status == 401
