"""The row of an onboarding: started once, gone on with, fenced."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
import pytest

from bff.database import connect
from bff.icp.rules import Profile
from bff.onboarding import first_rule
from bff.onboarding.phases import NAMES, Progress
from bff.onboarding.store import OnboardingStore
from tests.bff.onboarding.founding import ANN, AT, OPEN, counted

if TYPE_CHECKING:
    from tests.databases import Databases


async def fail(
    worker: OnboardingStore, tenant_id: int, name: str = "creating_odoo"
) -> None:
    claimed = await worker.claim(tenant_id)
    assert claimed is not None
    progress, fence = claimed
    for before in NAMES[: NAMES.index(name)]:
        progress = progress.begin(before, AT).finish(before, AT)
    progress = progress.begin(name, AT).fail(name, AT, "Odoo is full.")
    assert await worker.save(tenant_id, progress, fence)


async def test_a_first_sign_in_makes_tenant_founder_row_and_job(
    store: OnboardingStore, databases: Databases
) -> None:
    started = await store.start(replace(ANN, workspace_name="Ann & Co"), None)

    assert started.fresh
    assert started.progress == Progress()
    async with databases.superuser() as superuser:
        tenant = await superuser.fetchrow("SELECT * FROM tenants")
        member = await superuser.fetchrow("SELECT * FROM tenant_users")
        row = await superuser.fetchrow("SELECT * FROM onboarding")
        job = await superuser.fetchrow("SELECT * FROM pgqueuer")
    assert tenant is not None
    assert member is not None
    assert row is not None
    assert job is not None
    assert tenant["name"] == "Ann & Co"
    assert (member["sub"], member["roles"]) == ("ann", ["viewer", "admin"])
    assert row["tenant_id"] == started.tenant_id
    assert (job["entrypoint"], job["payload"]) == (
        "onboarding",
        str(started.tenant_id).encode(),
    )


async def test_a_new_workspace_has_a_customer_rule_that_can_be_read(
    store: OnboardingStore, databases: Databases
) -> None:
    started = await store.start(ANN, None)
    await store.start(ANN, started.tenant_id)

    async with databases.superuser() as superuser:
        (rule,) = await superuser.fetch("SELECT * FROM icp_rules")
    assert (rule["tenant_id"], rule["name"]) == (started.tenant_id, first_rule.NAME)
    profile = Profile.model_validate_json(rule["payload"])
    assert profile.told() == first_rule.PAYLOAD


async def test_an_operator_s_workspace_has_it_too_unless_it_has_rules(
    store: OnboardingStore, databases: Databases
) -> None:
    async with databases.superuser() as superuser:
        await superuser.execute("INSERT INTO tenants VALUES (5, 'given'), (6, 'old')")
        await superuser.execute(
            "INSERT INTO icp_rules (tenant_id, name, payload) VALUES (6, 'mine', '{}')"
        )

    for tenant_id in (5, 6):
        await store.start(ANN, tenant_id)

    async with databases.superuser() as superuser:
        rows = await superuser.fetch("SELECT tenant_id, name FROM icp_rules")
    assert {tuple(row) for row in rows} == {(5, first_rule.NAME), (6, "mine")}


async def test_twenty_at_once_on_two_gateways_make_one_tenant_one_row_one_job(
    databases: Databases,
) -> None:
    async with AsyncExitStack() as stack:
        stores = [
            OnboardingStore(
                await stack.enter_async_context(connect(databases.app, size=4)), OPEN
            )
            for _ in range(2)
        ]
        started = await asyncio.gather(
            *(stores[number % 2].start(ANN, None) for number in range(20))
        )

    assert len({each.tenant_id for each in started}) == 1
    assert sorted(each.fresh for each in started) == [False] * 19 + [True]
    assert await counted(databases) == dict.fromkeys(
        ("tenants", "tenant_users", "onboarding", "pgqueuer"), 1
    )


async def test_two_people_get_two_tenants(store: OnboardingStore) -> None:
    one, two = await asyncio.gather(
        store.start(ANN, None), store.start(replace(ANN, sub="ben"), None)
    )

    assert one.tenant_id != two.tenant_id
    assert one.fresh
    assert two.fresh


async def test_a_person_of_a_tenant_starts_that_one_and_founds_none(
    store: OnboardingStore, databases: Databases
) -> None:
    async with databases.superuser() as superuser:
        await superuser.execute("INSERT INTO tenants VALUES (5, 'given')")

    started = await store.start(ANN, 5)

    assert started.tenant_id == 5
    assert (await counted(databases))["tenants"] == 1


async def test_after_an_error_it_goes_on_from_the_failed_phase(
    store: OnboardingStore, worker: OnboardingStore, databases: Databases
) -> None:
    tenant_id = (await store.start(ANN, None)).tenant_id
    await fail(worker, tenant_id)
    async with databases.superuser() as superuser:
        await superuser.execute("DELETE FROM pgqueuer")  # the failed job is put away

    again = await store.start(ANN, tenant_id)

    assert again.fresh
    assert again.progress.attempt == 2
    assert again.progress.status == "creating_odoo"
    assert again.progress.error is None
    found = await store.get(tenant_id)
    assert found is not None
    assert found[0] == again.progress
    assert (await counted(databases))["pgqueuer"] == 1


async def test_a_retry_while_the_failed_job_is_still_there_is_not_lost(
    store: OnboardingStore, worker: OnboardingStore, databases: Databases
) -> None:
    tenant_id = (await store.start(ANN, None)).tenant_id
    await fail(worker, tenant_id)

    await store.start(ANN, tenant_id)

    assert (await counted(databases))["pgqueuer"] == 2


async def test_twenty_retries_at_once_are_one_attempt(
    store: OnboardingStore, worker: OnboardingStore, databases: Databases
) -> None:
    tenant_id = (await store.start(ANN, None)).tenant_id
    await fail(worker, tenant_id)

    done = await asyncio.gather(*(store.start(ANN, tenant_id) for _ in range(20)))

    assert sum(each.fresh for each in done) == 1
    assert {each.progress.attempt for each in done} == {2}
    assert (await counted(databases))["pgqueuer"] == 2


async def test_a_queue_emptied_by_hand_is_filled_again_until_ready(
    store: OnboardingStore, worker: OnboardingStore, databases: Databases
) -> None:
    tenant_id = (await store.start(ANN, None)).tenant_id
    claimed = await worker.claim(tenant_id)
    assert claimed is not None
    progress, fence = claimed
    for name in NAMES:
        async with databases.superuser() as superuser:
            await superuser.execute("DELETE FROM pgqueuer")
        assert not (await store.start(ANN, tenant_id)).fresh
        assert (await counted(databases))["pgqueuer"] == 1, name
        progress = progress.begin(name, AT).finish(name, AT)
        assert await worker.save(tenant_id, progress, fence)
    async with databases.superuser() as superuser:
        await superuser.execute("DELETE FROM pgqueuer")
    assert (await store.start(ANN, tenant_id)).progress.status == "ready"
    assert (await counted(databases))["pgqueuer"] == 0


async def test_a_worker_with_an_older_fence_changes_nothing(
    store: OnboardingStore, worker: OnboardingStore
) -> None:
    tenant_id = (await store.start(ANN, None)).tenant_id
    old, new = await worker.claim(tenant_id), await worker.claim(tenant_id)
    assert old is not None
    assert new is not None
    assert new[1] > old[1]
    assert await worker.save(tenant_id, new[0].begin("starting", AT), new[1])
    before = await store.get(tenant_id)

    late = old[0].fail("starting", AT, "I was asleep")
    assert not await worker.save(tenant_id, late, old[1])

    assert await store.get(tenant_id) == before


async def test_every_change_is_numbered_and_announced(
    store: OnboardingStore, worker: OnboardingStore, databases: Databases
) -> None:
    heard: list[str] = []
    tenant_id = (await store.start(ANN, None)).tenant_id
    listener = await asyncpg.connect(databases.app)
    try:
        await listener.add_listener("onboarding", lambda *said: heard.append(said[3]))
        claimed = await worker.claim(tenant_id)
        assert claimed is not None
        first = await store.get(tenant_id)
        assert await worker.save(
            tenant_id, claimed[0].begin("starting", AT), claimed[1]
        )
        second = await store.get(tenant_id)
        await listener.execute("SELECT 1")
    finally:
        await listener.close()

    assert first is not None
    assert second is not None
    assert second[1] == first[1] + 1
    assert heard == [str(tenant_id)]


async def test_an_unknown_tenant_has_no_progress(
    store: OnboardingStore, worker: OnboardingStore
) -> None:
    assert await store.get(404) is None
    assert await worker.claim(404) is None


async def test_a_failure_half_way_leaves_nothing(
    databases: Databases, store: OnboardingStore
) -> None:
    async with databases.superuser() as superuser:
        await superuser.execute("REVOKE INSERT ON pgqueuer FROM bff_app")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await store.start(ANN, None)

    assert set((await counted(databases)).values()) == {0}


async def test_the_row_keeps_the_phases_as_the_contract_words_them(
    store: OnboardingStore, databases: Databases
) -> None:
    await store.start(ANN, None)

    async with databases.superuser() as superuser:
        phases = json.loads(await superuser.fetchval("SELECT phases FROM onboarding"))
    assert [phase["name"] for phase in phases] == list(NAMES)
