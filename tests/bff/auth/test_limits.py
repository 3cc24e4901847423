"""How long a sign-in must wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.auth.limits import LONGEST, PAIR, Tries, seconds_to_wait
from bff.auth.throttle import keys_of
from bff.client_address import network_of

NONE = Tries(0, 0)


def test_the_first_five_failures_are_free() -> None:
    assert [PAIR.wait(Tries(failures, 0)) for failures in range(5)] == [0] * 5
    assert PAIR.wait(Tries(5, 0)) == 2


def test_each_further_failure_doubles_the_wait_up_to_a_limit() -> None:
    assert [PAIR.wait(Tries(failures, 0)) for failures in (6, 7, 8)] == [4, 8, 16]
    assert PAIR.wait(Tries(10_000, 0)) == LONGEST
    assert PAIR.wait(Tries(6, 4)) == 0


def test_a_stranger_elsewhere_does_not_hold_up_a_known_browser() -> None:
    attacked = Tries(29, 0)

    assert seconds_to_wait(NONE, attacked, NONE, known_device=True) == 0
    assert seconds_to_wait(NONE, attacked, NONE, known_device=False) > 0


@given(st.integers(0, 10**6), st.floats(0, 10**6))
def test_a_wait_is_never_negative_nor_endless(failures: int, since: float) -> None:
    assert 0 <= PAIR.wait(Tries(failures, since)) <= LONGEST


def test_case_and_blanks_of_an_address_make_no_other_account() -> None:
    assert keys_of(" Alice@ACME.test ", "1.2.3.4") == keys_of(
        "alice@acme.test", "1.2.3.4"
    )
    assert keys_of("alice@acme.test", "1.2.3.4") != keys_of(
        "alice@acme.test", "1.2.3.5"
    )


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        (None, "unknown"),
        ("nonsense", "unknown"),
    ],
)
def test_ipv6_counts_by_its_network(address: str | None, network: str) -> None:
    assert network_of(address) == network
