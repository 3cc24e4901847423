"""From first sign-in to a working Odoo, on a fake one."""

from __future__ import annotations

import asyncio
import copy
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest

from bff.background import make_workshop
from bff.database import connect
from bff.onboarding.odoo_place import NAME_TAKEN, opened
from bff.onboarding.odoo_steps import COPYING, NO_ADMIN, OWNING, SLOWLY
from bff.onboarding.phases import State
from bff.onboarding.store import OnboardingStore
from bff.onboarding.worker import SUSPENDED, Suspended
from bff.tenancy import operating
from tests.bff.onboarding.bench import suspend
from tests.bff.onboarding.estate import assert_says_nothing, dump, parameter
from tests.bff.onboarding.founding import ANN, OPEN
from tests.bff.onboarding.gates import gate
from tests.fakes.odoo import odoo_server
from tests.fakes.odoo_data import ADMIN
from tests.fakes.odoo_raised import Raised
from tests.fakes.odoo_services import TEMPLATE

if TYPE_CHECKING:
    from tests.bff.onboarding.estate import Estate
    from tests.databases import Databases

# Odoo says no, and time does not help.
LACKING = Raised("odoo.exceptions.AccessError", "you may not do this")
BUILDS = [("19.0", 2025), ("19.0", 2026), ("17.0", 2024)]


@pytest.mark.parametrize(("series", "year"), BUILDS)
async def test_a_tenant_comes_to_ready_through_all_five_phases(
    estate: Estate, series: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    began = datetime.now(UTC)

    progress = await estate.run()

    assert [phase.state for phase in progress.phases] == [State.DONE] * 5
    assert progress.phases[1].detail == f"copied from {TEMPLATE}"
    await estate.assert_ready()
    row = await estate.row()
    assert (row["series"], row["template"]) == (series, TEMPLATE)
    assert (row["server_url"], row["base_url"]) == (estate.fake.url, estate.fake.url)
    assert row["sso_client_id"] == "nexius-odoo"
    days = row["key_expires_at"] - began
    assert timedelta(days=88) < days <= timedelta(days=90)
    assert row["checked_at"] is not None
    assert row["problem"] is None
    secrets = await estate.secrets()
    assert_says_nothing(caplog.text, secrets)
    assert_says_nothing(await dump(estate.databases), secrets)


async def test_two_tenants_get_two_databases_with_secrets_of_their_own(
    estate: Estate,
) -> None:
    await estate.run()
    first, known = estate.database, await estate.known()
    estate.tenant_id, estate.founder = 0, replace(ANN, sub="ben", email="ben@x.test")
    await estate.begin()

    await estate.run()

    second, other = estate.database, await estate.known()
    assert set(estate.fake.databases) == {TEMPLATE, first.name, second.name}
    assert len({first.uuid, second.uuid, estate.fake.databases[TEMPLATE].uuid}) == 3
    for name in ("key", "service_password", "admin_password", "code_verifier"):
        assert getattr(known, name) != getattr(other, name), name
    assert other.key not in first.keys
    markers = [parameter(one, "bff.tenant_id") for one in (first, second)]
    assert markers == [first.name.removeprefix("odoo_t"), str(estate.tenant_id)]


async def test_running_it_again_changes_nothing(estate: Estate) -> None:
    await estate.run()
    async with estate.databases.superuser() as superuser:
        await superuser.execute("UPDATE onboarding SET phases = '[]'")
        # A key that was made a while ago.
        await superuser.execute(
            "UPDATE odoo_connections SET key_expires_at = now() + interval '5 days'"
        )
    before, row = copy.deepcopy(estate.database), await estate.row()

    await estate.run()

    await estate.assert_ready()
    assert estate.database.keys == before.keys
    assert estate.database.records == before.records
    after = await estate.row()
    same = ("sealed", "key_expires_at", "series", "template", "db_name", "base_url")
    assert [after[name] for name in same] == [row[name] for name in same]


async def test_without_a_template_it_says_that_it_takes_long_and_comes_to_ready(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    estate.section["template"] = ""
    with gate(estate.fake, "create_database") as held:
        running = asyncio.ensure_future(estate.run())
        await held.reached()
        assert (await estate.progress()).phases[1].detail == SLOWLY
        held.open()
        progress = await running

    assert progress.phases[1].detail == SLOWLY
    await estate.assert_ready()
    assert (await estate.row())["template"] == ""
    assert_says_nothing(caplog.text, await estate.secrets())


async def test_what_was_begun_slowly_is_not_taken_for_a_copy_of_a_newer_template(
    estate: Estate,
) -> None:
    estate.section["template"] = ""
    estate.fake.fail("execute_kw", raises=LACKING)
    assert (await estate.run()).status == "error"
    estate.section["template"] = TEMPLATE

    await estate.begin()

    assert (await estate.run()).phases[1].detail == SLOWLY
    await estate.assert_ready()


async def test_the_row_tells_what_is_being_done_meanwhile(estate: Estate) -> None:
    with gate(estate.fake, "duplicate_database") as held:
        running = asyncio.ensure_future(estate.run())
        await held.reached()
        progress = await estate.progress()
        assert progress.status == "creating_odoo"
        assert progress.phases[1].detail == COPYING.format(TEMPLATE)
        held.open()
        with gate(estate.fake, "res.users/write") as owning:
            await owning.reached()
            assert (await estate.progress()).phases[1].detail == OWNING
            owning.open()
            await running


async def test_a_template_that_the_settings_name_and_nobody_built_is_said(
    estate: Estate,
) -> None:
    estate.section["template"] = "tpl_other"

    progress = await estate.run()

    assert progress.phases[0].state is State.FAILED
    assert progress.error is not None
    assert "copied from is missing" in progress.error
    assert set(estate.fake.databases) == {TEMPLATE}


async def test_a_template_of_another_version_of_odoo_is_not_copied(
    estate: Estate,
) -> None:
    estate.fake.series = "18.0"

    progress = await estate.run()

    assert progress.error is not None
    assert "copied from is missing" in progress.error
    assert set(estate.fake.databases) == {TEMPLATE}


async def test_a_template_that_was_dropped_after_the_copy_is_no_hindrance(
    estate: Estate,
) -> None:
    estate.fake.fail("res.users/fields_get", raises=LACKING)
    estate.fake.fail("auth.oauth.provider/fields_get", raises=LACKING)
    assert (await estate.run()).status == "error"
    assert (await estate.row())["made"]
    async with estate.databases.superuser() as superuser:
        await superuser.execute("DELETE FROM odoo_templates")
    estate.section["template"] = ""

    await estate.begin()
    await estate.run()

    await estate.assert_ready()


async def test_an_odoo_that_was_upgraded_in_between_is_spoken_to_as_it_is_now(
    estate: Estate,
) -> None:
    estate.fake.fail("auth.oauth.provider/fields_get", raises=LACKING)
    assert (await estate.run()).status == "error"
    assert (await estate.row())["series"] == "19.0"
    estate.fake.series = "19.1"

    await estate.begin()
    await estate.run()

    await estate.assert_ready()
    assert (await estate.row())["series"] == "19.1"


async def test_a_wrong_setting_is_followed_by_the_right_one_while_nothing_is_there(
    estate: Estate,
) -> None:
    estate.section["server_url"] = "http://127.0.0.1:1"
    assert (await estate.run()).status == "error"
    assert (await estate.row())["server_url"] == "http://127.0.0.1:1"
    del estate.section["server_url"]
    estate.section["base_url_template"] = "http://odoo.test"

    await estate.begin()
    await estate.run()

    await estate.assert_ready()
    row = await estate.row()
    assert (row["server_url"], row["base_url"]) == (estate.fake.url, "http://odoo.test")
    assert parameter(estate.database, "web.base.url") == "http://odoo.test"


async def test_a_database_does_not_move_with_a_setting(estate: Estate) -> None:
    estate.fake.fail("auth.oauth.provider/fields_get", raises=LACKING)
    assert (await estate.run()).status == "error"
    old, estate.section["db_name_template"] = estate.name, "other_{tenant_id}"
    estate.section["base_url_template"] = "http://other.test"

    await estate.begin()
    await estate.run()

    await estate.assert_ready()
    row = await estate.row()
    assert (row["db_name"], row["base_url"]) == (old, estate.fake.url)


async def test_a_tenant_is_not_begun_anew_on_another_server(estate: Estate) -> None:
    estate.fake.fail("auth.oauth.provider/fields_get", raises=LACKING)
    assert (await estate.run()).status == "error"
    async with odoo_server(programmatic=False) as another:
        estate.section["server_url"] = another.url
        await estate.begin()

        progress = await estate.run()

        assert progress.error is not None
        assert progress.error.startswith("Your Odoo is on another server")
        assert set(another.databases) == {TEMPLATE}
    del estate.section["server_url"]
    await estate.begin()
    await estate.run()
    await estate.assert_ready()


async def test_two_tenants_never_share_a_name(estate: Estate) -> None:
    await estate.run()
    owner = estate.tenant_id
    async with estate.databases.superuser() as superuser:
        await superuser.execute(
            "UPDATE odoo_connections SET db_name = $1", f"odoo_t{owner + 1}"
        )
    estate.tenant_id, estate.founder = 0, replace(ANN, sub="ben")
    await estate.begin()

    progress = await estate.run()

    assert (estate.tenant_id, progress.error) == (owner + 1, NAME_TAKEN)
    assert set(estate.fake.databases) == {TEMPLATE, f"odoo_t{owner}"}


@pytest.mark.parametrize(
    "name", [" ", "Ünïcode 株式会社 & <b>", "=cmd|'/c'!A1", "x" * 200]
)
async def test_a_workspace_may_be_called_anything(
    databases: Databases, estate: Estate, name: str
) -> None:
    async with databases.superuser() as superuser:
        await superuser.execute("UPDATE tenants SET name = $1", name)

    await estate.run()

    await estate.assert_ready()
    company = estate.database.records["res.company"][1]["name"]
    assert company == (name.strip() or f"Workspace {estate.tenant_id}")


async def test_a_founder_without_an_address_gets_the_account_all_the_same(
    estate: Estate,
) -> None:
    estate.tenant_id, estate.founder = 0, replace(ANN, sub="nora", email="")
    await estate.begin()

    progress = await estate.run()

    assert (progress.status, progress.error) == ("ready", None)
    account = estate.database.records["res.users"][ADMIN]
    assert (account["oauth_uid"], account["login"]) == (
        "nora",
        "nora@no-address.invalid",
    )


async def test_who_comes_after_a_founder_who_left_gets_the_account(
    estate: Estate,
) -> None:
    estate.fake.fail("res.company/load", cut=True)
    estate.fake.fail("ir.module.module/search_read", raises=LACKING)
    assert (await estate.run()).status == "error"
    assert estate.database.records["res.users"][ADMIN]["oauth_uid"] == "ann"
    async with estate.databases.superuser() as superuser:
        await superuser.execute("UPDATE tenant_users SET removed_at = now()")
        await superuser.execute(
            "INSERT INTO tenant_users (tenant_id, iss, sub, email, roles) "
            "VALUES ($1, $2, 'ben', 'ben@x.test', '{viewer,admin}')",
            *(estate.tenant_id, ANN.iss),
        )
        # As if the worker had died before it could say that the phase is done.
        await superuser.execute("UPDATE onboarding SET phases = '[]'")

    assert (await estate.run()).status == "ready"

    account = estate.database.records["res.users"][ADMIN]
    assert account["oauth_uid"] == "ben"
    assert account["password"] == (await estate.known()).admin_password
    linked = [
        one.get("oauth_uid") for one in estate.database.records["res.users"].values()
    ]
    assert "ann" not in linked


async def test_a_workspace_without_an_admin_is_told_so(estate: Estate) -> None:
    async with estate.databases.superuser() as superuser:
        await superuser.execute("UPDATE tenant_users SET roles = '{viewer}'")

    assert (await estate.run()).error == NO_ADMIN

    async with estate.databases.superuser() as superuser:
        await superuser.execute("UPDATE tenant_users SET roles = '{viewer,admin}'")
    await estate.begin()
    await estate.run()
    await estate.assert_ready()


async def test_what_was_undone_before_the_last_check_is_put_right(
    estate: Estate,
) -> None:
    with gate(estate.fake, "res.partner/load", after=True) as held:
        running = asyncio.ensure_future(estate.run())
        await held.reached()
        rows = estate.database.records["auth.oauth.provider"].values()
        for row in rows:
            row["enabled"] = not row["enabled"]
        held.open()
        await running

    await estate.assert_ready()


async def test_what_stays_wrong_is_not_called_ready(estate: Estate) -> None:
    for _ in range(2):
        estate.fake.fail("ir.module.module/search_read", answers=([],))

    progress = await estate.run()

    assert progress.status == "error"
    assert progress.error is not None
    assert "did not pass its last check" in progress.error
    await estate.begin()
    await estate.run()
    await estate.assert_ready()


async def test_a_database_without_our_marker_is_not_called_ready(
    estate: Estate,
) -> None:
    with gate(estate.fake, "res.partner/load", after=True) as held:
        running = asyncio.ensure_future(estate.run())
        await held.reached()
        estate.database.set_parameter("bff.tenant_id", "another")
        held.open()
        progress = await running

    assert progress.status == "error"
    assert parameter(estate.database, "bff.tenant_id") == "another"


async def test_nobody_gets_into_the_odoo_of_a_tenant_suspended_while_it_is_made(
    estate: Estate,
) -> None:
    with gate(estate.fake, "duplicate_database") as held:
        running = asyncio.ensure_future(estate.run())
        await held.reached()
        async with connect(estate.databases.worker, size=1) as worker:
            await suspend(worker, estate.tenant_id)
        held.open()
        progress = await running

    assert (progress.status, progress.error) == ("error", SUSPENDED)
    assert progress.next() == "configuring_oidc"
    users = estate.database.records["res.users"].values()
    assert not any(user.get("oauth_uid") for user in users)
    async with connect(estate.databases.worker, size=1) as worker:
        async with worker.tenant_transaction(estate.tenant_id) as connection:
            await operating.resume(connection, estate.tenant_id)
        started = await OnboardingStore(worker, OPEN).retry(estate.tenant_id)
    assert started is not None
    assert (await estate.run()).status == "ready"
    await estate.assert_ready()


async def test_a_suspended_tenant_s_database_is_not_taken_in_hand(
    estate: Estate,
) -> None:
    """A phase takes it in hand more than once, and may be suspended in between."""
    async with (
        connect(estate.databases.worker, size=2) as worker,
        aiohttp.ClientSession() as http,
    ):
        workshop = make_workshop(estate.config, worker, http)
        async with opened(workshop, estate.tenant_id):
            pass
        await suspend(worker, estate.tenant_id)
        with pytest.raises(Suspended):
            async with opened(workshop, estate.tenant_id):
                pass
    assert (await estate.row())["held_until"] is None
