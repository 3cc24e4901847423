"""T10: what a renewal brings is proven like what a sign-in brings.

Seen as a `sub` that changed at refresh (mod_auth_openidc, July 2026) and as a forged
access token kept beside a good refresh token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.forgeries import ACCESS, Impostor, fields
from tests.attacks.outside import ask, claims_of, set_cookies
from tests.bff.sessions.refreshing import NEAR, PAST
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.world import Browser, World

ALICE, BOB = "alice@acme.test", "bob@globex.test"


@pytest.fixture
async def alice(world: World) -> AsyncGenerator[Browser]:
    async with world.signed_in(ALICE) as browser:
        yield browser


async def token_of(world: World, jar: dict[str, str]) -> str:
    """Return the token that goes up with these cookies."""
    answer = await ask(world, "GET /graph/threads/x", jar=jar)
    assert answer.status == 200, answer.raw
    return str(world.graph.seen[-1]["headers"]["authorization"]).removeprefix("Bearer ")


async def is_only_alice(world: World, jar: dict[str, str], good: str) -> None:
    """Check that these cookies still speak for Alice, with her own good token."""
    who = await ask(world, "GET /whoami", jar=jar)
    assert who.json["email"] == ALICE
    assert await token_of(world, jar) == good


async def test_no_forged_token_takes_the_place_of_a_good_one(
    world: World, alice: Browser
) -> None:
    jar = alice.cookies
    good = await token_of(world, jar)
    claims = claims_of(good)
    for name, forge in ACCESS.items():
        forged = forge(world, claims)
        impostor = Impostor(world, forged)
        for line in ("POST /auth/refresh", "GET /graph/threads/x"):
            # A second's end: a renewal is due when the request comes.
            world.clock.ahead += NEAR if line.startswith("GET") else 0
            answer = await ask(world, line, jar=jar)
            world.clock.ahead -= NEAR if line.startswith("GET") else 0
            assert answer.status in {200, 503} if "GET" in line else {503}, name
            assert set_cookies(answer) == [], name
        assert impostor.asked == 2, name
        assert "CANARY" not in str(world.graph.seen), name
        assert {one["headers"]["authorization"] for one in world.graph.seen} == {
            f"Bearer {good}"
        }, name
    await is_only_alice(world, jar, good)


async def test_with_the_old_token_spent_a_forged_one_opens_nothing(
    world: World, alice: Browser
) -> None:
    jar = alice.cookies
    claims = claims_of(await token_of(world, jar))
    world.graph.seen.clear()
    world.clock.ahead += PAST
    now = {"iat": claims["iat"] + PAST, "exp": claims["exp"] + PAST}
    for name, forge in ACCESS.items():
        Impostor(world, forge(world, {**claims, **now}))
        answer = await ask(world, "GET /graph/threads/x", jar=jar)
        assert answer.status == 503, name
        assert set_cookies(answer) == [], name
    assert world.graph.seen == []
    world.provider.intercept = None
    assert (await ask(world, "GET /whoami", jar=jar)).status == 200


async def test_the_token_of_somebody_else_ends_the_session(
    world: World, alice: Browser
) -> None:
    async with world.signed_in(BOB) as bob:
        his = await token_of(world, bob.cookies)
    jar = alice.cookies
    good = await token_of(world, jar)
    Impostor(world, his)

    answer = await ask(world, "POST /auth/refresh", jar=jar)

    assert answer.status == 401
    assert all("Max-Age=0" in one for one in set_cookies(answer))

    async def over() -> bool:
        return (await ask(world, "GET /whoami", jar=jar)).status == 401

    await until(over)
    seen = len(world.graph.seen)
    for line in ("GET /whoami", "GET /graph/threads/x", "POST /auth/refresh"):
        assert (await ask(world, line, jar=jar)).status == 401
    assert len(world.graph.seen) == seen
    assert claims_of(good)["email"] == ALICE


@pytest.mark.parametrize("change", ["sub", "email", "tenant_id", "realm_access"])
async def test_a_claim_that_changed_gives_nothing_that_was_not_granted(
    world: World, alice: Browser, change: str
) -> None:
    """Only the subject is the person; the rest is what the provider says today."""
    claims = claims_of(await token_of(world, alice.cookies))
    values = {
        "sub": "somebody-else",
        "email": BOB,
        "tenant_id": 999_999,
        "realm_access": {"roles": ["superuser", "owner"]},
    }
    Impostor(world, fields(**{change: values[change]})(world, claims))

    answer = await alice.post("/auth/refresh")

    assert answer.status == (401 if change == "sub" else 200)
    who = await alice.get("/whoami")
    if change == "sub":
        assert who.status == 401
        return
    said = await who.json()
    assert said["sub"] == claims["sub"]
    assert said["tenant_id"] == 1001
    assert set(said["roles"]) <= {"viewer", "ops", "admin"}


@pytest.mark.parametrize("extra", ["missing", "Bob's", "forged", "nonsense"])
async def test_the_id_token_of_a_renewal_makes_nobody_else(
    world: World, alice: Browser, extra: str
) -> None:
    """It is not read: who the session is for comes from the access token alone."""
    claims = claims_of(await token_of(world, alice.cookies))
    bob = world.provider.accounts.find(BOB)
    assert bob is not None
    as_bob = {"typ": "ID", "aud": "nexius-bff", "sub": bob.id, "email": BOB}
    ways: dict[str, dict[str, Any]] = {
        "missing": {},
        "Bob's": {"id_token": fields(**as_bob)(world, claims)},
        "forged": {"id_token": ACCESS["alg none"](world, {**claims, **as_bob})},
        "nonsense": {"id_token": 5},
    }
    Impostor(world, fields(jti="renewed")(world, claims), **ways[extra])

    assert (await alice.post("/auth/refresh")).status in {200, 401}

    who = await alice.get("/whoami")
    assert who.status == 401 or (await who.json())["email"] == ALICE
    assert BOB not in await who.text()
