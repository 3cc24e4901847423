"""Find the address a request really comes from, behind proxies that are named.

Each proxy adds the address it was called from at the right of X-Forwarded-For. Only
what a trusted proxy has written counts; what stands further left is hearsay.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
TRUSTED: web.AppKey[tuple[Network, ...]] = web.AppKey("trusted_proxies")
MOST_HOPS = 20


def networks(values: Iterable[str]) -> tuple[Network, ...]:
    """Read addresses and CIDR blocks.

    Raises:
        ValueError: for what is neither.
    """
    return tuple(ipaddress.ip_network(value, strict=False) for value in values)


def client_address(
    peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]
) -> str:
    """Return the nearest address that no trusted proxy has, "" when there is none.

    *peer* is the connection's, *forwarded* the values of X-Forwarded-For in order.
    """
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    address = peer or ""
    for hop in reversed(hops[-MOST_HOPS:]):
        if not _is_in(address, trusted):
            break
        try:
            address = str(ipaddress.ip_address(hop))
        except ValueError:
            break  # a trusted proxy writes addresses: this is somebody else's
    return address


def address_of(request: web.Request) -> str:
    """Return the address that *request* really comes from."""
    trusted = request.app[TRUSTED]
    forwarded = request.headers.getall("X-Forwarded-For", [])
    return client_address(request.remote, forwarded, trusted)


def _is_in(address: str, trusted: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)
