"""Say what crosses between browsers and a user interface's own server. No I/O here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from graph_proxy.headers import Header

# What such servers want to know beside what a graph server may: which form of a page
# is asked for, and from where an action comes.
FORWARDED = (
    "accept-encoding",
    "next-action",
    "next-hmr-refresh",
    "next-router-prefetch",
    "next-router-segment-prefetch",
    "next-router-state-tree",
    "next-url",
    "origin",
    "purpose",
    "rsc",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-purpose",
    "x-nextjs-data",
    "x-requested-with",
)
# Of answers, what would speak for the whole origin, or ask for a password.
_UNWANTED = frozenset(
    {
        "alt-svc",
        "clear-site-data",
        "nel",
        "proxy-status",
        "public-key-pins",
        "report-to",
        "reporting-endpoints",
        "www-authenticate",
        "x-powered-by",
    }
)
_PREFIX = re.compile(r"\A__(?:Host-Http|Host|Http|Secure)-", re.IGNORECASE)
_OURS = "nx_"


def wanted(fields: Iterable[Header]) -> list[Header]:
    """Return the answer's *fields* without those that a UI has no say in."""
    return [field for field in fields if field[0].lower() not in _UNWANTED]


def to_ui(sent: Iterable[str], ours: Collection[str]) -> str:
    """Return the Cookie field without our own cookies; *ours* are their names."""
    pairs = [pair.strip() for field in sent for pair in field.split(";")]
    return "; ".join(pair for pair in pairs if pair and not _is_ours(pair, ours))


def may_be_set(value: str, ours: Collection[str]) -> bool:
    """Tell whether a Set-Cookie *value* leaves our cookies alone.

    One without a name is refused: browsers send its value as it is, and that may read
    like a cookie of ours.
    """
    pair = value.partition(";")[0]
    name, equals, _ = pair.partition("=")
    return bool(equals and name.strip()) and not _is_ours(pair, ours)


def _is_ours(pair: str, ours: Collection[str]) -> bool:
    name = _plain(pair.partition("=")[0].strip())
    # Ours may be in parts: NAME.1, NAME.2 …
    return name.startswith(_OURS) or name.partition(".")[0] in map(_plain, ours)


def _plain(name: str) -> str:
    """Return a cookie's name without its prefix, which settings may give ours, too."""
    return _PREFIX.sub("", name, count=1).lower()
