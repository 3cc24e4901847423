"""The provider as tests and `bff dev` hold it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bff.dev.provider.app import application
from bff.dev.provider.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from aiohttp import web

    from bff.dev.provider.model import Client, Person, Realm


class Provider(State):
    """One realm with its people, its clients and what an administrator does."""

    def __init__(
        self,
        realm: Realm,
        people: Iterable[Person],
        clients: Iterable[Client],
        *,
        clock: Callable[[], float] = time.time,
        state_file: Path | None = None,
    ) -> None:
        super().__init__(realm, people, clients, clock=clock, state_file=state_file)

    @property
    def people(self) -> tuple[Person, ...]:
        """List everybody as they are now."""
        return tuple(one.person for one in self.accounts)

    def app(self) -> web.Application:
        """Build an application that serves this realm."""
        return application(self)

    def rotate_keys(self) -> None:
        """Sign with a new key from now on; the old one stays in the JWKS."""
        self.keys.rotate()
        self.save()

    def push_not_before(self) -> None:
        """Make every refresh token issued before this second stale."""
        self.not_before = self.now()
        self.save()

    async def end_sessions(self, sub: str) -> int:
        """End all sessions of a person, tell the clients, count the sessions."""
        return await self.end_all(sub)

    def disable(self, email: str) -> None:
        """Lock a person out; Keycloak notices at the next refresh only."""
        self._set_enabled(email, is_enabled=False)

    def enable(self, email: str) -> None:
        """Let a person in again."""
        self._set_enabled(email, is_enabled=True)

    def _set_enabled(self, email: str, *, is_enabled: bool) -> None:
        account = self.accounts.find(email)
        if account is None:
            raise LookupError(f"nobody has the address {email}")
        self.accounts.change(account, enabled=is_enabled)
        self.save()
