"""Time-based one-time codes (RFC 6238) as Keycloak checks them; no I/O here."""

from __future__ import annotations

import hmac
import struct

PERIOD = 30
LOOK_AHEAD = 1
_DIGITS = 6


def code_at(secret: str, moment: float) -> str:
    """Compute the code shown at this moment; *secret* is the raw string."""
    counter = struct.pack(">Q", int(moment) // PERIOD)
    digest = hmac.digest(secret.encode(), counter, "sha1")
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
    return str(number % 10**_DIGITS).zfill(_DIGITS)


def matches(secret: str, code: str, now: float) -> bool:
    """Tell whether this is the code of now, or of a step before or after."""
    steps = range(-LOOK_AHEAD, LOOK_AHEAD + 1)
    codes = [code_at(secret, max(0.0, now + step * PERIOD)) for step in steps]
    # No short cut: every code is compared.
    found = [hmac.compare_digest(one.encode(), code.encode()) for one in codes]
    return any(found)
