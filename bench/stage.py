"""Set up everything that is measured, and run the rounds."""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import contenders, load, oauth2_proxy, processes, programs
from bench.gateway import PEOPLE
from bench.gateway import gateway as gateway_of
from bench.scenarios import measure
from bff.dev import demo
from bff.dev.ports import free_port
from bff.dev.provider import Provider, Realm, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from bench.contenders import Contender
    from bench.scenarios import Scenario

NAMES = ("gateway", "nginx", "usual", "oauth2-proxy", "direct")
# Sign-ins last as long as any run: the load programs keep no new cookies.
REALM = Realm(access_ttl=12 * 3600, idle_ttl=12 * 3600, max_ttl=24 * 3600)


@dataclass(slots=True)
class Stage:
    """The contenders, ready to be run, and what could not come."""

    folder: Path
    cores: processes.Cores
    files: int
    present: list[Contender] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)

    async def round(
        self, number: int, scenarios: tuple[Scenario, ...]
    ) -> list[dict[str, Any]]:
        """Start every contender afresh and measure each in each scenario in turn.

        All of them run all the time, asleep but for the one that is measured. The one
        that begins is another in each round.
        """
        rows = []
        async with AsyncExitStack() as stack:
            pids = {}
            for place, one in enumerate(self.present):
                start = one.running(self.folder, self.cores.proxy)
                pids[one.name] = await stack.enter_async_context(start)
                if one.sign_in and not one.cookies:
                    say(f"signing in at {one.name}")
                    cookies = await one.sign_in(one.url)
                    self.present[place] = replace(one, cookies=cookies)
            turn = number % len(self.present)
            order = self.present[turn:] + self.present[:turn]
            alive = [pid for pid in pids.values() if pid]
            # Memory first, while the processes are new.
            for scenario in sorted(scenarios, key=lambda one: not one.is_idle):
                fitting = scenario.within(self.files)
                for one in order:
                    await processes.quiet(alive)
                    row: dict[str, Any] = {
                        "round": number + 1,
                        "scenario": scenario.name,
                        "contender": one.name,
                    }
                    rows.append(row)
                    row |= await self._measured(fitting, one, pids[one.name])
                    say(" ".join(map(str, row.values())))
        return rows

    async def _measured(
        self, scenario: Scenario, contender: Contender, pid: int | None
    ) -> dict[str, Any]:
        try:
            figures = await measure(scenario, contender, pid, self.folder)
        except load.LoadFailed as error:
            return {"failed": str(error)}
        return {"figures": {name: round(one, 3) for name, one in figures.items()}}


@asynccontextmanager
async def stage(wanted: frozenset[str]) -> AsyncGenerator[Stage]:
    """Yield everything of *wanted* that this machine can run.

    Raises:
        Unavailable: without a C compiler.
    """
    cores, files = processes.divide_cores(), processes.raise_file_limit()
    async with AsyncExitStack() as stack:
        stack.enter_context(processes.pinned(cores.load))
        folder = stack.enter_context(_folder())
        programs.build("listen")
        origin = await stack.enter_async_context(load.origin())
        made = Stage(folder, cores, files)
        if "direct" in wanted:
            made.present.append(contenders.direct(origin))
        if "usual" in wanted:
            made.present.append(contenders.usual(origin))
        if "nginx" in wanted:
            try:
                made.present.append(contenders.nginx(origin, folder, files=files))
            except programs.Unavailable as error:
                made.absent["nginx"] = str(error)
        if wanted & {"gateway", "oauth2-proxy"}:
            await _add_signed_in(made, wanted, origin, stack)
        made.present.sort(key=lambda one: NAMES.index(one.name))
        yield made


async def _add_signed_in(
    made: Stage, wanted: frozenset[str], origin: int, stack: AsyncExitStack
) -> None:
    """Start the provider, and add those whose users sign in there."""
    secret, ours, theirs = secrets.token_urlsafe(24), free_port(), free_port()
    clients = [
        demo.client(secret, (f"http://127.0.0.1:{ours}",)),
        oauth2_proxy.client(secret, theirs),
    ]
    provider = Provider(REALM, PEOPLE, clients)
    issuer = await stack.enter_async_context(serving(provider))
    if "gateway" in wanted:
        gateway = gateway_of(origin, issuer, secret, ours, made.folder)
        made.present.append(await stack.enter_async_context(gateway))
    if "oauth2-proxy" in wanted:
        say("oauth2-proxy: building it, which takes minutes the first time")
        try:
            program = await asyncio.to_thread(programs.oauth2_proxy)
        except programs.Unavailable as error:
            made.absent["oauth2-proxy"] = str(error)
        else:
            made.present.append(
                oauth2_proxy.oauth2_proxy(program, origin, issuer, secret, theirs)
            )


@contextmanager
def _folder() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="bff-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # other users run PostgreSQL and nginx when we are root
        yield folder


def say(what: str) -> None:
    """Tell the person at the terminal how far we are."""
    print(f"  {what}", file=sys.stderr, flush=True)
