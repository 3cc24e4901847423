"""The process as a whole: it listens, says why it cannot, and ends politely."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bff import access_log, config
from bff.dev.ports import free_port
from bff.serve import serve, serving
from bff.signals import stop_signal
from bff.sockets import CannotListen
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.world import World

BFF = Path(sys.executable).with_name("bff")
KEY = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def settings(databases: Databases, **server: Any) -> dict[str, Any]:
    port, admin = free_port(), free_port()
    return {
        "environment": "dev",
        "server": {
            "listen": f"127.0.0.1:{port}",
            "admin_listen": f"127.0.0.1:{admin}",
            "public_origins": [f"http://127.0.0.1:{port}"],
            **server,
        },
        "database": {"url": databases.app, "worker_url": databases.worker},
        "auth": {
            "issuer": f"http://127.0.0.1:{free_port()}/realms/x",
            "client_secret": "x",
        },
        "session": {"keys": KEY},
    }


async def status_of(url: str) -> int | None:
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return answer.status
    except aiohttp.ClientError:
        return None


async def test_both_listeners_serve_until_the_end(databases: Databases) -> None:
    built = config.build(settings(databases))
    public, admin = (
        f"http://{a}" for a in (built.server.listen, built.server.admin_listen)
    )

    async with serving(built):
        assert await status_of(f"{public}/healthz") == 200
        assert await status_of(f"{admin}/readyz") == 200

    assert await status_of(f"{public}/healthz") is None
    assert await status_of(f"{admin}/readyz") is None


async def test_all_log_lines_are_out_before_a_signal_can_kill(
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="aiohttp.access")
    built = config.build(settings(databases))
    written: list[str] = []

    async def asked_once() -> str:
        url = f"http://{built.server.listen}/whoami"

        async def answers() -> bool:
            return await status_of(url) is not None

        await until(answers, seconds=30)
        return "SIGTERM"

    monkeypatch.setattr("bff.serve.stop_signal", asked_once)
    monkeypatch.setattr(access_log, "FLUSH_SECONDS", 1000.0)
    lines = access_log.Lines(written.append)
    monkeypatch.setattr(access_log._Output, "lines", lines)
    await serve(built)
    assert '"path": "/whoami"' in "".join(written)
    assert lines._due is None


@pytest.mark.parametrize("key", ["listen", "admin_listen"])
async def test_a_taken_port_is_said_with_the_setting_that_moves_it(
    databases: Databases, key: str
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        values = settings(databases, **{key: taken})
        built = config.build(values)

        with pytest.raises(CannotListen) as caught:
            async with serving(built):
                pass

    assert str(caught.value).startswith(taken)
    assert f"server.{key}" in str(caught.value)
    other = built.server.admin_listen if key == "listen" else built.server.listen
    assert await status_of(f"http://{other}/healthz") is None


async def test_who_was_let_in_just_before_the_listener_closed_is_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.serve.SETTLE", 20.0)
    port = free_port()
    listen = {
        "listen": f"127.0.0.1:{port}",
        "admin_listen": f"127.0.0.1:{free_port()}",
        "drain": 20.0,
    }
    server = world.config.server.model_copy(update=listen)
    told = world.config.model_copy(update={"server": server})
    async with world.signed_in() as browser, AsyncExitStack() as stack:
        await stack.enter_async_context(serving(told))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        leaving = asyncio.ensure_future(stack.pop_all().aclose())

        async def is_closed() -> bool:
            return await status_of(f"http://127.0.0.1:{port}/healthz") is None

        await until(is_closed)
        cookies = "; ".join(
            f"{name}={value}" for name, value in browser.cookies.items()
        )
        fields = (
            f"Host: {world.url.removeprefix('http://')}",
            f"Origin: {world.url}",
            "Sec-Fetch-Site: same-origin",
            f"Cookie: {cookies}",
        )
        head = "\r\n".join(("GET /graph/threads/x HTTP/1.1", *fields, "", ""))
        writer.write(head.encode())
        answer = await reader.read()
        writer.close()
        await leaving
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()


async def test_either_signal_ends_the_waiting_and_is_named() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        waiting = asyncio.ensure_future(stop_signal())
        await asyncio.sleep(0)
        os.kill(os.getpid(), number)
        assert await asyncio.wait_for(waiting, 2) == number.name


TOLD_TWICE = """
import asyncio, os, signal
from bff.signals import stop_signal

async def main():
    loop = asyncio.get_running_loop()
    loop.call_soon(os.kill, os.getpid(), signal.{first})
    await stop_signal()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.05)
    print("drained")

asyncio.run(main())
"""


@pytest.mark.parametrize("first", ["SIGTERM", "SIGINT"])
async def test_being_told_again_does_not_cut_the_draining_short(first: str) -> None:
    told = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        TOLD_TWICE.format(first=first),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(told.communicate(), 40)

    assert (told.returncode, said) == (0, b"drained\n")


def environment(values: dict[str, Any]) -> dict[str, str]:
    import json  # noqa: PLC0415 - only here

    found = {"PATH": os.environ["PATH"]}
    for section, keys in values.items():
        if isinstance(keys, str):
            found[f"BFF_{section.upper()}"] = keys
            continue
        for key, value in keys.items():
            text = value if isinstance(value, str) else json.dumps(value)
            found[f"BFF_{section.upper()}__{key.upper()}"] = text
    return found


@asynccontextmanager
async def process(
    command: str, environ: dict[str, str], folder: Path
) -> AsyncGenerator[asyncio.subprocess.Process]:
    running = await asyncio.create_subprocess_exec(
        BFF,
        command,
        env=environ,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def test_a_real_process_serves_and_sigterm_ends_it_with_status_0(
    databases: Databases, tmp_path: Path
) -> None:
    values = settings(databases)
    public = f"http://{values['server']['listen']}"
    async with process("serve", environment(values), tmp_path) as running:

        async def up() -> bool:
            assert running.returncode is None
            return await status_of(f"{public}/healthz") == 200

        await until(up, seconds=20)
        running.terminate()
        said, _ = await asyncio.wait_for(running.communicate(), 10)

    assert running.returncode == 0, said.decode()
    assert "SIGTERM: draining" in said.decode()
    assert "Traceback" not in said.decode()
    assert databases.app not in said.decode()
    assert await status_of(f"{public}/healthz") is None


async def test_a_real_process_that_cannot_listen_ends_with_one_sentence(
    databases: Databases, tmp_path: Path
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        environ = environment(settings(databases, listen=taken))
        async with process("serve", environ, tmp_path) as running:
            said, _ = await asyncio.wait_for(running.communicate(), 20)

    assert running.returncode == 1
    assert f"{taken} cannot be listened on" in said.decode()
    assert "Traceback" not in said.decode()
