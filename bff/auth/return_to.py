"""Check where a sign-in may return to: a path of our own, and nothing else.

While a UI is developed on an origin of its own, `[split_origin]`, that one too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# One slash, then visible ASCII without the backslash (browsers read it as a slash).
LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*\Z")
MAX_LENGTH = 2000


def local_path(value: str | None, default: str = "/") -> str:
    """Return *value* when it is a path of this origin, else *default*.

    Scheme-relative, absolute and backslash forms, control characters, blanks and
    anything not ASCII are refused (RFC 9700 section 4.11).
    """
    if not value or len(value) > MAX_LENGTH or LOCAL.match(value) is None:
        return default
    # A second reading after decoding must not turn into another host either.
    if re.match(r"/+(?:%2f|%5c)", value, re.IGNORECASE):
        return default
    return value


def return_target(value: str | None, origins: Iterable[str], default: str = "/") -> str:
    """Return *value* when it is a path of ours or an address on one of *origins*.

    Compared by bytes, as configured; what follows is judged like a path of ours, so
    that neither a longer port nor `user@host` reads as one of them.
    """
    for origin in origins:
        if value == origin:
            return f"{origin}/"
        if value is not None and value.startswith(f"{origin}/"):
            path = local_path(value.removeprefix(origin), "")
            return origin + path if path else default
    return local_path(value, default)
