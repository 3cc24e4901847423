"""An account is opened, and nobody learns who has one already."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from bff import app as application
from bff import daily_caps
from bff.auth import registrar
from bff.auth.registrar import REGISTRAR
from bff.serve import drain
from bff.telemetry import METRICS
from tests.bff.sessions.refreshing import code, without_id
from tests.bff.waiting import until
from tests.world import PASSWORD, PROVISIONED, World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from tests.databases import Databases
    from tests.world import Browser

PATH = "/auth/register"
NEW = "nora@new.test"
ACCEPTED = {"requires_verification": True}


@asynccontextmanager
async def admin_api(databases: Databases, **limits: int) -> AsyncGenerator[World]:
    settings: dict[str, dict[str, Any]] = {
        "register": {"mode": "admin_api", **limits},
        "auth": PROVISIONED,
    }
    async with World(databases, settings).running() as world:
        yield world


def outcome(world: World, name: str) -> float:
    registry = world.app[METRICS].registry
    labels = {"outcome": name}
    return registry.get_sample_value("bff_registrations_total", labels) or 0.0


async def happened(world: World, name: str, times: int = 1) -> None:
    async def look() -> bool:
        return outcome(world, name) >= times

    await until(look)


async def asked(
    browser: Browser, email: str = NEW, **more: Any
) -> aiohttp.ClientResponse:
    return await browser.post(PATH, json={"email": email, "password": PASSWORD, **more})


async def test_self_service_sends_people_to_the_provider_s_own_page(
    world: World,
) -> None:
    async with world.browser() as browser:
        # Whatever the body is, it is not used.
        for sent in ({"json": {"email": "x"}}, {"data": b"\xff not json"}, {}):
            answer = await browser.post(PATH, **sent)
            assert answer.status == 200
            assert await answer.json() == {
                "registration_url": "/auth/sso?prompt=create",
                "requires_verification": True,
            }
        there = await browser.navigate("/auth/sso?prompt=create")
        assert "prompt=create" in there.headers["Location"]
        large = await browser.post(PATH, data=b"x" * (256 * 1024 + 1))
        assert large.status == 413

    assert world.provider.accounts.find("x") is None


async def test_off_is_like_an_address_that_does_not_exist(databases: Databases) -> None:
    settings = {"register": {"mode": "off"}}
    async with World(databases, settings).running() as world, world.browser() as one:
        for method in ("POST", "GET"):
            here = await one.request(method, PATH, json={"email": NEW})
            nowhere = await one.request(method, "/auth/nowhere", json={"email": NEW})
            assert here.status == nowhere.status == 404
            assert without_id(await here.json()) == without_id(await nowhere.json())
        there = await one.navigate("/auth/sso?prompt=create")
        assert "prompt=" not in there.headers["Location"]


@pytest.mark.parametrize("mode", ["self_service", "admin_api"])
async def test_another_site_cannot_register_anybody(
    databases: Databases, mode: str
) -> None:
    settings = {"register": {"mode": mode}, "auth": PROVISIONED}
    async with World(databases, settings).running() as world, world.browser() as one:
        foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"}
        answer = await one.post(PATH, json={"email": NEW}, headers=foreign)

        assert await code(answer) == (403, "cross_site_refused")


async def test_an_account_is_opened_that_its_owner_must_confirm_first(
    databases: Databases,
) -> None:
    async with admin_api(databases) as world, world.browser() as browser:
        answer = await asked(
            browser,
            " Nora@New.test ",
            full_name="Nora Ann New",
            workspace_name="Noracorp",
            email_verified=True,
            tenant_id=1001,
        )
        assert (answer.status, await answer.json()) == (202, ACCEPTED)
        assert browser.cookies == {}
        await happened(world, "created")

        account = world.provider.accounts.find(NEW)
        assert account is not None
        person = account.person
        assert (person.first_name, person.last_name) == ("Nora Ann", "New")
        assert (person.email_verified, person.tenant_id) == (False, None)
        (mail,) = world.provider.mails
        assert (mail.to, mail.actions) == (NEW, ("VERIFY_EMAIL", "UPDATE_PASSWORD"))
        assert await code(await browser.login(NEW)) == (401, "invalid_credentials")
        world.provider.accounts.change(
            account, password=PASSWORD, email_verified=True, required_actions=()
        )
        world.clock.ahead += 60  # the failure is forgiven
        assert (await browser.login(NEW)).status == 200


async def test_whether_the_address_was_free_shows_in_no_sign_in_either(
    databases: Databases,
) -> None:
    async with admin_api(databases) as world, world.browser() as browser:
        seen = set()
        for email in ("alice@acme.test", "disabled@acme.test", NEW):
            for password in ("Another-Horse-2", "short"):
                assert (await asked(browser, email, password=password)).status == 202
            await happened(world, "created" if email == NEW else "exists")
            answer = await browser.login(email, "Another-Horse-2")
            seen.add((answer.status, without_id(await answer.json())))

        assert len(seen) == 1
        assert seen.pop()[0] == 401


@pytest.mark.parametrize("email", ["alice@acme.test", "disabled@acme.test"])
async def test_an_existing_account_stays_as_it_is_and_nobody_learns_of_it(
    databases: Databases, email: str
) -> None:
    async with admin_api(databases) as world, world.browser() as browser:
        before = world.provider.accounts.find(email)
        assert before is not None
        person = before.person

        known = await asked(browser, email.upper(), password="Another-Horse-2")
        fresh = await asked(browser)

        assert known.status == fresh.status == 202
        assert await known.read() == await fresh.read()
        alike = {"Content-Type", "Content-Length", "Cache-Control", "Set-Cookie"}
        assert {(key, known.headers.get(key)) for key in alike} == {
            (key, fresh.headers.get(key)) for key in alike
        }
        await happened(world, "exists")
        await happened(world, "created")
        assert before.person == person
        assert [mail.to for mail in world.provider.mails] == [NEW]
        assert (await browser.login("alice@acme.test")).status == 200


async def test_the_answer_comes_before_the_provider_is_asked(
    databases: Databases,
) -> None:
    async with admin_api(databases) as world, world.browser() as browser:
        came, go = asyncio.Event(), asyncio.Event()

        async def hang(request: web.Request) -> None:
            came.set()
            await go.wait()

        world.provider.intercept = hang
        for email in (NEW, "alice@acme.test", "disabled@acme.test"):
            assert (await asked(browser, email)).status == 202
        await came.wait()
        assert not any(outcome(world, name) for name in ("created", "exists"))
        go.set()
        await happened(world, "exists", 2)
        await happened(world, "created")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@b@c.test"}, "email"),
        ({"email": "a b@c.test"}, "email"),
        ({"email": "a@c.test\r\nBcc: d@e.test"}, "email"),
        ({"email": f"{'a' * 65}@c.test"}, "email"),
        ({"email": f"a@{'c.' * 130}test"}, "email"),
        ({"email": 5}, "email"),
        ({"email": NEW, "first_name": "<b>"}, "first_name"),
        ({"email": NEW, "full_name": "x" * 256}, "full_name"),
    ],
)
async def test_what_is_wrong_is_said_before_anybody_looks_for_an_account(
    databases: Databases, body: dict[str, Any], field: str
) -> None:
    async with admin_api(databases) as world, world.browser() as browser:
        seen = []
        for known in (NEW, "alice@acme.test"):
            sent = {**body, "email": known} if body.get("email") == NEW else body
            answer = await browser.post(PATH, json=sent)
            assert await code(answer) == (422, "invalid_body")
            said = await answer.json()
            assert [one["field"] for one in said["errors"]] == [field]
            seen.append(without_id(said))

        assert seen[0] == seen[1]
        assert world.provider.accounts.find(NEW) is None


async def test_a_mailbox_is_not_filled_from_however_many_networks(
    databases: Databases,
) -> None:
    async with admin_api(databases, per_email_daily=2) as world, world.browser() as one:
        for _ in range(2):
            assert (await asked(one, "alice@acme.test")).status == 202
        answer = await asked(one, "ALICE@acme.test")
        assert await code(answer) == (429, "rate_limited")
        assert int(answer.headers["Retry-After"]) > 0
        assert (await asked(one)).status == 202
        async with world.databases.superuser() as superuser:
            keys = await superuser.fetch("SELECT key FROM attempts")
        assert all(b"acme" not in row["key"] for row in keys)


async def test_a_network_may_ask_so_often_a_day(databases: Databases) -> None:
    async with admin_api(databases, per_address_daily=2) as world, world.browser() as b:
        assert [
            (await asked(b, f"p{number}@new.test")).status for number in range(3)
        ] == [202, 202, 429]
        async with world.databases.superuser() as superuser:
            await superuser.execute("UPDATE attempts SET at = at - interval '25 hours'")
        assert (await asked(b, "p4@new.test")).status == 202


async def test_too_many_waiting_are_asked_to_come_again(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrar, "MOST", 2)
    monkeypatch.setattr(registrar, "AT_ONCE", 1)
    async with admin_api(databases) as world, world.browser() as browser:
        came, go = asyncio.Event(), asyncio.Event()

        async def hang(request: web.Request) -> None:
            came.set()
            await go.wait()

        world.provider.intercept = hang
        assert (await asked(browser, "p1@new.test")).status == 202
        await came.wait()
        assert (await asked(browser, "p2@new.test")).status == 202
        full = await asked(browser, "p3@new.test")
        assert await code(full) == (503, "unavailable")
        assert "Retry-After" in full.headers
        go.set()
        await happened(world, "created", 2)
        # What was turned away did not count.
        async with world.databases.superuser() as superuser:
            assert await superuser.fetchval("SELECT count(*) FROM attempts") == 4


async def test_what_waits_is_done_before_the_end(databases: Databases) -> None:
    async with admin_api(databases) as world, world.browser() as browser:
        came, go = asyncio.Event(), asyncio.Event()

        async def hang(request: web.Request) -> None:
            came.set()
            await go.wait()

        world.provider.intercept = hang
        for number in range(6):
            assert (await asked(browser, f"p{number}@new.test")).status == 202
        await came.wait()
        provider = world.provider
        stopping = asyncio.ensure_future(world.app.cleanup())
        await asyncio.sleep(0.05)
        go.set()
        await stopping

    assert {one.to for one in provider.mails} == {f"p{n}@new.test" for n in range(6)}


async def test_the_drain_time_is_for_registrations_too(databases: Databases) -> None:
    async with admin_api(databases) as world, world.browser() as browser:
        came, go = asyncio.Event(), asyncio.Event()

        async def hang(request: web.Request) -> None:
            came.set()
            await go.wait()

        world.provider.intercept = hang
        assert (await asked(browser)).status == 202
        await came.wait()
        draining = asyncio.ensure_future(drain(world.app, 60))
        await asyncio.sleep(0.2)
        assert not draining.done()
        go.set()
        await asyncio.wait_for(draining, 30)
        assert outcome(world, "created") == 1


async def test_after_it_nothing_holds_the_end_up_twice(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "LANDING", 0.3)
    settings: dict[str, dict[str, Any]] = {
        "register": {"mode": "admin_api"},
        "auth": {**PROVISIONED, "timeout": 60},
        "server": {"drain": 50},
    }
    async with World(databases, settings).running() as world, world.signed_in() as one:
        came, go = asyncio.Event(), asyncio.Event()

        async def hang(request: web.Request) -> None:
            came.set()
            await go.wait()

        world.provider.intercept = hang
        assert (await asked(one)).status == 202
        await came.wait()
        world.clock.ahead += 301  # a renewal flies as well
        renewing = asyncio.ensure_future(one.get("/whoami"))
        await asyncio.sleep(0.2)
        # The drain time is over already: both have what is left, once.
        await asyncio.wait_for(world.app.cleanup(), 25)
        go.set()
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


async def test_a_failure_is_counted_and_logged_without_the_person(
    databases: Databases,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(registrar, "PAUSES", ())
    async with admin_api(databases) as world, world.browser() as browser:

        async def away(request: web.Request) -> web.Response | None:
            if "/admin/" not in request.path:
                return None
            return web.Response(status=500, text=f"{NEW} {PASSWORD}")

        world.provider.intercept = away
        assert (await asked(browser)).status == 202
        await happened(world, "unavailable")

        async def no(request: web.Request) -> web.Response | None:
            if "/admin/" not in request.path:
                return None
            return web.Response(status=403)

        world.provider.intercept = no
        assert (await asked(browser)).status == 202
        await happened(world, "refused")

    assert "could not be done" in caplog.text
    assert NEW not in caplog.text
    assert PASSWORD not in caplog.text


async def test_an_account_whose_mail_could_not_be_sent_is_taken_back(
    databases: Databases,
) -> None:
    async with admin_api(databases) as world, world.browser() as browser:

        async def no_mail(request: web.Request) -> web.Response | None:
            if not request.path.endswith("-email"):
                return None
            return web.Response(status=500)

        world.provider.intercept = no_mail
        assert (await asked(browser)).status == 202
        await happened(world, "not_mailed")
        assert world.provider.accounts.find(NEW) is None

        world.provider.intercept = None
        assert (await asked(browser)).status == 202
        await happened(world, "created")


def away(world: World, ending: str, status: int, *, times: int = 1000) -> list[str]:
    """Have requests whose path ends so answered with *status*; collect them."""
    asked_for: list[str] = []

    async def answer(request: web.Request) -> web.Response | None:
        if not request.path.endswith(ending) or len(asked_for) >= times:
            return None
        asked_for.append(request.method)
        return web.Response(status=status)

    world.provider.intercept = answer
    return asked_for


@pytest.mark.parametrize(("ending", "status"), [("/token", 503), ("/users", 502)])
async def test_an_outage_of_the_provider_loses_no_registration(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, ending: str, status: int
) -> None:
    monkeypatch.setattr(registrar, "PAUSES", (0.05, 0.05, 0.05))
    async with admin_api(databases) as world, world.browser() as browser:
        refused = away(world, ending, status, times=3)
        assert (await asked(browser)).status == 202
        await happened(world, "created")

        assert len(refused) == 3
        assert [mail.to for mail in world.provider.mails] == [NEW]


async def test_tries_come_to_an_end(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrar, "PAUSES", (0.01, 0.01))
    async with admin_api(databases) as world, world.browser() as browser:
        refused = away(world, "/users", 503)
        assert (await asked(browser)).status == 202
        await happened(world, "unavailable")

        assert len(refused) == 3


async def test_what_waits_for_the_provider_is_tried_at_the_end_at_once(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrar, "PAUSES", (3600.0,))
    async with admin_api(databases) as world, world.browser() as browser:
        refused = away(world, "/users", 503, times=1)
        assert (await asked(browser)).status == 202

        async def once() -> bool:
            return bool(refused)

        await until(once)
        await asyncio.wait_for(world.app.cleanup(), 20)
        assert [mail.to for mail in world.provider.mails] == [NEW]


async def test_an_account_whose_mail_was_lost_is_mailed_when_asked_for_again(
    databases: Databases,
) -> None:
    async with admin_api(databases) as world, world.browser() as browser:

        async def hangs_up(request: web.Request) -> web.Response | None:
            if request.path.endswith("-email"):
                assert request.transport is not None
                request.transport.abort()
            return None

        world.provider.intercept = hangs_up
        assert (await asked(browser)).status == 202
        await happened(world, "unavailable")
        account = world.provider.accounts.find(NEW)
        assert account is not None
        world.provider.mails.clear()

        world.provider.intercept = None
        assert (await asked(browser)).status == 202
        await happened(world, "mailed_again")
        (mail,) = world.provider.mails
        assert (mail.to, mail.actions) == (NEW, ("VERIFY_EMAIL", "UPDATE_PASSWORD"))
        # Once it is in use, nobody is mailed any more.
        world.provider.accounts.change(account, required_actions=())
        assert (await asked(browser)).status == 202
        await happened(world, "exists")
        assert len(world.provider.mails) == 1


async def test_a_browser_that_leaves_has_not_spent_a_try_for_nothing(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    came, go = asyncio.Event(), asyncio.Event()
    count = daily_caps.count

    async def slow(connection: Any, kind: str, key: str, **more: Any) -> None:
        await count(connection, kind, key, **more)
        if kind == "register_by_email":
            came.set()
            await go.wait()

    monkeypatch.setattr(daily_caps, "count", slow)
    async with admin_api(databases) as world, world.browser() as browser:
        asking = asyncio.ensure_future(asked(browser))
        await came.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(0.2)  # the gateway hears of it
        go.set()

        await happened(world, "created")


async def test_what_breaks_does_not_stop_the_next(
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with admin_api(databases) as world, world.browser() as browser:
        accounts = world.app[REGISTRAR]._accounts
        create = accounts.create

        async def broken(account: Any) -> str:
            monkeypatch.setattr(accounts, "create", create)
            raise ZeroDivisionError(account.email)

        monkeypatch.setattr(registrar, "AT_ONCE", 1)
        monkeypatch.setattr(accounts, "create", broken)
        await asked(browser, "first@new.test")
        await happened(world, "broken")
        await asked(browser)
        await happened(world, "created")

    assert "ZeroDivisionError" in caplog.text
    assert "first@new.test" not in caplog.text
