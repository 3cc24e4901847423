"""Who fits a rule, computed by the roles that do so in earnest."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from bff.audit import Entry
from bff.database import Database, DatabaseUnavailable, connect
from bff.errors import TooBusy
from bff.errors_workspace import RulesFull
from bff.icp import candidates as module
from bff.icp.candidates import Recomputed, recompute, recompute_all
from bff.icp.rules import Profile
from bff.icp.store import TURN, Rules
from tests.bff.icp.companies import candidates, fill
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

A, B = 1, 2
ALL = {"soft", "ships", "abroad", "food"}
SAVED = Entry("icp_rule.saved", A)


@pytest.fixture
async def app(databases: Databases) -> AsyncGenerator[Database]:
    async with databases.superuser() as superuser:
        await superuser.execute("INSERT INTO tenants VALUES (1, 'a'), (2, 'b')")
    await fill(databases)
    async with connect(databases.app, size=4) as opened:
        yield opened


@pytest.fixture
async def worker(databases: Databases) -> AsyncGenerator[Database]:
    async with connect(databases.worker, size=2) as opened:
        yield opened


async def saved(app: Database, payload: dict[str, Any], name: str = "r") -> int:
    """Save a rule of tenant A and return its number."""
    rule, _ = await Rules(app).save(A, name, Profile.model_validate(payload), SAVED)
    return rule.rule_id


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"industries": ["SOFTWARE"]}, {"soft", "abroad"}),
        ({"industries": ["food", "Marine"]}, {"ships", "food"}),
        ({"industries": ["Soft"]}, set()),
        ({"industries": ["%", "_", "Food' OR true --"]}, set()),
        ({"industry_codes": ["62"]}, {"soft", "abroad"}),
        ({"industry_codes": ["62011", "1"]}, {"soft", "food"}),
        ({"industry_codes": ["9"]}, set()),
        ({"employee_range": {"min": 80}}, {"ships", "abroad", "food"}),
        ({"employee_range": {"max": 80}}, {"soft", "food"}),
        ({"employee_range": {"min": 80, "max": 120}}, {"abroad", "food"}),
        ({"employee_range": {"min": 0}}, ALL),
        ({"incorporation_year": {"min": 2001, "max": 2015}}, {"soft", "food"}),
        ({"hq_countries": ["SINGAPORE"]}, {"soft", "ships", "food"}),
        ({"sg_registered": True}, {"soft", "ships", "food"}),
        ({"sg_registered": False}, {"abroad"}),
        (
            {
                "industries": ["software"],
                "industry_codes": ["62", "30110"],
                "employee_range": {"min": 10, "max": 100},
                "incorporation_year": {"min": 2000, "max": 2020},
                "hq_countries": ["singapore"],
                "sg_registered": True,
            },
            {"soft"},
        ),
    ],
)
async def test_every_condition_must_be_met_and_what_is_unknown_meets_none(
    app: Database, databases: Databases, payload: dict[str, Any], expected: set[str]
) -> None:
    rule, _ = await Rules(app).save(A, "r", Profile.model_validate(payload), SAVED)

    assert await candidates(databases, rule.rule_id) == expected
    assert rule.candidates == len(expected)


async def test_who_fits_still_keeps_the_very_row_they_have(
    app: Database, databases: Databases
) -> None:
    """Not everything deleted and inserted: others may refer to it, and it is slow."""
    rule_id = await saved(app, {"industries": ["software", "food"]})
    query = (
        "SELECT company_id, c.xmin::text FROM icp_candidate_companies c "
        "JOIN companies USING (company_id) WHERE name = $1"
    )
    async with databases.superuser() as superuser:
        before = await superuser.fetchrow(query, "soft")
        assert before is not None
        await saved(app, {"industry_codes": ["620", "30"]})
        assert await superuser.fetchrow(query, "soft") == before
    assert await candidates(databases, rule_id) == {"soft", "abroad", "ships"}


async def test_the_worker_brings_every_tenant_s_rules_up_to_date(
    app: Database, worker: Database, databases: Databases
) -> None:
    first = await saved(app, {"industries": ["Food"]})
    second = await saved(app, {"employee_range": {"max": 20}}, "small")
    other, _ = await Rules(app).save(
        B, "r", Profile(industries=("Food",)), Entry("icp_rule.saved", B)
    )
    async with databases.superuser() as superuser:
        await superuser.execute(
            "UPDATE companies SET industry_norm = 'FOOD' WHERE name = 'ships'"
        )
        await superuser.execute(
            "UPDATE companies SET employees_est = 21 WHERE name = 'soft'"
        )
        changed = await superuser.fetch("SELECT rule_id, updated_at FROM icp_rules")

    assert await recompute_all(worker) == Recomputed(done=3, left=0)

    assert await candidates(databases, first) == {"food", "ships"}
    assert await candidates(databases, second) == set()
    assert await candidates(databases, other.rule_id) == {"food", "ships"}
    (listed, *_) = (rule for rule in await Rules(app).of(A) if rule.rule_id == first)
    assert listed.candidates == 2
    async with databases.superuser() as superuser:
        after = await superuser.fetch("SELECT rule_id, updated_at FROM icp_rules")
        assert sorted(map(tuple, after)) == sorted(map(tuple, changed))
        wrong = await superuser.fetchval(
            "SELECT count(*) FROM icp_candidate_companies AS one JOIN icp_rules "
            "USING (rule_id) WHERE one.tenant_id <> icp_rules.tenant_id"
        )
    assert wrong == 0
    assert await recompute_all(worker, A) == Recomputed(done=2, left=0)
    assert await recompute_all(worker, 999) == Recomputed(done=0, left=0)


async def test_a_rule_that_cannot_be_read_keeps_its_candidates_and_stops_no_other(
    app: Database,
    worker: Database,
    databases: Databases,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = await saved(app, {"industries": ["Food"]}, "bad")
    good = await saved(app, {"industries": ["Marine"]}, "good")
    async with databases.superuser() as superuser:
        await superuser.execute(
            "UPDATE icp_rules SET payload = $2 WHERE rule_id = $1",
            bad,
            json.dumps({"of_a_newer_release": "secret"}),
        )
        await superuser.execute("UPDATE companies SET industry_norm = 'Marine'")

    with caplog.at_level(logging.ERROR):
        assert await recompute_all(worker) == Recomputed(done=1, left=0)

    assert await candidates(databases, bad) == {"food"}
    assert await candidates(databases, good) == {*ALL, "unknown"}
    assert f"rule {bad} of tenant {A} cannot be read" in caplog.text
    assert "secret" not in caplog.text


async def test_a_rule_that_is_gone_meanwhile_is_passed_over(
    app: Database, worker: Database
) -> None:
    rule_id = await saved(app, {"industries": ["Food"]})
    assert await Rules(app).delete(A, rule_id, Entry("icp_rule.deleted", A))

    async with worker.tenant_transaction(A) as connection:
        assert await recompute(connection, A, rule_id) is None


async def test_two_who_save_one_rule_take_turns_and_the_last_one_s_word_counts(
    app: Database, databases: Databases
) -> None:
    payloads = [{"industries": [word]} for word in ("Software", "Food", "Marine")] * 4
    await asyncio.gather(*(saved(app, payload) for payload in payloads))

    (rule,) = await Rules(app).of(A)
    (word,) = rule.payload["industries"]
    expected = {"Software": {"soft", "abroad"}, "Food": {"food"}, "Marine": {"ships"}}
    assert await candidates(databases, rule.rule_id) == expected[word]
    assert rule.candidates == len(expected[word])


async def test_the_worker_waits_for_who_saves_and_sees_what_they_saved(
    app: Database, worker: Database, databases: Databases
) -> None:
    rule_id = await saved(app, {"industries": ["Food"]})
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(app.tenant_transaction(A))
        await connection.execute(
            "UPDATE icp_rules SET payload = $1",
            json.dumps({"industries": ["Marine"]}),
        )
        working = asyncio.ensure_future(recompute_all(worker))
        async with databases.superuser() as superuser:

            async def waits() -> bool:
                query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                return bool(await superuser.fetchval(query))

            await until(waits)
        assert not working.done()
    assert await working == Recomputed(done=1, left=0)
    assert await candidates(databases, rule_id) == {"ships"}


async def test_there_are_no_more_rules_than_allowed_even_when_all_come_at_once(
    app: Database,
) -> None:
    rules, elsewhere = Rules(app, most=3), Rules(app, most=3)
    profile = Profile(industries=("Food",))
    done = await asyncio.gather(
        *((rules, elsewhere)[n % 2].save(A, f"r{n}", profile, SAVED) for n in range(8)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, RulesFull) for one in done) == 5
    assert len(await rules.of(A)) == 3
    # One that is there can be changed still, and another tenant is not concerned.
    (first, *_) = await rules.of(A)
    assert not (await rules.save(A, first.name, profile, SAVED))[1]
    assert (await rules.save(B, "r", profile, Entry("icp_rule.saved", B)))[1]


async def test_saves_that_take_long_leave_connections_to_everybody_else(
    app: Database,
) -> None:
    rules = Rules(app, at_once=1, queue=0.2)
    profile = Profile(industries=("Food",))
    async with app.tenant_transaction(A) as connection:
        await connection.execute(TURN, A)
        first = asyncio.ensure_future(rules.save(A, "r", profile, SAVED))
        others = [rules.save(A, f"r{n}", profile, SAVED) for n in range(8)]
        refused = await asyncio.gather(*others, return_exceptions=True)
        assert {type(one) for one in refused} == {TooBusy}
        # Of four connections two are free, whatever waits.
        async with app.shared_transaction(), app.shared_transaction():
            assert not first.done()
    assert (await first)[1]
    assert (await rules.save(A, "next", profile, SAVED))[1]


async def test_companies_are_locked_in_the_order_of_their_numbers(
    app: Database, databases: Databases
) -> None:
    """As whoever changes their UENs locks them: neither waits for the other."""
    async with databases.superuser() as superuser:
        await superuser.execute("CREATE TABLE moved AS TABLE companies")
        await superuser.execute("DELETE FROM companies")
        await superuser.execute(
            "INSERT INTO companies SELECT * FROM moved ORDER BY company_id DESC"
        )
        first, *_, last = await superuser.fetch(
            "SELECT company_id FROM companies WHERE sg_registered ORDER BY 1"
        )
        lock = "SELECT FROM companies WHERE company_id = $1 FOR UPDATE NOWAIT"
        async with superuser.transaction():
            await superuser.execute(lock, first["company_id"])
            saving = asyncio.ensure_future(saved(app, {"sg_registered": True}))

            async def waits() -> bool:
                query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                return bool(await superuser.fetchval(query))

            await until(waits)
            await superuser.execute(lock, last["company_id"])
        await saving


async def test_one_tenant_s_changes_leave_places_to_others(app: Database) -> None:
    """They take turns before they take one of the few places of the process."""
    rules = Rules(app, at_once=2, queue=20)
    profile = Profile(industries=("Food",))
    async with app.tenant_transaction(A) as connection:
        await connection.execute(TURN, A)
        mine: list[asyncio.Future[object]] = [
            asyncio.ensure_future(rules.save(A, f"r{n}", profile, SAVED))
            for n in range(3)
        ]
        mine.append(asyncio.ensure_future(rules.delete(A, 1, SAVED)))
        await asyncio.sleep(0.1)
        saved_b = rules.save(B, "r", profile, Entry("icp_rule.saved", B))
        async with asyncio.timeout(15):
            assert (await saved_b)[1]
        assert not any(one.done() for one in mine)
    await asyncio.gather(*mine)
    # Nothing is kept of tenants that want nothing.
    gc.collect()
    assert not rules._turns


async def held(worker: Database, databases: Databases, rule_id: int) -> Recomputed:
    """Compute all rules anew while somebody holds that one."""
    async with databases.superuser() as superuser, superuser.transaction():
        await superuser.execute(
            "SELECT FROM icp_rules WHERE rule_id = $1 FOR NO KEY UPDATE", rule_id
        )
        return await recompute_all(worker)


async def test_a_rule_that_somebody_holds_stops_no_other_tenant_s(
    app: Database,
    worker: Database,
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "LOCK_PATIENCE", 0.1)
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    first = await saved(app, {"industries": ["Food"]})
    other, _ = await Rules(app).save(
        B, "r", Profile(industries=("Food",)), Entry("icp_rule.saved", B)
    )
    async with databases.superuser() as superuser:
        await superuser.execute("UPDATE companies SET industry_norm = 'Food'")

    assert await held(worker, databases, first) == Recomputed(done=1, left=1)

    assert await candidates(databases, first) == {"food"}
    assert await candidates(databases, other.rule_id) == {*ALL, "unknown"}
    assert f"rule {first} of tenant {A} cannot be computed now" in caplog.text
    assert await recompute_all(worker) == Recomputed(done=2, left=0)
    assert await candidates(databases, first) == {*ALL, "unknown"}


@pytest.mark.parametrize(
    "act",
    [
        "PERFORM pg_sleep(60)",
        "RAISE EXCEPTION 'x' USING ERRCODE = 'deadlock_detected'",
        "RAISE EXCEPTION 'x' USING ERRCODE = 'serialization_failure'",
        "RAISE EXCEPTION 'x' USING ERRCODE = 'index_corrupted'",
    ],
)
async def test_a_rule_that_postgresql_refuses_stops_no_other(
    app: Database,
    worker: Database,
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
    act: str,
) -> None:
    bad = await saved(app, {"industries": ["Food"]})
    good = await saved(app, {"industries": ["Marine"]}, "good")
    async with databases.superuser() as superuser:
        await superuser.execute("UPDATE companies SET industry_norm = 'Marine'")
        await superuser.execute(
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {act}; RETURN NEW; END $$"
        )
        await superuser.execute(
            "CREATE TRIGGER stop BEFORE UPDATE ON icp_rules FOR EACH ROW "
            f"WHEN (NEW.rule_id = {bad}) EXECUTE FUNCTION stop()"
        )
    monkeypatch.setattr(module, "PATIENCE", 0.3)

    assert await recompute_all(worker) == Recomputed(done=1, left=1)
    assert await candidates(databases, bad) == {"food"}
    assert await candidates(databases, good) == {*ALL, "unknown"}


async def test_a_database_that_goes_away_ends_it_loudly(
    app: Database, worker: Database, databases: Databases
) -> None:
    await saved(app, {"industries": ["Food"]})
    async with databases.superuser() as superuser:
        await superuser.execute(
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
        )
        await superuser.execute(
            "CREATE TRIGGER stop BEFORE UPDATE ON icp_rules FOR EACH ROW "
            "EXECUTE FUNCTION stop()"
        )

    with pytest.raises(DatabaseUnavailable):
        await recompute_all(worker)


async def test_a_failing_save_leaves_rule_and_candidates_as_they_were(
    app: Database, databases: Databases
) -> None:
    rule_id = await saved(app, {"industries": ["Food"]})
    unwritable = Entry("not an action", A)

    with pytest.raises(asyncpg.CheckViolationError):
        await Rules(app).save(A, "r", Profile(industries=("Marine",)), unwritable)
    with pytest.raises(asyncpg.CheckViolationError):
        await Rules(app).delete(A, rule_id, unwritable)

    (rule,) = await Rules(app).of(A)
    assert rule.payload == {"industries": ["Food"]}
    assert await candidates(databases, rule_id) == {"food"}


async def test_the_worker_may_keep_the_count_and_nothing_else_of_a_rule(
    app: Database, databases: Databases
) -> None:
    await saved(app, {"industries": ["Food"]})
    connection = await asyncpg.connect(databases.worker)
    try:
        for act in (
            "UPDATE icp_rules SET payload = '{}'",
            "UPDATE icp_rules SET tenant_id = 2",
            "UPDATE icp_rules SET name = 'x'",
            "DELETE FROM icp_rules",
            "INSERT INTO icp_rules (tenant_id, name, payload) VALUES (1, 'x', '{}')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(act)
    finally:
        await connection.close()
