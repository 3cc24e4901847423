"""The arithmetic of lifetimes, and tickets written and read again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.identity.messages import Person, Tokens
from bff.sessions.session import (
    LONGEST_ACCESS,
    DamagedTicket,
    Pair,
    fields,
    new_pair,
    read_access,
    read_refresh,
    with_tenant,
)
from tests.bff.sessions.tickets import NOW, make_pair

PERSON = Person(
    iss="https://id.test",
    sub="alice",
    email="alice@acme.test",
    email_verified=True,
    provider_sid="s",
    claimed_tenant=None,
    claimed_roles=(),
)


def made(expires_in: float, refresh_expires_in: float, session_exp: float) -> Pair:
    return new_pair(
        sid=make_pair().access.sid,
        gen=3,
        person=PERSON,
        tokens=Tokens("a", "r", expires_in, refresh_expires_in, None),
        tenant_id=1,
        roles=("viewer",),
        session_exp=session_exp,
        now=NOW,
    )


def test_a_pair_is_written_and_read_again() -> None:
    pair = make_pair(tenant_id=None)

    assert Pair.load(pair.dump()) == pair
    assert read_access(fields(pair.access)) == pair.access
    assert read_refresh(fields(pair.refresh)) == pair.refresh


def test_how_a_session_was_begun_costs_no_byte_where_it_means_nothing() -> None:
    by_password = make_pair().access
    by_redirect = replace(by_password, sso=True)

    assert "sso" not in fields(by_password)
    assert read_access(fields(by_password)) == by_password
    assert read_access(fields(by_redirect)) == by_redirect


@pytest.mark.parametrize("name", sorted(fields(make_pair().access)))
def test_an_access_ticket_without_a_field_is_damaged(name: str) -> None:
    values = fields(make_pair().access)
    del values[name]

    with pytest.raises(DamagedTicket):
        read_access(values)


@pytest.mark.parametrize("changed", [{"sid": 5}, {"sid": "x"}, {"more": 1}])
def test_a_ticket_of_another_kind_is_damaged(changed: dict[str, object]) -> None:
    pair = make_pair()

    with pytest.raises(DamagedTicket):
        read_access({**fields(pair.access), **changed})
    with pytest.raises(DamagedTicket):
        read_refresh({**fields(pair.refresh), **changed})
    with pytest.raises(DamagedTicket):
        read_access({**fields(pair.access), "roles": None})


def test_an_access_and_a_refresh_ticket_are_not_each_other() -> None:
    pair = make_pair()

    with pytest.raises(DamagedTicket):
        read_access(fields(pair.refresh))
    with pytest.raises(DamagedTicket):
        read_refresh(fields(pair.access))


@given(st.floats(1, 1e6), st.floats(0, 1e6), st.floats(1, 1e6))
def test_no_token_outlives_its_session(
    expires_in: float, refresh_expires_in: float, left: float
) -> None:
    pair = made(expires_in, refresh_expires_in, NOW + left)

    assert NOW < pair.access.access_exp <= pair.access.session_exp
    assert pair.access.access_exp <= NOW + LONGEST_ACCESS
    assert pair.refresh.refresh_exp <= pair.access.session_exp


def test_a_refresh_token_without_an_end_lasts_as_long_as_the_session() -> None:
    assert made(300, 0, NOW + 9000).refresh.refresh_exp == NOW + 9000
    assert made(300, 1800, NOW + 9000).refresh.refresh_exp == NOW + 1800


def test_a_token_is_renewed_in_its_last_fifth_or_its_last_half_minute() -> None:
    long = make_pair().access
    short = replace(long, access_exp=NOW + 10)

    assert not long.should_refresh(NOW + 269.9)
    assert long.should_refresh(NOW + 270)
    assert not short.should_refresh(NOW + 7.9)
    assert short.should_refresh(NOW + 8)


def test_ends_are_the_moments_themselves() -> None:
    pair = make_pair()

    assert not pair.access.is_expired(NOW + 299.9)
    assert pair.access.is_expired(NOW + 300)
    assert not pair.access.is_over(NOW + 3599.9)
    assert pair.access.is_over(NOW + 3600)
    assert not pair.refresh.is_over(NOW + 1799.9)
    assert pair.refresh.is_over(NOW + 1800)


def test_a_tenant_comes_to_both_tickets_of_one_generation() -> None:
    pair = with_tenant(make_pair(tenant_id=None), 1002, ("viewer", "ops"), 7)

    assert (pair.access.tenant_id, pair.access.roles) == (1002, ("viewer", "ops"))
    assert (pair.access.gen, pair.refresh.gen) == (7, 7)
