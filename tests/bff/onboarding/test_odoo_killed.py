"""Killed right after any step, another worker goes on: the same end, nothing twice."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from odoo.errors import OutcomeUnknown
from tests.bff.onboarding.estate import assert_says_nothing, dump
from tests.bff.onboarding.mortal import mortal
from tests.fakes.odoo_services import ADMIN_PASSWORD, SERVICE_PASSWORD, TEMPLATE
from tests.odoo.provisioning import Death, Killed

if TYPE_CHECKING:
    from tests.bff.onboarding.estate import Estate

MANY = 400
LONG = [pytest.mark.acceptance, pytest.mark.timeout(900)]
# Few steps, far apart, each time; in acceptance all of them, or each so manieth.
WAYS = [
    pytest.param("19.0", 2025, 29, id="19"),
    pytest.param("19.0", 2026, 37, id="19 of 2026"),
    pytest.param("17.0", 2024, 41, id="17"),
    pytest.param("19.0", 2025, 1, marks=LONG, id="19, every step"),
    pytest.param("19.0", 2026, 4, marks=LONG, id="19 of 2026, every fourth"),
    pytest.param("17.0", 2024, 4, marks=LONG, id="17, every fourth"),
]


async def die(estate: Estate, death: Death) -> bool:
    """Run until the worker dies; False when it came to the end before."""
    async with mortal(estate, death) as runner:
        try:
            await runner.run(estate.tenant_id)
        except (Killed, OutcomeUnknown):
            assert death.came
    return death.came


async def assert_nothing_is_lost(estate: Estate) -> None:
    """Find sealed in the row whatever was told to Odoo, and a row for the database."""
    made = set(estate.fake.databases) - {TEMPLATE}
    if not made:
        return
    row, known = await estate.row(), await estate.known()
    assert made == {row["db_name"]}
    assert known.begun
    told = {ADMIN_PASSWORD, SERVICE_PASSWORD, "admin", ""}
    told |= {known.admin_password, known.service_password}
    for user in estate.database.records["res.users"].values():
        assert user["password"] in told


async def time_passes(estate: Estate) -> None:
    """Let the lease of a dead worker end."""
    async with estate.databases.superuser() as superuser:
        await superuser.execute("UPDATE odoo_connections SET held_until = NULL")


async def forget(estate: Estate) -> None:
    """Begin from nothing, with the same tenant and on the same Odoo."""
    async with estate.databases.superuser() as superuser:
        await superuser.execute("TRUNCATE odoo_connections, onboarding, pgqueuer")
    for name in set(estate.fake.databases) - {TEMPLATE}:
        del estate.fake.databases[name]
    assert await estate.begin()


async def at_every_step(estate: Estate, stride: int) -> int:
    """Die at step 1, 1 + stride …, and let another worker end it each time."""
    for at in range(1, MANY, stride):
        came = await die(estate, Death(at=at))
        await assert_nothing_is_lost(estate)
        await time_passes(estate)
        await estate.run()
        await estate.assert_ready()
        if not came:
            return at
        await forget(estate)
    raise AssertionError("there is no end to it")


@pytest.mark.parametrize(("series", "year", "stride"), WAYS)
async def test_copy_of_a_template(
    estate: Estate, stride: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    steps = await at_every_step(estate, stride)

    assert steps > 60, "steps were not counted"
    assert_says_nothing(caplog.text, await estate.secrets())
    assert_says_nothing(await dump(estate.databases), await estate.secrets())


@pytest.mark.parametrize("stride", [pytest.param(3, marks=LONG)])
async def test_without_a_template(estate: Estate, stride: int) -> None:
    estate.section["template"] = ""

    assert await at_every_step(estate, stride) > 60


async def test_killed_again_and_again(estate: Estate) -> None:
    """Each worker gets some steps further, or has to do them once more."""
    for at in (3, 8, 13, 21, 34, 55):
        if not await die(estate, Death(at=at)):
            break
        await assert_nothing_is_lost(estate)
        await time_passes(estate)
    await estate.run()

    await estate.assert_ready()
