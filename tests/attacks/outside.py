"""What every attacker needs: raw requests, somebody's cookies, a look at tokens."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings

from tests.bff.proxied import with_proxy
from tests.bff.raw import RawAnswer, exchange, head
from tests.fakes.upstream import Peer, Received, fake_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from tests.databases import Databases
    from tests.world import World

# What may stand in a header field, but for the letters, which are alike.
VISIBLE = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \tabcXYZ0129"
OURS = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}


def hostile(examples: int) -> settings:
    """Let Hypothesis attack one running gateway with this many examples."""
    calm = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    # The gateway lives on between examples: that is the point.
    return settings(max_examples=examples, suppress_health_check=calm)


async def ask(
    world: World,
    line: str,
    *headers: str,
    jar: Mapping[str, str] | None = None,
    body: bytes = b"",
    host: str | None = None,
) -> RawAnswer:
    """Send a request as a script of our own page could, byte for byte.

    A header given as `-Name` leaves out one that such a script would send.
    """
    named = {one.partition(":")[0].lstrip("-") for one in headers}
    lines = [f"{key}: {one}" for key, one in OURS.items() if key not in named]
    lines += [one for one in headers if not one.startswith("-")]
    if jar:
        lines.append("Cookie: " + "; ".join(f"{key}={one}" for key, one in jar.items()))
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    url = world.url if host is None else f"http://{host}"
    return await exchange(world.url, head(url, line, *lines) + body)


@dataclass
class Tap:
    """A gateway, every request its upstream got, and somebody's cookies."""

    world: World
    seen: list[Received] = field(default_factory=list)
    jar: dict[str, str] = field(default_factory=dict)

    async def ask(
        self, line: str, *headers: str, body: bytes = b""
    ) -> tuple[RawAnswer, list[Received]]:
        """Send a request with the cookies; return what the upstream got of it."""
        self.seen.clear()
        answer = await ask(self.world, line, *headers, jar=self.jar, body=body)
        return answer, list(self.seen)


@asynccontextmanager
async def tapped(
    databases: Databases, *, server: dict[str, Any] | None = None, **proxy: Any
) -> AsyncGenerator[Tap]:
    """Run a gateway whose upstream keeps every request, byte for byte."""
    seen: list[Received] = []

    async def keep(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            await peer.answer(b"{}", "Content-Type: application/json")

    async with fake_upstream(keep) as fake:
        world = with_proxy(databases, upstreams=[fake.url], **proxy)
        world.settings["server"] = server or {}
        async with world.running():
            yield Tap(world, seen)


def claims_of(token: str) -> dict[str, Any]:
    """Read what a token says, believing it."""
    middle = token.removeprefix("Bearer ").split(".")[1]
    found: dict[str, Any] = json.loads(unpadded(middle))
    return found


def unpadded(text: str) -> bytes:
    """Decode base64url as tokens and cookies have it."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def set_cookies(answer: RawAnswer) -> list[str]:
    """Return the values of all Set-Cookie fields."""
    lines = answer.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    return [
        line.partition(":")[2].strip()
        for line in lines
        if line.lower().startswith("set-cookie:")
    ]
