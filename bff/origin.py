"""Decide whether a request may come from where it says it does (Fetch Metadata).

Browsers tell whether a page of our own caused a request. Where they do not, the
Origin must be one of ours, exactly. No token is needed in the page.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Headers(Protocol):
    """A request's header fields; the case of names does not matter."""

    def get(self, name: str, /) -> str | None:
        """Return a value, None when it is missing."""

    def __contains__(self, name: str, /) -> bool:
        """Tell whether there is such a field."""


class Gate(Enum):
    """How strict a route is."""

    OPEN = auto()  # carries its own proof, or changes nothing and tells nothing
    UNSAFE_METHODS = auto()
    EVERY_REQUEST = auto()


def passes(
    method: str,
    headers: Headers,
    origins: Collection[str],
    gate: Gate,
    *,
    required_header: str | None = None,
) -> bool:
    """Tell whether a request with *headers* passes *gate*.

    *headers* are case-insensitive; *origins* are compared as a whole, so `null`,
    suffixes and prefixes never match.
    """
    if headers.get("Upgrade"):
        # Browsers let any page open a WebSocket anywhere, cookies included.
        return headers.get("Origin") in origins
    safe = method in SAFE_METHODS
    if gate is Gate.OPEN or (safe and gate is Gate.UNSAFE_METHODS):
        return True
    if required_header and required_header not in headers:
        return False
    return _ours(headers, origins, safe=safe)


def _ours(headers: Headers, origins: Collection[str], *, safe: bool) -> bool:
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is None:
        return safe if origin is None else origin in origins
    if site == "none":
        return safe and headers.get("Sec-Fetch-Mode") == "navigate"
    return site == "same-origin" or (site == "same-site" and origin in origins)
