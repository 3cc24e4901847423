"""Tickets as tests need them, of any size."""

from __future__ import annotations

import os
from uuid import UUID, uuid4

from bff.sessions.cookies import CookieRules, Cookies
from bff.sessions.sealing import KeyRing
from bff.sessions.session import AccessTicket, Pair, RefreshTicket

NOW = 1_700_000_000.0
PLAIN = CookieRules(secure=False, host_prefix=False)


def ring(*ids: int) -> KeyRing:
    """Make a ring whose key for an id is always the same."""
    return KeyRing([(one, bytes([one]) * 32) for one in ids or (1,)])


def make_pair(
    access_size: int = 100,
    refresh_size: int = 100,
    *,
    sid: UUID | None = None,
    gen: int = 1,
    sub: str = "alice",
    tenant_id: int | None = 1001,
) -> Pair:
    """Make a pair whose tokens are this long."""
    sid = sid or uuid4()
    return Pair(
        AccessTicket(
            sid=sid,
            gen=gen,
            iss="https://id.test/realms/nexius",
            sub=sub,
            email=f"{sub}@acme.test",
            email_verified=True,
            tenant_id=tenant_id,
            roles=("viewer",),
            access_token=noise(access_size),
            access_from=NOW,
            access_exp=NOW + 300,
            session_exp=NOW + 3600,
        ),
        RefreshTicket(
            sid=sid,
            gen=gen,
            refresh_token=noise(refresh_size),
            refresh_exp=NOW + 1800,
        ),
    )


def noise(size: int) -> str:
    """Make a token that looks like one."""
    return os.urandom(size // 2 + 1).hex()[:size]


def cookies(rules: CookieRules = PLAIN, keys: KeyRing | None = None) -> Cookies:
    return Cookies(keys or ring(), rules)


def browse(jar: dict[str, str], headers: list[str]) -> dict[str, str]:
    """Return *jar* as a browser keeps it after an answer with these Set-Cookie."""
    kept = dict(jar)
    for header in headers:
        pair, *attributes = header.split("; ")
        name, _, value = pair.partition("=")
        if "Max-Age=0" in attributes:
            kept.pop(name, None)
        else:
            kept[name] = value
    return kept


def sizes(text: str) -> int:
    """Count what browsers count against their limit: name and value."""
    return len(text.split("; ", maxsplit=1)[0]) - 1
