"""nginx and Caddy as real processes, by the very files of deploy/.

Of the files nothing changes but addresses, names and paths; what is to be replaced must
be there, or a test would run something else.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from bff.dev.ports import free_port
from tests import parts
from tests.bff.waiting import until
from tests.fakes.certificates import certificate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = "localhost"
KINDS = ("nginx", "caddy")
STOPPING = 20.0


@dataclass(frozen=True)
class Edge:
    """A running proxy, and the certificate that its browsers trust."""

    port: int
    certificate: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.port}"

    def trust(self) -> ssl.SSLContext:
        """Return what a browser that trusts the certificate connects with."""
        return ssl.create_default_context(cafile=str(self.certificate))


@asynccontextmanager
async def edge(kind: str, gateways: Sequence[str], port: int) -> AsyncGenerator[Edge]:
    """Run *kind* on *port* of loopback, in front of *gateways* (host:port)."""
    program = parts.nginx() if kind == "nginx" else parts.caddy()
    prepare: Callable[..., tuple[list[str], dict[str, str]]]
    prepare = _nginx if kind == "nginx" else _caddy
    # Not pytest's folder, which processes of other users cannot enter.
    with tempfile.TemporaryDirectory(prefix="bff-edge-") as name:
        folder, log = Path(name), Path(name) / "log"
        made, key = certificate(folder, NAME)
        command, more = prepare(folder, gateways, port, made, key)
        process = _start([program, *command], more, log)
        running = Edge(port, made, process, log)
        try:
            await _answering(running)
            yield running
        finally:
            process.terminate()  # at once: streams break
            try:
                await asyncio.to_thread(process.wait, STOPPING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def replaced(text: str, changes: dict[str, str]) -> str:
    """Replace each of *changes*, which must all be there."""
    for old, new in changes.items():
        assert old in text, f"{old!r} is not in the file any more"
        text = text.replace(old, new)
    return text


def nginx_configuration(
    gateways: Sequence[str], port: int, made: Path, key: Path, folder: Path
) -> str:
    """Return deploy/nginx.conf with addresses, names and paths replaced."""
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    sample = "        server gateway-{}:8080 max_fails=20 fail_timeout=2s;\n"
    lines = [
        sample.format(1).replace("gateway-1:8080", address) for address in gateways
    ]
    temporary = "".join(
        f"    {what}_temp_path {folder}/{what};\n"
        for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return replaced(
        text,
        {
            "".join(sample.format(number) for number in (1, 2, 3)): "".join(lines),
            "user www-data;": "user root;" if os.geteuid() == 0 else "",
            "/run/nginx.pid": str(folder / "pid"),
            "http {\n": f"http {{\n{temporary}",
            "listen 443": f"listen 127.0.0.1:{port}",
            "listen 80": f"listen 127.0.0.1:{free_port()}",
            "app.example.com$request_uri": f"{NAME}:{port}$request_uri",
            "/etc/ssl/app.example.com.crt": str(made),
            "/etc/ssl/private/app.example.com.key": str(key),
            "app.example.com": NAME,
        },
    )


def _nginx(
    folder: Path, gateways: Sequence[str], port: int, made: Path, key: Path
) -> tuple[list[str], dict[str, str]]:
    file = folder / "nginx.conf"
    text = nginx_configuration(gateways, port, made, key, folder)
    file.write_text(text, encoding="utf-8")
    return ["-p", str(folder), "-c", str(file), "-e", "stderr", "-g", "daemon off;"], {}


def _caddy(
    folder: Path, gateways: Sequence[str], port: int, made: Path, key: Path
) -> tuple[list[str], dict[str, str]]:
    return ["run", "--config", str(DEPLOY / "Caddyfile"), "--adapter", "caddyfile"], {
        "BFF_SITE": f"{NAME}:{port}",
        "BFF_GATEWAYS": " ".join(gateways),
        "BFF_TLS": f"{made} {key}",
        "BFF_HTTP_PORT": str(free_port()),
        "BFF_HTTPS_PORT": str(port),
        "HOME": str(folder),
    }


def _start(
    command: list[str], more: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(  # noqa: S603 - nginx or Caddy
            command,
            env={"PATH": os.environ["PATH"], **more},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


async def _answering(running: Edge) -> None:
    async def look() -> bool:
        said = running.log.read_text(encoding="utf-8", errors="replace")
        assert running.process.poll() is None, said
        connector = aiohttp.TCPConnector(ssl=running.trust())
        try:
            async with (
                aiohttp.ClientSession(connector=connector) as http,
                http.get(f"{running.url}/healthz"),
            ):
                return True
        except aiohttp.ClientConnectionError:
            return False

    await until(look, seconds=30)
