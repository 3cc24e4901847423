"""Keys are replaced before they end, one after another, and lost jobs come back."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from bff import background, config
from bff.database import Database, DatabaseUnavailable
from bff.sessions.sealing import KEY_BYTES, format_key
from bff.sites.tasks import Kind, revive
from bff.sites.upkeep import ask_rotation, keep_up
from tests.bff.sites.scene import TENANT
from tests.bff.waiting import until
from tests.fakes.odoo_services import MASTER, TEMPLATE

if TYPE_CHECKING:
    from tests.bff.sites.estate import Estate
    from tests.bff.sites.scene import Scene

MADE = (
    "UPDATE odoo_connections SET made = true, "
    "key_expires_at = now() + $2::text::interval WHERE tenant_id = $1"
)


async def with_key(scene: Scene, tenant_id: int, ends_in: str) -> None:
    await scene.tenant(tenant_id)
    await scene.execute(MADE, tenant_id, ends_in)


async def test_only_keys_that_end_soon_are_replaced_the_first_first(
    scene: Scene,
) -> None:
    for tenant_id, ends_in in (
        (1, "13 days"),
        (2, "2 days"),
        (3, "15 days"),
        (4, "-1 day"),
        (5, "89 days"),
    ):
        await with_key(scene, tenant_id, ends_in)
    asked = [await ask_rotation(scene.worker, 14) for _ in range(5)]
    assert asked == [4, 2, 1, None, None]
    rows = await scene.rows("SELECT kind, state, asked_by FROM odoo_tasks")
    assert [tuple(row) for row in rows] == [("rotate", "queued", "")] * 3
    assert await scene.jobs() == 3


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE odoo_connections SET made = false",
        "UPDATE odoo_connections SET active = false",
    ],
)
async def test_what_is_not_made_or_suspended_keeps_its_key(
    scene: Scene, change: str
) -> None:
    await with_key(scene, TENANT, "1 day")
    await scene.execute(change)
    assert await ask_rotation(scene.worker, 14) is None


async def test_a_key_without_an_end_stays(scene: Scene) -> None:
    await scene.tenant()
    await scene.execute("UPDATE odoo_connections SET made = true")
    assert await ask_rotation(scene.worker, 14) is None


async def test_one_under_way_is_not_asked_for_again(scene: Scene) -> None:
    await with_key(scene, TENANT, "1 day")
    await scene.ask(Kind.ROTATE, by="i ann")
    assert await ask_rotation(scene.worker, 14) is None
    await scene.execute("UPDATE odoo_tasks SET asked_at = now() - interval '9 days'")
    assert await ask_rotation(scene.worker, 14) is None


async def test_one_that_failed_is_tried_again_the_next_day(scene: Scene) -> None:
    await with_key(scene, TENANT, "10 days")
    assert await ask_rotation(scene.worker, 14) == TENANT
    await scene.execute(
        "UPDATE odoo_tasks SET state = 'failed', finished_at = now(), "
        "asked_at = now() - interval '19 hours'"
    )
    assert await ask_rotation(scene.worker, 14) is None
    await scene.execute(
        "UPDATE odoo_tasks SET asked_at = now() - interval '21 hours', "
        "finished_at = now() - interval '21 hours'"
    )
    assert await ask_rotation(scene.worker, 14) == TENANT
    assert (await scene.task(Kind.ROTATE))["run"] == 2


async def test_a_key_about_to_end_that_could_not_be_replaced_is_said_loudly(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    failed = (
        "UPDATE odoo_tasks SET state = 'failed', "
        "asked_at = now() - interval '1 day', finished_at = now() - interval '1 day'"
    )
    await with_key(scene, TENANT, "10 days")
    await ask_rotation(scene.worker, 14)
    await scene.execute(failed)
    await ask_rotation(scene.worker, 14)
    assert "could not be replaced" not in caplog.text
    await scene.execute(failed)
    await scene.execute(MADE, TENANT, "2 days")
    await ask_rotation(scene.worker, 14)
    assert "the key of tenant 7 ends at" in caplog.text
    assert [one.levelno for one in caplog.records] == [logging.ERROR]


async def test_several_workers_ask_once(scene: Scene) -> None:
    for tenant_id in (1, 2):
        await with_key(scene, tenant_id, "1 day")
    for _ in range(3):
        await asyncio.gather(*(ask_rotation(scene.worker, 14) for _ in range(3)))
    rows = await scene.rows("SELECT run FROM odoo_tasks")
    assert [row["run"] for row in rows] == [1, 1]
    assert await scene.jobs() == 2


async def test_the_loop_asks_for_one_and_revives_what_was_lost(scene: Scene) -> None:
    for tenant_id in (1, 2):
        await with_key(scene, tenant_id, "1 day")
    await scene.tenant(3)
    await scene.ask(Kind.VERIFY, 3)
    await scene.execute("DELETE FROM pgqueuer")
    await scene.execute("UPDATE odoo_tasks SET asked_at = now() - interval '1 minute'")
    closing = asyncio.Event()
    keeping = asyncio.ensure_future(keep_up(scene.worker, closing, lambda: 0.5, 14))

    async def asked() -> bool:
        return await scene.jobs() == 2

    await until(asked)
    closing.set()
    await asyncio.wait_for(keeping, 10)
    rows = await scene.rows("SELECT dedupe_key FROM pgqueuer ORDER BY 1")
    assert [row[0] for row in rows] == ["odoo_task:1:rotate:1", "odoo_task:3:verify:1"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DatabaseUnavailable("away"), "no database"),
        (RuntimeError("odd"), "looking after tenants' Odoo failed"),
    ],
)
async def test_the_loop_goes_on_whatever_happens(
    scene: Scene,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    rounds: list[Database] = []

    async def failing(database: Database, quiet: float) -> int:
        del quiet
        rounds.append(database)
        raise error

    monkeypatch.setattr("bff.sites.upkeep.revive", failing)
    monkeypatch.setattr("bff.sites.upkeep.PAUSE", 0.02)
    closing = asyncio.Event()
    keeping = asyncio.ensure_future(keep_up(scene.worker, closing, lambda: 0.5, 14))

    async def twice() -> bool:
        return len(rounds) > 1

    await until(twice)
    closing.set()
    await asyncio.wait_for(keeping, 10)
    assert said in caplog.text


async def test_a_worker_of_a_deployment_does_all_of_it(estate: Estate) -> None:
    """It fills the pool, and sets about replacing a key that is about to end."""
    scene = estate.scene
    await with_key(scene, TENANT, "1 day")
    values: dict[str, Any] = {
        "environment": "dev",
        "database": {"url": scene.databases.app, "worker_url": scene.databases.worker},
        "auth": {"issuer": "http://localhost/realms/x", "client_secret": "x"},
        "session": {"keys": format_key(1, bytes([1]) * KEY_BYTES)},
        "worker": {"heartbeat": 1, "dequeue": 0.2},
        "odoo": {
            "server_url": estate.fake.url,
            "master_password": MASTER,
            "template": TEMPLATE,
            "warm": 1,
            "sso_client_id": "odoo",
            "sso_client_secret": "test-odoo-client-secret",
        },
    }

    async def done() -> bool:
        rows = await scene.rows(
            "SELECT state FROM odoo_tasks WHERE kind = 'rotate' AND run = 1"
        )
        # There is no such database in this Odoo: what counts is that it was tried.
        return [row["state"] for row in rows] == ["failed"]

    async def ready() -> bool:
        rows = await scene.rows("SELECT state FROM odoo_warm")
        return [row["state"] for row in rows] == ["ready"]

    async with background.worker(config.build(values)):
        await until(done, seconds=30)
        await until(ready, seconds=30)


async def test_one_that_ended_late_hides_nobody_behind_it(scene: Scene) -> None:
    await with_key(scene, 1, "1 day")
    await with_key(scene, 2, "2 days")
    assert await ask_rotation(scene.worker, 14) == 1
    await scene.execute(
        "UPDATE odoo_tasks SET state = 'failed', finished_at = now(), "
        "asked_at = now() - interval '21 hours'"
    )
    assert await ask_rotation(scene.worker, 14) == 2


async def test_a_key_that_has_ended_is_tried_again_within_hours(scene: Scene) -> None:
    await with_key(scene, TENANT, "-1 minute")
    assert await ask_rotation(scene.worker, 14) == TENANT
    failed = (
        "UPDATE odoo_tasks SET state = 'failed', asked_at = now() - interval '1 day', "
        "finished_at = now() - $1::text::interval"
    )
    await scene.execute(failed, "10 minutes")
    assert await ask_rotation(scene.worker, 14) is None
    await scene.execute(failed, "90 minutes")
    assert await ask_rotation(scene.worker, 14) == TENANT
    assert (await scene.task(Kind.ROTATE))["run"] == 2


async def test_reviving_that_fails_takes_no_rotation_along(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_key(scene, TENANT, "1 day")

    async def failing(_: Database, __: float) -> int:
        raise RuntimeError("odd")

    monkeypatch.setattr("bff.sites.upkeep.revive", failing)
    closing = asyncio.Event()
    keeping = asyncio.ensure_future(keep_up(scene.worker, closing, lambda: 0.5, 14))

    async def asked() -> bool:
        return await scene.jobs() == 1

    await until(asked)
    closing.set()
    await asyncio.wait_for(keeping, 10)


async def test_a_newer_release_s_kind_is_left_to_it(scene: Scene) -> None:
    await scene.tenant()
    await scene.ask(Kind.VERIFY)
    await scene.ask(Kind.SYNC)
    await scene.execute("DELETE FROM pgqueuer")
    await scene.execute("ALTER TABLE odoo_tasks DROP CONSTRAINT odoo_tasks_kind_check")
    await scene.execute("UPDATE odoo_tasks SET kind = 'newer' WHERE kind = 'sync'")
    await scene.execute("UPDATE odoo_tasks SET asked_at = now() - interval '1 minute'")
    assert await revive(scene.worker, 15) == 1
