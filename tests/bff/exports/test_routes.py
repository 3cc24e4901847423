"""A tenant's scores as JSON and CSV."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.bff.exports.readers import CSV, JSON, locked, reading, until_over
from tests.bff.waiting import until

if TYPE_CHECKING:
    import asyncpg

    from tests.world import Browser, World

COLUMNS = (
    "company_id",
    "name",
    "website_domain",
    "industry_norm",
    "employees_est",
    "score",
    "bucket",
    "rationale",
)
CONTACTS_TOO = "?include=contacts"
CONTACT_COLUMNS = (
    "primary_email",
    "contact_name",
    "contact_title",
    "contact_linkedin",
    "contact_phone",
)


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
    assert isinstance(found[0]["score"], int | float)
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
        await superuser.execute(
            "UPDATE lead_scores SET score = '-Infinity' WHERE company_id = 4"
        )
        await superuser.execute(
            "UPDATE lead_scores SET score = NULL WHERE company_id = 3"
        )
    async with world.signed_in() as browser:
        found = await rows(browser)
        lines = (await table(browser))[1:]
        best = await rows(browser, "?limit=2")
        many = await rows(browser, "?limit=10001")

    assert many == found, "though they are looked up another way"
    last = [(row["company_id"], row["score"]) for row in found[-4:]]
    assert last == [(number, None) for number in (1, 2, 3, 4)], "as if they had none"
    assert [(line[0], line[5]) for line in lines[-4:]] == [(n, "") for n in "1234"]
    assert best == found[:2]
    assert None not in [row["score"] for row in best]


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
            *(rows(browser) for _ in range(5) for browser in (alice, bob))
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


async def test_no_row_is_lost_or_repeated(world: World) -> None:
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


HOSTILE = (
    *("a,b", 'say "x"', "two\nlines", "two\r\nlines", "'", "</script>", "", "\t"),
    *("\\", "\\N", "\\.", "\\n", "\\\\n", "{}", "[]", '","', ",\n", "NaN", "null"),
    *("\x01\x02\x7f\x1f", "日本語 \N{GRINNING FACE}", "\u2028\ufeff\ufffe"),
    *("=1+1", "+1", "-1", "@a", "＝1"),  # noqa: RUF001 - see cells.py
)


async def test_every_text_comes_back_from_both_forms(world: World) -> None:
    async with world.databases.superuser() as superuser:
        await superuser.execute("DELETE FROM lead_scores WHERE tenant_id = 1001")
        await superuser.execute("DELETE FROM companies")
        await superuser.execute(
            "INSERT INTO companies (name, website_domain) SELECT t, t "
            "FROM unnest($1::text[]) t",
            HOSTILE,
        )
        await superuser.execute(
            "INSERT INTO lead_scores (tenant_id, company_id, score, bucket, rationale) "
            "SELECT 1001, company_id, 1e300, name, name FROM companies"
        )
    async with world.signed_in() as browser:
        found = await rows(browser)
        lines = await table(browser)

    told = [(one["name"], one["website_domain"], one["rationale"]) for one in found]
    assert told == [(text, text, text) for text in HOSTILE]
    for text, line in zip(HOSTILE, lines[1:], strict=True):
        safe = f"'{text}" if text[:1] in set("=+-@\t\r\n＝") else text  # noqa: RUF001 - see cells.py
        assert line[1:4] == [safe, safe, ""]
        assert line[5:] == ["1e+300", safe, safe]


async def test_a_head_request_tells_the_kind_and_asks_nothing(world: World) -> None:
    async with world.signed_in() as browser, world.databases.superuser() as superuser:
        await superuser.execute("ALTER TABLE lead_scores RENAME TO gone")
        for path, kind in ((JSON, "application/json"), (CSV, "text/csv")):
            answer = await browser.request("HEAD", path)
            assert (answer.status, answer.content_type) == (200, kind)
            refused = await browser.request("HEAD", f"{path}?limit=0")
            assert refused.status == 400
        assert await exported(superuser) == []


async def exported(superuser: asyncpg.Connection) -> list[dict[str, Any]]:
    found = await superuser.fetch(
        "SELECT tenant_id, actor_email, detail FROM audit_log "
        "WHERE action = 'scores.exported' ORDER BY audit_id"
    )
    return [{**row, "detail": json.loads(row["detail"])} for row in found]


async def test_an_export_is_on_the_log_and_a_refused_one_is_not(world: World) -> None:
    async with world.signed_in() as browser, world.databases.superuser() as superuser:
        await rows(browser, "?limit=3")
        await table(browser, "?include=contacts")
        for query in ("?limit=0", "?include=secrets"):
            assert (await browser.get(JSON + query)).status == 400
        found = await exported(superuser)

    assert [(one["tenant_id"], one["actor_email"]) for one in found] == [
        (1001, "alice@acme.test")
    ] * 2
    assert [one["detail"] for one in found] == [
        {"limit": 3, "format": "json", "include": []},
        {"limit": 200, "format": "csv", "include": ["contacts"]},
    ]


async def test_what_is_on_the_log_is_there_before_the_first_byte(world: World) -> None:
    """And stays there, though no row was ever sent."""
    async with (
        world.signed_in() as browser,
        world.databases.superuser() as superuser,
        locked(world.databases),
    ):

        async def logged() -> bool:
            return bool(await exported(superuser))

        async with reading(browser, JSON):
            await until(logged)
        await until_over(superuser)
        assert len(await exported(superuser)) == 1


CONTACTS = """
INSERT INTO contacts (company_id, full_name, email, email_verified,
                      verification_confidence, job_title, linkedin_profile,
                      phone_number, created_at, contact_id)
VALUES
  (1, 'Newest', 'n@x.test', false, 0.9, NULL, NULL, NULL, '2026-01-01', $1),
  (1, 'Verified', 'v@x.test', true, 0.1, '=CEO', 'https://l.test/v', '+65 1',
   '2020-01-01', $2),
  (2, 'Sure', 's@x.test', true, 0.9, NULL, NULL, NULL, '2020-01-01', $3),
  (2, 'Unsure', 'u@x.test', true, 0.2, NULL, NULL, NULL, '2026-01-01', $4),
  (2, 'Unknown', 'o@x.test', true, NULL, NULL, NULL, NULL, '2026-01-01', $5),
  (3, 'Old', 'a@x.test', false, NULL, NULL, NULL, NULL, '2020-01-01', $6),
  (3, 'New', NULL, false, NULL, NULL, NULL, NULL, '2026-01-01', $7),
  (4, 'Second', NULL, false, NULL, NULL, NULL, NULL, '2026-01-01', $9),
  (4, 'First', NULL, false, NULL, NULL, NULL, NULL, '2026-01-01', $8)
"""


async def test_the_primary_contact_is_the_verified_the_surest_the_newest(
    world: World,
) -> None:
    async with world.databases.superuser() as superuser:
        await superuser.execute(CONTACTS, *(UUID(int=n) for n in range(1, 10)))
    async with world.signed_in() as browser:
        found = {one["company_id"]: one for one in await rows(browser, CONTACTS_TOO)}
        head, *lines = await table(browser, CONTACTS_TOO)
        plain = await rows(browser)

    assert {tuple(one) for one in found.values()} == {COLUMNS + CONTACT_COLUMNS}
    names = {number: one["contact_name"] for number, one in found.items()}
    assert names == {1: "Verified", 2: "Sure", 3: "New", 4: "First", 5: None, 6: None}
    told = tuple(found[1][name] for name in CONTACT_COLUMNS)
    assert told == ("v@x.test", "Verified", "=CEO", "https://l.test/v", "+65 1")
    assert tuple(head) == COLUMNS + CONTACT_COLUMNS
    (line,) = [line for line in lines if line[0] == "1"]
    assert line[8:] == ["v@x.test", "Verified", "'=CEO", "https://l.test/v", "'+65 1"]
    assert all(tuple(one) == COLUMNS for one in plain)


@pytest.mark.parametrize("path", [JSON, CSV])
async def test_contacts_are_for_ops_and_admins(world: World, path: str) -> None:
    async with world.signed_in("dave@acme.test"), world.databases.superuser() as admin:
        await admin.execute(
            "UPDATE tenant_users SET roles = '{ops}' WHERE email = 'dave@acme.test'"
        )
    people = {"alice@acme.test": 200, "dave@acme.test": 200, "bob@globex.test": 403}
    for email, status in people.items():
        async with world.signed_in(email) as browser:
            answer = await browser.get(path + CONTACTS_TOO)
            assert answer.status == status
            if status == 403:
                assert (await answer.json())["code"] == "role_missing"
                assert (await browser.get(path)).status == 200


@pytest.mark.parametrize(
    "query",
    [
        *("include=", "include=secrets", "include=Contacts", "include=contacts,x"),
        *("include=contacts&include=x", "include=%00"),
    ],
)
async def test_what_cannot_be_included_is_refused(world: World, query: str) -> None:
    async with world.signed_in() as browser:
        for path in (JSON, CSV):
            answer = await browser.get(f"{path}?{query}")
            assert answer.status == 400
            assert "include" in (await answer.json())["detail"]
