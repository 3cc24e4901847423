"""Signing in with a password, staying signed in, signing out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.world import World


async def test_a_person_signs_in_and_is_known(world: World) -> None:
    async with world.browser() as browser:
        answer = await browser.login("alice@acme.test")

        assert answer.status == 200
        assert await answer.json() == {
            "email": "alice@acme.test",
            "tenant_id": 1001,
            "roles": ["viewer", "admin"],
            "tenant_status": "none",
        }
        who = await (await browser.get("/whoami")).json()
        assert who["email"] == "alice@acme.test"
        assert who["tenant_id"] == 1001


async def test_signing_out_makes_the_old_cookies_worthless(world: World) -> None:
    async with world.signed_in() as browser:
        old = browser.cookies

        answer = await browser.post("/auth/logout")

        assert answer.status == 204
        assert browser.cookies == {}
        browser.set_cookies(old)
        assert (await browser.get("/whoami")).status == 401


async def test_refresh_brings_the_next_generation(world: World) -> None:
    async with world.signed_in() as browser:
        old = browser.cookies

        answer = await browser.post("/auth/refresh")

        assert answer.status == 200
        assert (await answer.json())["ok"] is True
        assert browser.cookies != old
        assert (await browser.get("/whoami")).status == 200
