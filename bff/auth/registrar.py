"""Open accounts at the provider after the answer has been given.

Whether an address has an account must not show, in words or in time: the answer is
sent before anybody asks. What waits is in memory only (it holds passwords), so it is
bounded, and what a crash takes is registered again by its owner.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import web

from bff.errors import Unavailable
from bff.identity.accounts import (
    AccountExists,
    AccountRefused,
    PasswordRefused,
)
from bff.identity.messages import ProviderUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from prometheus_client import Counter

    from bff.identity.accounts import Accounts, NewAccount

log = logging.getLogger(__name__)

AT_ONCE = 4
MOST_WAITING = 100


class Registrar:
    """Work through what `offer` took, a few at once."""

    def __init__(self, accounts: Accounts, outcomes: Counter) -> None:
        self._accounts = accounts
        self._outcomes = outcomes
        self._waiting: asyncio.Queue[NewAccount] = asyncio.Queue(MOST_WAITING)

    @property
    def is_full(self) -> bool:
        """Tell whether `offer` would refuse."""
        return self._waiting.full()

    def offer(self, account: NewAccount) -> None:
        """Take an account to be opened soon.

        Raises:
            Unavailable: when too many wait already.
        """
        try:
            self._waiting.put_nowait(account)
        except asyncio.QueueFull as error:
            raise Unavailable(headers={"Retry-After": "10"}) from error

    @asynccontextmanager
    async def running(self, patience: float) -> AsyncGenerator[None]:
        """Work in the background; at the end finish what waits within *patience* s."""
        tasks = [asyncio.ensure_future(self._work()) for _ in range(AT_ONCE)]
        try:
            yield
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._waiting.join(), patience)
            if left := self._waiting.qsize():
                log.error("%d registrations were not done before the end", left)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            account = await self._waiting.get()
            try:
                outcome = await self._register(account)
            except Exception as error:  # noqa: BLE001 - the next one must not wait for it
                # The kind alone: a text might hold what was sent.
                log.error("a registration broke: %s", type(error).__name__)  # noqa: TRY400 - a trace shows values
                outcome = "broken"
            finally:
                self._waiting.task_done()
            self._outcomes.labels(outcome).inc()

    async def _register(self, account: NewAccount) -> str:
        try:
            return await self._open(account)
        except PasswordRefused:
            # Nobody waits for an answer to choose another: the mail's link asks.
            return await self._open(replace(account, password=None))
        except AccountExists:
            return "exists"
        except AccountRefused as error:
            log.warning("a registration was refused: %s", error)
            return "refused"
        except ProviderUnavailable as error:
            log.warning("a registration could not be done: %s", error)
            return "unavailable"

    async def _open(self, account: NewAccount) -> str:
        user_id = await self._accounts.create(account)
        try:
            await self._accounts.mail_actions(user_id, account)
        except AccountRefused as error:
            # Without a mail nobody can use the account, nor register again.
            log.warning("no mail was sent, the account is taken back: %s", error)
            await self._accounts.delete(user_id)
            return "not_mailed"
        return "created"


REGISTRAR = web.AppKey("registrar", Registrar)
