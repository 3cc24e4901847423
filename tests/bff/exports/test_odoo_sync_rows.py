"""Which of a tenant's companies go to its Odoo, in which order, and as what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bff.database import connect
from bff.exports.odoo_sync_rows import Place, Scored, count, page
from odoo.leads import Lead

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.database import Database
    from tests.databases import Databases

TENANT, OTHER = 1, 2


@pytest.fixture
async def worker(databases: Databases) -> AsyncGenerator[Database]:
    async with connect(databases.worker, size=1) as database:
        yield database


async def company(databases: Databases, number: int, **columns: object) -> None:
    columns = {"name": f"Company {number}", **columns}
    names = ", ".join(columns)
    values = ", ".join(f"${at}" for at in range(2, len(columns) + 2))
    async with databases.superuser() as superuser:
        await superuser.execute(
            f"INSERT INTO companies (company_id, {names}) VALUES ($1, {values})",  # noqa: S608 - our own names
            number,
            *columns.values(),
        )


async def scores(databases: Databases, tenant: int, **given: float | None) -> None:
    async with databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO tenants (tenant_id, name) VALUES ($1, 'x') "
            "ON CONFLICT DO NOTHING",
            tenant,
        )
        await superuser.executemany(
            "INSERT INTO lead_scores (tenant_id, company_id, score) "
            "VALUES ($1, $2, $3)",
            [(tenant, int(name[1:]), score) for name, score in given.items()],
        )


def numbers(found: list[Scored]) -> list[int]:
    return [one.lead.company_id for one in found]


async def test_the_best_come_first_page_by_page_and_each_once(
    databases: Databases, worker: Database
) -> None:
    for number in range(1, 9):
        await company(databases, number)
    await scores(
        databases,
        TENANT,
        c1=0.5,
        c2=0.9,
        c3=0.5,
        c4=None,
        c5=float("nan"),
        c6=float("inf"),
        c7=float("-inf"),
        c8=-3.0,
    )
    await scores(databases, OTHER, c1=1.0)
    seen, place = [], Place()
    while found := await page(worker, TENANT, None, place, 2):
        seen += numbers(found)
        place = found[-1].place

    assert seen == [2, 1, 3, 8]
    assert await count(worker, TENANT, None, 100) == 4
    assert await count(worker, TENANT, None, 3) == 3
    assert numbers(await page(worker, TENANT, 0.5, Place(), 100)) == [2, 1, 3]
    assert await count(worker, TENANT, 0.5, 100) == 3
    assert await count(worker, 99, None, 100) == 0


async def test_a_company_becomes_a_lead_with_its_surest_contact(
    databases: Databases, worker: Database
) -> None:
    await company(databases, 1, name=" Big\nFoods <Ltd> ", website_domain="big.test")
    await company(databases, 2, name=" ")
    await scores(databases, TENANT, c1=0.875, c2=0.5)
    async with databases.superuser() as superuser:
        await superuser.execute(
            "UPDATE lead_scores SET bucket = 'high', "
            "rationale = E'Fits <b>well</b>\\n\\nand grows' WHERE company_id = 1"
        )
        await superuser.execute(
            "INSERT INTO contacts (company_id, full_name, email, phone_number, "
            "email_verified) VALUES (1, 'Not Sure', 'x@big.test', NULL, false), "
            "(1, 'Sure One', 'sure@big.test', '+65 1', true)"
        )

    first, second = await page(worker, TENANT, None, Place(), 10)

    assert first.lead == Lead(
        company_id=1,
        name="Big Foods <Ltd>",
        partner_name="Big Foods <Ltd>",
        website="big.test",
        email_from="sure@big.test",
        contact_name="Sure One",
        phone="+65 1",
        description=(
            "<p>Score 0.875 (high)</p>"
            "<p>Fits &lt;b&gt;well&lt;/b&gt;</p><p>and grows</p>"
        ),
    )
    assert second.lead == Lead(
        company_id=2,
        name="Company 2",
        partner_name="Company 2",
        description="<p>Score 0.5</p>",
    )
