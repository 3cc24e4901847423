"""Keep a sign-in in progress: one sealed, short-lived cookie for each try.

aiohttp-session holds the values; this storage seals them under the try's state, so
that several tabs sign in at once and a callback from another browser finds nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, cast

from aiohttp_session import AbstractStorage, Session

from bff.sessions.browser import CLOCK, also
from bff.sessions.sealing import KeyRing, Unopenable

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp_session import SessionData

    from bff.sessions.cookies import CookieRules

PURPOSE = "sign-in"
LIFETIME = 600
MAX_LIVE = 5


class Transactions(AbstractStorage):
    """Store each try under its `state`."""

    def __init__(self, ring: KeyRing, rules: CookieRules) -> None:
        super().__init__(max_age=LIFETIME)
        self._ring = ring
        self._rules = rules
        self._base = rules.name("nx_signin")

    async def load_session(self, request: web.Request) -> Session:
        """Return the try that the query's `state` names, or an empty one."""
        state = request.query.get("state", "")
        values = self._open(f"{self._base}.{state}", request)
        data = cast("SessionData | None", values)
        # Its age has been judged by our clock; aiohttp-session would ask another one.
        return Session(state, data=data, new=data is None)

    async def save_session(
        self, request: web.Request, response: web.StreamResponse, session: Session
    ) -> None:
        """Let the answer set the try's cookie, or delete it when it is empty."""
        del response  # cookies are written as the head is prepared
        name = f"{self._base}.{session.identity}"
        if session.empty:
            also(request, [self._rules.header(name, "", 0, samesite="Lax")])
            return
        plain = json.dumps(self._get_session_data(session)).encode()
        sealed = base64.urlsafe_b64encode(self._ring.seal(PURPOSE, name, plain))
        value = sealed.rstrip(b"=").decode()
        # Lax, whatever the session's own: the callback comes from another site.
        headers = [self._rules.header(name, value, LIFETIME, samesite="Lax")]
        headers += [
            self._rules.header(old, "", 0, samesite="Lax")
            for old in self._oldest(request, MAX_LIVE - 1)
        ]
        also(request, headers)

    def clear(self, request: web.Request) -> None:
        """Let the answer delete every try of this browser."""
        names = [name for name in request.cookies if self._is_ours(name)]
        also(
            request,
            [self._rules.header(name, "", 0, samesite="Lax") for name in names],
        )

    def _is_ours(self, name: str) -> bool:
        return name.startswith(f"{self._base}.")

    def _oldest(self, request: web.Request, keep: int) -> list[str]:
        """Return the names beyond the *keep* youngest; unreadable ones count old."""
        ages = []
        for name in request.cookies:
            if self._is_ours(name):
                values = self._open(name, request)
                ages.append((values["created"] if values else 0, name))
        ages.sort(reverse=True)
        return [name for _, name in ages[keep:]]

    def _open(self, name: str, request: web.Request) -> dict[str, Any] | None:
        text = request.cookies.get(name)
        if not text or not text.isascii():
            return None
        try:
            sealed = base64.b64decode(
                text + "=" * (-len(text) % 4), altchars=b"-_", validate=True
            )
            values = json.loads(self._ring.open(PURPOSE, name, sealed))
        except (binascii.Error, ValueError, Unopenable):
            return None
        if request.app[CLOCK]() - values["created"] > LIFETIME:
            return None
        return dict(values)
