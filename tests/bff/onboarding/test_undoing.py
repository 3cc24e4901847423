"""What was ready is ready no more once its Odoo is gone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bff.database import connect
from bff.onboarding.phases import State
from bff.onboarding.undoing import GONE, undo
from tests.bff.onboarding.founding import ANN

if TYPE_CHECKING:
    from bff.onboarding.store import OnboardingStore
    from tests.databases import Databases

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


async def test_all_from_the_database_on_is_to_be_done_again(
    databases: Databases, worker: OnboardingStore, store: OnboardingStore
) -> None:
    tenant_id = (await store.start(ANN, None)).tenant_id
    claimed = await worker.claim(tenant_id)
    assert claimed is not None
    progress, fence = claimed
    for phase in progress.phases:
        progress = progress.finish(phase.name, NOW.isoformat())
    assert await worker.save(tenant_id, progress, fence)
    before = await store.get(tenant_id)
    assert before is not None
    assert before[0].status == "ready"

    async with (
        connect(databases.worker, size=1) as database,
        database.tenant_transaction(tenant_id) as connection,
    ):
        await undo(connection, tenant_id, NOW)

    after = await store.get(tenant_id)
    assert after is not None
    assert after[1] > before[1]
    assert (after[0].status, after[0].error) == ("error", GONE)
    assert [phase.state for phase in after[0].phases] == [
        *(State.DONE, State.FAILED, State.PENDING, State.PENDING, State.PENDING),
    ]
    # A worker that slept meanwhile writes nothing.
    assert not await worker.save(tenant_id, progress, fence)
    again = await store.start(ANN, tenant_id)
    assert again.fresh
    assert again.progress.next() == "creating_odoo"


async def test_what_never_began_stays_so(databases: Databases) -> None:
    async with (
        connect(databases.worker, size=1) as database,
        database.tenant_transaction(1) as connection,
    ):
        await undo(connection, 1, NOW)
        assert await connection.fetchval("SELECT count(*) FROM onboarding") == 0
