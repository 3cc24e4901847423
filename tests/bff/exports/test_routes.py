"""A tenant's scores as JSON and CSV."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from bff.exports.routes import COLUMNS
from tests.world import World

if TYPE_CHECKING:
    from tests.databases import Databases
    from tests.world import Browser

JSON, CSV = "/export/latest_scores.json", "/export/latest_scores.csv"


SMALL: dict[str, dict[str, Any]] = {
    "database": {"pool_size": 2},
    "worker": {"embedded": False},
}


async def rows(browser: Browser, query: str = "") -> list[dict[str, Any]]:
    answer = await browser.get(JSON + query)
    assert answer.status == 200
    assert answer.content_type == "application/json"
    found = json.loads(await answer.text(), parse_constant=pytest.fail)
    assert isinstance(found, list)
    return found


async def table(browser: Browser, query: str = "") -> list[list[str]]:
    answer = await browser.get(CSV + query)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    return list(csv.reader(io.StringIO(await answer.text(), newline="")))


async def test_columns_are_exact_and_the_best_come_first_nulls_last(
    world: World,
) -> None:
    async with world.databases.superuser() as superuser:
        await superuser.execute(
            "UPDATE lead_scores SET score = NULL, bucket = NULL WHERE company_id = 3"
        )
        await superuser.execute(
            "UPDATE companies SET name = '=1+1', website_domain = NULL "
            "WHERE company_id = 3"
        )
    async with world.signed_in() as browser:
        found = await rows(browser)
        lines = await table(browser)

    assert [tuple(row) for row in found] == [COLUMNS] * 6
    scores = [row["score"] for row in found]
    assert scores[-1] is None
    assert scores[:-1] == sorted(scores[:-1], reverse=True)
    assert isinstance(found[0]["company_id"], int)
    assert isinstance(found[0]["score"], float)
    assert (found[-1]["name"], found[-1]["website_domain"]) == ("=1+1", None)
    assert tuple(lines[0]) == COLUMNS
    assert [line[0] for line in lines[1:]] == [str(row["company_id"]) for row in found]
    assert lines[-1][1:3] == ["'=1+1", ""]


async def test_numbers_that_json_does_not_know_are_null(world: World) -> None:
    async with world.databases.superuser() as superuser:
        await superuser.execute(
            "UPDATE lead_scores SET score = 'NaN' WHERE company_id = 1"
        )
        await superuser.execute(
            "UPDATE lead_scores SET score = 'Infinity' WHERE company_id = 2"
        )
    async with world.signed_in() as browser:
        found = {row["company_id"]: row["score"] for row in await rows(browser)}
        cells = {line[0]: line[5] for line in await table(browser)}

    assert (found[1], found[2]) == (None, None)
    assert (cells["1"], cells["2"]) == ("", "")


async def test_an_empty_tenant_is_an_empty_list_and_a_header(world: World) -> None:
    async with world.databases.superuser() as superuser:
        await superuser.execute("DELETE FROM lead_scores WHERE tenant_id = 1001")
    async with world.signed_in() as browser:
        assert await rows(browser) == []
        assert await table(browser) == [list(COLUMNS)]


async def test_limits_have_bounds_and_a_default(world: World) -> None:
    async with world.databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO companies (name) SELECT 'c' FROM generate_series(1, 1300)"
        )
        await superuser.execute(
            "INSERT INTO lead_scores (tenant_id, company_id, score) "
            "SELECT 1001, company_id, 0 FROM companies ON CONFLICT DO NOTHING"
        )
    async with world.signed_in() as browser:
        assert len(await rows(browser)) == 200
        assert len(await rows(browser, "?limit=1")) == 1
        assert len(await rows(browser, "?limit=1000000")) == 1306
        assert len(await table(browser, "?limit=1200")) == 1201
        for limit in (
            "0", "-1", "abc", "", "1.5", "1e9", "1000001", "1000000000", str(10**30),
            "1" * 5000, "000000001" + "0" * 30, "0000001000000000", "१", "+1", "%201",
        ):  # fmt: skip
            for path in (JSON, CSV):
                answer = await browser.get(f"{path}?limit={limit}")
                assert answer.status == 400, limit
                assert "limit" in (await answer.json())["detail"]


async def test_two_tenants_never_mix(world: World) -> None:
    async with world.signed_in() as alice, world.signed_in("bob@globex.test") as bob:
        answers = await asyncio.gather(
            *(rows(browser) for _ in range(10) for browser in (alice, bob))
        )

    for number, found in enumerate(answers):
        own, foreign = ("Acme", "Globex") if number % 2 == 0 else ("Globex", "Acme")
        assert len(found) == 6
        assert all(own in row["rationale"] for row in found)
        assert not any(foreign in row["rationale"] for row in found)


async def test_nobody_and_people_without_a_tenant_get_nothing(world: World) -> None:
    async with world.browser() as stranger, world.signed_in("carol@initech.test") as c:
        for path in (JSON, CSV):
            answer = await stranger.get(path)
            assert (answer.status, (await answer.json())["code"]) == (
                401,
                "not_signed_in",
            )
            answer = await c.get(path)
            assert (answer.status, (await answer.json())["code"]) == (
                403,
                "tenant_missing",
            )


async def test_browsers_that_leave_half_way_give_their_connection_back(
    databases: Databases,
) -> None:
    async with World(databases, settings=dict(SMALL)).running() as world:
        async with databases.superuser() as superuser:
            await superuser.execute(
                "INSERT INTO companies (name) SELECT repeat('x', 2000) "
                "FROM generate_series(1, 6000)"
            )
            await superuser.execute(
                "INSERT INTO lead_scores (tenant_id, company_id) "
                "SELECT 1001, company_id FROM companies ON CONFLICT DO NOTHING"
            )
        async with world.signed_in() as browser:
            for path in (JSON, CSV, JSON):
                answer = await browser.get(f"{path}?limit=100000")
                await answer.content.readany()
                answer.close()
            async with asyncio.timeout(4):  # less than the pool's patience
                assert len(await rows(browser, "?limit=5")) == 5


async def test_a_database_that_dies_half_way_breaks_the_answer_off(
    databases: Databases,
) -> None:
    async with (
        World(databases, settings=dict(SMALL)).running() as world,
        databases.superuser() as superuser,
    ):
        await superuser.execute(
            "INSERT INTO companies (name) SELECT repeat('x', 3000) "
            "FROM generate_series(1, 8000)"
        )
        await superuser.execute(
            "INSERT INTO lead_scores (tenant_id, company_id) "
            "SELECT 1001, company_id FROM companies ON CONFLICT DO NOTHING"
        )
        async with world.signed_in() as browser:
            answer = await browser.get(f"{JSON}?limit=100000")
            await answer.content.readany()
            # Between two pages the table goes: no later page can be had.
            await superuser.execute("ALTER TABLE lead_scores RENAME TO gone")
            with pytest.raises(Exception, match=r"(?i)not completed|closed|reset"):
                await answer.read()


async def test_readers_who_do_not_read_hold_no_connection(
    databases: Databases,
) -> None:
    async with (
        World(databases, settings=dict(SMALL)).running() as world,
        databases.superuser() as superuser,
        world.signed_in() as browser,
        world.browser() as other,
    ):
        await superuser.execute(
            "INSERT INTO companies (name) SELECT repeat('x', 3000) "
            "FROM generate_series(1, 8000)"
        )
        await superuser.execute(
            "INSERT INTO lead_scores (tenant_id, company_id, score) "
            "SELECT 1001, company_id, company_id % 7 FROM companies "
            "ON CONFLICT DO NOTHING"
        )
        unread = [await browser.get(f"{JSON}?limit=100000") for _ in range(6)]

        assert (await other.login("bob@globex.test")).status == 200

        for answer in unread:
            answer.close()


async def test_pages_neither_lose_nor_repeat_a_row(world: World) -> None:
    async with (
        world.databases.superuser() as superuser,
        world.signed_in() as browser,
    ):
        await superuser.execute(
            "INSERT INTO companies (name) SELECT 'c' FROM generate_series(1, 2600)"
        )
        await superuser.execute(
            "INSERT INTO lead_scores (tenant_id, company_id, score) "
            "SELECT 1001, company_id, nullif(company_id % 5, 0) FROM companies "
            "ON CONFLICT DO NOTHING"
        )
        found = await rows(browser, "?limit=100000")
        expected = await superuser.fetch(
            "SELECT company_id FROM lead_scores WHERE tenant_id = 1001 "
            "ORDER BY score DESC NULLS LAST, company_id"
        )

        assert [row["company_id"] for row in found] == [
            row["company_id"] for row in expected
        ]
        assert len(await rows(browser, "?limit=1234")) == 1234
