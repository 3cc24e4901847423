"""The dev bypass lets in whom headers name, on this machine, and no stranger's page."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from bff.bypass import ISSUER
from bff.dev.ports import free_port
from bff.express import EXPRESS
from bff.serve import _require_loopback, serving
from bff.sockets import CannotListen
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from tests.databases import Databases
    from tests.world import Browser

EVE = {"X-User-Email": "eve@acme.test"}
IN_ACME = {**EVE, "X-Tenant-ID": "1001"}
ADMIN = {**IN_ACME, "X-User-Roles": "viewer, admin"}
UI = "http://localhost:3000"


@pytest.fixture
async def open_world(databases: Databases) -> AsyncGenerator[World]:
    settings: dict[str, dict[str, Any]] = {
        "dev": {"bypass": True},
        "split_origin": {"origins": [UI]},
    }
    async with World(databases, settings=settings).running() as running:
        yield running


@pytest.fixture
async def browser(open_world: World) -> AsyncGenerator[Browser]:
    async with open_world.browser() as made:
        yield made


async def code(answer: aiohttp.ClientResponse) -> tuple[int, str]:
    assert answer.headers["X-Auth-Bypass"] == "1"
    return answer.status, (await answer.json())["code"]


async def test_headers_say_who_asks(browser: Browser) -> None:
    answer = await browser.get("/whoami", headers=ADMIN)

    assert (answer.status, answer.headers["X-Auth-Bypass"]) == (200, "1")
    assert await answer.json() == {
        "sub": "eve@acme.test",
        "email": "eve@acme.test",
        "tenant_id": 1001,
        "roles": ["viewer", "admin"],
    }
    session = await (await browser.get("/auth/session", headers=IN_ACME)).json()
    assert session["authenticated"]
    assert session["roles"] == ["viewer"]
    assert "access_token" not in session
    assert browser.cookies == {}


async def test_nobody_is_anybody_by_default(browser: Browser) -> None:
    for headers in ({}, {"X-Tenant-ID": "1001", "X-User-Roles": "admin"}):
        answer = await browser.get("/whoami", headers=headers)
        assert await code(answer) == (401, "not_signed_in")
    assert not (await (await browser.get("/auth/session")).json())["authenticated"]
    assert (await browser.navigate("/")).status == 303


async def test_who_signs_in_is_who_they_are(open_world: World) -> None:
    async with open_world.signed_in("bob@globex.test") as bob:
        who = await (await bob.get("/whoami")).json()
        assert (who["email"], who["tenant_id"]) == ("bob@globex.test", 1002)
        assert (await bob.get("/graph/threads/x")).status == 200
        sent = open_world.graph.seen[-1]["headers"]
        assert sent["authorization"].startswith("Bearer ey")
        # Headers go before cookies, and do not touch them.
        who = await (await bob.get("/whoami", headers=ADMIN)).json()
        assert who["tenant_id"] == 1001
        before = bob.cookies
        listed = await (await bob.get("/auth/tenants", headers=EVE)).json()
        assert [one["tenant_id"] for one in listed["tenants"]] == [1001]
        # What changes a session needs one; a real one beside it is left alone.
        for tenant in (1001, 1002):
            answer = await bob.post(
                "/auth/tenant", json={"tenant_id": tenant}, headers=EVE
            )
            assert answer.status in {401, 404}, tenant
        answer = await bob.post("/auth/refresh", headers=EVE)
        assert answer.status == 200
        assert bob.cookies.keys() == before.keys()


async def test_the_graph_server_gets_the_tenant_and_no_token(
    open_world: World, browser: Browser
) -> None:
    assert EXPRESS not in open_world.app
    answer = await browser.get("/graph/threads/x", headers=IN_ACME)

    assert (answer.status, answer.headers["X-Auth-Bypass"]) == (200, "1")
    sent = open_world.graph.seen[-1]["headers"]
    assert sent["x-tenant-id"] == "1001"
    assert "authorization" not in sent
    assert not {"x-user-email", "x-user-roles", "cookie"} & sent.keys()
    stream = await browser.post(
        "/graph/threads/t/runs/stream", json={}, headers=IN_ACME
    )
    assert b"data: 4" in await stream.read()


async def test_the_headers_go_the_way_of_claims(
    open_world: World, browser: Browser
) -> None:
    for headers, expected in (
        (EVE, (403, "tenant_missing")),
        ({**EVE, "X-Tenant-ID": "999999"}, (403, "tenant_missing")),
        (IN_ACME, None),
        (EVE, None),  # a member by now
    ):
        answer = await browser.get("/icp/rules", headers=headers)
        if expected is None:
            assert answer.status == 200, headers
        else:
            assert await code(answer) == expected
    async with open_world.databases.superuser() as superuser:
        removed = await superuser.fetch(
            "UPDATE tenant_users SET removed_at = now() "
            "WHERE sub = 'eve@acme.test' RETURNING iss"
        )
    assert [row["iss"] for row in removed] == [ISSUER]
    answer = await browser.get("/icp/rules", headers=ADMIN)
    assert await code(answer) == (403, "tenant_missing")


async def test_a_tenant_that_is_named_is_that_one_or_none(
    browser: Browser,
) -> None:
    assert (await browser.get("/icp/rules", headers=IN_ACME)).status == 200
    answer = await browser.get("/icp/rules", headers={**EVE, "X-Tenant-ID": "999999"})
    assert await code(answer) == (403, "tenant_missing")


@pytest.mark.parametrize(
    "name", ["Via", "Forwarded", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host"]
)
async def test_nobody_is_believed_who_comes_through_a_proxy(
    browser: Browser, name: str
) -> None:
    answer = await browser.get("/whoami", headers={**ADMIN, name: "x"})
    assert await code(answer) == (403, "cross_site_refused")


async def test_an_invitation_is_not_spent_by_who_has_no_session(
    browser: Browser,
) -> None:
    made = await browser.post(
        "/tenants/1001/invites", json={"roles": ["viewer"]}, headers=ADMIN
    )
    token = (await made.json())["invite_url"].rpartition("#")[2].rpartition("=")[2]
    guest = {"X-User-Email": "guest@new.test"}
    answer = await browser.post("/invites/redeem", json={"token": token}, headers=guest)
    assert await code(answer) == (401, "session_ended")
    who = await (await browser.get("/whoami", headers=guest)).json()
    assert who["tenant_id"] is None


async def test_the_default_tenant_is_taken_where_none_is_named(
    databases: Databases,
) -> None:
    settings: dict[str, dict[str, Any]] = {
        "dev": {"bypass": True, "default_tenant_id": 1002},
        # What is believed of tokens has no say here.
        "tenancy": {"claim": "ignore"},
    }
    async with (
        World(databases, settings=settings).running() as world,
        world.browser() as browser,
    ):
        for headers, tenant in ((EVE, 1002), (IN_ACME, 1001)):
            who = await (await browser.get("/whoami", headers=headers)).json()
            assert who["tenant_id"] == tenant


async def test_roles_open_what_they_open(browser: Browser) -> None:
    rule = {"name": "small", "payload": {}}
    for headers, allowed in ((IN_ACME, False), (ADMIN, True)):
        answer = await browser.get("/tenants/1001/members", headers=headers)
        assert (answer.status == 200) is allowed
        answer = await browser.get("/tenants/1002/members", headers=headers)
        assert answer.status == (404 if allowed else 403)
        answer = await browser.post("/icp/rules", json=rule, headers=headers)
        assert (answer.status < 300 or answer.status == 422) is allowed


async def test_a_person_without_a_tenant_founds_one(browser: Browser) -> None:
    headers = {"X-User-Email": "Founder@new.test"}
    body = {"workspace_name": "New"}
    answer = await browser.post("/onboarding/first_login", json=body, headers=headers)

    assert answer.status == 202, await answer.text()
    who = await (await browser.get("/whoami", headers=headers)).json()
    assert who["tenant_id"] == (await answer.json())["tenant_id"]
    assert who["email"] == "Founder@new.test"
    answer = await browser.get("/onboarding/events", headers=headers)
    assert b"data: " in await answer.content.readany()
    answer.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-User-Email": ""},
        {"X-User-Email": "eve"},
        {"X-User-Email": "eve@"},
        {"X-User-Email": "@acme.test"},
        {"X-User-Email": "e ve@acme.test"},
        {"X-User-Email": "a@b@c"},
        {"X-User-Email": f"{'e' * 254}@acme.test"},
        {"X-User-Email": "ève@acme.test"},
        {**EVE, "X-Tenant-ID": "acme"},
        {**EVE, "X-Tenant-ID": "0"},
        {**EVE, "X-Tenant-ID": "-1"},
        {**EVE, "X-Tenant-ID": "1" * 30},
        {**EVE, "X-User-Roles": "root"},
    ],
    ids=str,
)
async def test_what_names_nobody_is_said_so(
    browser: Browser, headers: dict[str, str]
) -> None:
    answer = await browser.get("/whoami", headers=headers)
    assert await code(answer) == (400, "bad_request")


async def test_a_header_sent_twice_is_refused(open_world: World) -> None:
    async with open_world.browser() as browser:
        for name in ("X-User-Email", "X-Tenant-ID", "X-User-Roles"):
            sent = [*IN_ACME.items(), ("X-User-Roles", "viewer"), (name, "admin")]
            sent += [("Sec-Fetch-Site", "same-origin")]
            sent += [("Host", open_world.url.removeprefix("http://"))]
            answer = await browser.session.get(f"{browser.url}/whoami", headers=sent)
            assert await code(answer) == (400, "bad_request")


STRANGE = (
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.test"},
    {"Sec-Fetch-Site": "cross-site", "Origin": UI},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3001"},
    {"Sec-Fetch-Site": "same-site", "Origin": "null"},
    {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "cors"},
    {"Sec-Fetch-Site": "", "Origin": "http://evil.test"},
)


@pytest.mark.parametrize("strange", STRANGE, ids=str)
async def test_a_stranger_s_page_is_nobody_whatever_it_sends(
    open_world: World, browser: Browser, strange: dict[str, str]
) -> None:
    for method, path in (
        ("GET", "/whoami"),
        ("GET", "/auth/session"),
        ("GET", "/export/latest_scores.json"),
        ("POST", "/onboarding/first_login"),
        ("GET", "/graph/threads/x"),
    ):
        answer = await browser.request(method, path, headers={**ADMIN, **strange})
        assert await code(answer) == (403, "cross_site_refused")
        allowed = answer.headers.get("Access-Control-Allow-Origin")
        assert allowed in {None, UI}
    assert open_world.graph.seen == []


async def test_only_the_listed_ui_may_send_the_headers(browser: Browser) -> None:
    for origin, allowed in ((UI, True), ("http://evil.test", False)):
        answer = await browser.request(
            "OPTIONS",
            "/whoami",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "x-user-email,x-tenant-id",
            },
        )
        may = answer.headers.get("Access-Control-Allow-Headers")
        assert may == ("x-user-email, x-tenant-id" if allowed else None)
    from_ui = {**ADMIN, "Origin": UI, "Sec-Fetch-Site": "same-site"}
    answer = await browser.get("/whoami", headers=from_ui)
    assert answer.status == 200
    assert "X-Auth-Bypass" in answer.headers["Access-Control-Expose-Headers"]


async def test_a_rebound_name_is_nobody_s(browser: Browser) -> None:
    """DNS rebinding: the page is "same-origin" with us, under a name of its own."""
    for host in ("evil.test", "evil.test:8080", "localhost", "127.0.0.1.evil.test"):
        answer = await browser.get("/whoami", headers={**ADMIN, "Host": host})
        assert await code(answer) == (421, "unknown_host")


async def test_without_the_bypass_the_headers_are_words(world: World) -> None:
    async with world.browser() as browser:
        answer = await browser.get("/whoami", headers=ADMIN)
        assert answer.status == 401
        assert "X-Auth-Bypass" not in answer.headers


async def test_the_log_says_so_at_the_start(
    open_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    server = open_world.config.server.model_copy(
        update={
            "listen": f"127.0.0.1:{free_port()}",
            "admin_listen": f"127.0.0.1:{free_port()}",
            "drain": 0.0,
        }
    )
    told = open_world.config.model_copy(update={"server": server})
    with caplog.at_level(logging.WARNING, "bff.serve"):
        async with serving(told):
            pass
    said = [one.getMessage() for one in caplog.records if one.name == "bff.serve"]
    assert any(line.startswith("dev.bypass: nobody needs to sign in") for line in said)
    assert any(line.startswith("split_origin.origins: ") for line in said)


def test_a_listener_that_turns_out_to_be_open_ends_it() -> None:
    _require_loopback([("127.0.0.1", 80), ("::1", 80, 0, 0)])
    for address in ("::", "10.0.0.1", "192.168.1.7"):
        with pytest.raises(CannotListen, match=r"dev\.bypass"):
            _require_loopback([("127.0.0.1", 80), (address, 80)])
