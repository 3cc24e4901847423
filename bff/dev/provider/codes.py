"""Authorization codes: single use, short-lived, bound to one session; no I/O here."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bff.dev.provider.model import stable_id

if TYPE_CHECKING:
    from bff.dev.provider.sessions import Sessions


@dataclass(frozen=True, kw_only=True)
class CodeGrant:
    """What a code stands for."""

    sid: str
    client_id: str
    redirect_uri: str
    challenge: str
    scope: str
    nonce: str | None
    acr: str
    expires_at: float


class Codes:
    """The codes that nobody has presented yet."""

    def __init__(self) -> None:
        self._open: dict[str, CodeGrant] = {}

    def issue(self, grant: CodeGrant) -> str:
        """Make a code; like Keycloak's it names its session and its client."""
        place = f"{grant.sid}.{stable_id(grant.client_id)}"
        code = f"{secrets.token_urlsafe(27)}.{place}"
        self._open[code] = grant
        return code

    def take(self, code: str, now: float) -> CodeGrant | None:
        """Spend a code; None when it is unknown, spent or too old."""
        grant = self._open.pop(code, None)
        return grant if grant is not None and now < grant.expires_at else None

    def forget_expired(self, now: float) -> None:
        """Drop the codes that nobody came for."""
        kept = {code: one for code, one in self._open.items() if now < one.expires_at}
        self._open = kept


def detach_replayed(code: str, sessions: Sessions, now: float) -> None:
    """End the client's part of the session that a refused code once opened."""
    # A code that comes twice may have been stolen, so the tokens of its first
    # use die as well. RFC 6749 section 4.1.2 asks for it.
    _, _, place = code.partition(".")
    sid, _, client = place.partition(".")
    session = sessions.live(sid, now)
    if session is None:
        return
    joined = [one for one in session.clients if stable_id(one) == client]
    for client_id in joined:
        del session.clients[client_id]
