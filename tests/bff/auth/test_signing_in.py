"""A session is made whole or not at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bff.database import DatabaseUnavailable
from bff.sessions.store import SessionStore
from bff.tenancy.store import Tenancy
from tests.bff.sessions.refreshing import code, ticket

if TYPE_CHECKING:
    from tests.world import World


@pytest.mark.parametrize(
    ("owner", "name"),
    [(SessionStore, "create"), (SessionStore, "end"), (Tenancy, "resolve")],
)
async def test_a_failure_on_the_way_sets_no_cookie(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: type[object], name: str
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("CANARY")

    async with world.signed_in() as browser:
        before = browser.cookies
        monkeypatch.setattr(owner, name, away)

        answer = await browser.login("bob@globex.test")

        assert await code(answer) == (503, "unavailable")
        assert "Set-Cookie" not in answer.headers
        assert "CANARY" not in await answer.text()
        assert browser.cookies == before
        who = await (await browser.get("/whoami")).json()
        assert who["email"] == "alice@acme.test"


async def test_a_token_that_cannot_be_proven_signs_nobody_in(world: World) -> None:
    sign = world.provider.keys.sign
    async with world.browser() as browser:
        for change in ({"azp": "other"}, {"aud": "account"}, {"typ": "ID"}, {"exp": 1}):

            def changed(
                claims: dict[str, Any],
                *,
                typ: str = "JWT",
                change: dict[str, Any] = change,
            ) -> str:
                return sign({**claims, **change}, typ=typ)

            world.provider.keys.sign = changed  # type: ignore[method-assign] # a bad token
            answer = await browser.login("alice@acme.test")
            assert await code(answer) == (503, "auth_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            assert browser.cookies == {}


async def test_the_row_says_whose_and_which_and_no_token(world: World) -> None:
    async with world.browser() as browser:
        answer = await browser.post(
            "/auth/login",
            json={"email": "alice@acme.test", "password": "Correct-Horse-1"},
            headers={"User-Agent": "Browser/1.0 " + "x" * 500},
        )
        assert answer.status == 200
        mine = ticket(world, browser.cookies)
        async with world.databases.superuser() as connection:
            (row,) = await connection.fetch("SELECT * FROM auth_session")

    assert row["sid"] == mine.sid
    assert row["user_id"] == mine.user_id
    assert (row["email"], row["tenant_id"], row["gen"]) == ("alice@acme.test", 1001, 1)
    assert row["provider_sid"]
    assert row["provider_sid"] != mine.sid.hex
    assert row["device"].startswith("Browser/1.0")
    assert len(row["device"]) == 200
    assert row["ended_at"] is None
    assert mine.access_token not in str(dict(row))


async def test_a_browser_that_leaves_after_the_grant_leaves_no_half_session(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go = asyncio.Event(), asyncio.Event()
    create = SessionStore.create

    async def slow(self: SessionStore, *args: Any, **kwargs: Any) -> None:
        began.set()
        await go.wait()
        await create(self, *args, **kwargs)

    monkeypatch.setattr(SessionStore, "create", slow)
    async with world.browser() as browser:
        leaving = asyncio.ensure_future(browser.login("alice@acme.test"))
        await began.wait()
        leaving.cancel()
        await asyncio.sleep(0.1)
        go.set()
        async with asyncio.timeout(5), world.databases.superuser() as connection:
            while not await connection.fetchval(  # noqa: ASYNC110 - the database tells nobody
                "SELECT count(*) FROM auth_session"
            ):
                await asyncio.sleep(0.02)


async def test_many_people_sign_in_at_once(world: World) -> None:
    async def one(email: str) -> str:
        async with world.signed_in(email) as browser:
            who = await (await browser.get("/whoami")).json()
            return str(who["email"])

    people = ["alice@acme.test", "bob@globex.test", "dave@acme.test"] * 4

    assert await asyncio.gather(*map(one, people)) == people
