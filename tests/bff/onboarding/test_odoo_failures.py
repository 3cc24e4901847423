"""What can go wrong on the way to an Odoo: what is said, what is kept, that it heals.

By their numbers in the facts about Odoo: a wrong master password and a disabled manager
(1, 9), a database that exists (2), a creation that says True and is not one (5), a kill
while it creates (6) and while it copies (7), a template in use (8), a server that
chooses databases by Host (9), a drop that drops nothing (10), a module that is not
there (14), rights that are missing (15). Names (4) are checked with the configuration,
whose database Odoo sees (3) by `bff doctor`; the address is frozen (13) in
tests/odoo/test_preparing.py. Error pages of the forms (11, 12), crons (16) and Odoo's
missing cooldown (17) concern who runs Odoo.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import TYPE_CHECKING

import pytest

from bff.onboarding.phases import State
from tests.bff.onboarding.estate import assert_says_nothing, dump, parameter
from tests.bff.onboarding.gates import gate
from tests.fakes.odoo_raised import Raised
from tests.fakes.odoo_services import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.bff.onboarding.estate import Estate

NO_RIGHT = Raised("odoo.exceptions.AccessError", "you may not create crm.lead")
FULL = Raised(
    "psycopg2.errors.DiskFull",
    'could not extend file "base/16384/1259": No space left on device\n',
)
FILES_FULL = Raised("builtins.OSError", "[Errno 28] No space left on device: '/var/x'")


@pytest.fixture(autouse=True)
async def silence(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> AsyncGenerator[None]:
    """See at the end of each test that no secret is in a log or a table."""
    caplog.set_level(logging.DEBUG)
    yield
    secrets = await estate.secrets()
    # `text` is of this phase of the test only.
    records = caplog.get_records("setup") + caplog.get_records("call")
    logged = "\n".join(map(caplog.handler.format, records))
    assert "onboarding of tenant" in logged
    assert_says_nothing(logged, secrets)
    assert_says_nothing(await dump(estate.databases), secrets)


async def assert_fails(
    estate: Estate, caplog: pytest.LogCaptureFixture, words: str, code: str
) -> None:
    """Run, and see that it ends with a sentence for the person, a code in the log."""
    progress = await estate.run()
    assert progress.status == "error"
    assert progress.error is not None
    assert words in progress.error
    assert f"({code})" in caplog.text
    async with estate.databases.superuser() as superuser:
        said = await superuser.fetchval(
            "SELECT detail->>'code' FROM audit_log "
            "WHERE action = 'onboarding.failed' ORDER BY audit_id DESC LIMIT 1"
        )
    assert said == code


async def assert_heals(estate: Estate) -> None:
    """Call first_login once more, and see that all is well then."""
    assert await estate.begin()
    await estate.run()
    await estate.assert_ready()


async def test_a_wrong_master_password_is_said_as_such(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    estate.section["master_password"] = "Test-Wrong-Master-1"

    await assert_fails(estate, caplog, "not accept our password", "odoo_access_denied")

    assert set(estate.fake.databases) == {TEMPLATE}
    assert "Test-Wrong-Master-1" not in caplog.text
    del estate.section["master_password"]
    await assert_heals(estate)


async def test_a_disabled_manager_is_said_as_such(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    estate.fake.list_db = False

    await assert_fails(estate, caplog, "is switched off", "odoo_manager_disabled")

    assert set(estate.fake.databases) == {TEMPLATE}
    estate.fake.list_db = True
    await assert_heals(estate)


async def test_who_copies_by_command_needs_no_manager(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    estate.fake.list_db = False
    estate.section |= {"bin_path": "/no/such/odoo-bin", "conf": "/no/such/odoo.conf"}

    await assert_fails(estate, caplog, "does not answer", "odoo_unreachable")

    assert (await estate.progress()).phases[0].state is State.DONE
    estate.fake.list_db = True
    estate.section["clone"] = "rpc"
    await assert_heals(estate)


async def test_a_foreign_database_by_our_name_is_left_alone(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = estate.fake.initialised(estate.name, password="Test-Somebody-1")
    estate.fake.databases[estate.name] = theirs
    before = copy.deepcopy(theirs)

    await assert_fails(estate, caplog, "not known to be yours", "odoo_not_ours")

    assert estate.fake.databases[estate.name] == before
    assert not (await estate.row())["made"]
    assert "drop" not in [name for name, _ in estate.fake.seen]
    assert await estate.begin()
    assert (await estate.run()).status == "error"
    assert estate.fake.databases[estate.name] == before
    del estate.fake.databases[estate.name]
    await assert_heals(estate)


async def test_somebody_who_takes_our_name_meanwhile_is_left_alone(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    with gate(estate.fake, "duplicate_database") as held:
        running = asyncio.ensure_future(
            assert_fails(estate, caplog, "not known to be yours", "odoo_not_ours")
        )
        await held.reached()
        theirs = estate.fake.initialised(estate.name, password="Test-Somebody-1")
        estate.fake.databases[estate.name] = theirs
        before = copy.deepcopy(theirs)
        held.open()
        await running

    assert estate.fake.databases.pop(estate.name) == before
    await assert_heals(estate)


@pytest.mark.parametrize("fault", ["broken", "forgets"])
@pytest.mark.parametrize(
    "cut", [False, pytest.param(True, marks=pytest.mark.acceptance)]
)
async def test_a_creation_that_is_none_is_dropped_and_made_again(
    estate: Estate, fault: str, *, cut: bool
) -> None:
    estate.section["template"] = ""
    estate.fake.fail("create_database", happens=True, cut=cut, **{fault: True})

    assert (await estate.run()).status == "ready"

    await estate.assert_ready()
    assert estate.fake.asked("create_database") == 2


async def test_half_of_a_copy_is_dropped_and_made_again(estate: Estate) -> None:
    estate.fake.fail("duplicate_database", happens=True, cut=True, half=True)

    assert (await estate.run()).status == "ready"

    await estate.assert_ready()
    assert estate.fake.asked("duplicate_database") == 2


async def test_a_copy_that_appears_late_is_waited_for(estate: Estate) -> None:
    estate.fake.fail("duplicate_database", happens=True, cut=True, late=0.2)

    assert (await estate.run()).status == "ready"

    await estate.assert_ready()
    assert estate.fake.asked("duplicate_database") == 1


async def test_a_copy_that_appears_after_it_was_given_up_is_found(
    estate: Estate,
) -> None:
    estate.fake.fail("duplicate_database", happens=True, cut=True, late=3.0)
    estate.fake.fail("duplicate_database", delay=3.5)

    assert (await estate.run()).status == "ready"

    await estate.assert_ready()


async def test_a_copy_that_is_lost_is_made_at_the_next_try(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    estate.fake.fail("duplicate_database", cut=True)

    assert (await estate.run()).status == "ready"

    await estate.assert_ready()
    assert caplog.text.count("creating_odoo waits") == 1


async def test_a_proxy_that_gives_up_on_a_copy_does_not_make_two(
    estate: Estate,
) -> None:
    page = 504, "<html>Gateway Time-out</html>"
    estate.fake.fail("duplicate_database", happens=True, page=page)

    assert (await estate.run()).status == "ready"

    await estate.assert_ready()
    assert estate.fake.asked("duplicate_database") == 1


async def test_a_template_in_use_is_waited_for_and_said(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    estate.fake.databases[TEMPLATE].busy = True

    await assert_fails(estate, caplog, "busy with another copy", "odoo_busy")

    assert estate.fake.asked("duplicate_database") == 5
    assert set(estate.fake.databases) == {TEMPLATE}
    estate.fake.databases[TEMPLATE].busy = False
    await assert_heals(estate)


async def test_a_person_sees_that_it_is_tried_again(estate: Estate) -> None:
    estate.fake.databases[TEMPLATE].busy = True
    seen: list[str | None] = []

    async def look(_: float) -> None:
        progress = await estate.progress()
        seen.append(progress.phases[1].detail)
        assert progress.status == "creating_odoo"
        estate.fake.databases[TEMPLATE].busy = len(seen) < 2

    async with estate.runner() as runner:
        runner._sleep = look
        await runner.run(estate.tenant_id)

    said = "Odoo is busy with another copy. Try again in a few minutes."
    assert seen == [f"{said} We try again: {count} of 4." for count in (1, 2)]
    await estate.assert_ready()


async def test_a_template_that_is_gone_from_odoo_is_said(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    kept = estate.fake.databases.pop(TEMPLATE)

    await assert_fails(
        estate, caplog, "copied from is missing", "odoo_template_missing"
    )

    assert estate.fake.databases == {}
    estate.fake.databases[TEMPLATE] = kept
    await assert_heals(estate)


@pytest.mark.parametrize("where", ["database", "files"])
async def test_a_full_disk_is_for_operators_and_leaves_nothing_half(
    estate: Estate, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    if where == "database":
        estate.fake.fail("duplicate_database", raises=FULL)
    else:
        estate.fake.fail(
            "duplicate_database", raises=FILES_FULL, happens=True, fileless=True
        )

    await assert_fails(estate, caplog, "no room left", "odoo_no_room")

    assert "creating_odoo waits" not in caplog.text
    await assert_heals(estate)
    assert estate.database.has_files


async def test_a_drop_that_drops_nothing_stops(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    estate.fake.fail("duplicate_database", happens=True, cut=True, half=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estate.fake, "_db_drop", lambda _: False)

        await assert_fails(estate, caplog, "refused something", "odoo_refused")

    await assert_heals(estate)


@pytest.mark.parametrize("year", [2026])
async def test_the_limit_of_keys_is_no_end(estate: Estate) -> None:
    template = estate.fake.databases[TEMPLATE]
    (key,) = template.keys.values()
    for number in range(9):
        template._new_key(key.user, f"left over {number}", None)

    await estate.run()

    await estate.assert_ready()


async def test_postgresql_of_odoo_may_be_away_for_a_moment(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    estate.fake.has_postgres = False

    await assert_fails(
        estate, caplog, "cannot reach its database", "odoo_database_unreachable"
    )

    estate.fake.has_postgres = True
    await assert_heals(estate)


async def test_an_identity_provider_that_is_away_is_waited_for_and_said(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    there, estate.issuer = estate.issuer, "http://127.0.0.1:1/realms/x"

    await assert_fails(estate, caplog, "cannot be set up", "provider_unavailable")

    progress = await estate.progress()
    assert [str(one.state) for one in progress.phases[:3]] == ["done", "done", "failed"]
    assert caplog.text.count("configuring_oidc waits") == 4
    assert (await estate.row())["made"]
    estate.issuer = there
    await assert_heals(estate)


async def test_seeding_that_is_refused_leaves_a_ready_tenant_that_says_so(
    estate: Estate,
) -> None:
    estate.fake.fail("res.company/load", raises=NO_RIGHT)

    progress = await estate.run()

    assert progress.status == "ready"
    assert progress.error == progress.phases[3].detail
    assert progress.phases[3].state is State.FAILED
    assert "refused something" in str(progress.error)
    assert "crm.lead" not in str(progress.error)
    await estate.assert_owned()
    assert not await estate.begin()


async def test_a_template_without_the_module_for_sign_in_is_said(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    fields = estate.fake.databases[TEMPLATE].extra_fields
    oidc, fields["auth.oauth.provider"] = fields["auth.oauth.provider"], set()

    await assert_fails(estate, caplog, "lacks something", "odoo_version")

    estate.database.extra_fields["auth.oauth.provider"] = oidc
    await assert_heals(estate)


async def test_a_module_that_odoo_does_not_have_is_said(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    estate.section |= {"template": "", "apps": ["contacts", "crm", "no_such_module"]}

    await assert_fails(estate, caplog, "did not pass", "odoo_not_ready")

    del estate.section["apps"]
    await assert_heals(estate)


async def test_a_server_that_chooses_databases_by_host_is_asked_by_host(
    estate: Estate,
) -> None:
    estate.fake.by_host = True
    estate.naming = "odoot{tenant_id}"  # no host has `_` in its name
    estate.section["base_url_template"] = "http://{db_name}.odoo.test"

    await estate.run()

    await estate.assert_ready()
    address = f"http://{estate.name}.odoo.test"
    assert (await estate.row())["base_url"] == address
    assert parameter(estate.database, "web.base.url") == address


async def test_an_address_that_hides_the_database_is_corrected_by_the_settings(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    estate.fake.by_host = True
    estate.naming = "odoot{tenant_id}"
    estate.section["base_url_template"] = "http://x.{db_name}.odoo.test"
    await assert_fails(estate, caplog, "does not know your", "odoo_no_database")
    estate.section["base_url_template"] = "http://{db_name}.odoo.test"

    await assert_heals(estate)

    address = f"http://{estate.name}.odoo.test"
    assert (await estate.row())["base_url"] == address
    assert parameter(estate.database, "web.base.url") == address


@pytest.mark.parametrize(("series", "year"), [("20.0", 2026)])
async def test_odoo_20_is_asked_by_its_form(estate: Estate) -> None:
    await estate.run()

    await estate.assert_ready()


@pytest.mark.parametrize(("series", "year"), [("20.0", 2026)])
async def test_odoo_20_makes_nothing_without_a_template(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    estate.section["template"] = ""

    await assert_fails(
        estate, caplog, "copied from is missing", "odoo_template_missing"
    )

    estate.section["template"] = TEMPLATE
    await assert_heals(estate)


async def test_a_key_ring_that_lost_its_key_is_for_operators(
    estate: Estate, caplog: pytest.LogCaptureFixture
) -> None:
    async with estate.databases.superuser() as superuser:
        kept = await superuser.fetchval("SELECT sealed FROM odoo_templates")
        await superuser.execute("UPDATE odoo_templates SET sealed = $1", kept[:-1])

    await assert_fails(
        estate, caplog, "cannot be read any more", "odoo_secrets_unreadable"
    )

    async with estate.databases.superuser() as superuser:
        await superuser.execute("UPDATE odoo_templates SET sealed = $1", kept)
    await assert_heals(estate)
