"""Put tickets into cookies and take them out again.

A ticket is sealed once and then split into parts, so that parts of two cookies never
open together. The first part says how many there are; a browser that lies about it
only gets a value that does not open.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bff.sessions.sealing import Unopenable
from bff.sessions.session import (
    AccessTicket,
    DamagedTicket,
    Pair,
    RefreshTicket,
    fields,
    read_access,
    read_refresh,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bff.sessions.sealing import KeyRing

# Browsers drop name + value over 4,096 bytes silently.
PART_BYTES = 3900
TOTAL_BYTES = 12_000
MAX_PARTS = 4
PURPOSE = "cookie"


class CookieTooLarge(Exception):
    """Tell that the provider's tokens do not fit into cookies."""


@dataclass(frozen=True, slots=True)
class CookieRules:
    """Names and attributes of all cookies of this gateway."""

    access: str = "nx_access"
    refresh: str = "nx_refresh"
    secure: bool = True
    host_prefix: bool = True
    samesite: str = "Lax"

    def name(self, bare: str) -> str:
        """Return *bare* with the prefix in force (RFC 6265bis section 4.1.3.2)."""
        return f"__Host-{bare}" if self.host_prefix else bare

    def header(
        self, name: str, value: str, max_age: float, *, samesite: str | None = None
    ) -> str:
        """Write one Set-Cookie value; deleting uses the very same attributes."""
        parts = [
            f"{name}={value}",
            "Path=/",
            f"Max-Age={max(0, int(max_age))}",
            "HttpOnly",
            f"SameSite={samesite or self.samesite}",
        ]
        if self.secure:
            parts.append("Secure")
        return "; ".join(parts)


class Cookies:
    """Seal tickets into cookies and open cookies into tickets."""

    def __init__(self, ring: KeyRing, rules: CookieRules) -> None:
        self._ring = ring
        self.rules = rules
        self._access = rules.name(rules.access)
        self._refresh = rules.name(rules.refresh)

    def open_access(self, jar: Mapping[str, str]) -> AccessTicket | None:
        """Return the access ticket in *jar*; None when there is none that opens."""
        values = self._open(self._access, jar)
        try:
            return None if values is None else read_access(values)
        except DamagedTicket:
            return None

    def open_refresh(self, jar: Mapping[str, str]) -> RefreshTicket | None:
        """Return the refresh ticket in *jar*; None when there is none that opens."""
        values = self._open(self._refresh, jar)
        try:
            return None if values is None else read_refresh(values)
        except DamagedTicket:
            return None

    def present(self, jar: Mapping[str, str]) -> list[str]:
        """Return the names of our session cookies in *jar*, opening or not."""
        ours = {
            name for base in (self._access, self._refresh) for name in part_names(base)
        }
        return sorted(ours.intersection(jar))

    def set_headers(self, pair: Pair, jar: Mapping[str, str], now: float) -> list[str]:
        """Write the Set-Cookie values for *pair*, stale parts of *jar* removed.

        Raises:
            CookieTooLarge: when the parts would pass 12,000 bytes in all.
        """
        # Not beyond what the provider grants: without a renewal by then it is over.
        max_age = pair.refresh.refresh_exp - now
        written: dict[str, str] = {}
        for base, ticket in (
            (self._access, pair.access),
            (self._refresh, pair.refresh),
        ):
            written |= self._seal(base, ticket)
        if sum(len(name) + len(value) for name, value in written.items()) > TOTAL_BYTES:
            raise CookieTooLarge
        headers = [
            self.rules.header(name, value, max_age) for name, value in written.items()
        ]
        stale = [name for name in self.present(jar) if name not in written]
        return headers + self.clear_headers(stale)

    def clear_headers(self, names: Iterable[str]) -> list[str]:
        """Write the Set-Cookie values that delete *names*."""
        return [self.rules.header(name, "", 0) for name in names]

    def _seal(self, base: str, ticket: AccessTicket | RefreshTicket) -> dict[str, str]:
        plain = json.dumps(fields(ticket), separators=(",", ":")).encode()
        sealed = base64.urlsafe_b64encode(self._ring.seal(PURPOSE, base, plain))
        text = sealed.rstrip(b"=").decode()
        parts = [text[at : at + PART_BYTES] for at in range(0, len(text), PART_BYTES)]
        if len(parts) > MAX_PARTS:
            raise CookieTooLarge
        parts[0] = f"{len(parts)}{parts[0]}"
        return dict(zip(part_names(base), parts, strict=False))

    def _open(self, base: str, jar: Mapping[str, str]) -> dict[str, object] | None:
        first = jar.get(base)
        if not first or first[0] not in "1234":
            return None
        names = part_names(base)[1 : int(first[0])]
        if not all(jar.get(name) for name in names):
            return None
        text = first[1:] + "".join(jar[name] for name in names)
        if len(text) > TOTAL_BYTES:
            return None
        try:
            sealed = base64.b64decode(
                text + "=" * (-len(text) % 4), altchars=b"-_", validate=True
            )
            values = json.loads(self._ring.open(PURPOSE, base, sealed))
        except (binascii.Error, ValueError, Unopenable):
            return None
        return values if isinstance(values, dict) else None


def part_names(base: str) -> list[str]:
    """Return the cookie names that *base* may be split into."""
    return [base, *(f"{base}.{number}" for number in range(1, MAX_PARTS))]
