"""Our gateway as in production: `bff serve`, PostgreSQL, people who have signed in."""

from __future__ import annotations

import base64
import json
import secrets
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import asyncpg
from yarl import URL

from bench.contenders import SMALL, Contender, SignInFailed
from bff import migrate
from bff.database import connect
from bff.dev import demo
from bff.dev.ports import free_port
from bff.dev.postgres import ensure_database, postgres
from bff.dev.provider import Person
from bff.roles import APP, OWNER, ROLES, WORKER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

DATABASE = "bff_bench"
TENANT = 1001
# Several sessions, so that nothing is measured of one cookie seen again and again.
PEOPLE = tuple(
    Person(
        email=f"person{number}@acme.test",
        password=demo.PASSWORD,
        tenant_id=TENANT,
        roles=("admin",),
        first_name="Person",
        last_name=str(number),
    )
    for number in range(20)
)
UNLIMITED = "1000000"


@asynccontextmanager
async def gateway(
    origin: int, issuer: str, secret: str, port: int, folder: Path
) -> AsyncGenerator[Contender]:
    """Run PostgreSQL and yield the gateway's command and settings.

    Raises:
        PostgresUnavailable: when there is none to run.
    """
    async with postgres(folder / "postgres", durable=False) as server:
        await ensure_database(server, DATABASE)
        urls = {role: server.url(role, DATABASE) for role in ROLES}
        owner = await asyncpg.connect(urls[OWNER])
        try:
            await migrate.migrate(owner)
            async with connect(urls[APP], size=2) as database:
                await demo.seed(owner, database)
        finally:
            await owner.close()
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        environment = {
            "BFF_ENVIRONMENT": "dev",
            "BFF_SERVER__LISTEN": f"127.0.0.1:{port}",
            "BFF_SERVER__ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            "BFF_SERVER__PUBLIC_ORIGINS": json.dumps([f"http://127.0.0.1:{port}"]),
            "BFF_SERVER__DRAIN": "0",
            "BFF_DATABASE__URL": urls[APP],
            "BFF_DATABASE__WORKER_URL": urls[WORKER],
            "BFF_AUTH__ISSUER": issuer,
            "BFF_AUTH__CLIENT_SECRET": secret,
            "BFF_SESSION__KEYS": f"1:{key}",
            "BFF_PROXY__GRAPH__UPSTREAMS": json.dumps([f"http://127.0.0.1:{origin}"]),
            "BFF_PROXY__GRAPH__MAX_STREAMS_PER_SESSION": UNLIMITED,
            "BFF_PROXY__GRAPH__MAX_STREAMS_PER_TENANT": UNLIMITED,
        }
        command = (sys.executable, "-m", "bff", "serve")
        yield Contender("gateway", port, command, environment, sign_in=_sign_all_in)


async def _sign_all_in(url: str) -> tuple[str, ...]:
    return tuple([await _sign_in(url, person) for person in PEOPLE])


async def _sign_in(url: str, person: Person) -> str:
    jar = aiohttp.CookieJar(unsafe=True)
    headers = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    body = {"email": person.email, "password": person.password}
    async with (
        aiohttp.ClientSession(cookie_jar=jar, headers=headers) as client,
        client.post(f"{url}/auth/login", json=body) as answer,
    ):
        if not answer.ok:
            raise SignInFailed(f"the gateway: {answer.status} {await answer.text()}")
    sent = jar.filter_cookies(URL(url + SMALL))
    return "; ".join(f"{name}={morsel.value}" for name, morsel in sent.items())
