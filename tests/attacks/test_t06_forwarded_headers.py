"""T6: X-Forwarded-* of somebody we have not named changes nothing.

Seen as CVE-2025-41235, and in the findings about caddy-security and mod_auth_openidc.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from bff.auth.limits import FREE
from tests.attacks.outside import ask, hostile, set_cookies, tapped
from tests.bff.auth.redirects import Try

if TYPE_CHECKING:
    from tests.attacks.outside import Tap
    from tests.databases import Databases
    from tests.world import World

EVIL = "evil.test"
SPOOFED = (
    ("X-Forwarded-Host: evil.test", "X-Forwarded-Proto: https"),
    ("X-Forwarded-Host: evil.test, localhost", "X-Forwarded-Port: 443"),
    ("Forwarded: for=203.0.113.1;host=evil.test;proto=https",),
    (
        "X-Forwarded-Server: evil.test",
        "X-Host: evil.test",
        "X-Original-Host: evil.test",
    ),
    ("X-Forwarded-Ssl: on", "Front-End-Https: on", "X-Url-Scheme: https"),
    ("X-Forwarded-Prefix: //evil.test", "X-Forwarded-Path: //evil.test"),
)
NAVIGATION = ("Sec-Fetch-Mode: navigate", "Accept: text/html")
WRONG = json.dumps({"email": "alice@acme.test", "password": "Wrong-1"}).encode()
ADDRESSES = (
    "X-Forwarded-For",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "Forwarded",
)


async def test_host_and_scheme_are_those_of_the_configuration(world: World) -> None:
    other = f"127.0.0.1:{world.url.rpartition(':')[2]}"
    for said in SPOOFED:
        sso = await ask(world, "GET /auth/sso", *NAVIGATION, *said)
        back = Try(sso.headers["location"]).query["redirect_uri"]
        assert back == f"{world.url}/auth/callback", said
        assert "Secure" not in set_cookies(sso)[0]
        moved = await ask(world, "GET /login", *NAVIGATION, *said, host=other)
        assert moved.headers["location"] == f"{world.url}/login", said
        stayed = await ask(world, "GET /login", *NAVIGATION, *said)
        assert stayed.status == 200
        assert EVIL not in (sso.raw + moved.raw + stayed.raw).decode(), said


async def test_another_origin_is_not_made_ours(world: World) -> None:
    """The gate compares with the configuration, whatever host is claimed."""
    sites = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site")
    for said in SPOOFED:
        for site in (*sites, "-Sec-Fetch-Site"):
            for origin in ("https://evil.test", "http://evil.test", "null"):
                sent = [f"Origin: {origin}", site, *said]
                answer = await ask(world, "POST /auth/login", *sent, body=WRONG)
                assert answer.status == 403, sent
    assert not world.provider.events


async def test_a_stranger_cannot_guess_from_many_addresses(world: World) -> None:
    for number in range(FREE):
        said = [f"{name}: {_address(name, number)}" for name in ADDRESSES]
        answer = await ask(world, "POST /auth/login", *said, body=WRONG)
        assert answer.status == 401
    for number in range(3):
        said = [f"{name}: {_address(name, 100 + number)}" for name in ADDRESSES]
        answer = await ask(world, "POST /auth/login", *said, body=WRONG)
        assert answer.status == 429


async def test_behind_a_named_proxy_only_what_it_wrote_counts(
    databases: Databases,
) -> None:
    """The right end is the proxy's, the rest was there before: a guesser's."""
    trusting = {"trusted_proxies": ["127.0.0.1"]}
    async with tapped(databases, server=trusting) as tap:
        spoofed = [
            f"X-Forwarded-For: 198.51.100.{one}, 203.0.113.9" for one in range(9)
        ]
        answers = [
            await ask(tap.world, "POST /auth/login", one, body=WRONG) for one in spoofed
        ]
        assert [one.status for one in answers[: FREE + 1]] == [401] * FREE + [429]
        async with tap.world.signed_in("bob@globex.test") as bob:
            tap.jar = bob.cookies
        for said, heard in (
            ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
            ("127.0.0.1, 203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, 127.0.0.1", "203.0.113.9"),
            ("198.51.100.1, evil.test", "127.0.0.1"),
            ("198.51.100.1, ", "127.0.0.1"),
            ("198.51.100.1\r\nX-Forwarded-For: 203.0.113.9", "203.0.113.9"),
            ("203.0.113.9\r\nx-forwarded-for: 127.0.0.1", "203.0.113.9"),
        ):
            fields = f"X-Forwarded-For: {said}".split("\r\n")
            _, (one,) = await tap.ask(
                "GET /graph/threads/x", *fields, "X-Real-IP: 6.6.6.6"
            )
            assert one.one("x-forwarded-for") == heard, said
            assert "6.6.6.6" not in str(one)


@hostile(80)
@given(
    st.sampled_from([*ADDRESSES, "X-Forwarded-Host", "X-Forwarded-Proto"]),
    st.text('0123456789abcdef.:, []"=;forhstp/-', max_size=40),
)
async def test_the_upstream_hears_the_connections_address_only(
    tap: Tap, name: str, value: str
) -> None:
    answer, seen = await tap.ask("GET /graph/threads/x", f"{name}: {value}")

    assert answer.status in {200, 400}
    for one in seen:
        assert one.one("x-forwarded-for") == "127.0.0.1"
        assert one.one("x-forwarded-proto") == "http"
        assert one.one("x-forwarded-host") == tap.world.url.removeprefix("http://")
        assert one.all("forwarded") == one.all("x-real-ip") == []


def _address(name: str, number: int) -> str:
    address = f"203.0.113.{number}"
    return f"for={address}" if name == "Forwarded" else address
