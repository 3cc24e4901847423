"""People who use a gateway for a while, and what it holds meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from bff.dev.demo import PASSWORD

if TYPE_CHECKING:
    from tests.replicas import Replica, Replicas
    from tests.world import Browser

SAMPLE = 1.0
PATHS = ("/whoami", "/graph/threads/x", "/auth/sessions", "/onboarding/status")
QUIET = ("debug", "info")


@dataclass
class Sample:
    """What a process holds at a moment."""

    megabytes: float
    descriptors: int


def sample(pid: int) -> Sample:
    """Look at a process."""
    fields = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").split()
    kilobytes = int(fields[fields.index("Private_Dirty:") + 1])
    count = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Sample(kilobytes / 1024, count)


@dataclass
class Load:
    """What is done until *ends*, and what came of it."""

    replicas: Replicas
    ends: float
    done: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    @property
    def replica(self) -> Replica:
        return self.replicas.each[0]

    @property
    def over(self) -> bool:
        return time.monotonic() > self.ends

    async def watch(self) -> None:
        """Take samples."""
        while not self.over:
            await asyncio.sleep(SAMPLE)
            self.samples.append(sample(self.replica.process.pid))

    async def person(self, email: str, number: int) -> None:
        """Sign in, ask, listen, renew and sign out, again and again."""
        dice = random.Random(number)  # noqa: S311 - chooses what to do
        while not self.over:
            async with self.replicas.browser(self.replica) as browser:
                await self._sign_in(browser, email)
                stays = min(time.monotonic() + dice.uniform(5, 30), self.ends)
                while time.monotonic() < stays:
                    await self._act(browser, dice)
                assert (await browser.post("/auth/logout")).status == 204
                self.done["sign-outs"] += 1

    async def _sign_in(self, browser: Browser, email: str) -> None:
        # Ten of one account at once look like somebody who guesses.
        while (answer := await browser.login(email, PASSWORD)).status == 429:
            self.done["sign-ins told to wait"] += 1
            await asyncio.sleep(int(answer.headers["Retry-After"]))
        assert answer.status == 200, await answer.text()
        self.done["sign-ins"] += 1

    async def _act(self, browser: Browser, dice: random.Random) -> None:
        what = dice.random()
        if what < 0.05:
            answer = await browser.post("/auth/refresh")
            self.done["renewals"] += 1
        elif what < 0.15:
            answer = await browser.get("/graph/threads/x/stream")
            with suppress(TimeoutError):
                async with asyncio.timeout(dice.uniform(0.1, 3)):
                    while await answer.content.readany():
                        pass
            answer.close()
            self.done["streams left"] += 1
        elif what < 0.3:
            answer = await browser.post("/graph/threads/x/runs/stream", json={})
            assert b"data: 4" in await answer.read()
            self.done["runs"] += 1
        else:
            answer = await browser.get(dice.choice(PATHS))
            await answer.read()
            self.done["requests"] += 1
        assert answer.status == 200, await answer.text()
        await asyncio.sleep(dice.uniform(0, 0.1))

    def halves(self) -> tuple[Sample, Sample]:
        """Return what was usual in the third and in the last quarter."""
        quarter = len(self.samples) // 4
        third, last = self.samples[-2 * quarter : -quarter], self.samples[-quarter:]
        return _median(third), _median(last)

    def complaints(self) -> list[str]:
        """Return what was logged and is no everyday matter."""
        lines = self.replica.output().splitlines()
        return [one for one in lines if json.loads(one)["level"] not in QUIET]


def _median(samples: list[Sample]) -> Sample:
    return Sample(
        statistics.median(one.megabytes for one in samples),
        round(statistics.median(one.descriptors for one in samples)),
    )


async def rests(replica: Replica) -> bool:
    """Tell whether nothing is streaming any more."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{replica.admin_url}/metrics") as answer,
    ):
        return "\nbff_live_streams 0.0\n" in await answer.text()
