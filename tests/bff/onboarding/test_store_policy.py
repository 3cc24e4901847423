"""Who may found a workspace, and how many a day."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bff.config_tenancy import Onboarding
from bff.errors import RateLimited
from bff.errors_workspace import OnboardingClosed
from bff.onboarding.store import OnboardingStore
from tests.bff.onboarding.founding import ANN, counted

if TYPE_CHECKING:
    from bff.database import Database
    from tests.databases import Databases


@pytest.mark.parametrize(
    ("open_to", "verified", "welcome"),
    [
        ("anyone", False, True),
        ("verified", False, False),
        ("verified", True, True),
        ("invited", True, False),
    ],
)
async def test_policy_says_who_may_open_a_workspace(
    app: Database, databases: Databases, open_to: str, *, verified: bool, welcome: bool
) -> None:
    store = OnboardingStore(app, Onboarding(open_to=open_to))
    founder = replace(ANN, email_verified=verified)

    if welcome:
        assert (await store.start(founder, None)).fresh
        return
    with pytest.raises(OnboardingClosed) as caught:
        await store.start(founder, None)
    assert (caught.value.status, caught.value.code) == (403, "onboarding_closed")
    assert set((await counted(databases)).values()) == {0}


async def test_policy_does_not_keep_members_from_their_tenant(
    app: Database, store: OnboardingStore
) -> None:
    tenant_id = (await store.start(ANN, None)).tenant_id
    closed = OnboardingStore(app, Onboarding(open_to="invited"))

    assert (await closed.start(ANN, None)).tenant_id == tenant_id
    assert (await closed.start(ANN, tenant_id)).tenant_id == tenant_id


async def test_a_person_s_daily_cap_holds_and_nothing_is_made_beyond_it(
    app: Database, databases: Databases
) -> None:
    store = OnboardingStore(app, Onboarding(open_to="anyone", per_person_daily=2))
    async with databases.superuser() as superuser:
        for _ in range(2):
            await store.start(ANN, None)
            await superuser.execute("UPDATE tenant_users SET removed_at = now()")

        with pytest.raises(RateLimited) as caught:
            await store.start(ANN, None)
        assert caught.value.headers["Retry-After"] == "86400"
        assert (await counted(databases))["tenants"] == 2

        await superuser.execute("UPDATE attempts SET at = at - interval '25 hours'")
        assert (await store.start(ANN, None)).fresh


async def test_an_address_s_daily_cap_holds_against_many_at_once(
    app: Database, databases: Databases
) -> None:
    store = OnboardingStore(app, Onboarding(open_to="anyone", per_address_daily=3))
    people = [replace(ANN, sub=f"person {number}") for number in range(8)]

    done = await asyncio.gather(
        *(store.start(person, None) for person in people), return_exceptions=True
    )

    refused = [each for each in done if isinstance(each, RateLimited)]
    assert (len(refused), (await counted(databases))["tenants"]) == (5, 3)
    elsewhere = replace(ANN, sub="another", address="192.0.2.2")
    assert (await store.start(elsewhere, None)).fresh


async def test_an_ipv6_network_is_one_address(app: Database) -> None:
    store = OnboardingStore(app, Onboarding(open_to="anyone", per_address_daily=2))
    for number in range(2):
        address = f"2001:db8:1:2::{number}"
        await store.start(replace(ANN, sub=f"p{number}", address=address), None)

    with pytest.raises(RateLimited):
        await store.start(replace(ANN, sub="p2", address="2001:db8:1:2:3::"), None)
    elsewhere = replace(ANN, sub="p3", address="2001:db8:1:3::")
    assert (await store.start(elsewhere, None)).fresh


async def test_caps_keep_hashes_never_addresses(
    store: OnboardingStore, databases: Databases
) -> None:
    await store.start(ANN, None)

    async with databases.superuser() as superuser:
        keys = await superuser.fetch("SELECT key FROM attempts")
    assert {len(row["key"]) for row in keys} == {32}
