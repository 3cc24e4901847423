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
# Of an IPv6 address that holds one of IPv4: those before it.
MAPPED_BITS = 96


def networks(values: Iterable[str]) -> tuple[Network, ...]:
    """Read addresses and CIDR blocks; those of IPv4 written as IPv6 are IPv4's.

    Raises:
        ValueError: for what is neither.
    """
    return tuple(_plain(ipaddress.ip_network(value, strict=False)) for value in values)


def client_address(
    peer: str | None, forwarded: Sequence[str], trusted: Sequence[Network]
) -> str:
    """Return the nearest address that no trusted proxy has, "" when there is none.

    *peer* is the connection's, *forwarded* the values of X-Forwarded-For in order.
    """
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    address = _unmapped(peer or "")
    for hop in reversed(hops[-MOST_HOPS:]):
        if not _is_in(address, trusted):
            break
        try:
            address = _unmapped(str(ipaddress.ip_address(hop)))
        except ValueError:
            break  # a trusted proxy writes addresses: this is somebody else's
    return address


def network_of(address: str | None) -> str:
    """Return the network an address stands for: itself, or its /64 in IPv6."""
    try:
        parsed = ipaddress.ip_address(_unmapped(address or ""))
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def address_of(request: web.Request) -> str:
    """Return the address that *request* really comes from."""
    trusted = request.app[TRUSTED]
    forwarded = request.headers.getall("X-Forwarded-For", [])
    return client_address(request.remote, forwarded, trusted)


def _unmapped(address: str) -> str:
    """Return an IPv4 address that came as IPv6's ``::ffff:a.b.c.d`` as what it is.

    A socket that listens on both kinds names IPv4 callers so (RFC 4291, 2.5.5.2);
    the first 64 bits of all of them are the same.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return address


def _plain(network: Network) -> Network:
    """Do for a network what `_unmapped` does for an address."""
    mapped = network.network_address
    if isinstance(mapped, ipaddress.IPv4Address) or mapped.ipv4_mapped is None:
        return network
    prefix = network.prefixlen - MAPPED_BITS
    if prefix < 0:
        return network
    return ipaddress.IPv4Network((mapped.ipv4_mapped, prefix), strict=False)


def _is_in(address: str, trusted: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)
