"""Sessions in the configuration: cookies, lifetimes, the gate before what changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, SecretStr

from bff.config_base import Secret, Section

if TYPE_CHECKING:
    from bff.config import Config


class Session(Section):
    """Cookies and lifetimes."""

    access_cookie: str = Field("nx_access", pattern=r"^[A-Za-z0-9_-]+$")
    refresh_cookie: str = Field("nx_refresh", pattern=r"^[A-Za-z0-9_-]+$")
    secure: bool | None = Field(
        None, description="Secure cookies; by default as the first public origin."
    )
    host_prefix: bool | None = Field(
        None, description="`__Host-` names; by default wherever cookies are Secure."
    )
    samesite: Literal["Lax", "Strict"] = "Lax"
    lifetime: float = Field(
        30 * 86400.0, gt=0, description="Seconds a session lives at most."
    )
    keys: Secret = Field(
        SecretStr(""),
        description="Key ring `id:base64,…`; the first seals, all open.",
    )
    key_file: Path | None = Field(
        None, description="File with the key ring, one `id:base64` a line."
    )


class Csrf(Section):
    """The gate in front of state-changing requests."""

    require_header: str | None = Field(
        None, description="Also demand this header, for UIs that can send one."
    )


def problems_of(config: Config) -> list[str]:
    """Return one sentence for each problem, each beginning with its key."""
    found = []
    if config.session.access_cookie == config.session.refresh_cookie:
        found.append("session.refresh_cookie: must differ from session.access_cookie")
    if config.session.host_prefix and not config.secure_cookies:
        found.append("session.host_prefix: `__Host-` names need Secure cookies (https)")
    return found
