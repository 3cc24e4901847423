"""What is measured: the command of each proxy, and what a browser sends to it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from bench import processes, programs
from bff.dev.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from pathlib import Path
    from subprocess import Popen

    # Takes the proxy's URL; returns a Cookie header for each who has signed in.
    SignIn = Callable[[str], Awaitable[tuple[str, ...]]]

START_LIMIT = 60.0
THREAD = "/graph/threads/6f1b5e0c-3c1e-4b2a-9a53-1f1d6a7f0c11"
SMALL = THREAD
STREAM = f"{THREAD}/stream?every="

# A browser's request; the same for everybody, but for the cookies of a sign-in.
HEAD = """GET {target} HTTP/1.1\r
Host: 127.0.0.1:{port}\r
Connection: keep-alive\r
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r
Accept: {accept}\r
Accept-Language: en-GB,en;q=0.8\r
Accept-Encoding: gzip, deflate, br, zstd\r
Referer: http://127.0.0.1:{port}/\r
Origin: http://127.0.0.1:{port}\r
Sec-Fetch-Dest: empty\r
Sec-Fetch-Mode: cors\r
Sec-Fetch-Site: same-origin\r
{cookie}\r
"""


class NotReady(Exception):
    """Tell which proxy does not answer, and what it says."""


class SignInFailed(Exception):
    """Tell what a proxy answered instead of letting somebody in."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One proxy in front of the origin; without a command, the origin itself."""

    name: str
    port: int
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    sign_in: SignIn | None = None
    cookies: tuple[str, ...] = field(default=(), repr=False)

    @property
    def url(self) -> str:
        """Return the origin that a browser would see."""
        return f"http://127.0.0.1:{self.port}"

    def heads(self, target: str, accept: str) -> list[str]:
        """Return the request for *target*, once for each who is signed in."""
        return [
            HEAD.format(
                target=target,
                accept=accept,
                port=self.port,
                cookie=f"Cookie: {cookie}\r\n" if cookie else "",
            )
            for cookie in self.cookies or ("",)
        ]

    @asynccontextmanager
    async def running(
        self, folder: Path, cores: frozenset[int]
    ) -> AsyncGenerator[int | None]:
        """Run it and yield its pid once it answers.

        Raises:
            NotReady: when it does not within a minute.
        """
        if not self.command:
            yield None
            return
        log = folder / f"{self.name}.log"
        async with processes.running(
            self.command, cores=cores, log=log, environment=self.environment
        ) as process:
            await self._ready(process, log)
            yield process.pid

    async def _ready(self, process: Popen[bytes], log: Path) -> None:
        headers = {"Origin": self.url, "Sec-Fetch-Site": "same-origin"}
        if self.cookies:
            headers["Cookie"] = self.cookies[0]
        # Before anybody has signed in, being refused is an answer too.
        refused = self.sign_in and not self.cookies
        fine = {302, 401, 403} if refused else {200}
        deadline = asyncio.get_running_loop().time() + START_LIMIT
        timeout = aiohttp.ClientTimeout(total=5)
        said: object = "nothing"
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as client:
            while asyncio.get_running_loop().time() < deadline:
                # Somebody else may have taken its port, and answer in its place.
                if process.poll() is not None:
                    said = f"ended with status {process.returncode}"
                    break
                try:
                    async with client.get(
                        self.url + SMALL, allow_redirects=False
                    ) as answer:
                        said = answer.status
                        if answer.status in fine:
                            return
                except (aiohttp.ClientError, TimeoutError) as error:
                    said = type(error).__name__
                await asyncio.sleep(0.1)
        raise NotReady(f"{self.name} does not answer ({said}): {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next(filter(None, reversed(lines)), "its log is empty")


def direct(origin: int) -> Contender:
    """Return no proxy at all: what the load programs measure of themselves."""
    return Contender("direct", origin)


def usual(origin: int) -> Contender:
    """Return the usual aiohttp way (bench/usual.py)."""
    port = free_port()
    script = str(programs.HERE / "usual.py")
    upstream = f"http://127.0.0.1:{origin}"
    return Contender("usual", port, (sys.executable, script, str(port), upstream))


def nginx(origin: int, folder: Path, *, files: int) -> Contender:
    """Return nginx as a plain proxy: one worker, upstream kept alive, no login.

    Raises:
        Unavailable: when it is not installed.
    """
    program, port = programs.nginx(), free_port()
    place = folder / "nginx"
    place.mkdir()
    # The worker is another user when we are root, and keeps request bodies here.
    place.chmod(0o755)
    temporary = "".join(
        f"    {kind}_temp_path {place}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = place / "nginx.conf"
    configuration.write_text(
        f"""daemon off;
worker_processes 1;
pid {place}/pid;
error_log {place}/error.log;
events {{ worker_connections {files - 50}; }}
http {{
{temporary}    access_log off;
    keepalive_requests 1000000000;
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 64;
                      keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
""",
        encoding="utf-8",
    )
    command = (program, "-p", str(place), "-c", str(configuration))
    return Contender("nginx", port, (*command, "-e", str(place / "error.log")))
