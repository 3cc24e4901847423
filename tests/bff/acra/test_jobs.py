"""Runs of the register in the worker: queued, made once, gone on with, scheduled."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from pgqueuer.core.executors import ScheduleExecutorFactoryParameters
from pgqueuer.errors import RetryRequested

from bff import config
from bff.acra.calls import TRIES, Surroundings
from bff.acra.jobs import DAILY, MOST_FAILURES, InZone, _ingest, queue_one
from bff.acra.runs import Runs
from bff.acra.worker import is_wanted, running
from bff.database import DatabaseConflict, connect
from bff.icp.candidates import Recomputed
from bff.telemetry import Metrics
from tests.bff.waiting import until
from tests.fakes import data_gov as fakes
from tests.fakes.data_gov import FakeDataGov, data_gov, record
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.config import Config
    from bff.database import Database
    from tests.databases import Databases

NEWER = "2026-10-16T10:04:13+08:00"
# Waiting ends as soon as it is over; a busy machine takes its time.
PATIENCE = 60.0
pytestmark = pytest.mark.timeout(150)


async def no_pause(seconds: float) -> None:
    del seconds
    await asyncio.sleep(0)


FAST = Surroundings(sleep=no_pause)


@dataclass
class Bench:
    databases: Databases
    database: Database
    fake: FakeDataGov
    metrics: Metrics = field(default_factory=Metrics)
    afterwards: list[int] = field(default_factory=list)
    # How much of it is left, the first time and so on.
    left: list[int] = field(default_factory=list)

    def config(self, **acra: Any) -> Config:
        return config.build(
            {
                "environment": "dev",
                "database": {
                    "url": self.databases.app,
                    "worker_url": self.databases.worker,
                },
                "auth": {"issuer": "http://localhost/realms/x", "client_secret": "x"},
                "worker": {"heartbeat": 1, "dequeue": 0.2},
                "acra": {**self.fake.settings(), "rate": 100_000, **acra},
            }
        )

    async def note(self, database: Database) -> Recomputed:
        async with database.shared_transaction() as connection:
            count = await connection.fetchval("SELECT count(*) FROM companies")
        self.afterwards.append(count)
        return Recomputed(done=0, left=self.left.pop(0) if self.left else 0)

    @asynccontextmanager
    async def worker(
        self, count: int = 1, surroundings: Surroundings = FAST, **acra: Any
    ) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for _ in range(count):
                await stack.enter_async_context(
                    running(self.config(**acra), self.note, self.metrics, surroundings)
                )
            yield

    async def queue(self) -> None:
        await queue_one(self.database, "test")

    async def runs(self) -> list[dict[str, Any]]:
        async with self.databases.superuser() as superuser:
            found = await superuser.fetch("SELECT * FROM acra_runs ORDER BY run_id")
        return [dict(row) | {"counts": json.loads(row["counts"])} for row in found]

    async def ended(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many runs are over and no job is left."""

        async def look() -> list[dict[str, Any]] | None:
            runs = await self.runs()
            over = all(run["status"] in {"done", "failed"} for run in runs)
            left = await self.value("SELECT count(*) FROM pgqueuer")
            return runs if over and len(runs) >= count and not left else None

        return await until(look, seconds=PATIENCE)

    async def value(self, query: str) -> Any:
        async with self.databases.superuser() as superuser:
            return await superuser.fetchval(query)

    def files(self) -> list[str]:
        """Return the datasets whose files were fetched, in order."""
        paths = [path for path, _, _ in self.fake.calls if path.endswith("file.csv")]
        return [path.split("/")[-2] for path in paths]


@pytest.fixture
async def bench(databases: Databases) -> AsyncGenerator[Bench]:
    async with (
        data_gov() as fake,
        connect(databases.worker, size=4) as database,
    ):
        fake.fill(*[2] * 27)
        yield Bench(databases, database, fake)


async def test_a_queued_run_brings_the_register_into_companies(bench: Bench) -> None:
    await bench.queue()
    async with bench.worker():
        (run,) = await bench.ended()

    assert (run["status"], run["reason"], run["error"]) == ("done", "test", None)
    assert run["counts"]["new"] == 54
    assert run["counts"]["companies_new"] == 54
    assert await bench.value("SELECT count(*) FROM companies") == 54
    assert bench.afterwards == [54]
    metrics = bench.metrics.registry
    assert metrics.get_sample_value("bff_acra_runs_total", {"outcome": "done"}) == 1
    sample = "bff_acra_records_total"
    assert metrics.get_sample_value(sample, {"outcome": "new"}) == 54


async def test_what_was_not_updated_since_is_not_read_again(bench: Bench) -> None:
    await bench.queue()
    async with bench.worker():
        await bench.ended()
        names = list(bench.fake.datasets)
        assert sorted(bench.files()) == names
        bench.fake.calls.clear()
        entity = bench.fake.datasets[names[4]][0]
        entity["former_entity_name1"] = entity["entity_name"]
        entity["entity_name"] = "OMEGA PTE. LTD."
        bench.fake.updated[names[4]] = NEWER
        await bench.queue()
        *_, run = await bench.ended(2)

    assert bench.files() == [names[4]]
    assert (run["counts"]["changed"], run["counts"]["unchanged"]) == (1, 1)
    assert run["counts"]["companies_updated"] == 1
    assert await bench.value("SELECT 1 FROM companies WHERE name = 'OMEGA PTE. LTD.'")
    assert len(bench.afterwards) == 2


async def test_without_changes_nothing_is_done_afterwards(bench: Bench) -> None:
    await bench.queue()
    async with bench.worker():
        await bench.ended()
        await bench.queue()
        await bench.ended(2)

    assert len(bench.afterwards) == 1


async def test_what_was_left_afterwards_is_tried_again_though_nothing_changes(
    bench: Bench,
) -> None:
    bench.left = [2, 0]
    await bench.queue()
    async with bench.worker():
        (run,) = await bench.ended()
        assert run["status"] == "failed"
        assert run["error"] == "2 customer rules could not be computed anew"
        for count in (2, 3):
            await bench.queue()
            *_, run = await bench.ended(count)
            assert run["status"] == "done"

    assert bench.afterwards == [54, 54]


async def test_page_by_page_does_the_same(bench: Bench) -> None:
    await bench.queue()
    async with bench.worker(method="pages", page_size=1):
        (run,) = await bench.ended()

    assert run["status"] == "done"
    assert await bench.value("SELECT count(*) FROM companies") == 54
    assert bench.files() == []


async def test_one_dataset_that_fails_holds_up_no_other(bench: Bench) -> None:
    names = list(bench.fake.datasets)
    passed = [fakes.good()] * 5  # the list, and two datasets
    bench.fake.faults.extend([*passed, *[fakes.status(503)] * TRIES])
    await bench.queue()
    async with bench.worker():
        (run,) = await bench.ended()
        assert run["status"] == "failed"
        assert run["error"].startswith("1 of 27 datasets could not be read whole; ")
        assert names[2] in run["error"]
        assert await bench.value("SELECT count(*) FROM companies") == 52
        assert bench.afterwards == [52]

        bench.fake.calls.clear()
        await bench.queue()
        *_, run = await bench.ended(2)

    assert run["status"] == "done"
    assert bench.files() == [names[2]]
    assert await bench.value("SELECT count(*) FROM companies") == 54
    sample = bench.metrics.registry.get_sample_value
    assert sample("bff_acra_runs_total", {"outcome": "failed"}) == 1


async def test_without_the_list_of_datasets_a_run_fails_loudly(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.fake.faults.extend([fakes.raw(fakes.HTML, "text/html")] * TRIES)
    await bench.queue()
    async with bench.worker():
        (run,) = await bench.ended()

    assert run["status"] == "failed"
    assert "list of the register's datasets" in run["error"]
    assert "the register could not be read" in caplog.text
    assert bench.afterwards == []


async def test_several_workers_make_one_run_of_one(bench: Bench) -> None:
    async with bench.worker(3):
        await bench.queue()
        await bench.queue()
        (run,) = await bench.ended()

    assert run["status"] == "done"
    assert len(bench.files()) == 27


async def test_a_run_waits_for_one_that_is_under_way(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.acra.jobs.BUSY_PAUSE", 0.3)
    await bench.queue()
    async with Runs(bench.database).begin("command") as command:
        assert command is not None
        async with bench.worker():
            await asyncio.sleep(1)
            assert bench.fake.calls == []
        assert await bench.value("SELECT count(*) FROM pgqueuer") == 1
    async with bench.worker():
        await bench.ended(2)

    assert len(bench.files()) == 27


def hang() -> Any:
    return fakes.slow(3600)


async def test_a_worker_that_is_told_to_stop_stops_and_another_goes_on(
    bench: Bench,
) -> None:
    bench.fake.faults.extend([*[fakes.good()] * 11, hang()])
    await bench.queue()
    async with bench.worker():

        async def hanging() -> bool:
            return not bench.fake.faults

        await until(hanging, seconds=PATIENCE)
        began = time.monotonic()
    # Far below the minutes that the call, and the hours that the run may take.
    assert time.monotonic() - began < 30

    (run,) = await bench.runs()
    assert (run["status"], run["error"]) == ("failed", "stopped")
    assert len(bench.files()) == 5
    sample = bench.metrics.registry.get_sample_value
    assert sample("bff_acra_runs_total", {"outcome": "stopped"}) == 1
    async with bench.worker():
        *_, run = await bench.ended(2)

    assert (run["status"], run["reason"]) == ("done", "test")
    assert sorted(bench.files()) == list(bench.fake.datasets), "each was read once"
    assert await bench.value("SELECT count(*) FROM companies") == 54


CHILD = """
import asyncio, json, os
from bff import config
from bff.acra.worker import running
from bff.icp.candidates import recompute_all

async def main():
    settings = config.build(json.loads(os.environ["SETTINGS"]))
    async with running(settings, recompute_all, None):
        await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_a_killed_worker_s_run_is_taken_up_in_the_middle_of_a_dataset(
    bench: Bench,
) -> None:
    name = next(iter(bench.fake.datasets))
    bench.fake.datasets[name] = [record(90_000 + n) for n in range(40)]
    bench.fake.faults.extend([*[fakes.good()] * 3, hang()])
    await bench.queue()
    acra = {"method": "pages", "page_size": 10}
    settings = {
        "environment": "dev",
        "database": {"url": bench.databases.app, "worker_url": bench.databases.worker},
        "auth": {"issuer": "http://localhost/realms/x", "client_secret": "x"},
        "worker": {"heartbeat": 1, "dequeue": 0.2},
        "acra": {**bench.fake.settings(), "rate": 100_000, **acra},
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CHILD,
        env={**os.environ, "SETTINGS": json.dumps(settings)},
        cwd=Path(__file__).parents[3],
    )
    try:

        async def hanging() -> bool:
            rows = await bench.value("SELECT count(*) FROM staging_acra_companies")
            return not bench.fake.faults and rows == 20

        await until(hanging, seconds=PATIENCE)
    finally:
        child.kill()
        await child.wait()

    bench.fake.calls.clear()
    async with bench.worker(method="pages", page_size=10):
        *_, run = await bench.ended(2)

    first, last = (await bench.runs())[0], run
    assert (first["status"], first["error"]) == ("failed", "its process is gone")
    assert (last["status"], last["counts"]["new"]) == ("done", 92)
    asked = [
        query for _, query, _ in bench.fake.calls if query.get("resource_id") == name
    ]
    assert [query["offset"] for query in asked] == ["20", "30"]
    assert await bench.value("SELECT count(*) FROM companies") == 92


async def test_a_lost_database_ends_no_run_for_good(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.acra.jobs.LOST_PAUSE", 0.3)
    bench.fake.faults.extend([*[fakes.good()] * 11, fakes.slow(1.5)])
    await bench.queue()
    async with bench.worker():

        async def hanging() -> bool:
            return not bench.fake.faults

        await until(hanging, seconds=PATIENCE)
        async with bench.databases.superuser() as superuser:
            await superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = 'bff_worker' AND datname = current_database()"
            )
        runs = await bench.ended()

    assert runs[-1]["status"] == "done"
    assert await bench.value("SELECT count(*) FROM companies") == 54


async def test_an_error_that_lasts_is_given_up_after_growing_pauses(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bff.acra.jobs.FAILED_PAUSE", 0.1)
    async with bench.databases.superuser() as superuser:
        await superuser.execute(
            "REVOKE INSERT ON staging_acra_companies FROM bff_worker"
        )
    await bench.queue()
    async with bench.worker():
        runs = await bench.ended(MOST_FAILURES)
        await asyncio.sleep(1)
        assert len(await bench.runs()) == len(runs) == MOST_FAILURES

    assert {run["error"] for run in runs} == {"InsufficientPrivilegeError"}
    said = [one for one in caplog.records if one.name == "bff.acra.jobs"]
    errors = [one.getMessage() for one in said if one.levelno == logging.ERROR]
    assert len(errors) == MOST_FAILURES
    assert errors[-1].endswith("is given up")


async def test_a_collision_passes_and_is_tried_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bff.acra.jobs.LOST_PAUSE", 7.0)
    job: Any = SimpleNamespace(id=1, payload=b"1")
    failures: Counter[int] = Counter()

    class Colliding:
        async def run(self, run_id: int) -> bool:
            raise DatabaseConflict(run_id)

    reader: Any = Colliding()
    for _ in range(2 * MOST_FAILURES):
        with pytest.raises(RetryRequested) as again:
            await _ingest(job, reader, asyncio.Event(), failures)
        assert again.value.delay == timedelta(seconds=7)


async def test_a_new_file_with_nearly_nothing_in_it_is_no_update(
    bench: Bench,
) -> None:
    names = list(bench.fake.datasets)
    await bench.queue()
    async with bench.worker():
        await bench.ended()
        rows = bench.fake.datasets[names[3]]
        bench.fake.datasets[names[3]] = []
        bench.fake.updated[names[3]] = NEWER
        await bench.queue()
        *_, run = await bench.ended(2)
        assert run["status"] == "failed"
        assert "0 records only" in run["error"]

        bench.fake.datasets[names[3]] = rows
        await bench.queue()
        *_, run = await bench.ended(3)

    assert run["status"] == "done"
    assert run["counts"]["read"] == 2
    assert bench.files()[-1] == names[3]


async def test_the_schedule_of_several_workers_makes_one_run(bench: Bench) -> None:
    async with bench.databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO pgqueuer_schedules (expression, entrypoint, next_run) "
            "VALUES ('22 1 * * *', $1, now())",
            DAILY,
        )
    async with bench.worker(3, scheduled=True):
        (run,) = await bench.ended(1)
        await asyncio.sleep(1.5)
        assert len(await bench.runs()) == 1

    assert (run["status"], run["reason"]) == ("done", "schedule")
    assert len(bench.files()) == 27
    entry = await bench.value("SELECT detail FROM audit_log")
    assert json.loads(entry) == {"reason": "schedule"}
    tomorrow = await bench.value("SELECT next_run FROM pgqueuer_schedules")
    assert (tomorrow.hour, tomorrow.minute) == (17, 22), "01:22 in Singapore"


async def test_it_is_off_unless_it_is_switched_on(bench: Bench) -> None:
    async with bench.worker():
        await asyncio.sleep(0.5)

    assert await bench.value("SELECT count(*) FROM pgqueuer_schedules") == 0
    assert not is_wanted(bench.config())
    assert is_wanted(bench.config(scheduled=True))
    assert is_wanted(bench.config(webhook_secret="x" * 32))


async def test_a_run_may_be_queued_when_a_worker_starts(bench: Bench) -> None:
    async with bench.worker(2, at_start=True):
        (run,) = await bench.ended()

    assert run["reason"] == "start"


@pytest.mark.parametrize(
    ("zone", "hour"), [("Asia/Singapore", 17), ("UTC", 1), ("Asia/Bangkok", 18)]
)
def test_the_time_of_day_is_that_of_its_zone(zone: str, hour: int) -> None:
    async def nothing(schedule: object) -> None: ...

    parameters: Any = ScheduleExecutorFactoryParameters(
        entrypoint=DAILY,  # type: ignore[arg-type]  # a NewType of it
        expression="22 1 * * *",  # type: ignore[arg-type]  # the same
        func=nothing,
        clean_old=False,
    )
    executor = InZone(parameters, ZoneInfo(zone))
    moment = executor.get_next()

    assert (moment.hour, moment.minute, moment.tzinfo) == (hour, 22, UTC)
    assert timedelta(0) < moment - datetime.now(UTC) <= timedelta(days=1)


async def test_the_whole_gateway_reads_it_when_it_is_told_to(
    databases: Databases,
) -> None:
    """The webhook, the embedded worker, companies, and the tenants' candidates."""
    from tests.bff.acra.test_webhook import SECRET, send  # noqa: PLC0415 - not for all

    async with data_gov() as fake:
        fake.fill(*[2] * 27)
        settings = {
            "acra": {**fake.settings(), "rate": 100_000, "webhook_secret": SECRET},
            "worker": {"heartbeat": 1, "dequeue": 0.2},
        }
        async with (
            World(databases, settings).running() as world,
            world.signed_in() as browser,
        ):
            payload = {"industry_codes": ["62"], "sg_registered": True}
            answer = await browser.post(
                "/icp/rules", json={"name": "Software", "payload": payload}
            )
            assert answer.status == 201, await answer.text()
            assert (await send(world))[0] == 202

            async def found() -> int | None:
                async with databases.superuser() as superuser:
                    count = await superuser.fetchval(
                        "SELECT count(*) FROM icp_candidate_companies"
                    )
                return count if count == 54 else None

            await until(found, seconds=PATIENCE)

            async def counted() -> bool:
                got = await browser.session.get(f"{world.admin_url}/metrics")
                return 'bff_acra_runs_total{outcome="done"} 1.0' in await got.text()

            await until(counted, seconds=PATIENCE)
