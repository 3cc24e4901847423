"""Open accounts at the provider after the answer has been given.

Whether an address has an account must not show, in words or in time: the answer is
sent before anybody asks. What waits is in memory only, so it is bounded, and what a
crash takes is registered again by its owner: an account whose mail was never sent is
found then, and mailed.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

from aiohttp import web

from bff.errors import Unavailable
from bff.identity.accounts import AccountExists
from bff.identity.admin_api import CallRefused, NotAsked
from bff.identity.messages import ProviderUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from prometheus_client import Counter

    from bff.identity.accounts import Accounts, NewAccount

log = logging.getLogger(__name__)

AT_ONCE = 4
# Of those waiting and those at work together.
MOST = 100
# Seconds before each further try while the provider is away.
PAUSES = (2.0, 10.0, 60.0, 300.0)


class Registrar:
    """See to what `offer` took, a few at once."""

    def __init__(self, accounts: Accounts, outcomes: Counter) -> None:
        self._accounts = accounts
        self._outcomes = outcomes
        self._tasks: set[asyncio.Task[None]] = set()
        self._reserved = 0
        self._hands = asyncio.Semaphore(AT_ONCE)
        self._ending = asyncio.Event()

    @contextmanager
    def place(self) -> Generator[None]:
        """Keep a place for one account, to be offered in this context.

        Raises:
            Unavailable: when too many wait already, or nobody works any more.
        """
        if self._ending.is_set() or len(self._tasks) + self._reserved >= MOST:
            raise Unavailable(headers={"Retry-After": "10"})
        self._reserved += 1
        try:
            yield
        finally:
            self._reserved -= 1

    def offer(self, account: NewAccount) -> None:
        """Take an account to be opened soon, in a `place`."""
        task = asyncio.ensure_future(self._see_to(account))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finished(self) -> None:
        """Wait until all is done that was taken; nothing is taken any more.

        What waits for the provider to come back is tried once more, at once.
        """
        self._ending.set()
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    @asynccontextmanager
    async def running(self, patience: float) -> AsyncGenerator[None]:
        """Work in the background; at the end finish what waits within *patience* s."""
        try:
            yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self.finished()
            if left := set(self._tasks):
                log.error("%d registrations were not done before the end", len(left))
                for task in left:
                    task.cancel()
                await asyncio.gather(*left, return_exceptions=True)

    async def _see_to(self, account: NewAccount) -> None:
        outcome: str | None = None
        for pause in (*PAUSES, None):
            async with self._hands:
                outcome = await self._outcome(account)
            if outcome is not None or pause is None or self._ending.is_set():
                break
            # At the end there is one more try, at once.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)
        self._outcomes.labels(outcome or "unavailable").inc()

    async def _outcome(self, account: NewAccount) -> str | None:
        """Try once; None tells that it is worth another try."""
        try:
            return await self._register(account)
        except CallRefused as error:
            log.warning("a registration was refused: %s", error)
            return "refused"
        except ProviderUnavailable as error:
            # Nothing is lost by another try: an account that was made is found then.
            log.warning("a registration could not be done: %s", error)
            return None
        except Exception as error:  # noqa: BLE001 - the next one must not wait for it
            # The kind alone: a text might hold what was sent.
            log.error("a registration broke: %s", type(error).__name__)  # noqa: TRY400 - a trace shows values
            return "broken"

    async def _register(self, account: NewAccount) -> str:
        try:
            user_id = await self._accounts.create(account)
        except AccountExists:
            return await self._remind(account)
        try:
            return await self._mailed(user_id, "created")
        except CallRefused as error:
            # Nobody could use it, and the address is free for its owner.
            log.warning("no mail was sent, the account is taken back: %s", error)
            await self._accounts.delete(user_id)
            return "not_mailed"

    async def _remind(self, account: NewAccount) -> str:
        user_id = await self._accounts.unfinished(account.email)
        if user_id is None:
            return "exists"
        # Made by a try whose mail did not arrive, or was not followed.
        try:
            return await self._mailed(user_id, "mailed_again")
        except CallRefused as error:
            log.warning("no mail was sent: %s", error)
            return "not_mailed"

    async def _mailed(self, user_id: str, outcome: str) -> str:
        try:
            await self._accounts.mail_actions(user_id)
        except NotAsked:
            raise
        except ProviderUnavailable as error:
            # It may have left, so we send no other: its owner may register again.
            log.warning("nobody knows whether a mail was sent: %s", error)
            return "unavailable"
        return outcome


REGISTRAR = web.AppKey("registrar", Registrar)
