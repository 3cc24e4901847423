"""T23: nobody is signed out by whoever likes (OpenID Connect Back-Channel Logout 1.0).

Seen as mod_auth_openidc's front-channel revocation. Every token here differs from a
good one in one thing; the session must outlive them all.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import RSAKey

from bff.identity.logout_token import EVENT
from tests.attacks.outside import ask, hostile
from tests.bff.auth.test_backchannel import PATH, claims, deliver, signed
from tests.bff.raw import exchange, head
from tests.bff.sessions.refreshing import ticket

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.world import Browser, World

ALG = ["RS256", "PS256", "ES256", "HS256", "HS512", "none"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
# For each claim that a logout token must have: what may not pass for it.
WRONG: dict[str, st.SearchStrategy[Any]] = {
    "iss": JSON,
    "aud": JSON,
    "iat": JSON.filter(lambda value: not _is_soon(value)),
    "exp": JSON.filter(lambda value: not _is_soon(value)),
    "events": JSON,
    "jti": JSON.filter(lambda value: not isinstance(value, str) or not value),
    "sub": JSON,
}


def _is_soon(value: Any) -> bool:
    return isinstance(value, (int, float)) and value > 1_600_000_000


@pytest.fixture
async def alice(world: World) -> AsyncGenerator[Browser]:
    """Give the one browser that every example would sign out."""
    async with world.signed_in() as browser:
        yield browser


async def lives(browser: Browser) -> None:
    assert (await browser.get("/whoami")).status == 200, "signed out by a stranger"


@hostile(80)
@given(data=st.data())
async def test_no_claim_may_be_anything_else(
    world: World, alice: Browser, data: st.DataObject
) -> None:
    """Well signed, and wrong in one claim at least."""
    name = data.draw(st.sampled_from(sorted(WRONG)))
    more = data.draw(st.dictionaries(st.text(max_size=8), JSON, max_size=2))
    said = {**more, **claims(world, jti=str(time.time_ns()))}
    said[name] = data.draw(WRONG[name])
    if data.draw(st.booleans()):
        del said[name]

    answer = await deliver(world, signed(world, said))

    # A `sub` that is nobody's is a fine token about nobody.
    nobody = name == "sub" and isinstance(said.get("sub"), str) and answer.status == 200
    assert answer.status == 400 or nobody, (name, said)
    await lives(alice)


@hostile(40)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 2000), st.characters(codec="ascii")),
        min_size=1,
        max_size=3,
    )
)
async def test_no_byte_of_a_token_may_change(
    world: World, alice: Browser, changes: list[tuple[int, str]]
) -> None:
    token = list(signed(world, claims(world, jti=str(time.time_ns()))))
    before = decoded("".join(token))
    for place, letter in changes:
        token[place % len(token)] = letter
    spoilt = "".join(token)
    if decoded(spoilt) == before:
        return  # the last letter of a part has bits that say nothing

    assert (await deliver(world, spoilt)).status == 400
    await lives(alice)


@hostile(40)
@given(raw=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
async def test_no_body_that_is_no_token_does_anything(
    world: World, alice: Browser, raw: bytes
) -> None:
    kind = "Content-Type: application/x-www-form-urlencoded"
    for body in (raw, b"logout_token=" + raw):
        sized = f"Content-Length: {len(body)}"
        asked = head(world.url, f"POST {PATH}", kind, sized) + body
        assert (await exchange(world.url, asked)).status == 400
    await lives(alice)


async def test_a_token_of_another_hand_or_kind_ends_nothing(world: World) -> None:
    said = claims(world)
    stranger = RSAKey.generate_key(2048, parameters={"kid": "stranger"})
    (published,) = (
        key for key in world.provider.keys.public()["keys"] if key["use"] == "sig"
    )
    pem = RSAKey.import_key(published).as_pem(private=False)
    public = stranger.as_dict(private=False)
    kid = published["kid"]
    good = signed(world, said)
    tokens = {
        "another key under our id": made({"alg": "RS256", "kid": kid}, said, stranger),
        "another key": made({"alg": "RS256", "kid": "stranger"}, said, stranger),
        "a key in the header": made(
            {"alg": "RS256", "kid": "stranger", "jwk": public}, said, stranger
        ),
        "a key elsewhere": made(
            {"alg": "RS256", "kid": "x", "jku": f"{world.graph.url}/threads/k"},
            said,
            stranger,
        ),
        "the public key as a secret": sealed({"alg": "HS256", "kid": kid}, said, pem),
        "no signature": unsigned({"alg": "none", "typ": "logout+jwt"}, said),
        "no signature, our id": unsigned({"alg": "none", "kid": kid}, said),
        "a cut signature": good[:-8],
        "no signature at all": good.rpartition(".")[0] + ".",
        "two tokens": f"{good} {good}",
        "a kid that climbs": made(
            {"alg": "RS256", "kid": "../../dev/null"}, said, stranger
        ),
    }
    async with world.signed_in() as browser:
        for name, token in tokens.items():
            assert (await deliver(world, token)).status in {400, 503}, name
        for typ in ("JWT", "at+jwt", "", "logout", "application/jwt", "Bearer"):
            assert (await deliver(world, signed(world, said, typ))).status == 400, typ
        await lives(browser)
        assert world.graph.seen == [], "no key is fetched from where a token says"
        assert (await deliver(world, good)).status == 200, "and the good one ends it"
        assert (await browser.get("/whoami")).status == 401


async def test_tokens_made_for_something_else_end_nothing(world: World) -> None:
    """What the browser, the graph server or a log may hold is no logout token."""
    async with world.signed_in() as browser:
        access = ticket(world, browser.cookies).access_token
        other = {"typ": "ID", "nonce": "n", "sid": "x"}
        for token in (
            access,
            signed(world, {**claims(world), **other}),
            signed(world, {**claims(world), "events": {}}),
            signed(world, {**claims(world), "events": {EVENT + "/": {}}}),
            *browser.cookies.values(),
        ):
            assert (await deliver(world, token)).status == 400
        await lives(browser)


async def test_a_token_is_used_once_even_by_many_at_once(world: World) -> None:
    token = signed(world, claims(world))
    async with world.another_gateway() as url, world.signed_in():
        assert (await deliver(world, token)).status == 200
        async with world.signed_in() as again, world.browser(url) as there:
            answers = await asyncio.gather(
                *(deliver(world, token) for _ in range(10)),
                *(there.post(PATH, data={"logout_token": token}) for _ in range(10)),
            )
            assert {answer.status for answer in answers} == {400}
            await lives(again)
            world.clock.ahead += 600  # old enough to have been forgotten, and too old
            assert (await deliver(world, token)).status == 400


@pytest.mark.parametrize("skew", [-120, 120])
async def test_a_providers_clock_that_is_two_minutes_off_still_signs_out(
    world: World, skew: int
) -> None:
    now = int(time.time()) + skew
    async with world.signed_in() as browser:
        for late in (skew * 10, skew * 100):
            then = int(time.time()) + late
            said = claims(world, iat=then, exp=then + 120, jti=f"far {late}")
            assert (await deliver(world, signed(world, said))).status == 400
            await lives(browser)
        said = claims(world, iat=now, exp=now + 120, jti="near")
        assert (await deliver(world, signed(world, said))).status == 200
        assert (await browser.get("/whoami")).status == 401


async def test_there_is_no_other_way_to_sign_somebody_out(world: World) -> None:
    """No front channel, no GET, no other site, no cookie of one's own making."""
    token = signed(world, claims(world))
    async with (
        world.signed_in() as browser,
        world.signed_in("bob@globex.test") as bob,
    ):
        jar, sid = browser.cookies, ticket(world, browser.cookies).sid
        for line in (
            "GET /auth/logout",
            "HEAD /auth/logout",
            "GET /auth/logout?everywhere=true",
            "GET /auth/frontchannel-logout?iss=x&sid=y",
            "GET /logout",
            "GET /oauth2/sign_out",
            "PUT /auth/logout",
            "DELETE /auth/session",
            f"GET {PATH}?logout_token={token}",
            f"POST {PATH}?logout_token={token}",
            "OPTIONS /auth/logout",
        ):
            answer = await ask(world, line, jar=jar)
            assert answer.status in {400, 404, 405, 415}, line
            assert "clear-site-data" not in answer.headers
        for site in ("cross-site", "same-site", "none"):
            strange = {"Sec-Fetch-Site": site, "Origin": "https://evil.test"}
            for path in ("/auth/logout", "/auth/refresh"):
                refused = await browser.post(path, headers=strange, json={})
                assert refused.status == 403
        ended = await bob.request("DELETE", f"/auth/sessions/{sid}")
        assert ended.status == 404, "another's session is nobody's to end"
        await lives(browser)

        spoilt = {name: f"{one[:-5]}AAAAA" for name, one in jar.items()}
        for body in (b'{"everywhere": true}', b"{}"):
            left = await ask(world, "POST /auth/logout", jar=spoilt, body=body)
            assert left.status == 204
            empty = await ask(world, "POST /auth/logout", body=body)
            assert empty.status == 204
        await lives(browser)
        await lives(bob)


async def test_a_session_that_is_over_ends_no_others(world: World) -> None:
    """A stolen cookie, used after its session was ended, must not end the rest."""
    async with world.signed_in() as first, world.signed_in() as second:
        stolen = first.cookies
        assert (await first.post("/auth/logout")).status == 204

        body = json.dumps({"everywhere": True}).encode()
        await ask(world, "POST /auth/logout", jar=stolen, body=body)

        await lives(second)
        sid = ticket(world, second.cookies).sid
        gone = await ask(world, f"DELETE /auth/sessions/{sid}", jar=stolen)
        assert gone.status == 401
        await lives(second)


def made(header: dict[str, Any], said: dict[str, Any], key: Any) -> str:
    return jwt.encode({"typ": "logout+jwt", **header}, said, key, algorithms=ALG)


def sealed(header: dict[str, Any], said: dict[str, Any], secret: bytes) -> str:
    """Sign by hand what a library refuses to: HS256 with a public key."""
    text = unsigned(header, said).removesuffix(".")
    digest = hmac.digest(secret, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def unsigned(header: dict[str, Any], said: dict[str, Any]) -> str:
    parts = (json.dumps(one).encode() for one in (header, said))
    texts = (base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in parts)
    return ".".join(texts) + "."


def decoded(token: str) -> list[bytes] | None:
    try:
        return [
            base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
            for part in token.split(".")
        ]
    except ValueError:
        return None
