"""Whose a workspace is: what Odoo's administrator account is given to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bff.onboarding.phases import NAMES
from tests.bff.onboarding.founding import ANN, AT

if TYPE_CHECKING:
    from bff.onboarding.store import OnboardingStore
    from tests.databases import Databases

CLAIMED = 1001


async def join(databases: Databases, sub: str, roles: str = "{viewer}") -> None:
    async with databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO tenants (tenant_id, name) VALUES ($1, 'Acme') "
            "ON CONFLICT DO NOTHING",
            CLAIMED,
        )
        await superuser.execute(
            "INSERT INTO tenant_users (tenant_id, iss, sub, email, roles) "
            "VALUES ($1, $2, $3, $3 || '@x.test', $4::text[])",
            CLAIMED,
            ANN.iss,
            sub,
            roles.strip("{}").split(","),
        )


async def owner(store: OnboardingStore) -> str | None:
    found = await store.owner(CLAIMED)
    return found.sub if found else None


async def test_an_admin_by_claim_owns_what_they_set_up(
    store: OnboardingStore, databases: Databases
) -> None:
    await join(databases, "ann")
    await store.start(replace(ANN, is_admin=True), CLAIMED)
    assert await owner(store) == "ann"


async def test_a_member_without_that_role_owns_nothing(
    store: OnboardingStore, databases: Databases
) -> None:
    await join(databases, "ann")
    await store.start(ANN, CLAIMED)
    assert await owner(store) is None


async def test_an_admin_of_our_own_table_who_is_one_no_more_owns_nothing(
    store: OnboardingStore, databases: Databases
) -> None:
    await join(databases, "ann", "{viewer,admin}")
    await store.start(replace(ANN, is_admin=True), CLAIMED)
    async with databases.superuser() as superuser:
        await superuser.execute("UPDATE tenant_users SET roles = '{viewer}'")
    assert await owner(store) is None


async def test_an_admin_of_our_own_table_comes_before_one_by_claim(
    store: OnboardingStore, databases: Databases
) -> None:
    await join(databases, "ann")
    await store.start(replace(ANN, is_admin=True), CLAIMED)
    await join(databases, "bob", "{viewer,admin}")
    assert await owner(store) == "bob", "Ann's claim may be withdrawn by now"


async def test_a_founder_of_our_own_table_comes_before_older_admins(
    store: OnboardingStore, databases: Databases
) -> None:
    await join(databases, "bob", "{viewer,admin}")
    await join(databases, "ann", "{viewer,admin}")
    await store.start(replace(ANN, is_admin=True), CLAIMED)
    assert await owner(store) == "ann"


async def test_an_admin_by_claim_takes_over_what_failed_without_any(
    store: OnboardingStore, databases: Databases
) -> None:
    await join(databases, "ann")
    await join(databases, "bob")
    await store.start(ANN, CLAIMED)
    bob = replace(ANN, sub="bob", is_admin=True)
    await store.start(bob, CLAIMED)
    assert await owner(store) is None, "nothing has failed yet"

    claimed = await store.claim(CLAIMED)
    assert claimed is not None
    progress, fence = claimed
    failed = progress.begin(NAMES[0], AT).fail(NAMES[0], AT, "Nobody is admin.")
    assert await store.save(CLAIMED, failed, fence)
    assert (await store.start(bob, CLAIMED)).fresh
    assert await owner(store) == "bob"
