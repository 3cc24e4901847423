"""What is asked of the worker is asked once, and who waits hears what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from bff.database import DATABASE
from bff.listener import Listener
from bff.serve import drain
from bff.sites.tasks import TASKS, Kind, Tasks, ask, revive
from tests.bff.sites.scene import TENANT
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.bff.sites.scene import Scene
    from tests.world import World

DONE = (
    "UPDATE odoo_tasks SET state = 'done', result = '{\"found\": 1}', "
    "finished_at = now() WHERE tenant_id = $1"
)
SAY = "SELECT pg_notify('odoo_task', $1 || ':verify')"


@pytest.fixture
async def listener(scene: Scene) -> AsyncGenerator[Listener]:
    found = Listener(scene.databases.app)
    Tasks(scene.app, found)  # channels are named before it listens
    async with found.running():

        async def hears() -> bool:
            return found.hears

        await until(hears)
        yield found


def deaf(scene: Scene) -> Tasks:
    return Tasks(scene.app, Listener(scene.databases.app))


async def test_asking_queues_a_job_that_names_no_more_than_numbers(
    scene: Scene,
) -> None:
    await scene.tenant()
    asked = await scene.ask(Kind.SYNC, request={"limit": 5}, by="i ann")
    assert asked.fresh
    assert (asked.task.state, asked.task.run, asked.task.is_over) == (
        "queued",
        1,
        False,
    )
    assert asked.task.request == {"limit": 5}
    (job,) = await scene.rows("SELECT payload, dedupe_key FROM pgqueuer")
    assert job["payload"] == b'{"tenant_id": 7, "kind": "sync", "run": 1}'
    assert await scene.value("SELECT asked_by FROM odoo_tasks") == "i ann"


async def test_asking_twice_queues_one(scene: Scene) -> None:
    await scene.tenant()
    first = await scene.ask(Kind.VERIFY)
    second = await scene.ask(Kind.VERIFY, request={"other": 1})
    assert (first.fresh, second.fresh) == (True, False)
    assert first.task == second.task
    assert await scene.jobs() == 1


async def test_many_at_once_queue_one(scene: Scene) -> None:
    await scene.tenant()
    asked = await asyncio.gather(*(scene.ask(Kind.VERIFY) for _ in range(8)))
    assert sorted(one.fresh for one in asked) == [False] * 7 + [True]
    assert {one.task.run for one in asked} == {1}
    assert await scene.jobs() == 1


async def test_kinds_and_tenants_are_apart(scene: Scene) -> None:
    asked = set(Kind) - {Kind.SUSPEND, Kind.RESUME}
    await scene.tenant()
    await scene.tenant(8)
    for tenant_id in (TENANT, 8):
        for kind in asked:
            assert (await scene.ask(kind, tenant_id)).fresh
    assert await scene.jobs() == 2 * len(asked)


@pytest.mark.parametrize("kind", [Kind.SUSPEND, Kind.RESUME])
async def test_the_serving_role_lets_nobody_in_or_out(scene: Scene, kind: Kind) -> None:
    await scene.tenant()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await scene.ask(kind)


async def test_another_run_begins_once_the_last_is_over(scene: Scene) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY, request={"a": 1}, by="i ann")
    await scene.execute(
        "UPDATE odoo_tasks SET state = 'failed', code = 'odoo_x', problem = 'x', "
        "result = '{\"a\": 1}', started_at = now(), finished_at = now()"
    )
    again = await scene.ask(Kind.VERIFY, by="i ben")
    assert again.fresh
    task = again.task
    assert (task.run, task.state, task.request, task.result) == (2, "queued", {}, {})
    assert (task.code, task.problem, task.started_at, task.finished_at) == (
        *("", ""),
        *(None, None),
    )
    assert await scene.jobs() == 2, "the old one's job will find nothing to do"


async def test_what_has_just_ended_need_not_be_done_again(scene: Scene) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    await scene.execute(DONE, TENANT)
    recent = await scene.ask(Kind.VERIFY, not_within=60)
    assert not recent.fresh
    assert recent.task.is_over
    assert recent.task.result == {"found": 1}

    await scene.execute(
        "UPDATE odoo_tasks SET finished_at = now() - interval '61 seconds'"
    )
    assert (await scene.ask(Kind.VERIFY, not_within=60)).fresh


@pytest.mark.parametrize("state", ["queued", "running"])
async def test_a_task_whose_job_was_lost_gets_another(scene: Scene, state: str) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    await scene.execute("DELETE FROM pgqueuer")
    await scene.execute("UPDATE odoo_tasks SET state = $1", state)
    assert not (await scene.ask(Kind.VERIFY)).fresh
    assert await scene.jobs() == 1


async def test_lost_jobs_are_found_without_anybody_s_asking(scene: Scene) -> None:
    for tenant_id in (TENANT, 8, 9, 10):
        await scene.tenant(tenant_id)
        await scene.ask(Kind.VERIFY, tenant_id)
    await scene.execute("DELETE FROM pgqueuer WHERE dedupe_key NOT LIKE '%:10:%'")
    await scene.execute(DONE, 8)
    await scene.execute(
        "UPDATE odoo_tasks SET asked_at = now() - interval '1 minute' "
        "WHERE tenant_id <> 9"
    )
    assert await revive(scene.worker, 30) == 1
    assert await revive(scene.worker, 30) == 0
    keys = await scene.rows("SELECT dedupe_key FROM pgqueuer ORDER BY 1")
    assert [row[0].split(":")[1] for row in keys] == ["10", "7"]


async def test_what_is_asked_in_a_transaction_that_fails_was_never_asked(
    scene: Scene,
) -> None:
    await scene.tenant()

    async def act() -> None:
        async with scene.app.tenant_transaction(TENANT) as connection:
            await ask(connection, TENANT, Kind.VERIFY)
            raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        await act()
    assert await scene.jobs() == 0
    assert await deaf(scene).get(TENANT, Kind.VERIFY) is None


async def test_another_tenant_s_task_is_not_seen(scene: Scene) -> None:
    await scene.tenant()
    await scene.tenant(8)
    await scene.ask(Kind.VERIFY)
    tasks = deaf(scene)
    assert await tasks.get(8, Kind.VERIFY) is None
    assert await tasks.get(TENANT, Kind.ROTATE) is None
    found = await tasks.get(TENANT, Kind.VERIFY)
    assert found is not None
    assert found.tenant_id == TENANT


async def test_whoever_waits_hears_the_end(
    scene: Scene, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.sites.tasks.LOOK", 3600.0)  # nobody looks: it is heard
    await scene.tenant()
    tasks = Tasks(scene.app, listener)
    task = (await scene.ask(Kind.VERIFY)).task
    waiting = [asyncio.ensure_future(tasks.wait(task, 60)) for _ in range(3)]
    await asyncio.sleep(0.2)
    assert not any(one.done() for one in waiting)
    await scene.execute(SAY, "7")  # no end yet: nobody is woken for good
    await asyncio.sleep(0.1)
    assert not any(one.done() for one in waiting)
    await scene.execute(DONE, TENANT)
    await scene.execute(SAY, "7")
    ends = await asyncio.wait_for(asyncio.gather(*waiting), 20)
    assert {one.state for one in ends} == {"done"}


async def test_a_deaf_listener_looks_now_and_then(scene: Scene) -> None:
    await scene.tenant()
    tasks, task = deaf(scene), (await scene.ask(Kind.VERIFY)).task
    waiting = asyncio.ensure_future(tasks.wait(task, 60))
    await asyncio.sleep(0.1)
    await scene.execute(DONE, TENANT)
    assert (await asyncio.wait_for(waiting, 20)).state == "done"


async def test_a_listener_that_goes_deaf_in_the_middle_is_no_harm(
    scene: Scene, listener: Listener
) -> None:
    await scene.tenant()
    tasks, task = Tasks(scene.app, listener), (await scene.ask(Kind.VERIFY)).task
    waiting = asyncio.ensure_future(tasks.wait(task, 60))
    await asyncio.sleep(0.1)
    await scene.execute(DONE, TENANT)  # and nobody says so
    assert (await asyncio.wait_for(waiting, 30)).state == "done"


async def test_waiting_ends_when_its_time_is_over(scene: Scene) -> None:
    await scene.tenant()
    tasks, task = deaf(scene), (await scene.ask(Kind.VERIFY)).task
    found = await asyncio.wait_for(tasks.wait(task, 0.2), 20)
    assert found.state == "queued"
    assert not found.is_over


async def test_a_shutdown_ends_the_waiting(scene: Scene) -> None:
    await scene.tenant()
    tasks, task = deaf(scene), (await scene.ask(Kind.VERIFY)).task
    waiting = asyncio.ensure_future(tasks.wait(task, 3600))
    await asyncio.sleep(0.1)
    tasks.drain()
    assert (await asyncio.wait_for(waiting, 20)).state == "queued"
    assert not (await asyncio.wait_for(tasks.wait(task, 3600), 20)).is_over


async def test_a_gateway_that_drains_ends_the_waiting(world: World) -> None:
    async with world.app[DATABASE].tenant_transaction(1001) as connection:
        task = (await ask(connection, 1001, Kind.VERIFY)).task
    await drain(world.app, 0.1)
    waited = world.app[TASKS].wait(task, 3600)
    assert not (await asyncio.wait_for(waited, 20)).is_over


async def test_a_task_that_is_over_is_not_waited_for(scene: Scene) -> None:
    await scene.tenant()
    tasks, task = deaf(scene), (await scene.ask(Kind.VERIFY)).task
    await scene.execute(DONE, TENANT)
    assert (await asyncio.wait_for(tasks.wait(task, 3600), 20)).state == "done"


async def test_a_newer_run_means_that_ours_is_over(scene: Scene) -> None:
    await scene.tenant()
    tasks, task = deaf(scene), (await scene.ask(Kind.VERIFY)).task
    await scene.execute(DONE, TENANT)
    newer = (await scene.ask(Kind.VERIFY)).task
    assert await asyncio.wait_for(tasks.wait(task, 3600), 20) == newer


async def test_a_tenant_that_is_deleted_meanwhile_ends_the_waiting(
    scene: Scene,
) -> None:
    await scene.tenant(has_odoo=False)
    tasks, task = deaf(scene), (await scene.ask(Kind.VERIFY)).task
    await scene.execute("DELETE FROM tenants")
    assert await asyncio.wait_for(tasks.wait(task, 3600), 20) == task


async def test_whoever_is_told_to_stop_waiting_leaves_nothing(scene: Scene) -> None:
    await scene.tenant()
    tasks, task = deaf(scene), (await scene.ask(Kind.VERIFY)).task
    waiting = asyncio.ensure_future(tasks.wait(task, 3600))
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert tasks._watchers == {}
