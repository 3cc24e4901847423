"""/icp/rules as a tenant's people use it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from bff.icp.rules import MOST_BYTES
from tests.bff.icp.companies import candidates, fill
from tests.bff.waiting import until

if TYPE_CHECKING:
    import aiohttp

    from tests.world import Browser, World

PATH = "/icp/rules"
FOOD = {"industries": ["Food"]}
TENANT, OTHER = 1001, 1002


async def save(
    browser: Browser, name: str = "r", payload: Any = None
) -> aiohttp.ClientResponse:
    return await browser.post(PATH, json={"name": name, "payload": payload or FOOD})


async def code(answer: aiohttp.ClientResponse) -> tuple[int, str]:
    return answer.status, (await answer.json())["code"]


async def listed(browser: Browser) -> list[dict[str, Any]]:
    answer = await browser.get(PATH)
    assert answer.status == 200
    found: list[dict[str, Any]] = (await answer.json())["rules"]
    return found


async def as_role(world: World, email: str, tenant: int, role: str) -> None:
    """Make somebody who signed in before an *role* by our own table."""
    async with world.databases.superuser() as superuser:
        changed = await superuser.execute(
            "UPDATE tenant_users SET roles = ARRAY['viewer', $3] "
            "WHERE tenant_id = $1 AND email = $2",
            tenant,
            email,
            role,
        )
    assert changed == "UPDATE 1"


async def test_a_rule_is_made_changed_listed_and_deleted(world: World) -> None:
    await fill(world.databases)
    async with world.signed_in() as alice:
        answer = await save(alice, " Caterers ")
        assert answer.status == 201
        made = await answer.json()
        assert set(made) == {
            "rule_id", "name", "payload", "candidates", "created_at", "updated_at",
        }  # fmt: skip
        assert (made["name"], made["payload"], made["candidates"]) == (
            "Caterers", FOOD, 1,
        )  # fmt: skip

        assert (await save(alice, "Ships", {"industry_codes": ["30"]})).status == 201
        wider = {"employee_range": {"min": 50, "max": 600}}
        again = await save(alice, "Caterers", wider)
        assert again.status == 200
        changed = await again.json()
        assert changed["rule_id"] == made["rule_id"]
        assert (changed["payload"], changed["candidates"]) == (wider, 3)
        assert await candidates(world.databases, made["rule_id"]) == {
            "ships", "food", "abroad",
        }  # fmt: skip

        assert [rule["name"] for rule in await listed(alice)] == ["Caterers", "Ships"]
        assert (await listed(alice))[0] == changed
        path = f"{PATH}/{made['rule_id']}"
        assert (await alice.request("DELETE", path)).status == 204
        assert [rule["name"] for rule in await listed(alice)] == ["Ships"]
        assert await candidates(world.databases, made["rule_id"]) == set()
        assert (await alice.request("DELETE", path)).status == 404


async def test_everybody_of_the_tenant_reads_and_ops_and_admins_write(
    world: World,
) -> None:
    async with world.signed_in() as alice, world.signed_in("dave@acme.test") as dave:
        made = await (await save(alice)).json()
        assert await listed(dave) == [made]
        refused = (403, "role_missing")
        assert await code(await save(dave)) == refused
        path = f"{PATH}/{made['rule_id']}"
        assert await code(await dave.request("DELETE", path)) == refused

        await as_role(world, "dave@acme.test", TENANT, "ops")
        await dave.post("/auth/refresh")
        assert (await save(dave)).status == 200
        assert (await dave.request("DELETE", path)).status == 204


async def test_strangers_and_people_without_a_tenant_are_refused(world: World) -> None:
    async with world.browser() as nobody, world.signed_in("carol@initech.test") as one:
        for browser, expected in (
            (nobody, (401, "not_signed_in")),
            (one, (403, "tenant_missing")),
        ):
            assert await code(await browser.get(PATH)) == expected
            assert await code(await save(browser)) == expected
            assert await code(await browser.request("DELETE", f"{PATH}/1")) == expected
    async with world.signed_in() as alice:
        foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"}
        answer = await alice.post(
            PATH, json={"name": "r", "payload": FOOD}, headers=foreign
        )
        assert await code(answer) == (403, "cross_site_refused")


async def test_two_tenants_have_rules_of_one_name_and_see_their_own(
    world: World,
) -> None:
    async with world.signed_in() as alice, world.signed_in("bob@globex.test") as bob:
        await as_role(world, "bob@globex.test", OTHER, "admin")
        await bob.post("/auth/refresh")
        mine = await (await save(alice)).json()
        theirs = await save(bob, payload={"industries": ["Marine"]})
        assert theirs.status == 201
        assert [r["payload"] for r in await listed(alice)] == [FOOD]
        assert [r["payload"] for r in await listed(bob)] == [{"industries": ["Marine"]}]

        path = f"{PATH}/{mine['rule_id']}"
        assert await code(await bob.request("DELETE", path)) == (404, "not_found")
        assert await listed(alice) == [mine]


@pytest.mark.parametrize(
    "rule_id",
    [
        "0",
        "-1",
        "x",
        "1.0",
        "%00",
        "\N{FULLWIDTH DIGIT ONE}",
        "9" * 18,
        "9" * 19,
        "9" * 400,
        "1%20",
        "+1",
    ],
)
async def test_a_number_that_no_rule_has_is_not_found(
    world: World, rule_id: str
) -> None:
    async with world.signed_in() as alice:
        answer = await alice.request("DELETE", f"{PATH}/{rule_id}")
        assert await code(answer) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "r"}, "payload"),
        ({"name": "r", "payload": {}}, "payload"),
        ({"name": "", "payload": FOOD}, "name"),
        ({"name": " \t", "payload": FOOD}, "name"),
        ({"name": "\u2003", "payload": FOOD}, "name"),
        ({"name": "a\u0000", "payload": FOOD}, "name"),
        ({"name": "x" * 201, "payload": FOOD}, "name"),
        ({"name": ["r"], "payload": FOOD}, "name"),
        ({"name": "r", "payload": FOOD, "tenant_id": OTHER}, "tenant_id"),
        ({"name": "r", "payload": FOOD, "rule_id": 1}, "rule_id"),
        ({"name": "r", "payload": {"industries": ["\u0000"]}}, "payload.industries.0"),
        (
            {"name": "r", "payload": {"employee_range": {"max": 2**31}}},
            "payload.employee_range.max",
        ),
        (
            {"name": "r", "payload": {"employee_range": {"max": 2**63}}},
            "payload.employee_range.max",
        ),
    ],
    ids=lambda each: repr(each)[:100],
)
async def test_a_body_that_makes_no_sense_names_the_field(
    world: World, body: dict[str, Any], field: str
) -> None:
    async with world.signed_in() as alice:
        answer = await alice.post(PATH, json=body)
        assert await code(answer) == (422, "invalid_body")
        assert field in {error["field"] for error in (await answer.json())["errors"]}
        assert await listed(alice) == []


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b'{"name": "r", "payload": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400),
        (b'{"name": "r", "payload": {"industries": ["\\ud800"]}}', 400),
        (b'{"name": "r", "payload": {"industries": ["\xff"]}}', 400),
        (b'{"name": "r", "payload": {"employee_range": {"min": 1e999}}}', 422),
        (b'{"name": "r", "payload": {"employee_range": {"min": NaN}}}', 422),
        (b"null", 422),
    ],
    ids=["deep", "lone surrogate", "no utf-8", "huge", "not a number", "null"],
)
async def test_json_that_no_rule_is_made_of_is_refused(
    world: World, raw: bytes, status: int
) -> None:
    async with world.signed_in() as alice:
        answer = await alice.post(
            PATH, data=raw, headers={"Content-Type": "application/json"}
        )
        assert answer.status == status, await answer.text()


async def test_the_largest_rule_there_may_be_is_saved(world: World) -> None:
    words = [f"{n:02}".ljust(41, "\N{GRINNING FACE}") for n in range(50)]
    payload = {"industries": words}
    async with world.signed_in() as alice:
        answer = await save(alice, "n" * 200, payload)
        assert answer.status == 201, await answer.text()
        assert (await listed(alice))[0]["payload"] == payload
        # Not escaped, which would make three times as many bytes of it.
        assert len(await (await alice.get(PATH)).read()) < MOST_BYTES + 1000

        answer = await save(alice, "r", {"industries": [*words, "x" * 80]})
        assert await code(answer) == (422, "invalid_body")
        assert (await answer.json())["errors"][0]["field"] == "payload"


async def test_what_was_done_is_in_the_audit_log(world: World) -> None:
    async with world.signed_in() as alice:
        made = await (await save(alice, "Caterers")).json()
        await save(alice, "Caterers", {"sg_registered": True})
        assert (await save(alice, "x", {"nosuch": 1})).status == 422
        await alice.request("DELETE", f"{PATH}/{made['rule_id']}")
        await alice.request("DELETE", f"{PATH}/{made['rule_id']}")
    async with world.databases.superuser() as superuser:
        rows = await superuser.fetch(
            "SELECT action, tenant_id, actor_email, subject, detail FROM audit_log "
            "WHERE action LIKE 'icp\\_rule.%' ORDER BY audit_id"
        )
    assert [(row["action"], row["subject"]) for row in rows] == [
        ("icp_rule.saved", "Caterers"),
        ("icp_rule.saved", "Caterers"),
        ("icp_rule.deleted", "Caterers"),
    ]
    assert {(row["tenant_id"], row["actor_email"]) for row in rows} == {
        (TENANT, "alice@acme.test")
    }
    assert [json.loads(row["detail"]) for row in rows] == [
        {"rule_id": made["rule_id"], "changed": ["industries"], "candidates": 1},
        {
            "rule_id": made["rule_id"],
            "changed": ["industries", "sg_registered"],
            "candidates": 6,
        },
        {"rule_id": made["rule_id"]},
    ]


async def test_a_rule_that_is_being_computed_is_not_deleted_and_holds_up_nobody(
    world: World,
) -> None:
    """Many who delete it have no connection each while they wait."""
    async with world.signed_in() as alice, world.signed_in("bob@globex.test") as bob:
        path = f"{PATH}/{(await (await save(alice)).json())['rule_id']}"
        async with world.databases.superuser() as superuser, superuser.transaction():
            # What computing it holds.
            await superuser.execute("SELECT FROM icp_rules FOR NO KEY UPDATE")
            refused = [
                asyncio.ensure_future(alice.request("DELETE", path)) for _ in range(12)
            ]
            assert (await bob.get(PATH)).status == 200
            for answer in await asyncio.gather(*refused):
                assert await code(answer) == (503, "too_busy")
                assert "being computed" in (await answer.json())["detail"]
                assert int(answer.headers["Retry-After"]) > 0
        assert (await alice.request("DELETE", path)).status == 204


async def test_two_who_lock_each_other_are_told_to_try_again(world: World) -> None:
    """A company's UEN is changed while a rule makes a candidate of it."""
    await fill(world.databases)
    async with (
        world.signed_in() as alice,
        world.databases.superuser() as superuser,
        world.databases.superuser() as looking,
    ):
        first, *_, last = [
            row["company_id"]
            for row in await superuser.fetch(
                "SELECT company_id FROM companies WHERE sg_registered ORDER BY 1"
            )
        ]
        change = "UPDATE companies SET uen = $1::bigint::text WHERE company_id = $1"
        transaction = superuser.transaction()
        await transaction.start()
        # It is the other who finds out.
        await superuser.execute("SET LOCAL deadlock_timeout = '60s'")
        await superuser.execute(change, last)
        saving = asyncio.ensure_future(save(alice, payload={"sg_registered": True}))

        async def waits() -> bool:
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            return bool(await looking.fetchval(query))

        await until(waits)
        changing = asyncio.ensure_future(superuser.execute(change, first))
        answer = await saving
        await changing
        await transaction.rollback()

        assert await code(answer) == (503, "unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert (await save(alice, payload={"sg_registered": True})).status == 201
