"""What only development may be told: a UI on an origin of its own, no sign-in.

Both open something, so both stop the start anywhere else, and where they would open
it to more than this machine.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field

from bff.config_base import (
    Origin,
    Section,
    as_browsers_write,
    is_loopback,
    is_loopback_name,
)

if TYPE_CHECKING:
    from bff.config import Config

# Of a name, what browsers call its site at most: the last two parts.
_SITE = 2
_PORT = re.compile(r":[0-9]+\Z")


class SplitOrigin(Section):
    """A user interface that keeps an origin of its own while it is developed."""

    origins: tuple[Origin, ...] = Field(
        (),
        description="Origins whose pages may call the gateway, cookies included. "
        'Only with `environment = "dev"`: what is live is on the gateway\'s own '
        "origin (docs/ui.md).",
    )


class Dev(Section):
    """The way past the sign-in, on one machine."""

    bypass: bool = Field(
        default=False,
        description="Believe X-User-Email, X-User-Roles and X-Tenant-ID. Only with "
        '`environment = "dev"` and everything on loopback (docs/ui.md).',
    )
    default_tenant_id: int | None = Field(
        None, ge=1, description="The tenant where X-Tenant-ID is not sent."
    )


def problems_of(config: Config) -> list[str]:
    """Return one sentence for each problem, each beginning with its key."""
    found = _bypass(config) if config.dev.bypass else []
    if config.dev.default_tenant_id is not None and not config.dev.bypass:
        found.append(
            "dev.default_tenant_id: counts with dev.bypass only; else a tenant comes "
            "from a person's token or membership. Remove it (DEFAULT_TENANT_ID)"
        )
    if not config.split_origin.origins:
        return found
    if config.environment != "dev":
        found.append(
            'split_origin.origins: only with environment = "dev"; a UI that is live '
            "is on the gateway's own origin, by [ui]"
        )
        return found
    for index, origin in enumerate(config.split_origin.origins):
        if trouble := trouble_with(origin, config.server.public_origins):
            found.append(f"split_origin.origins.{index}: {trouble}")
    return found


def opened(config: Config) -> dict[str, str]:
    """Return what is open for development, a sentence by its setting."""
    found = {}
    if config.split_origin.origins:
        listed = ", ".join(config.split_origin.origins)
        found["split_origin.origins"] = f"pages of {listed} act for who is signed in"
    if config.dev.bypass:
        said = "nobody needs to sign in: who reaches this port is whom they name"
        found["dev.bypass"] = said
    return found


def trouble_with(origin: str, ours: tuple[str, ...]) -> str:
    """Return why *origin* can be no UI's beside *ours*, whose first is home, or ""."""
    written = as_browsers_write(origin)
    home = ours[0]
    if written is None:
        return "give scheme://host[:port], no path, no wildcard and not null"
    if written != origin:
        return f"browsers write this origin {written}"
    if origin in ours:
        return "is the gateway's own; a UI on it needs no other"
    if origin.startswith("http://") and not is_loopback(origin):
        return "plain http is for this machine only, in dev too; use https"
    if not _is_same_site(origin, home):
        return (
            f"is another site than {home}, so browsers send it no cookies; open the "
            f"UI as {_beside(home, origin)}"
        )
    return ""


def _is_same_site(origin: str, home: str) -> bool:
    """Tell whether browsers may count both to one site, which takes one scheme, too."""
    if origin.partition("://")[0] != home.partition("://")[0]:
        return False
    one, other = _host(origin), _host(home)
    if one == other:
        return True
    if _is_address(one) or _is_address(other):
        return False
    parts = one.split("."), other.split(".")
    return min(map(len, parts)) >= _SITE and parts[0][-_SITE:] == parts[1][-_SITE:]


def _host(origin: str) -> str:
    """Return an origin's host, "" where it has none that can be one."""
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _beside(home: str, origin: str) -> str:
    """Return the address of *origin*'s port on *home*'s host."""
    port = _PORT.search(origin)
    return _PORT.sub("", home) + (port[0] if port else "")


def _bypass(config: Config) -> list[str]:
    if config.environment != "dev":
        said = "it lets in whoever says who they are. Remove it (DEV_AUTH_BYPASS)"
        return [f'dev.bypass: only with environment = "dev"; {said}']
    server, found = config.server, []
    for key in ("listen", "admin_listen"):
        host = getattr(server, key).rpartition(":")[0].strip("[]")
        if host and not is_loopback_name(host):
            found.append(
                f"server.{key}: with dev.bypass it must be of this machine alone, for "
                "example 127.0.0.1:8080"
            )
    names = {
        f"server.allowed_hosts.{index}": _without_port(host)
        for index, host in enumerate(server.allowed_hosts)
    }
    origins = {
        "server.public_origins": server.public_origins,
        "split_origin.origins": config.split_origin.origins,
    }
    for key, listed in origins.items():
        names |= {
            f"{key}.{index}": _host(origin)
            for index, origin in enumerate(listed)
            if as_browsers_write(origin) is not None
        }
    found += [
        f"{key}: with dev.bypass only names of this machine, like localhost"
        for key, name in names.items()
        if not is_loopback_name(name)
    ]
    if server.trusted_proxies:
        found.append(
            "server.trusted_proxies: with dev.bypass nothing may stand in front"
        )
    return found


def _without_port(host: str) -> str:
    name, _, port = host.lower().rpartition(":")
    if name and port.isdigit():
        return name.strip("[]")
    return host.lower().strip("[]")
