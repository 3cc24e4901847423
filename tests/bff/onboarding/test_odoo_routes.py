"""A tenant's own Odoo over HTTP, with a worker behind it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from bff.onboarding import odoo_routes
from tests.bff.odoo_world import ALICE, NAME, TENANT, OdooWorld, odoo_world
from tests.bff.sessions.refreshing import code, without_id
from tests.bff.waiting import until
from tests.fakes.odoo_data import ADMIN, SERVICE
from tests.fakes.odoo_services import ADMIN_PASSWORD, MASTER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.world import Browser, World

VERIFY, INFO = "/onboarding/verify_odoo", "/session/odoo_info"
ODOO = f"/tenants/{TENANT}/odoo"
ROTATE, REPAIR = f"{ODOO}/api-key/rotate", f"{ODOO}/repair"
FOR_ADMINS = [("GET", ODOO), ("POST", ROTATE), ("POST", REPAIR)]


@pytest.fixture
async def place(databases: Databases) -> AsyncGenerator[OdooWorld]:
    async with odoo_world(databases) as running:
        yield running


async def verified(browser: Browser) -> dict[str, Any]:
    answer = await browser.get(VERIFY)
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


async def described(browser: Browser) -> dict[str, Any]:
    answer = await browser.get(ODOO)
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


async def test_a_ready_odoo_is_verified_and_described(place: OdooWorld) -> None:
    async with place.worker(), place.admin() as alice:
        await place.ready(alice)

        assert await verified(alice) == {
            "tenant_id": TENANT,
            "exists": True,
            "smoke": True,
            "ready": True,
            "error": None,
        }
        login = f"{place.fake.url}/web/login?db={NAME}"
        info = await (await alice.get(INFO)).json()
        assert info == {
            "email": ALICE,
            "tenant_id": TENANT,
            "roles": ["viewer", "ops", "admin"],
            "odoo": {
                "exists": True,
                "db_name": NAME,
                "base_url": place.fake.url,
                "login_url": login,
                "ready": True,
                "error": None,
            },
        }
        odoo = await described(alice)
        assert odoo.pop("checked_at") is not None
        assert odoo.pop("key_expires_at") is not None
        assert odoo == {
            "tenant_id": TENANT,
            "exists": True,
            "db_name": NAME,
            "base_url": place.fake.url,
            "login_url": login,
            "suspended": False,
            "error": None,
            "tasks": {"rotate": None, "repair": None},
        }


async def test_an_odoo_is_tried_once_in_ten_seconds_for_all_replicas(
    place: OdooWorld,
) -> None:
    async with (
        place.worker(),
        place.admin() as alice,
        place.world.another_gateway() as url,
        place.world.browser(url) as there,
    ):
        await place.ready(alice)
        there.set_cookies(alice.cookies)
        before = len(place.fake.contexts)

        found = await asyncio.gather(
            *(verified(one) for one in (alice, there, alice, there, alice))
        )

        calls = len(place.fake.contexts) - before
        assert 0 < calls < 10  # one look, which is six calls
        assert all(one == found[0] and one["ready"] for one in found)
        await verified(there)
        assert len(place.fake.contexts) - before == calls
        await place.execute(
            "UPDATE odoo_tasks SET finished_at = finished_at - interval '11 s'"
        )
        await verified(there)
        assert len(place.fake.contexts) - before == 2 * calls


async def test_an_odoo_that_is_away_is_no_error_of_ours(place: OdooWorld) -> None:
    async with place.worker(), place.admin() as alice:
        await place.ready(alice)
        await place.stop_odoo()

        found = await verified(alice)

        assert (found["exists"], found["smoke"], found["ready"]) == (True, False, False)
        assert found["error"].startswith("Odoo does not answer right now.")
        run = (await place.over("verify"))["run"]
        assert await verified(alice) == found, "a failure counts for ten seconds too"
        assert (await place.over("verify"))["run"] == run
        info = (await (await alice.get(INFO)).json())["odoo"]
        assert (info["exists"], info["ready"]) == (True, False)
        assert info["error"] == found["error"] == (await described(alice))["error"]
        answer = await alice.post(ROTATE)
        assert await code(answer) == (503, "odoo_unreachable")
        assert answer.headers["Retry-After"] == "5"


async def test_a_key_that_was_taken_away_is_found_and_replaced(
    place: OdooWorld,
) -> None:
    async with place.worker(), place.admin() as alice:
        await place.ready(alice)
        place.odoo.keys.clear()

        found = await verified(alice)
        assert (found["smoke"], found["ready"]) == (False, False)
        assert "renew the key" in found["error"]
        assert (await alice.post(ROTATE)).status == 204
        await place.execute(
            "UPDATE odoo_tasks SET finished_at = now() - interval '1 hour' "
            "WHERE kind = 'verify'"
        )

        assert (await verified(alice))["ready"] is True


async def test_without_a_worker_each_says_so_in_bounded_time(
    place: OdooWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odoo_routes, "LOOK", 0.3)
    monkeypatch.setattr(odoo_routes, "ROTATION", 0.3)
    async with place.admin() as alice:
        async with place.worker():
            await place.ready(alice)
        before, began = await place.kept(), time.monotonic()

        found = await verified(alice)
        rotation = await alice.post(ROTATE)
        repair = await alice.post(REPAIR)

        assert time.monotonic() - began < 10
        assert (found["exists"], found["smoke"], found["ready"]) == (True, False, False)
        assert found["error"] == odoo_routes.NOBODY_LOOKED
        assert await code(rotation) == (503, "odoo_pending")
        assert "may still happen" in (await rotation.json())["detail"]
        assert rotation.headers["Retry-After"] == "5"
        assert (repair.status, (await repair.json())["state"]) == (202, "queued")
        tasks = (await described(alice))["tasks"]
        assert tasks["rotate"]["state"] == tasks["repair"]["state"] == "queued"
        async with place.worker():
            for kind in ("verify", "rotate", "repair"):
                assert (await place.over(kind))["state"] == "done"
        assert (await place.kept()).key != before.key
        tasks = (await described(alice))["tasks"]
        assert tasks["rotate"]["state"] == tasks["repair"]["state"] == "done"


async def test_a_rotation_leaves_the_new_key_alone_and_is_written_down(
    place: OdooWorld,
) -> None:
    async with place.worker(), place.admin() as alice:
        await place.ready(alice)
        before, row = await place.kept(), await place.row()
        await place.execute("UPDATE odoo_connections SET key_expires_at = now()")

        answer = await alice.post(ROTATE)

        assert (answer.status, await answer.read()) == (204, b"")
        after = await place.kept()
        assert after.key != before.key
        assert list(place.odoo.keys) == [after.key]
        assert not after.previous
        assert (await place.row())["key_expires_at"] >= row["key_expires_at"]
        assert await place.actions() == ["odoo.rotation_asked", "odoo.key_rotated"]
        log = await (await alice.get(f"/tenants/{TENANT}/audit?action=odoo.")).json()
        rotated, asked = log["entries"]
        assert asked["actor_email"] == ALICE
        assert rotated["actor"] is None


async def test_two_rotations_at_once_at_two_replicas_are_one(place: OdooWorld) -> None:
    async with (
        place.admin() as alice,
        place.world.another_gateway() as url,
        place.world.browser(url) as there,
    ):
        async with place.worker():
            await place.ready(alice)
        there.set_cookies(alice.cookies)
        asked = [
            asyncio.ensure_future(one.post(ROTATE))
            for one in (alice, there, alice, there)
        ]

        async def queued() -> bool:
            return await place.task("rotate") is not None

        await until(queued)
        async with place.worker(), place.worker():
            answers = await asyncio.gather(*asked)

        assert [one.status for one in answers] == [204] * 4
        assert (await place.over("rotate"))["run"] == 1
        assert await place.actions() == ["odoo.rotation_asked", "odoo.key_rotated"]


async def test_a_failed_rotation_says_why_and_the_old_key_works(
    place: OdooWorld,
) -> None:
    async with place.worker(), place.admin() as alice:
        await place.ready(alice)
        before = await place.kept()
        place.fake.fail("res.users.apikeys.description/make_key", page=(502, "CANARY"))

        answer = await alice.post(ROTATE)

        text = await answer.text()
        assert await code(answer) == (503, "odoo_silent")
        assert "CANARY" not in text
        assert (await place.kept()).key == before.key
        assert before.key in place.odoo.keys
        assert (await verified(alice))["smoke"] is True
        rotate = (await described(alice))["tasks"]["rotate"]
        assert (rotate["state"], rotate["error"]) == (
            "failed",
            (await answer.json())["detail"],
        )
        assert (await alice.post(ROTATE)).status == 204
        assert list(place.odoo.keys) == [(await place.kept()).key]


async def test_a_repair_restores_the_way_in_and_shows_no_password(
    place: OdooWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with place.worker(), place.admin() as alice:
        await place.ready(alice)
        before, users = await place.kept(), place.odoo.records["res.users"]
        link = dict(users[ADMIN])
        users[ADMIN] |= {"oauth_uid": "somebody else", "password": "theirs"}
        for one in place.odoo.records["auth.oauth.provider"].values():
            one["enabled"] = False

        answer = await alice.post(REPAIR)

        assert answer.status == 202
        assert answer.headers["Location"] == ODOO
        assert (await place.over("repair"))["state"] == "done"
        after = await place.kept()
        assert after.admin_password not in {before.admin_password, ADMIN_PASSWORD, ""}
        assert users[ADMIN]["password"] == after.admin_password
        assert users[ADMIN]["oauth_uid"] == link["oauth_uid"]
        assert [
            one["enabled"]
            for one in place.odoo.records["auth.oauth.provider"].values()
            if one.get("client_id") == "odoo"
        ] == [True]
        assert (await alice.post(ROTATE)).status == 204
        assert (await verified(alice))["ready"] is True
        assert await place.actions() == [
            "odoo.repair_asked",
            "odoo.repaired",
            "odoo.rotation_asked",
            "odoo.key_rotated",
        ]
        bodies = [await (await alice.get(path)).text() for path in (ODOO, INFO, VERIFY)]
        bodies += [await answer.text(), caplog.text]
        bodies.append(await (await alice.get(f"/tenants/{TENANT}/audit")).text())
        secrets = {MASTER, "test-odoo-client-secret"}
        for kept in (before, after, await place.kept()):
            secrets |= {
                kept.key,
                kept.service_password,
                kept.admin_password,
                kept.code_verifier,
            }
        assert all(len(secret) > 8 for secret in secrets)
        for secret in secrets:
            assert not any(secret in body for body in bodies)


async def test_while_the_odoo_is_being_made_nobody_disturbs_it(
    place: OdooWorld,
) -> None:
    async with place.admin() as alice:
        assert (await verified(alice))["error"] == odoo_routes.NOT_YET
        assert (await alice.post("/onboarding/first_login")).status == 202
        found = await verified(alice)
        assert (found["exists"], found["error"]) == (False, odoo_routes.NOT_YET)
        await place.execute(
            "INSERT INTO odoo_connections (tenant_id, server_url, db_name, base_url) "
            "VALUES ($1, $2, $3, $2)",
            TENANT,
            place.fake.url,
            NAME,
        )
        for path in (ROTATE, REPAIR):
            assert await code(await alice.post(path)) == (409, "odoo_missing")
        info = (await (await alice.get(INFO)).json())["odoo"]
        assert (info["exists"], info["db_name"], info["ready"]) == (False, None, False)
        await place.execute("UPDATE odoo_connections SET made = true")

        found = await verified(alice)

        assert (found["exists"], found["smoke"], found["ready"]) == (True, False, False)
        assert found["error"] == odoo_routes.UNDER_WAY
        assert await place.task("verify") is None
        info = (await (await alice.get(INFO)).json())["odoo"]
        assert (info["exists"], info["ready"]) == (True, False)


async def test_a_suspended_odoo_says_so_and_takes_nothing(place: OdooWorld) -> None:
    async with place.worker(), place.admin() as alice:
        await place.ready(alice)
        await place.execute("UPDATE odoo_connections SET active = false")

        found = await verified(alice)

        assert (found["exists"], found["smoke"], found["ready"]) == (True, False, False)
        assert "suspended" in found["error"]
        assert (await described(alice))["suspended"] is True
        info = (await (await alice.get(INFO)).json())["odoo"]
        assert (info["ready"], info["error"]) == (False, found["error"])
        for path in (ROTATE, REPAIR):
            assert await code(await alice.post(path)) == (409, "odoo_suspended")


async def test_the_service_user_is_nobody_s_way_in(place: OdooWorld) -> None:
    async with place.worker(), place.admin() as alice:
        await place.ready(alice)
        assert (await alice.post(REPAIR)).status == 202
        await place.over("repair")

        users = place.odoo.records["res.users"]

        assert users[SERVICE]["password"] == (await place.kept()).service_password


async def test_without_an_odoo_server_there_is_none(world: World) -> None:
    async with world.signed_in() as alice:
        found = await verified(alice)
        assert found.pop("error") == "This service has no Odoo."
        assert found == {
            "tenant_id": TENANT,
            "exists": False,
            "smoke": False,
            "ready": False,
        }
        info = (await (await alice.get(INFO)).json())["odoo"]
        assert info == {
            "exists": False,
            "db_name": None,
            "base_url": None,
            "login_url": None,
            "ready": False,
            "error": None,
        }
        for path in (ROTATE, REPAIR):
            answer = await alice.post(path)
            assert await code(answer) == (409, "odoo_missing")
            assert (await answer.json())["detail"] == "This service has no Odoo."
        assert (await described(alice))["exists"] is False


async def test_who_has_no_tenant_is_told_who_they_are(world: World) -> None:
    async with world.signed_in("carol@initech.test") as carol:
        info = await (await carol.get(INFO)).json()
        assert (info["email"], info["tenant_id"]) == ("carol@initech.test", None)
        assert info["odoo"]["exists"] is False
        assert await code(await carol.get(VERIFY)) == (403, "tenant_missing")
        for method, path in FOR_ADMINS:
            refused = await carol.request(method, path)
            assert await code(refused) == (403, "tenant_missing")


async def test_each_is_for_those_who_may(world: World) -> None:
    async with world.browser() as stranger, world.signed_in("dave@acme.test") as dave:
        for method, path in [*FOR_ADMINS, ("GET", VERIFY), ("GET", INFO)]:
            refused = await stranger.request(method, path)
            assert await code(refused) == (401, "not_signed_in")
        for method, path in FOR_ADMINS:
            refused = await dave.request(method, path)
            assert await code(refused) == (403, "role_missing")
        assert (await dave.get(VERIFY)).status == 200
        assert (await dave.get(INFO)).status == 200


async def test_another_tenant_s_odoo_is_as_one_that_never_was(world: World) -> None:
    async with world.signed_in() as alice:
        for method, path in FOR_ADMINS:
            foreign = await alice.request(method, path.replace(str(TENANT), "1002"))
            unknown = await alice.request(method, path.replace(str(TENANT), "987654"))
            assert foreign.status == unknown.status == 404
            assert without_id(await foreign.json()) == without_id(await unknown.json())


async def test_other_sites_cause_nothing(world: World) -> None:
    async with world.signed_in() as alice:
        for method, path in (("POST", ROTATE), ("POST", REPAIR), ("GET", VERIFY)):
            foreign = {"Sec-Fetch-Site": "cross-site"}
            strange = await alice.request(method, path, headers=foreign)
            assert await code(strange) == (403, "cross_site_refused")


async def test_a_session_that_is_over_asks_for_nothing(world: World) -> None:
    async with world.signed_in() as alice:
        async with world.databases.superuser() as superuser:
            await superuser.execute("UPDATE auth_session SET ended_at = now()")
        for method, path in FOR_ADMINS:
            assert (await alice.request(method, path)).status == 401
