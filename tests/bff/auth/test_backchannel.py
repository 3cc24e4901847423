"""The provider ends sessions by a logout token, once, and live streams with them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bff.identity.logout_token import EVENT

if TYPE_CHECKING:
    from aiohttp import ClientResponse

    from tests.world import World

PATH = "/auth/backchannel-logout"


def subject(world: World, email: str = "alice@acme.test") -> str:
    (person,) = (one for one in world.provider.people if one.email == email)
    return person.sub


def claims(world: World, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": world.issuer,
        "aud": "nexius-bff",
        "sub": subject(world),
        "iat": now,
        "exp": now + 120,
        "jti": f"jti-{now}-{len(changes)}",
        "events": {EVENT: {}},
        **changes,
    }
    return {name: value for name, value in good.items() if value is not None}


def signed(world: World, said: dict[str, Any], typ: str = "logout+jwt") -> str:
    return world.provider.keys.sign(said, typ=typ)


async def deliver(world: World, token: str) -> ClientResponse:
    """Post as a provider does: no cookie, no Origin."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(world.url + PATH, data={"logout_token": token}) as answer,
    ):
        await answer.read()
        return answer


async def test_the_provider_ends_a_persons_sessions_and_their_streams(
    world: World,
) -> None:
    async with (
        world.another_gateway() as url,
        world.signed_in() as browser,
        world.browser(url) as elsewhere,
    ):
        elsewhere.set_cookies(browser.cookies)
        stream = await elsewhere.get("/graph/threads/x/stream")
        assert stream.status == 200
        await stream.content.readany()

        await world.provider.end_sessions(subject(world))

        async with asyncio.timeout(5):
            with pytest.raises(aiohttp.ClientError):
                await stream.read()
        assert (await browser.get("/whoami")).status == 401


async def test_a_logout_token_counts_once(world: World) -> None:
    token = signed(world, claims(world))
    async with world.signed_in():
        first = await deliver(world, token)
        second = await deliver(world, token)

    assert (first.status, second.status) == (200, 400)
    assert first.headers["Cache-Control"] == "no-store"


async def test_other_people_stay_signed_in(world: World) -> None:
    async with world.signed_in() as alice, world.signed_in("bob@globex.test") as bob:
        assert (await deliver(world, signed(world, claims(world)))).status == 200

        assert (await alice.get("/whoami")).status == 401
        assert (await bob.get("/whoami")).status == 200


async def test_a_token_that_names_only_the_providers_session_ends_that_one(
    world: World,
) -> None:
    async with world.signed_in() as browser:
        async with world.databases.superuser() as database:
            sid = await database.fetchval("SELECT provider_sid FROM auth_session")
        token = signed(world, claims(world, sub=None, sid=sid))

        assert (await deliver(world, token)).status == 200

        assert (await browser.get("/whoami")).status == 401


NOW = int(time.time())


def told(changes: dict[str, object]) -> str:
    """Name a case alike in every process: times go on."""
    return str(
        {
            key: "past" if value == NOW - 10_000 else value
            for key, value in changes.items()
        }
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "http://elsewhere.test/realms/x"},
        {"aud": "another-client"},
        {"aud": None},
        {"iat": NOW - 10_000},
        {"iat": None},
        {"exp": NOW - 10_000},
        {"exp": None},
        {"exp": 10**30},
        {"events": None},
        {"events": {}},
        {"events": {EVENT: "yes"}},
        {"events": [EVENT]},
        {"nonce": "n"},
        {"jti": None},
        {"sub": None},
        {"sub": 5},
        {"sub": "a\0b"},
    ],
    ids=told,
)
async def test_a_token_that_is_not_as_it_must_be_ends_nothing(
    world: World, changes: dict[str, Any]
) -> None:
    async with world.signed_in() as browser:
        answer = await deliver(world, signed(world, claims(world, **changes)))

        assert answer.status == 400
        assert (await browser.get("/whoami")).status == 200


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "none"])
async def test_another_kind_of_token_ends_nothing(world: World, typ: str) -> None:
    async with world.signed_in() as browser:
        assert (await deliver(world, signed(world, claims(world), typ))).status == 400

        assert (await browser.get("/whoami")).status == 200


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
async def test_nonsense_is_refused(world: World, token: str) -> None:
    assert (await deliver(world, token)).status == 400
