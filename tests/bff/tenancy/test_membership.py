"""Which tenant a session acts for, and in which roles."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.identity.messages import ROLES, Person
from bff.tenancy.membership import Choice, Membership, Policy, choose, united

ACME = Membership(1001, ("viewer",), removed=False)
GLOBEX = Membership(1002, ("ops",), removed=False)
GONE = Membership(1001, ("admin",), removed=True)
POLICIES: tuple[Policy, ...] = ("trust", "check", "ignore")


def person(claimed: int | None = None, *roles: str) -> Person:
    return Person(
        iss="https://id.test",
        sub="alice",
        email="",
        email_verified=True,
        provider_sid=None,
        claimed_tenant=claimed,
        claimed_roles=roles,
    )


def chosen(claimed: Person, *memberships: Membership, **more: Any) -> Choice:
    return choose(claimed, memberships, **{"policy": "trust", **more})


def test_a_trusted_claim_joins_its_tenant() -> None:
    assert chosen(person(1001, "admin")) == Choice(1001, ("viewer", "admin"), join=True)


@pytest.mark.parametrize("policy", ["check", "ignore"])
def test_a_claim_without_a_membership_makes_none_where_it_is_not_trusted(
    policy: Policy,
) -> None:
    assert chosen(person(1001, "admin"), policy=policy) == Choice(None)
    found = chosen(person(1001, "admin"), GLOBEX, policy=policy)
    assert found == Choice(1002, ("viewer", "ops"))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_tombstone_is_not_overruled_by_a_claim(policy: Policy) -> None:
    assert chosen(person(1001, "admin"), GONE, policy=policy) == Choice(None)
    found = chosen(person(1001, "admin"), GONE, GLOBEX, policy=policy)
    assert found == Choice(1002, ("viewer", "ops"))
    found = chosen(
        person(1001, "admin"), GONE, policy=policy, current=1001, chosen=True
    )
    assert found == Choice(None)


def test_the_claims_roles_count_only_for_the_tenant_it_names() -> None:
    both = (ACME, GLOBEX)

    assert chosen(person(1001, "admin"), *both).roles == ("viewer", "admin")
    switched = chosen(person(1001, "admin"), *both, current=1002, chosen=True)
    assert switched == Choice(1002, ("viewer", "ops"))
    assert chosen(person(None, "admin"), *both).roles == ("viewer",)


def test_a_claim_names_the_tenant_where_claims_are_checked() -> None:
    found = chosen(person(1002, "admin"), ACME, GLOBEX, policy="check")

    assert found == Choice(1002, ("viewer", "ops", "admin"))


def test_an_ignored_claim_does_not_choose_the_tenant() -> None:
    found = chosen(person(1002, "admin"), ACME, GLOBEX, policy="ignore")

    assert found == Choice(1001, ("viewer",))


def test_a_choice_by_hand_comes_before_the_claim_while_it_is_a_membership() -> None:
    found = chosen(person(1001), ACME, GLOBEX, current=1002, chosen=True)
    assert found.tenant_id == 1002
    gone = chosen(person(1001), ACME, current=1002, chosen=True)
    assert gone.tenant_id == 1001
    stays = chosen(person(1001), ACME, GLOBEX, current=1002, chosen=False)
    assert stays.tenant_id == 1001


def test_without_a_claim_one_stays_or_starts_where_one_joined_first() -> None:
    assert chosen(person(), GLOBEX, ACME).tenant_id == 1002
    assert chosen(person(), GLOBEX, ACME, current=1001).tenant_id == 1001
    assert chosen(person(), GONE, GLOBEX).tenant_id == 1002
    assert chosen(person()) == Choice(None)


def test_united_roles_are_ours_in_order_and_hold_viewer() -> None:
    assert united(("admin",), ("ops",)) == ("viewer", "ops", "admin")
    assert united((), ()) == ("viewer",)
    assert united(("root",), ("superuser",)) == ("viewer",)


@given(
    st.none() | st.integers(1, 4),
    st.lists(st.sampled_from(ROLES), unique=True),
    st.lists(
        st.builds(
            Membership,
            st.integers(1, 4),
            st.lists(st.sampled_from(ROLES), unique=True).map(tuple),
            st.booleans(),
        ),
        max_size=4,
        unique_by=lambda one: one.tenant_id,
    ),
    st.sampled_from(POLICIES),
    st.none() | st.integers(1, 4),
    st.booleans(),
)
def test_nobody_gets_where_they_are_not_or_more_than_they_have(  # noqa: PLR0917 - hypothesis passes by place
    claimed: int | None,
    roles: list[str],
    memberships: list[Membership],
    policy: Policy,
    current: int | None,
    by_hand: bool,  # noqa: FBT001 - hypothesis passes by place
) -> None:
    found = choose(
        person(claimed, *roles),
        memberships,
        policy=policy,
        current=current,
        chosen=by_hand,
    )

    by_tenant = {one.tenant_id: one for one in memberships}
    if found.tenant_id is None:
        assert found.roles == ()
        return
    mine = by_tenant.get(found.tenant_id)
    assert mine is None or not mine.removed
    assert found.join is (mine is None)
    if mine is None:
        assert policy == "trust"
        assert found.tenant_id == claimed
    allowed = {"viewer", *(mine.roles if mine else ())}
    if found.tenant_id == claimed and policy != "ignore":
        allowed |= set(roles)
    assert set(found.roles) == allowed
