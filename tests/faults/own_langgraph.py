"""A real LangGraph server of a test's own, to be killed and started again."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bff.dev import demo
from bff.dev.langgraph import LangGraph, langgraph_server
from bff.dev.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

GATEWAY_KEY = "test-gateway-key"


@dataclass
class OwnLangGraph:
    """One address, and whatever process serves it at the moment."""

    folder: Path
    issuer: str
    port: int = field(default_factory=free_port)
    running: LangGraph = field(init=False)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        self.running = await self._stack.enter_async_context(
            langgraph_server(
                folder=self.folder,
                port=self.port,
                issuer=self.issuer,
                audience=demo.AUDIENCE,
                client_id=demo.CLIENT_ID,
                gateway_key=GATEWAY_KEY,
            )
        )

    async def stop(self) -> None:
        """End what runs."""
        await self._stack.aclose()

    async def kill(self) -> None:
        """End it as a crash would."""
        os.killpg(self.running.pid, signal.SIGKILL)
        await self.stop()

    def freeze(self) -> None:
        """Let it take connections and never answer."""
        os.killpg(self.running.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.killpg(self.running.pid, signal.SIGCONT)


@asynccontextmanager
async def own_langgraph(folder: Path, issuer: str) -> AsyncGenerator[OwnLangGraph]:
    """Run one for as long as the context is open."""
    own = OwnLangGraph(folder, issuer)
    try:
        await own.start()
        yield own
    finally:
        await own.stop()
