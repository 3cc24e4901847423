"""Check where a sign-in may return to: a path of our own, and nothing else."""

from __future__ import annotations

import re

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
