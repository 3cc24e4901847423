"""Signing in with a password, staying signed in, signing out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from bff.dev.provider import Realm
from bff.dev.provider.otp import code_at
from bff.listener import LISTENER
from bff.sessions.browser import COOKIES
from tests.bff.raw import exchange, head
from tests.bff.sessions.refreshing import without_id
from tests.world import PASSWORD, TOTP_SECRET, World

if TYPE_CHECKING:
    import aiohttp

    from tests.databases import Databases


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
        assert answer.headers["Cache-Control"] == "no-store"
        who = await (await browser.get("/whoami")).json()
        assert who["email"] == "alice@acme.test"
        assert who["tenant_id"] == 1001
        session = await (await browser.get("/auth/session")).json()
        assert session["authenticated"] is True
        assert session["access_expires_at"] < session["session_expires_at"]


async def test_a_person_without_a_tenant_signs_in(world: World) -> None:
    async with world.browser() as browser:
        body = await (await browser.login(" carol@initech.test ")).json()

        assert (body["tenant_id"], body["roles"], body["tenant_status"]) == (
            None,
            [],
            "none",
        )
        refused = await browser.get("/graph/threads/x")
        assert refused.status == 403
        assert (await refused.json(content_type=None))["code"] == "tenant_missing"


async def test_every_wrong_credential_has_the_same_answer(world: World) -> None:
    wrong = [
        ("alice@acme.test", "wrong", None),
        ("nobody@acme.test", PASSWORD, None),
        ("disabled@acme.test", PASSWORD, None),
        ("disabled@acme.test", "wrong", None),
        ("totp@acme.test", PASSWORD, None),
        ("totp@acme.test", PASSWORD, "000000"),
        ("totp@acme.test", PASSWORD, ""),
        ("pending@acme.test", "wrong", None),
        ("alice@acme.test", PASSWORD + "\x00", None),
        ("alice@acme.test", "\x1b[2J\r\n", None),
        ("' OR 1=1 --@acme.test", "x", None),
    ]
    bodies, headers = set(), set()
    async with world.browser() as browser:
        for email, password, otp in wrong:
            answer = await browser.login(email, password, otp)
            assert answer.status == 401, email
            bodies.add(without_id(await answer.json(content_type=None)))
            headers.add(frozenset(answer.headers))
            assert browser.cookies == {}

    assert len(bodies) == 1
    assert len(headers) == 1
    assert json.loads(bodies.pop())["code"] == "invalid_credentials"


async def test_a_one_time_code_lets_in(world: World) -> None:
    async with world.browser() as browser:
        code = code_at(TOTP_SECRET, world.clock())
        answer = await browser.login("totp@acme.test", PASSWORD, code)
        assert answer.status == 200
    async with world.browser() as browser:
        again = await browser.login("totp@acme.test", PASSWORD, code)
        assert again.status == 401


async def test_an_unfinished_account_is_sent_to_the_provider(world: World) -> None:
    async with world.browser() as browser:
        answer = await browser.login("pending@acme.test")

        body = await answer.json(content_type=None)
        assert (answer.status, body["code"]) == (403, "account_action_required")
        assert body["continue_url"] == "/auth/sso?prompt=login"
        assert browser.cookies == {}


@pytest.mark.parametrize("path", ["/token", "/certs"])
@pytest.mark.parametrize("how", ["html", "503", "silent"])
async def test_a_provider_that_is_away_is_said_so_with_a_time(
    databases: Databases, path: str, how: str
) -> None:
    asked_for = 0

    async def intercept(request: web.Request) -> web.StreamResponse | None:
        nonlocal asked_for
        if not request.path.endswith(path):
            return None
        asked_for += 1
        if how == "silent":
            assert request.transport is not None
            request.transport.close()
            return None
        status = 200 if how == "html" else 503
        return web.Response(status=status, text="<p>CANARY", content_type="text/html")

    world = World(databases, seeded=False)
    async with world.running(), world.browser() as browser:
        world.provider.intercept = intercept
        answer = await browser.login("alice@acme.test")

        body = await answer.json(content_type=None)
        assert (answer.status, body["code"]) == (503, "auth_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert "CANARY" not in await answer.text()
        assert browser.cookies == {}
        assert asked_for == 1 or path == "/certs", "a POST is never sent twice"
        if path == "/token":
            world.provider.intercept = None
            assert (await browser.login("alice@acme.test")).status == 200


async def test_a_gateway_the_provider_does_not_know_is_no_wrong_password(
    databases: Databases,
) -> None:
    world = World(databases, settings={"auth": {"client_secret": "CANARY"}})
    async with world.running(), world.browser() as browser:
        answer = await browser.login("alice@acme.test")

        assert answer.status == 503
        assert "CANARY" not in await answer.text()


async def test_signing_in_again_ends_the_session_before(world: World) -> None:
    async with world.signed_in() as browser:
        # This process must know it by itself, not by what the database announces.
        world.app[LISTENER]._callbacks.clear()
        first = browser.cookies
        first_sid = sid(world, first)

        assert (await browser.login("alice@acme.test")).status == 200
        second = browser.cookies

        assert sid(world, second) != first_sid
        assert (await browser.get("/whoami")).status == 200
        browser.set_cookies(first)
        refused = await browser.get("/whoami")
        assert refused.status == 401
        assert (await refused.json(content_type=None))["code"] == "session_ended"
        browser.set_cookies(first)
        assert (await browser.post("/auth/refresh")).status == 401


async def test_a_refused_sign_in_leaves_the_session_before_alone(world: World) -> None:
    async with world.signed_in() as browser:
        before = browser.cookies

        assert (await browser.login("bob@globex.test", "wrong")).status == 401

        assert browser.cookies == before
        assert (await browser.get("/whoami")).status == 200


async def test_tokens_that_do_not_fit_are_said_so(
    databases: Databases,
) -> None:
    world = World(databases, realm=Realm(audience="nexius-api"))
    async with world.running(), world.browser() as browser:
        sign = world.provider.keys.sign

        def heavy(claims: dict[str, Any], *, typ: str = "JWT") -> str:
            return sign({**claims, "groups": ["CANARY" * 10] * 200}, typ=typ)

        world.provider.keys.sign = heavy  # type: ignore[method-assign] # a heavier token
        answer = await browser.login("alice@acme.test")

        body = await answer.json(content_type=None)
        assert (answer.status, body["code"]) == (500, "tokens_too_large")
        assert "roles" in body["detail"]
        assert browser.cookies == {}
        assert "CANARY" not in await answer.text()


async def test_a_browser_may_call_itself_what_it_likes(world: World) -> None:
    body = json.dumps({"email": "alice@acme.test", "password": PASSWORD}).encode()
    for name in (b"\xff\xfe", b"x" * 5000, "ünï".encode(), b"'; DROP TABLE"):
        request = head(
            world.url,
            "POST /auth/login",
            "Sec-Fetch-Site: same-origin",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ).replace(b"\r\n\r\n", b"\r\nUser-Agent: " + name + b"\r\n\r\n")
        assert (await exchange(world.url, request + body)).status == 200


async def test_whoami_and_session_tell_strangers_nothing(world: World) -> None:
    async with world.browser() as browser:
        refused = await browser.get("/whoami")
        assert refused.status == 401
        assert (await refused.json(content_type=None))["code"] == "not_signed_in"
        session = await browser.get("/auth/session")
        assert await session.json() == {"authenticated": False}
        refresh = await browser.post("/auth/refresh")
        assert (await refresh.json(content_type=None))["code"] == "session_ended"


@pytest.mark.parametrize("prefixed", [False, True])
async def test_cookies_are_set_and_deleted_with_the_same_attributes(
    databases: Databases, *, prefixed: bool
) -> None:
    secure = {"session": {"secure": True, "host_prefix": prefixed}} if prefixed else {}
    world = World(databases, settings=secure)
    async with world.running(), world.browser() as browser:
        signed_in = await browser.login("alice@acme.test")
        made = attributes(signed_in)
        cookies = {name: value for name, (value, _) in made.items()}
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())
        gone = attributes(
            await browser.post("/auth/logout", headers={"Cookie": header})
        )

    lead = "__Host-" if prefixed else ""
    assert set(made) == set(gone) == {f"{lead}nx_access", f"{lead}nx_refresh"}
    for name, (_, said) in made.items():
        age = int(said.pop("max-age"))
        assert world.realm.idle_ttl - 5 <= age <= world.realm.idle_ttl
        expected = {"path": "/", "httponly": "", "samesite": "Lax"}
        assert said == expected | ({"secure": ""} if prefixed else {})
        value, after = gone[name]
        assert (value, after.pop("max-age")) == ("", "0")
        assert after == said


def attributes(
    answer: aiohttp.ClientResponse,
) -> dict[str, tuple[str, dict[str, str]]]:
    found = {}
    for header in answer.headers.getall("Set-Cookie"):
        if "nx_device" in header:
            continue  # no part of the session
        first, *rest = header.split("; ")
        name, _, value = first.partition("=")
        pairs = (one.partition("=") for one in rest)
        found[name] = (value, {key.lower(): said for key, _, said in pairs})
    return found


def sid(world: World, jar: dict[str, str]) -> str:
    ticket = world.app[COOKIES].open_access(jar)
    assert ticket is not None
    return ticket.sid.hex
