"""Servers behind a prefix in the configuration, the graph's among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, SecretStr

from bff.config_base import Origin, Secret, Section, is_http_address

if TYPE_CHECKING:
    from bff.config import Config


class ProxyTarget(Section):
    """One prefix and the servers behind it."""

    prefix: str = Field("/graph", pattern=r"^/[a-z0-9_/-]*[a-z0-9]$")
    upstreams: tuple[Origin, ...] = Field((), description="Base URLs, one or several.")
    allow: tuple[str, ...] = Field(
        (),
        description='Further first path segments; ["*"] opens everything.',
    )
    forward_headers: tuple[str, ...] = Field(
        (), description="Further request headers that pass."
    )
    gateway_key: Secret = Field(
        SecretStr(""), description="Sent as X-Gateway-Key, proves that it is us."
    )
    connect_timeout: float = Field(5.0, gt=0)
    head_timeout: float = Field(300.0, gt=0, description="Seconds until the answer.")
    max_body: int = Field(100 * 2**20, gt=0)
    heartbeat: float | None = Field(None, gt=0)
    max_in_flight: int = Field(
        20_000,
        gt=0,
        description="Answers under way in one process; beyond it 503, for a balancer "
        "to try another.",
    )
    max_streams_per_session: int = Field(100, gt=0)
    max_streams_per_tenant: int = Field(2000, gt=0)


def problems_of(config: Config) -> list[str]:
    """Return one sentence for each problem, each beginning with its key."""
    found = []
    prefixes: dict[str, str] = {}
    for name, target in config.proxy.items():
        if "//" in target.prefix:
            found.append(f"proxy.{name}.prefix: has an empty segment")
        if other := prefixes.get(target.prefix):
            found.append(
                f"proxy.{name}.prefix: {target.prefix} is taken by proxy.{other}"
            )
        prefixes[target.prefix] = name
        for index, upstream in enumerate(target.upstreams):
            unix = upstream.startswith("unix:/")
            if not unix and not is_http_address(upstream):
                found.append(
                    f"proxy.{name}.upstreams.{index}: give http://HOST:PORT, "
                    "https://HOST or unix:/path"
                )
    return found
