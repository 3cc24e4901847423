"""One worker at a time has a tenant in hand, whatever becomes of it."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bff.database import DatabaseUnavailable
from bff.sites.holding import LEASE, NoOdoo, StillHeld, extended, holding
from bff.sites.safe import Replaced
from tests.bff.sites.scene import TENANT
from tests.bff.waiting import until

if TYPE_CHECKING:
    from bff.sites.holding import Hold
    from tests.bff.sites.scene import Scene

ENDED = "UPDATE odoo_connections SET held_until = now() - interval '1 second'"


async def test_the_tenant_is_held_and_let_go(scene: Scene) -> None:
    await scene.tenant()
    async with holding(scene.worker, TENANT) as hold:
        row = await scene.row()
        assert row["fence"] == hold.fence == 1
        assert row["held_until"] is not None
    assert (await scene.row())["held_until"] is None
    async with holding(scene.worker, TENANT, patience=0) as again:
        assert again.fence == 2


async def test_the_second_waits_until_the_first_lets_go(scene: Scene) -> None:
    await scene.tenant()
    order: list[str] = []

    async def second() -> None:
        async with holding(scene.worker, TENANT) as hold:
            order.append(f"second {hold.fence}")

    async with holding(scene.worker, TENANT):
        waiting = asyncio.ensure_future(second())
        await asyncio.sleep(0.5)
        order.append("first ends")
    await waiting
    assert order == ["first ends", "second 2"]


async def test_of_many_exactly_one_has_it_at_a_time(scene: Scene) -> None:
    await scene.tenant()
    inside, most, fences = 0, 0, []

    async def one() -> None:
        nonlocal inside, most
        async with holding(scene.worker, TENANT) as hold:
            inside += 1
            most = max(most, inside)
            fences.append(hold.fence)
            await asyncio.sleep(0.02)
            inside -= 1

    await asyncio.gather(*(one() for _ in range(8)))
    assert most == 1
    assert fences == list(range(1, 9))


async def test_whoever_waits_too_long_is_told(scene: Scene) -> None:
    await scene.tenant()
    async with holding(scene.worker, TENANT):
        with pytest.raises(StillHeld, match="tenant 7"):
            async with holding(scene.worker, TENANT, patience=0.2):
                pass
        assert (await scene.row())["fence"] == 1


async def test_other_tenants_are_no_matter(scene: Scene) -> None:
    await scene.tenant()
    await scene.tenant(8)
    async with AsyncExitStack() as stack:
        for tenant_id in (TENANT, 8):
            await stack.enter_async_context(
                holding(scene.worker, tenant_id, patience=0)
            )


async def test_a_tenant_without_odoo_is_told_at_once(scene: Scene) -> None:
    await scene.tenant(has_odoo=False)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    for tenant_id in (TENANT, 12345):
        with pytest.raises(NoOdoo):
            async with holding(scene.worker, tenant_id, sleep=sleep):
                pass
    assert slept == []


async def test_a_lease_is_extended_while_its_holder_lives(scene: Scene) -> None:
    await scene.tenant()
    async with holding(scene.worker, TENANT, lease=1.0):
        began = (await scene.row())["held_until"]

        async def later() -> bool:
            return bool((await scene.row())["held_until"] > began)

        await until(later)


CHILD = """
import asyncio, os
from bff.database import connect
from bff.sites.holding import holding

async def main():
    async with connect(os.environ["WORKER_URL"], size=2) as database:
        async with holding(database, 7):
            await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_a_killed_holder_s_lease_ends(scene: Scene) -> None:
    await scene.tenant()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CHILD,
        env={**os.environ, "WORKER_URL": scene.databases.worker},
        cwd=Path(__file__).parents[3],
    )
    try:

        async def held() -> bool:
            return (await scene.row())["held_until"] is not None

        await until(held, seconds=30)
    finally:
        child.kill()
        await child.wait()
    left = await scene.value(
        "SELECT extract(epoch FROM held_until - now()) FROM odoo_connections"
    )
    assert left <= LEASE
    async with holding(scene.worker, TENANT, patience=2 * LEASE) as hold:
        assert hold.fence == 2


async def test_one_that_was_paused_finds_itself_replaced(scene: Scene) -> None:
    await scene.tenant()
    async with holding(scene.worker, TENANT) as paused:
        await scene.execute(ENDED)
        async with holding(scene.worker, TENANT, patience=0) as other:
            with pytest.raises(Replaced):
                await paused.extend()
            with pytest.raises(Replaced):
                await scene.safe(paused).still_ours()
            await other.extend()
            held = (await scene.row())["held_until"]
        assert held is not None
    # The paused one lets go of nothing that is another's.
    assert (await scene.row())["fence"] == other.fence


async def test_the_one_that_was_replaced_does_not_let_go_of_the_other_s(
    scene: Scene,
) -> None:
    await scene.tenant()
    async with AsyncExitStack() as stack:
        async with holding(scene.worker, TENANT):
            await scene.execute(ENDED)
            await stack.enter_async_context(holding(scene.worker, TENANT, patience=0))
        assert (await scene.row())["held_until"] is not None


async def test_a_lease_that_ended_and_nobody_took_is_still_ours(scene: Scene) -> None:
    await scene.tenant()
    async with holding(scene.worker, TENANT) as hold:
        await scene.execute(ENDED)
        await hold.extend()
        with pytest.raises(StillHeld):
            async with holding(scene.worker, TENANT, patience=0):
                pass


async def test_what_is_raised_inside_comes_through_and_the_tenant_is_free(
    scene: Scene,
) -> None:
    await scene.tenant()
    with pytest.raises(ValueError, match="ours"):
        async with holding(scene.worker, TENANT):
            raise ValueError("ours")
    assert (await scene.row())["held_until"] is None


async def test_who_is_told_to_stop_lets_go(scene: Scene) -> None:
    await scene.tenant()
    entered = asyncio.Event()

    async def work() -> None:
        async with holding(scene.worker, TENANT):
            entered.set()
            await asyncio.sleep(3600)

    task = asyncio.ensure_future(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await scene.row())["held_until"] is None


async def test_postgres_away_for_a_moment_loses_nothing(scene: Scene) -> None:
    await scene.tenant()
    async with holding(scene.worker, TENANT) as hold:
        async with scene.away():
            with pytest.raises(DatabaseUnavailable):
                await hold.extend()
        await hold.extend()
    assert (await scene.row())["held_until"] is None


async def test_letting_go_while_postgres_is_away_is_left_to_the_lease(
    scene: Scene,
) -> None:
    await scene.tenant()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(holding(scene.worker, TENANT))
        async with scene.away():
            await stack.aclose()
    assert (await scene.row())["held_until"] is not None


class Stubborn:
    """Something in hand that is hard to hold."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def extend(self) -> None:
        self.asked += 1
        if self.answers and (answer := self.answers.pop(0)) is not None:
            raise answer


async def test_one_bad_answer_does_not_end_the_extending() -> None:
    held = Stubborn(DatabaseUnavailable("away"), RuntimeError("odd"), None)
    async with extended(held, 0.05):

        async def often() -> bool:
            return held.asked > 4

        await until(often)


async def test_one_that_was_replaced_is_not_extended_any_more() -> None:
    held = Stubborn(Replaced())
    async with extended(held, 0.05):
        await asyncio.sleep(0.2)
    assert held.asked == 1


async def test_a_stop_that_comes_while_the_extending_ends_is_heard(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.tenant()
    slow = asyncio.Event()

    async def unwilling(self: Hold) -> None:
        del self
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            slow.set()
            await asyncio.sleep(0.2)
            raise

    monkeypatch.setattr("bff.sites.holding.Hold.extend", unwilling)

    async def work() -> None:
        async with holding(scene.worker, TENANT, lease=0.1):
            await asyncio.sleep(0.2)

    task = asyncio.ensure_future(work())
    await slow.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
