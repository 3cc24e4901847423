"""Who may use what: origin, session, tenant, role, in this order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from bff.access import guarded, role
from bff.current_session import REFRESHER
from bff.dev.provider import Realm
from bff.tenancy.store import TENANCY
from tests.bff.sessions.refreshing import NEAR, code, generation, refreshes, ticket
from tests.world import World

if TYPE_CHECKING:
    from tests.databases import Databases
    from tests.world import Browser


async def ask(browser: Browser, method: str, path: str, **headers: str) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await browser.request(method, path, headers=sent)


async def test_a_strangers_page_goes_to_sign_in_and_a_fetch_is_refused(
    world: World,
) -> None:
    async with world.browser() as browser:
        page = await browser.navigate("/onboarding?a=b&c=//evil.test")
        assert page.status == 303
        assert page.headers["Location"] == (
            "/login?return_to=/onboarding%3Fa%3Db%26c%3D//evil.test"
        )
        assert await code(await browser.get("/onboarding")) == (401, "not_signed_in")
        assert await code(await browser.get("/whoami")) == (401, "not_signed_in")
        navigated = await browser.navigate("/whoami")
        assert await code(navigated) == (401, "not_signed_in")
        old = await browser.get(
            "/onboarding", headers={"Sec-Fetch-Mode": "", "Accept": "text/html"}
        )
        assert old.status == 401


async def test_damaged_cookies_mean_no_session_and_are_cleared(world: World) -> None:
    async with world.signed_in() as browser:
        good = browser.cookies
        for jar in (
            {**good, "nx_access": good["nx_access"][:-10]},
            {**good, "nx_access": "1"},
            {**good, "nx_access": "ÿ"},
            {"nx_refresh": good["nx_refresh"]},
            {**good, "nx_access": good["nx_refresh"]},
        ):
            browser.set_cookies(jar)
            answer = await browser.get("/whoami")
            assert await code(answer) == (401, "not_signed_in")
            assert browser.cookies == {}
        browser.set_cookies({"nx_access": good["nx_access"]})
        assert (await browser.get("/whoami")).status == 200


async def test_the_graph_is_closed_to_every_other_site(world: World) -> None:
    async with world.signed_in() as browser:
        for headers in (
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site", "Origin": "http://evil.localhost"},
            {"Sec_Fetch_Site": "none"},
            {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": "null"},
        ):
            for method in ("GET", "POST"):
                answer = await ask(browser, method, "/graph/threads/x", **headers)
                assert await code(answer) == (403, "cross_site_refused")
        assert world.graph.seen == []
        assert (await browser.get("/graph/threads/x")).status == 200


async def test_the_order_is_origin_then_session_then_tenant(world: World) -> None:
    async with world.browser() as browser:
        strange = await ask(browser, "GET", "/graph/info", Sec_Fetch_Site="cross-site")
        assert await code(strange) == (403, "cross_site_refused")
        assert await code(await browser.get("/graph/info")) == (401, "not_signed_in")
        await browser.login("carol@initech.test")
        assert await code(await browser.get("/graph/info")) == (403, "tenant_missing")


async def test_what_a_browser_says_about_itself_is_not_believed(world: World) -> None:
    async with world.signed_in("bob@globex.test") as browser:
        answer = await ask(
            browser,
            "GET",
            "/graph/threads/x?tenant_id=1001",
            Authorization="Bearer CANARY",
            X_Tenant_ID="1001",
            X_User_Email="alice@acme.test",
            X_User_Roles="admin",
        )
        assert answer.status == 200
        headers = world.graph.seen[-1]["headers"]
        assert headers["x-tenant-id"] == "1002"
        assert "CANARY" not in str(headers)
        assert "cookie" not in headers
        who = await (await ask(browser, "GET", "/whoami", X_Tenant_ID="1001")).json()
        assert (who["tenant_id"], who["roles"]) == (1002, ["viewer"])
    async with world.browser() as browser:
        answer = await ask(
            browser, "GET", "/whoami", Authorization="Bearer x", X_User_Email="a@b.c"
        )
        assert answer.status == 401


async def test_a_role_is_asked_for_in_ones_own_tenant(world: World) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response({})

    asked: dict[str, Any] = {}
    originals = world.app.router

    async with world.signed_in() as alice, world.signed_in("bob@globex.test") as bob:
        route = next(
            one
            for one in originals.routes()
            if one.method == "GET" and "/whoami" in str(one)
        )
        asked["admin"] = guarded(handler, role("ops", "admin"))
        route._handler = asked["admin"]

        assert (await alice.get("/whoami")).status == 200
        assert await code(await bob.get("/whoami")) == (403, "role_missing")


async def join(world: World, email: str, tenant_id: int) -> None:
    account = world.provider.accounts.find(email)
    assert account is not None
    async with world.databases.superuser() as connection:
        await connection.execute(
            "INSERT INTO tenant_users (tenant_id, iss, sub, email, roles) "
            "VALUES ($1, $2, $3, $4, '{ops}') ON CONFLICT DO NOTHING",
            tenant_id,
            world.issuer,
            account.id,
            email,
        )


async def test_a_tenant_that_came_later_is_found_and_kept(world: World) -> None:
    async with world.signed_in("carol@initech.test") as browser:
        assert (await browser.get("/graph/threads/x")).status == 403
        await join(world, "carol@initech.test", 1002)

        answer = await browser.get("/graph/threads/x")

        assert answer.status == 200
        assert world.graph.seen[-1]["headers"]["x-tenant-id"] == "1002"
        mine = ticket(world, browser.cookies)
        assert (mine.tenant_id, mine.roles, mine.gen) == (1002, ("viewer", "ops"), 1)
        assert "Set-Cookie" not in (await browser.get("/graph/threads/x")).headers
        assert (await browser.post("/auth/refresh")).status == 200
        assert ticket(world, browser.cookies).tenant_id == 1002


async def test_a_tenant_found_while_renewing_keeps_the_renewed_tokens(
    databases: Databases,
) -> None:
    world = World(databases, realm=Realm(rotate=True))
    async with world.running(), world.signed_in("carol@initech.test") as browser:
        world.clock.ahead += NEAR
        tenancy = world.app[TENANCY]
        resolve = tenancy.resolve

        async def joins_right_after(*args: Any) -> Any:
            found = await resolve(*args)
            if len(args) > 1:
                await join(world, "carol@initech.test", 1002)
            return found

        world.app[REFRESHER]._resolve = joins_right_after
        assert (await browser.get("/graph/threads/x")).status == 200
        assert (generation(world, browser), refreshes(world)) == (2, 1)
        assert ticket(world, browser.cookies).tenant_id == 1002

        # With rotation on, the spent token would end the session here.
        assert (await browser.post("/auth/refresh")).status == 200
        assert (await browser.get("/whoami")).status == 200


async def test_a_tenant_is_not_kept_with_tokens_of_another_generation(
    world: World,
) -> None:
    async with world.signed_in("carol@initech.test") as browser:
        old = browser.cookies["nx_refresh"]
        await browser.post("/auth/refresh")
        await join(world, "carol@initech.test", 1002)
        browser.set_cookies({**browser.cookies, "nx_refresh": old})

        answer = await browser.get("/graph/threads/x")

        assert await code(answer) == (403, "tenant_missing")
        assert "Set-Cookie" not in answer.headers


async def test_what_happens_is_counted(world: World) -> None:
    async with world.signed_in() as browser:
        await browser.post("/auth/refresh")
        await browser.login("alice@acme.test", "wrong")
        stream = await browser.get("/graph/threads/x/stream")
        await stream.content.readany()
        metrics = await (await browser.session.get(f"{world.admin_url}/metrics")).text()
        stream.close()

    for line in (
        'bff_sign_ins_total{outcome="ok",way="password"} 1.0',
        'bff_sign_ins_total{outcome="CREDENTIALS",way="password"} 1.0',
        'bff_refreshes_total{outcome="ok"} 1.0',
        'bff_requests_total{route="/auth/login",status="2xx"} 1.0',
        'bff_requests_total{route="/auth/login",status="4xx"} 1.0',
        "bff_live_streams 1.0",
    ):
        assert line in metrics
    assert "alice" not in metrics


@pytest.mark.parametrize("path", ["/", "/onboarding", "/login", "/auth/sso"])
async def test_a_page_by_another_name_of_ours_moves_to_the_first(
    world: World, path: str
) -> None:
    other = world.config.server.public_origins[1].removeprefix("http://")
    async with world.browser() as browser:
        moved = await browser.navigate(f"{path}?x=a%26b//c", headers={"Host": other})
        assert moved.status == 307
        assert moved.headers["Location"] == f"{world.url}{path}?x=a%26b//c"
        fetched = await browser.get(path, headers={"Host": other})
        assert fetched.status != 307


async def test_a_slow_renewal_does_not_send_a_dead_token_on(
    databases: Databases,
) -> None:
    world = World(databases)
    async with world.running(), world.signed_in() as browser:
        world.clock.ahead += NEAR

        async def slow(request: web.Request) -> web.StreamResponse | None:
            world.clock.ahead += 60  # the token dies while the provider thinks
            await asyncio.sleep(0)
            return web.Response(status=503)

        world.provider.intercept = slow
        answer = await browser.get("/graph/threads/x")

        assert await code(answer) == (503, "auth_unavailable")
        assert world.graph.seen == []
