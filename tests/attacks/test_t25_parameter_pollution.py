"""T25: a parameter given twice, or one too many, changes nothing.

Seen as mod_auth_openidc's duplicates and nextjs-auth0's collapsed keys. Towards the
upstream a query is bytes; towards ourselves and the provider it is a short list.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.attacks.outside import ask, hostile, set_cookies
from tests.bff.auth.redirects import begin, come_back, prove, query_of
from tests.bff.auth.test_backchannel import PATH, claims, signed
from tests.bff.auth.test_callback import is_plain_page, is_stranger
from tests.bff.raw import exchange, head
from tests.bff.sessions.refreshing import ticket
from tests.world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.world import World

QUERIES = (
    "a=1&a=2&a=1",
    "a=1;a=2",
    "a[]=1&a[]=2&a%5B%5D=3",
    "b=2&a=1",
    "a&a=&=a&=&&",
    "a=%41&%61=A",
    "a=%2f%2F..%2f&b=../..",
    "a=+%20%2B",
    "a=%00%0d%0a%ff%FF",
    "a=%zz%&%",
    "a=%25%32%35",
    "a=?b=?c",
    "a=/../internal&b=//evil.test",
    "a=b=c==d",
    "a='\"<>`{|}^\\",
    "access_token=x&authorization=y&tenant_id=1002&X-Tenant-ID=1002",
    "a=%E2%80%A8&b=%C3%A4",
    "",
    "?",
)
# What an authorization request may carry; nothing of it is the browser's to say.
OURS = {
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
}
MORE = (
    "request",
    "request_uri",
    "resource",
    "audience",
    "acr_values",
    "claims",
    "display",
    "id_token_hint",
    "login_hint",
    "max_age",
    "response_mode",
    "kc_action",
    "kc_idp_hint",
    "ui_locales",
    "dpop_jkt",
    "authorization_details",
)


async def heard(world: World, query: str, cookie: str) -> str:
    """Ask the graph for *query* and return the target that it got."""
    raw = head(
        world.url,
        f"GET /graph/threads/x?{query}",
        f"Cookie: {cookie}",
        "Sec-Fetch-Site: same-origin",
    )
    answer = await exchange(world.url, raw)
    assert answer.status == 200, answer.raw
    target: str = answer.json["path"]
    return target


@pytest.fixture
async def cookie(world: World) -> AsyncGenerator[str]:
    """Give alice's Cookie field."""
    async with world.signed_in() as browser:
        yield "; ".join(f"{name}={one}" for name, one in browser.cookies.items())


async def test_a_query_reaches_the_upstream_byte_for_byte(
    world: World, cookie: str
) -> None:
    for query in QUERIES:
        got = await heard(world, query, cookie)
        assert got.rstrip("?") == f"/threads/x?{query}".rstrip("?"), query
    for seen in world.graph.seen:
        assert seen["headers"]["x-tenant-id"] == "1001"


@hostile(40)
@given(
    st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"),
        min_size=1,
        max_size=60,
    )
)
async def test_any_query_reaches_the_upstream_byte_for_byte(
    world: World, cookie: str, query: str
) -> None:
    assert await heard(world, query, cookie) == f"/threads/x?{query}"


async def test_the_authorization_request_is_ours_alone(world: World) -> None:
    """Neither twice, nor changed, nor with anything added (N18)."""
    for name in (*sorted(OURS), *MORE, "scope[]", "client_id ", "Scope"):
        for value in ("CANARY", "CANARY&scope=CANARY", "openid CANARY"):
            query = urlencode([(name, value), (name, "x"), ("return_to", "/")])
            answer = await ask(world, f"GET /auth/sso?{query}")
            assert answer.status == 302
            sent = parse_qsl(urlsplit(answer.headers["location"]).query)
            assert sorted(key for key, _ in sent) == sorted(OURS), name
            assert "CANARY" not in answer.headers["location"]
    kept = [("prompt", "login")]
    for pairs, shown in (
        ([("prompt", "login")], kept),
        ([("prompt", "none")], []),
        ([("prompt", "login create")], []),
        ([("prompt", "login"), ("prompt", "none")], kept),
        ([("prompt", "none"), ("prompt", "login")], []),
        ([("prompt[]", "login")], []),
    ):
        answer = await ask(world, f"GET /auth/sso?{urlencode(pairs)}")
        sent = parse_qsl(urlsplit(answer.headers["location"]).query)
        assert [pair for pair in sent if pair[0] == "prompt"] == shown


async def test_a_callback_with_anything_twice_is_refused(world: World) -> None:
    """The same value twice, another one, in either order, however it is escaped."""
    async with world.browser() as browser:
        attempt = await begin(browser)
        back = await prove(browser, attempt)
        said = query_of(back)
        for name, other, first in itertools.product(
            ("code", "state", "iss", "session_state"),
            (None, "CANARY", ""),
            (False, True),
        ):
            value = said.get(name, "x") if other is None else other
            more = urlencode({name: value})
            escaped = more.replace(name[0], f"%{ord(name[0]):02x}", 1)
            for one in (more, escaped):
                if name == "session_state" and name not in said:
                    one = f"{one}&{one}"  # noqa: PLW2901 - it must come twice
                path, _, query = back.partition("?")
                query = f"{one}&{query}" if first else f"{query}&{one}"
                await is_plain_page(await come_back(browser, f"{path}?{query}"))
        for one in ("error=x&error=y", "error=&error="):
            await is_plain_page(await come_back(browser, f"{back}&{one}"))
        await is_stranger(browser)
        assert "CODE_TO_TOKEN" not in {one.type for one in world.provider.events}

        # What is only said beside it is nobody's business.
        extra = f"{back}&tenant_id=1002&return_to=/x&scope=admin&error_description=x"
        assert (await come_back(browser, extra)).status == 303


async def test_cookies_given_twice_never_mix_two_people(world: World) -> None:
    async with (
        world.signed_in() as alice,
        world.signed_in("bob@globex.test") as bob,
    ):
        theirs = (alice.cookies, bob.cookies)
        subs = {ticket(world, jar).sub for jar in theirs}
        orders = itertools.permutations(
            [f"{name}={one}" for jar in theirs for name, one in jar.items()]
        )
        for order in orders:
            lines = ("Cookie: " + "; ".join(order),)
            for cookies in (lines, tuple(f"Cookie: {one}" for one in order)):
                who = await ask(world, "GET /auth/session", *cookies)
                assert who.status in {200, 400}
                if who.status == 200:
                    assert who.json.get("sub") in {*subs, None}
            # The access half of one and the refresh half of the other renew nothing.
            renewed = await ask(world, "POST /auth/refresh", *lines)
            # Renewed only where both halves were of one person.
            assert renewed.status in {200, 401}
        for browser in (alice, bob):
            answer = await browser.get("/whoami")
            if answer.status == 200:
                assert (await answer.json())["sub"] in subs


async def test_bodies_with_anything_twice_are_read_one_way(world: World) -> None:
    """One reader only: the account that is counted is the one that is signed in."""
    twice = (
        '{"email": "bob@globex.test", "email": "alice@acme.test", '
        f'"password": "wrong", "password": "{PASSWORD}"}}'
    )
    answer = await ask(world, "POST /auth/login", body=twice.encode())
    assert answer.status in {200, 400, 422}
    if answer.status == 200:
        assert answer.json["email"] == "alice@acme.test"
        assert len([one for one in set_cookies(answer) if "nx_access" in one]) == 1
    async with world.signed_in() as browser:
        good, spoilt = signed(world, claims(world)), "x.y.z"
        for pair in ((good, good), (good, spoilt), (spoilt, good)):
            form = urlencode([("logout_token", one) for one in pair])
            refused = await browser.post(
                PATH,
                data=form,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            )
            assert refused.status == 400
        assert (await browser.get("/whoami")).status == 200
        for query in ("limit=1&limit=1000000", "limit=1&limit=x", "limit=x&limit=1"):
            few = await browser.get(f"/export/latest_scores.json?{query}")
            assert few.status in {200, 400}
            if few.status == 200:
                assert len(await few.json()) == 1
