"""Whose address a request has, behind proxies that are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.auth.limits import FREE
from bff.client_address import client_address, networks
from tests.bff.configs import DEV, problems
from tests.world import World

if TYPE_CHECKING:
    from tests.databases import Databases

PROXIES = networks(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),  # nobody we trust says so
        ("10.1.1.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.1.1.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # the left is hearsay
        ("10.1.1.1", ["203.0.113.9, 10.2.2.2"], "203.0.113.9"),
        ("10.1.1.1", ["203.0.113.9", "10.2.2.2"], "203.0.113.9"),  # two header lines
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", ["unknown"], "10.1.1.1"),
        ("10.1.1.1", ["203.0.113.9, nonsense"], "10.1.1.1"),
        ("::1", ["2001:db8::7"], "2001:db8::7"),
        (None, ["203.0.113.9"], ""),
        # A socket for both kinds writes IPv4 as IPv6: the same callers, and proxies.
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("::ffff:10.1.1.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.1.1.1", ["203.0.113.9, ::ffff:10.2.2.2"], "203.0.113.9"),
        ("10.1.1.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
    ],
)
def test_the_nearest_address_that_is_no_proxys_counts(
    peer: str | None, forwarded: list[str], address: str
) -> None:
    assert client_address(peer, forwarded, PROXIES) == address


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("2001:db8::/32", "2001:db8::/32"),
    ],
)
def test_a_trusted_proxy_may_be_named_either_way(written: str, meant: str) -> None:
    assert [str(one) for one in networks([written])] == [meant]


@given(st.lists(st.text()))
def test_a_stranger_cannot_choose_an_address(forwarded: list[str]) -> None:
    assert client_address("192.0.2.1", forwarded, PROXIES) == "192.0.2.1"


@given(st.lists(st.text()))
def test_nothing_in_the_header_breaks_it(forwarded: list[str]) -> None:
    assert isinstance(client_address("10.1.1.1", forwarded, PROXIES), str)


def test_what_is_no_address_is_refused_at_the_start() -> None:
    found = problems({**DEV, "BFF_SERVER__TRUSTED_PROXIES": '["10.0.0.0/8", "proxy"]'})

    assert list(found) == ["server.trusted_proxies.1"]


async def test_behind_a_trusted_proxy_each_browser_has_its_own_limit(
    databases: Databases,
) -> None:
    trusting = {"server": {"trusted_proxies": ["127.0.0.1"]}}
    async with (
        World(databases, settings=trusting).running() as world,
        world.browser() as browser,
    ):
        path, body = "/auth/login", {"email": "alice@acme.test", "password": "Wrong-1"}
        here = {"X-Forwarded-For": "203.0.113.1"}
        for _ in range(FREE):
            await browser.post(path, json=body, headers=here)

        assert (await browser.post(path, json=body, headers=here)).status == 429
        there = {"X-Forwarded-For": "203.0.113.2"}
        assert (await browser.post(path, json=body, headers=there)).status == 401
