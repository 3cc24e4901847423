"""Walk the plan's list with two tenants, on the real parts, and print how it went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.place import place
from tests.acceptance.plan import BROKEN, Plan, table, walk
from tests.acceptance.steps_browser import BROWSER
from tests.acceptance.steps_data import DATA
from tests.acceptance.steps_people import PEOPLE
from tests.acceptance.steps_workspace import WORKSPACE
from tests.telling import tell

if TYPE_CHECKING:
    from pathlib import Path

    from tests.databases import Databases
    from tests.real.keycloak import Keycloak
    from tests.real.odoo import Odoo

PLANS = (PEOPLE, WORKSPACE, DATA, BROWSER)


def test_each_line_of_the_list_is_there_once() -> None:
    numbers = [one.number for plan in PLANS for one in plan.promises]
    assert len(set(numbers)) == len(numbers)
    assert {number[0] for number in numbers} == set("123456789")


async def test_a_step_that_fails_is_told_and_stops_no_other() -> None:
    plan = Plan()
    went = []

    @plan.promise("1", "This cannot be")
    async def broken(_: object) -> None:
        raise AssertionError("as it is")

    @plan.promise("2", "This can")
    async def fine(_: object) -> None:
        went.append("fine")

    lines = await walk([plan], None)  # type: ignore[arg-type] # no step looks at it
    assert [line.outcome for line in lines] == [BROKEN, "holds"]
    assert went == ["fine"]
    assert "1 of 2 hold" in table(lines)
    assert "as it is" in table(lines)


@pytest.mark.real
@pytest.mark.acceptance
@pytest.mark.timeout(900)  # some minutes, and a machine that does other things too
async def test_what_the_plan_promises_holds(
    keycloak: Keycloak,
    real_odoo: Odoo,
    databases: Databases,
    tmp_path: Path,
) -> None:
    async with place(keycloak, real_odoo, databases, tmp_path) as here:
        lines = await walk(PLANS, here)
    tell(table(lines))
    broken = [line for line in lines if line.outcome == BROKEN]
    assert not broken, "\n".join(line.said for line in broken)
