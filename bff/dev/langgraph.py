"""Run a real LangGraph server beside `bff dev`: `langgraph dev` as a child process."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

AGENT = Path(__file__).parent / "agent"
HOST = "127.0.0.1"
START_LIMIT = 60  # seconds
POLL = 0.2  # seconds
STOP_LIMIT = 10  # seconds between SIGTERM and SIGKILL
LOG_LINES = 15

# What of our own environment the child sees: enough to run, none of our secrets.
PASSED_ON = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"),
    *("LD_LIBRARY_PATH", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
QUIET = {
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "NO_COLOR": "1",
    "PYTHONUNBUFFERED": "1",
}

# Runs in the child. Its standard input is a pipe that nobody writes to: it ends when
# we end, however abruptly, and then the child's process group ends too. PDEATHSIG
# would need code between fork and exec, and fires when a mere thread of ours ends.
LEASH = f"""
import os, runpy, signal, sys, threading, time

def follow():
    os.read(0, 1)
    os.killpg(0, signal.SIGTERM)
    time.sleep({STOP_LIMIT})
    os.killpg(0, signal.SIGKILL)

threading.Thread(target=follow, daemon=True).start()
sys.argv[0] = "langgraph"
runpy.run_module("langgraph_cli", run_name="__main__")
"""


class LangGraphUnavailable(Exception):
    """No LangGraph server could be started; the message says what to do."""


@dataclass(frozen=True)
class LangGraph:
    """A running server: its base URL, its process (and group) id, its log file."""

    url: str
    pid: int
    log: Path


@asynccontextmanager
async def langgraph_server(
    *,
    folder: Path,
    port: int | None = None,
    issuer: str,
    audience: str,
    client_id: str | None = None,
    gateway_key: str | None = None,
    jobs: int = 10,
    log: Path | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> AsyncGenerator[LangGraph]:
    """Serve the demo agent on *port* (None: a free one), its state kept in *folder*.

    Raises:
        LangGraphUnavailable: It is not installed, or did not answer within 60 s.

    """
    if any(map(_is_missing, ("langgraph_cli", "langgraph_api"))):
        raise LangGraphUnavailable(
            "LangGraph is not installed here: pip install 'nexius-bff[dev]'."
        )
    log = log or folder / "langgraph.log"
    port = _reserve(port)
    settings = {
        "NEXIUS_ISSUER": issuer,
        "NEXIUS_AUDIENCE": audience,
        "NEXIUS_CLIENT_ID": client_id,
        "NEXIUS_GATEWAY_KEY": gateway_key,
    }
    secrets = [gateway_key] if gateway_key else []
    if on_progress:
        on_progress("starting LangGraph")
    await asyncio.to_thread(_prepare, folder, log)
    process = await _start(folder, log, port=port, jobs=jobs, settings=settings)
    try:
        server = LangGraph(url=f"http://{HOST}:{port}", pid=process.pid, log=log)
        await _wait_until_ready(server, process, secrets=secrets)
        if on_progress:
            on_progress(f"LangGraph answers at {server.url}")
        yield server
    finally:
        await _stop(process)


def agent_config() -> dict[str, Any]:
    """Return the agent's langgraph.json with its paths made absolute.

    LangGraph looks for them in its working directory, which here holds only its state.
    """
    config: dict[str, Any] = json.loads((AGENT / "langgraph.json").read_text())
    for part, name in ("graphs", "agent"), ("auth", "path"), ("http", "app"):
        file, _, variable = config[part][name].rpartition(":")
        config[part][name] = f"{(AGENT / file).resolve()}:{variable}"
    return config


def _is_missing(module: str) -> bool:
    return importlib.util.find_spec(module) is None


def _reserve(port: int | None) -> int:
    """Return *port*, or a free one; refuse one in use, which LangGraph would evade."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port or 0))
        except OSError as error:
            raise LangGraphUnavailable(
                f"Port {port} is in use: stop what listens there or choose another."
            ) from error
        number: int = probe.getsockname()[1]
    return number


def _prepare(folder: Path, log: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    config = json.dumps(agent_config(), indent=2)
    (folder / "langgraph.json").write_text(config + "\n")


async def _start(
    folder: Path, log: Path, *, port: int, jobs: int, settings: dict[str, str | None]
) -> asyncio.subprocess.Process:
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= QUIET | {name: text for name, text in settings.items() if text}
    options = {
        "--host": HOST,
        "--port": str(port),
        "--config": "langgraph.json",
        "--n-jobs-per-worker": str(jobs),
    }
    output = await asyncio.to_thread(log.open, "ab")
    with output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", LEASH, "dev", "--no-browser", "--no-reload"),
            *(word for option in options.items() for word in option),
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # its own group, which _stop and LEASH may kill
        )


async def _wait_until_ready(
    server: LangGraph, process: asyncio.subprocess.Process, *, secrets: list[str]
) -> None:
    problem = f"LangGraph did not answer within {START_LIMIT} s"
    deadline = asyncio.get_running_loop().time() + START_LIMIT
    timeout = aiohttp.ClientTimeout(total=1)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        while asyncio.get_running_loop().time() < deadline:
            if process.returncode is not None:
                problem = f"LangGraph ended with status {process.returncode}"
                break
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with client.get(f"{server.url}/ok") as answer:
                    if answer.status == HTTPStatus.OK:
                        return
            await asyncio.sleep(POLL)
    tail = await asyncio.to_thread(_last_lines, server.log, secrets)
    raise LangGraphUnavailable(
        f"{problem}; if its installation is incomplete, pip install"
        f" 'nexius-bff[dev]'. The end of {server.log}:\n{tail}"
    )


def _last_lines(log: Path, secrets: list[str]) -> str:
    text = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the process group: politely, then after 10 s by force."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_LIMIT)
            return
