"""Tasks are done once, by whoever holds the tenant; failures are in our words."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import pytest
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from bff.database import DatabaseUnavailable
from bff.sites.failures import UNKNOWN
from bff.sites.holding import LEASE, StillHeld, holding
from bff.sites.jobs import Jobs, More
from bff.sites.safe import Replaced
from bff.sites.tasks import JOB, SYNC_JOB, Kind
from odoo import errors
from tests.bff.sites.scene import TENANT
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from asyncpg import Record

    from bff.sites.holding import Hold
    from bff.sites.tasks import Task
    from tests.bff.sites.scene import Scene

FREED = "UPDATE odoo_connections SET held_until = NULL"
LEAK = "canary-secret-of-odoo"
PICKED = "SELECT count(*) FROM pgqueuer WHERE entrypoint = $1 AND status = 'picked'"


class Doing:
    """A handler that does as it is told, and what it was given."""

    def __init__(self, *ends: Mapping[str, Any] | More | BaseException) -> None:
        self.ends = list(ends)
        self.given: list[Task] = []
        self.held: list[Hold] = []

    async def __call__(self, task: Task, hold: Hold) -> Mapping[str, Any] | More:
        self.given.append(task)
        self.held.append(hold)
        end = self.ends.pop(0) if self.ends else {}
        if isinstance(end, BaseException):
            raise end
        return end


def jobs_of(scene: Scene, handler: Any, kind: Kind = Kind.VERIFY) -> Jobs:
    return Jobs(database=scene.worker, handlers={kind: handler})


def payload(run: int = 1, kind: str = "verify", tenant_id: int = TENANT) -> bytes:
    return json.dumps({"tenant_id": tenant_id, "kind": kind, "run": run}).encode()


@asynccontextmanager
async def queue(scene: Scene, jobs: Jobs) -> AsyncGenerator[asyncio.Task[None]]:
    """Take jobs from the queue, as a worker does."""
    connection = await asyncpg.connect(scene.databases.worker)
    pgq = PgQueuer.from_asyncpg_connection(connection)
    jobs.register(pgq)
    running = asyncio.ensure_future(
        pgq.run(
            dequeue_timeout=timedelta(seconds=0.2),
            heartbeat_timeout=timedelta(seconds=1),
            shutdown_on_listener_failure=True,
        )
    )
    try:
        yield running
    finally:
        pgq.shutdown.set()
        await asyncio.gather(running, return_exceptions=True)
        await connection.close(timeout=2)


async def over(scene: Scene, kind: Kind = Kind.VERIFY, seconds: float = 30) -> Record:
    async def look() -> Record | None:
        found = await scene.task(kind)
        return found if found["finished_at"] else None

    return await until(look, seconds=seconds)


async def test_a_task_is_done_and_what_came_of_it_is_kept(scene: Scene) -> None:
    await scene.tenant()
    asked = await scene.ask(Kind.VERIFY, request={"deep": True})
    doing = Doing({"people": 3})
    await jobs_of(scene, doing).run(payload())
    (task,) = doing.given
    assert (task.tenant_id, task.kind, task.run) == (TENANT, Kind.VERIFY, 1)
    assert (task.state, task.request) == ("running", {"deep": True})
    assert doing.held[0].tenant_id == TENANT
    row = await scene.task(Kind.VERIFY)
    assert (row["state"], json.loads(row["result"])) == ("done", {"people": 3})
    assert row["asked_at"] == asked.task.asked_at
    assert row["asked_at"] <= row["started_at"] <= row["finished_at"]
    assert (await scene.row())["held_until"] is None


async def test_the_tenant_is_in_hand_meanwhile(scene: Scene) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    seen: list[Any] = []

    async def look(task: Task, hold: Hold) -> Mapping[str, Any]:
        with pytest.raises(StillHeld):
            async with holding(scene.worker, task.tenant_id, patience=0):
                pass
        seen.append((await scene.task(Kind.VERIFY))["state"])
        await hold.extend()
        return {}

    await jobs_of(scene, look).run(payload())
    assert seen == ["running"]


async def test_what_is_over_or_another_run_s_is_left_alone(scene: Scene) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    doing = Doing({"first": 1})
    jobs = jobs_of(scene, doing)
    await jobs.run(payload())
    await jobs.run(payload())  # the same job once more
    await scene.ask(Kind.VERIFY)
    await jobs.run(payload(run=1))
    assert len(doing.given) == 1
    assert (await scene.task(Kind.VERIFY))["state"] == "queued"
    await jobs.run(payload(run=2))
    assert [task.run for task in doing.given] == [1, 2]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.AccessDenied("odoo.X", LEAK), "odoo_access_denied"),
        (errors.Unreachable(LEAK), "odoo_unreachable"),
        (RuntimeError(LEAK), "internal"),
        (KeyError(LEAK), "internal"),
        (TimeoutError(LEAK), "internal"),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
async def test_a_failure_keeps_a_code_and_a_sentence_and_no_word_of_its_own(
    scene: Scene, error: Exception, code: str
) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    async with queue(scene, jobs_of(scene, Doing(error))):
        row = await over(scene)

        async def put_away() -> bool:
            return await scene.jobs() == 0

        await until(put_away)
    assert (row["state"], row["code"]) == ("failed", code)
    assert row["problem"].endswith(".")
    for table in ("odoo_tasks", "odoo_connections", "pgqueuer_log"):
        assert LEAK not in str(await scene.rows(f"TABLE {table}"))
    assert (await scene.row())["held_until"] is None


@pytest.mark.parametrize(
    "result",
    [{"x": object()}, {"x": "\x00"}, {"x": float("nan")}, {"x": "\ud800"}],
    ids=["no JSON", "NUL", "no number", "half a character"],
)
async def test_a_result_that_no_row_can_hold_fails_the_task(
    scene: Scene, result: dict[str, Any]
) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    await jobs_of(scene, Doing(result)).run(payload())
    row = await scene.task(Kind.VERIFY)
    assert (row["state"], row["problem"]) == ("failed", UNKNOWN)
    assert json.loads(row["result"]) == {}


async def test_a_tenant_without_odoo_is_told_at_once(scene: Scene) -> None:
    await scene.tenant(has_odoo=False)
    await scene.ask(Kind.VERIFY)
    doing = Doing()
    async with asyncio.timeout(15):  # nobody waits for a hold: that would be 20 s
        await jobs_of(scene, doing).run(payload())
    row = await scene.task(Kind.VERIFY)
    assert (row["state"], row["code"]) == ("failed", "odoo_missing")
    assert doing.given == []
    # The same job once more changes nothing.
    await jobs_of(scene, doing).run(payload())
    assert (await scene.task(Kind.VERIFY))["finished_at"] == row["finished_at"]


async def test_a_kind_that_nobody_does_fails(scene: Scene) -> None:
    await scene.tenant()
    await scene.ask(Kind.ROTATE)
    await jobs_of(scene, Doing()).run(payload(kind="rotate"))
    row = await scene.task(Kind.ROTATE)
    assert (row["state"], row["code"]) == ("failed", "internal")


@pytest.mark.parametrize(
    "poison",
    [
        b"",
        b"\xff",
        b"7",
        b"[]",
        b"{}",
        b'{"tenant_id": "x", "kind": "verify", "run": 1}',
        b'{"tenant_id": null, "kind": "verify", "run": 1}',
        b"[" * 100_000,
    ],
)
async def test_poison_is_said_and_left_out(
    scene: Scene, poison: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.tenant()
    await jobs_of(scene, Doing()).run(poison)
    assert "names no task" in caplog.text


async def test_a_newer_release_s_job_stays(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.tenant()
    async with scene.worker.shared_transaction() as connection:
        driver = AsyncpgDriver(cast("asyncpg.Connection", connection))
        await Queries(driver).enqueue(JOB, payload(kind="newer"))
    async with queue(scene, jobs_of(scene, Doing())):

        async def said() -> bool:
            return "left to another release: newer" in caplog.text

        await until(said)
    assert await scene.jobs() == 1


async def test_poison_does_not_stop_the_queue(scene: Scene) -> None:
    await scene.tenant()
    async with scene.worker.shared_transaction() as connection:
        # As in bff.sites.tasks: PgQueuer's types do not know the proxy.
        driver = AsyncpgDriver(cast("asyncpg.Connection", connection))
        await Queries(driver).enqueue(JOB, b"poison")
    await scene.ask(Kind.VERIFY)
    async with queue(scene, jobs_of(scene, Doing())):
        assert (await over(scene))["state"] == "done"


async def test_a_long_task_lets_others_have_a_turn(scene: Scene) -> None:
    await scene.tenant()
    await scene.ask(Kind.SYNC)
    doing = Doing(More(result={"n": 1}), More(result={"n": 2}, pause=0.7), {"n": 3})
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert (await scene.row())["held_until"] is None
        assert (await scene.task(Kind.SYNC))["state"] == "running"
        async with holding(scene.worker, TENANT, patience=0):
            pass

    jobs = Jobs(database=scene.worker, handlers={Kind.SYNC: doing}, sleep=sleep)
    await jobs.run(payload(kind="sync"))
    assert [task.result for task in doing.given] == [{}, {"n": 1}, {"n": 2}]
    assert len({task.started_at for task in doing.given}) == 1
    assert slept[1] == 0.7
    row = await scene.task(Kind.SYNC)
    assert (row["state"], json.loads(row["result"])) == ("done", {"n": 3})


async def test_a_failure_in_the_middle_keeps_how_far_it_came(scene: Scene) -> None:
    await scene.tenant()
    await scene.ask(Kind.SYNC)
    doing = Doing(More(result={"n": 1}, pause=0), errors.NotOurs("x"))
    await jobs_of(scene, doing, Kind.SYNC).run(payload(kind="sync"))
    row = await scene.task(Kind.SYNC)
    assert (row["state"], row["code"]) == ("failed", "odoo_not_ours")
    assert json.loads(row["result"]) == {"n": 1}


async def test_a_worker_that_was_replaced_writes_nothing(scene: Scene) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    second = Doing({"by": "second"})

    async def first(task: Task, hold: Hold) -> Mapping[str, Any]:
        del task, hold
        await scene.execute(FREED)  # it was paused for longer than its lease
        await jobs_of(scene, second).run(payload())
        return {"by": "first"}

    with pytest.raises(Replaced):
        await jobs_of(scene, first).run(payload())
    row = await scene.task(Kind.VERIFY)
    assert json.loads(row["result"]) == {"by": "second"}


async def test_a_run_that_was_replaced_by_a_newer_one_writes_nothing(
    scene: Scene,
) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)

    async def slow(task: Task, hold: Hold) -> Mapping[str, Any]:
        del task, hold
        await scene.execute("UPDATE odoo_tasks SET state = 'done', finished_at = now()")
        await scene.ask(Kind.VERIFY)
        return {"by": "the old one"}

    with pytest.raises(Replaced):
        await jobs_of(scene, slow).run(payload())
    row = await scene.task(Kind.VERIFY)
    assert (row["run"], row["state"], json.loads(row["result"])) == (2, "queued", {})


@pytest.mark.parametrize(
    ("many", "other"), [(Kind.VERIFY, Kind.SYNC), (Kind.SYNC, Kind.VERIFY)]
)
async def test_many_tasks_take_turns_and_syncs_keep_no_other_waiting(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, many: Kind, other: Kind
) -> None:
    monkeypatch.setattr("bff.sites.jobs.AT_ONCE", 1)
    monkeypatch.setattr("bff.sites.jobs.SYNCS_AT_ONCE", 1)
    go_on, begun = asyncio.Event(), []

    async def slow(task: Task, hold: Hold) -> Mapping[str, Any]:
        del hold
        begun.append(task.tenant_id)
        await go_on.wait()
        return {}

    for tenant_id in (TENANT, TENANT + 1):
        await scene.tenant(tenant_id)
        await scene.ask(many, tenant_id)
    await scene.tenant(TENANT + 2)
    await scene.ask(other, TENANT + 2)

    async def done() -> bool:
        return bool((await scene.task(other, TENANT + 2))["state"] == "done")

    jobs = Jobs(database=scene.worker, handlers={many: slow, other: Doing()})
    async with queue(scene, jobs):
        await until(done, seconds=20)
        name = SYNC_JOB if many is Kind.SYNC else JOB
        assert await scene.value(PICKED, name) == 1
        go_on.set()

        async def all_done() -> bool:
            return await scene.jobs() == 0

        await until(all_done, seconds=20)
    assert sorted(begun) == [TENANT, TENANT + 1]


async def test_a_job_waits_while_another_worker_has_the_tenant(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    doing = Doing()
    jobs = replace(jobs_of(scene, doing), patience=0.1)

    async def told() -> bool:
        return "another worker is at it" in caplog.text

    caplog.set_level(logging.INFO, logger="bff.sites.jobs")
    async with queue(scene, jobs):
        async with holding(scene.worker, TENANT):
            await until(told)
            assert doing.given == []
        assert (await over(scene))["state"] == "done"
    assert len(doing.given) == 1


async def test_a_handler_that_loses_postgres_is_called_again(scene: Scene) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    doing = Doing(DatabaseUnavailable("away"), Replaced(), {"n": 3})
    async with queue(scene, jobs_of(scene, doing)):
        row = await over(scene)
    assert (row["state"], len(doing.given)) == ("done", 3)


async def test_pauses_grow_while_postgres_is_away(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    doing = Doing(DatabaseUnavailable("a"), DatabaseUnavailable("b"))
    with caplog.at_level(logging.WARNING, logger="bff.sites.jobs"):
        async with queue(scene, jobs_of(scene, doing)):
            await over(scene)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["a task waits 2 s: a", "a task waits 4 s: b"]


async def test_postgres_away_in_the_middle_loses_no_task(scene: Scene) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(task: Task, hold: Hold) -> Mapping[str, Any]:
        del task, hold
        entered.set()
        await go_on.wait()
        return {"n": 1}

    async with queue(scene, jobs_of(scene, slow)) as running:
        await entered.wait()
        async with scene.away():
            go_on.set()
            # The queue's own connection was cut as well: that worker starts again.
            await asyncio.wait({running}, timeout=30)
            assert running.done()
    async with queue(scene, jobs_of(scene, Doing({"n": 2}))):
        row = await over(scene, seconds=30)
    assert row["state"] == "done"


CHILD = """
import asyncio, os
from datetime import timedelta
import asyncpg
from pgqueuer import PgQueuer
from bff.database import connect
from bff.sites.jobs import Jobs
from bff.sites.tasks import JOB, Kind

async def for_ever(task, hold):
    await asyncio.sleep(3600)

async def main():
    url = os.environ["WORKER_URL"]
    async with connect(url, size=2) as database:
        jobs = PgQueuer.from_asyncpg_connection(await asyncpg.connect(url))
        Jobs(database=database, handlers={Kind.VERIFY: for_ever}).register(jobs)
        await jobs.run(heartbeat_timeout=timedelta(seconds=1))

asyncio.run(main())
"""


async def test_a_task_whose_worker_was_killed_is_taken_up_by_another(
    scene: Scene,
) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CHILD,
        env={**os.environ, "WORKER_URL": scene.databases.worker},
        cwd=Path(__file__).parents[3],
    )
    try:

        async def begun() -> bool:
            return bool((await scene.task(Kind.VERIFY))["state"] == "running")

        await until(begun, seconds=30)
    finally:
        child.kill()
        await child.wait()
    async with queue(scene, jobs_of(scene, Doing({"by": "another"}))):
        row = await over(scene, seconds=3 * LEASE)
    assert json.loads(row["result"]) == {"by": "another"}
