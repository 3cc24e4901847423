"""The gateway's own place in the configuration: listeners, names, proxies in front."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field

from bff.config_base import (
    DEFAULT_PORTS,
    Origin,
    Section,
    as_browsers_write,
    is_port,
)

if TYPE_CHECKING:
    from bff.config import Config


class Server(Section):
    """Where the gateway listens and which names it answers to."""

    listen: str = Field("127.0.0.1:8080", description="Address of the public listener.")
    admin_listen: str = Field(
        "127.0.0.1:9090",
        description="Address of the admin listener: health, readiness, metrics.",
    )
    public_origins: tuple[Origin, ...] = Field(
        ("http://localhost:8080", "http://127.0.0.1:8080"),
        min_length=1,
        description="Origins under which browsers reach the gateway; pages move to "
        "the first one.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Further host names answered to, beside those of public_origins.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="Addresses or CIDR blocks of the proxies in front, whose "
        "X-Forwarded-For is believed; nobody's by default.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes that serve on the one port; each has an admin listener, "
        "on the port of admin_listen and those that follow.",
    )
    drain: float = Field(
        20.0,
        ge=0,
        description="Seconds that open streams, exports, renewals and registrations "
        "get at shutdown; closing takes up to 20 more.",
    )
    unready: float = Field(
        0.0,
        ge=0,
        description="Seconds between being unready and closing the listener at "
        "shutdown, for balancers that ask /readyz; everything is answered meanwhile.",
    )
    max_header: int = Field(
        32 * 1024, ge=8190, description="Largest request header field, bytes."
    )
    max_body: int = Field(
        256 * 1024, ge=1024, description="Largest body of the gateway's own routes."
    )


def problems_of(config: Config) -> list[str]:
    """Return one sentence for each problem, each beginning with its key."""
    found = []
    for key in ("listen", "admin_listen"):
        host, colon, port = getattr(config.server, key).rpartition(":")
        if not (colon and host and is_port(port)):
            found.append(f"server.{key}: give HOST:PORT, for example 127.0.0.1:8080")
    for index, origin in enumerate(config.server.public_origins):
        written = as_browsers_write(origin)
        if written is None:
            found.append(
                f"server.public_origins.{index}: give scheme://host[:port], no path "
                "and no wildcard"
            )
        elif written != origin:
            found.append(
                f"server.public_origins.{index}: browsers write this origin {written}"
            )
    for index, value in enumerate(config.server.trusted_proxies):
        try:
            everybody = not ipaddress.ip_network(value, strict=False).prefixlen
        except ValueError:
            found.append(
                f"server.trusted_proxies.{index}: give an address or a CIDR block, "
                "for example 10.0.0.0/8"
            )
            continue
        if everybody:
            found.append(
                f"server.trusted_proxies.{index}: trusts everybody's word about where "
                "they are; name the proxies"
            )
    return found


def hosts(config: Config) -> frozenset[str]:
    """Return the Host values answered to, lower-cased, with and without a port."""
    known = {host.lower() for host in config.server.allowed_hosts}
    for origin in config.server.public_origins:
        parts = urlsplit(origin)
        known.add(parts.netloc.lower())
        default = DEFAULT_PORTS.get(parts.scheme)
        if parts.port in (None, default):
            known.add((parts.hostname or "").lower())
            known.add(f"{(parts.hostname or '').lower()}:{default}")
    return frozenset(known)
