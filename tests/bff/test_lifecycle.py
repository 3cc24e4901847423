"""A real process ends: unready first, then closed; who has asked is answered."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from bff.dev.ports import free_port
from bff.lifecycle import Lifecycle
from tests.bff.test_serve import environment, process, settings
from tests.bff.waiting import until

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.databases import Databases

pytestmark = pytest.mark.timeout(150)


async def test_who_waits_is_told_when_all_are_answered() -> None:
    lifecycle = Lifecycle()
    await lifecycle.answered()  # nobody asked
    with lifecycle.answering():
        waiting = asyncio.ensure_future(lifecycle.answered())
        with lifecycle.answering():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 5)
    assert not lifecycle.under_way


class SlowProvider:
    """A provider that takes its time to say what it is."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        del request
        self.asked.set()
        await self.go.wait()
        return web.Response(status=500)

    @asynccontextmanager
    async def running(self, port: int) -> AsyncGenerator[None]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield
        finally:
            self.go.set()
            await runner.cleanup()


async def ready(running: Process, admin: str) -> bool:
    assert running.returncode is None
    try:
        async with aiohttp.request("GET", f"{admin}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def unready(admin: str) -> bool:
    """Tell whether it says that it leaves."""
    async with aiohttp.request("GET", f"{admin}/readyz") as answer:
        return answer.status == 503 and "shutting down" in await answer.text()


class Here:
    """A process, its addresses, and a connection of a client's own."""

    def __init__(self, values: dict[str, Any], running: Process) -> None:
        server = values["server"]
        self.public, self.admin = (
            f"http://{server[key]}" for key in ("listen", "admin_listen")
        )
        self.host, _, port = server["listen"].rpartition(":")
        self.port = int(port)
        self.running = running
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self._opened: list[asyncio.StreamWriter] = []

    async def connect(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        self._opened.append(self.writer)

    def hang_up(self) -> None:
        for one in self._opened:
            one.close()

    async def ask(self, path: str = "/healthz") -> str:
        """Ask on the one connection and return the answer's head."""
        place = f"{self.host}:{self.port}"
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(":")[2])
            for line in head.decode().lower().split("\r\n")
            if line.startswith("content-length:")
        )
        await self.reader.readexactly(length)
        return head.decode()


@asynccontextmanager
async def here(
    databases: Databases, folder: Path, **server: Any
) -> AsyncGenerator[Here]:
    values = settings(databases, **server)
    values["worker"] = {"embedded": False}
    async with process("serve", environment(values), folder) as running:
        made = Here(values, running)
        await until(lambda: ready(running, made.admin), seconds=60)
        try:
            yield made
        finally:
            made.hang_up()


async def test_it_is_unready_first_and_clients_are_sent_on(
    databases: Databases, tmp_path: Path
) -> None:
    async with here(databases, tmp_path, unready=3, drain=20) as it:
        await it.connect()
        assert "connection: close" not in (await it.ask()).lower()
        began = time.monotonic()
        it.running.terminate()
        await until(lambda: unready(it.admin))

        # Balancers have not noticed yet: all is answered, old connections and new.
        assert "connection: close" in (await it.ask()).lower()
        assert await it.reader.read() == b""
        await it.connect()
        head = await it.ask()
        assert head.startswith("HTTP/1.1 200")
        assert "connection: close" in head.lower()

        async def refused() -> bool:
            try:
                await it.connect()
            except ConnectionRefusedError:
                return True
            it.writer.close()
            return False

        await until(refused, seconds=30)
        assert time.monotonic() - began >= 3
        said, _ = await asyncio.wait_for(it.running.communicate(), 40)
    assert it.running.returncode == 0, said.decode()
    assert "Traceback" not in said.decode()


async def test_what_was_asked_before_is_answered_and_so_is_a_kept_connection(
    databases: Databases, tmp_path: Path
) -> None:
    provider, port = SlowProvider(), free_port()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(provider.running(port))
        values = settings(databases, drain=30)
        values["auth"]["issuer"] = f"http://127.0.0.1:{port}/realms/x"
        values["auth"]["timeout"] = 25
        values["worker"] = {"embedded": False}
        environ = environment(values)
        running = await stack.enter_async_context(process("serve", environ, tmp_path))
        it = Here(values, running)
        kept = Here(values, running)
        stack.callback(it.hang_up)
        stack.callback(kept.hang_up)
        async with asyncio.timeout(60):
            await provider.asked.wait()  # by the start itself, which does not wait

        async def up() -> bool:
            try:
                await kept.connect()
            except ConnectionRefusedError:
                return False
            return True

        await until(up, seconds=60)
        await it.connect()
        waiting = asyncio.ensure_future(it.ask("/auth/sso"))
        assert (await kept.ask()).startswith("HTTP/1.1 200")
        # Longer than handlers get once the sockets are closed.
        running.terminate()
        await asyncio.sleep(2.5)
        with pytest.raises(ConnectionRefusedError):
            await Here(values, running).connect()

        assert "connection: close" in (await kept.ask()).lower()
        assert not waiting.done()
        provider.go.set()
        answer = await asyncio.wait_for(waiting, 20)
        assert answer.startswith("HTTP/1.1 503")
        assert "connection: close" in answer.lower()
        said, _ = await asyncio.wait_for(running.communicate(), 40)
    assert running.returncode == 0, said.decode()
