"""Everything one running provider remembers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bff.dev.provider import claims
from bff.dev.provider.accounts import Accounts
from bff.dev.provider.assertions import Spent
from bff.dev.provider.backchannel import BackChannel
from bff.dev.provider.codes import Codes
from bff.dev.provider.keys import Keys
from bff.dev.provider.model import Event
from bff.dev.provider.sessions import Sessions, SsoSession
from bff.dev.provider.state_file import StateFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from bff.dev.provider.accounts import Account
    from bff.dev.provider.model import Client, Mail, Person, Realm

    Intercept = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


class State:
    """What the handlers share."""

    def __init__(
        self,
        realm: Realm,
        people: Iterable[Person],
        clients: Iterable[Client],
        *,
        clock: Callable[[], float],
        state_file: Path | None,
    ) -> None:
        self.realm = realm
        self.clients = {one.client_id: one for one in clients}
        self.clock = clock
        self.events: list[Event] = []
        self.mails: list[Mail] = []
        self.intercept: Intercept | None = None
        # Where browsers and clients reach us; unset, each request's Host says.
        self.public_base: str | None = None
        self.not_before = 0
        self.accounts = Accounts(people)
        self.sessions = Sessions(realm)
        self.codes = Codes()
        self.keys = Keys()
        self.revoked: dict[str, int] = {}
        self.spent = Spent()
        self.backchannel = BackChannel()
        self._file = StateFile(state_file)
        self._load()

    def now(self) -> int:
        """Return the time as tokens count it."""
        return int(self.clock())

    def issuer(self, request: web.Request) -> str:
        """Return the issuer as this request sees it."""
        base = self.public_base or f"{request.scheme}://{request.host}"
        return f"{base}/realms/{self.realm.name}"

    def live_account(self, session: SsoSession) -> Account | None:
        """Return the account of a session."""
        return self.accounts.get(session.sub)

    def log(
        self,
        kind: str,
        *,
        error: str | None = None,
        sub: str | None = None,
        client_id: str | None = None,
        sid: str | None = None,
    ) -> None:
        """Note an event."""
        event = Event(type=kind, error=error, sub=sub, client_id=client_id, sid=sid)
        self.events.append(event)

    async def end(self, session: SsoSession) -> None:
        """End a session after telling its clients."""
        if session.is_ending:
            return
        session.is_ending = True
        await self.backchannel.see_through(self._end(session))

    async def end_all(self, sub: str) -> int:
        """End every session of one person and tell how many there were."""
        now = self.clock()
        found = [one for one in self.sessions.of(sub) if one.is_live(self.realm, now)]
        await asyncio.gather(*(self.end(one) for one in found))
        return len(found)

    def save(self) -> None:
        """Write down what must outlive this process."""
        if not self._file.is_kept:
            return
        self._file.write(
            {
                "realm": self.realm.name,
                "keys": self.keys.dump(),
                "sessions": self.sessions.dump(self.clock()),
                "accounts": self.accounts.dump(),
                "not_before": self.not_before,
            }
        )

    async def _end(self, session: SsoSession) -> None:
        # Like Keycloak: the clients hear of it before the session is gone.
        try:
            await asyncio.gather(*self._notices(session))
        finally:
            self.sessions.forget(session.id)
            self.save()

    def _notices(self, session: SsoSession) -> list[Any]:
        now = self.now()
        involved = [self.clients.get(one) for one in session.clients]
        return [
            self.backchannel.deliver(
                client.backchannel_logout_url,
                self.keys.sign(claims.logout(session, client, now), typ="logout+jwt"),
            )
            for client in involved
            if client is not None and client.backchannel_logout_url
        ]

    def _load(self) -> None:
        saved = self._file.read()
        if saved is None or saved["realm"] != self.realm.name:
            return
        self.keys.load(saved["keys"])
        self.sessions.load(saved["sessions"])
        self.accounts.load(saved["accounts"])
        self.not_before = saved["not_before"]


STATE = web.AppKey("state", State)
