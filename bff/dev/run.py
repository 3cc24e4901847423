"""`bff dev`: the whole product on one machine, with one command.

PostgreSQL, an identity provider, a LangGraph server and the gateway start one after
the other, keep their data in one folder, and end together.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg

from bff import access_log, config, migrate
from bff.database import connect
from bff.dev import demo, folder
from bff.dev import ui as uis
from bff.dev.langgraph import LangGraphUnavailable, langgraph_server
from bff.dev.ports import free_port
from bff.dev.postgres import PostgresUnavailable, ensure_database, postgres, stop
from bff.dev.provider import Provider, Realm, serving
from bff.roles import APP, OWNER, ROLES, WORKER, ensure_roles
from bff.serve import serving as serving_gateway
from bff.sockets import CannotListen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

DATABASE = "bff_dev"
REPORT = "dev.json"


class CannotRun(Exception):
    """Say in one sentence why `bff dev` cannot run, and what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `bff dev` can be told."""

    port: int = 8080
    provider_port: int = 8180
    graph: str | None = None
    ui: str | None = None
    one_origin: bool = False
    issuer: str | None = None
    client_id: str = demo.CLIENT_ID
    client_secret: str | None = None
    audience: str = demo.AUDIENCE
    database: str | None = None
    fresh: bool = False
    folder: Path = field(default_factory=lambda: Path(".bff"))
    log_level: str = "WARNING"


@dataclass(slots=True)
class Parts:
    """Where the parts are, as they come up."""

    database: dict[str, str] = field(default_factory=dict)
    issuer: str = ""
    graph_url: str = ""
    origins: tuple[str, ...] = ()
    admin_url: str = ""

    @property
    def gateway_url(self) -> str:
        """Return where people open the gateway."""
        return self.origins[0]

    def report(self) -> dict[str, Any]:
        """Return what scripts want to know."""
        known = [
            {
                "email": person.email,
                "password": person.password,
                "tenant_id": person.tenant_id,
            }
            for person in demo.PEOPLE
        ]
        return {
            "gateway_url": self.gateway_url,
            "admin_url": self.admin_url,
            "issuer": self.issuer,
            "graph_url": self.graph_url,
            "database_url": self.database,
            "users": known,
        }  # fmt: skip


async def run(options: Options) -> None:
    """Run everything until SIGINT or SIGTERM.

    Raises:
        CannotRun: with one sentence about what is in the way.
    """
    home = options.folder.resolve()
    _end_on_signal(asyncio.current_task())
    try:
        with folder.locked(home):
            (home / REPORT).unlink(missing_ok=True)
            if options.fresh:
                await asyncio.to_thread(_forget, home)
            async with AsyncExitStack() as stack:
                try:
                    await _start(options, home, stack)
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    print("\nStopping …", flush=True)
    except migrate.MigrationError as error:
        raise CannotRun(f"{error}; or forget this data: --fresh") from error
    except (
        PostgresUnavailable,
        LangGraphUnavailable,
        CannotListen,
        folder.FolderInUse,
        config.ConfigError,
        uis.NoUi,
    ) as error:
        raise CannotRun(str(error)) from error


def _end_on_signal(task: asyncio.Task[Any] | None) -> None:
    """Cancel *task* once: an impatient second Ctrl-C must not break the clean-up."""
    asked = False

    def end() -> None:
        nonlocal asked
        if task is not None and not asked:
            asked = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)


async def _start(options: Options, home: Path, stack: AsyncExitStack) -> None:
    began = time.monotonic()
    parts = Parts(
        origins=uis.own_origins(options.port, options.ui, behind=options.one_origin),
        admin_url=f"http://127.0.0.1:{free_port()}",
    )
    secret = options.client_secret or folder.secret(home, "client_secret")
    gateway_key = folder.secret(home, "gateway_key")
    _check_free(options.port, "--port")
    with _step("PostgreSQL"):
        parts.database = await stack.enter_async_context(_database(options, home))
    with _step("identity provider"):
        parts.issuer = options.issuer or str(
            await stack.enter_async_context(_provider(options, home, secret))
        )
    with _step("LangGraph server"):
        parts.graph_url = options.graph or str(
            await stack.enter_async_context(
                _graph(options, home, parts.issuer, gateway_key)
            )
        )
    settings = _settings(options, home, parts, secret, gateway_key)
    access_log.configure(settings.telemetry)
    # Written before /healthz answers, so that scripts may wait for either.
    folder.write_report(home / REPORT, parts.report())
    stack.callback((home / REPORT).unlink, missing_ok=True)
    with _step("gateway"):
        await stack.enter_async_context(serving_gateway(settings))
    _welcome(options, parts, time.monotonic() - began)


def _settings(
    options: Options, home: Path, parts: Parts, secret: str, gateway_key: str
) -> config.Config:
    return config.build(
        {
            "environment": "dev",
            "server": {
                "listen": f"127.0.0.1:{options.port}",
                "admin_listen": parts.admin_url.removeprefix("http://"),
                "public_origins": parts.origins,
                "drain": 1.0,
            },
            "database": {
                "url": parts.database["app"],
                "owner_url": parts.database["owner"],
                "worker_url": parts.database["worker"],
            },
            "auth": {
                "issuer": parts.issuer,
                "client_id": options.client_id,
                "client_secret": secret,
                "audience": options.audience,
            },
            "session": {"key_file": folder.key_file(home)},
            "onboarding": {"open_to": "anyone"},
            "proxy": {
                "graph": {"upstreams": [parts.graph_url], "gateway_key": gateway_key}
            },
            "telemetry": {"log_format": "text", "log_level": options.log_level},
            **uis.settings(options.ui, behind=options.one_origin),
        }
    )


@asynccontextmanager
async def _database(options: Options, home: Path) -> AsyncGenerator[dict[str, str]]:
    async with AsyncExitStack() as stack:
        if options.database:
            urls = await _prepare_given(options.database, home)
        else:
            server = await stack.enter_async_context(postgres(home / "postgres"))
            await ensure_database(server, DATABASE)
            urls = {role: server.url(role, DATABASE) for role in ROLES}
        owner = await asyncpg.connect(urls[OWNER])
        try:
            await migrate.migrate(owner)
            async with connect(urls[APP], size=2) as database:
                await demo.seed(owner, database)
        finally:
            await owner.close()
        yield {"owner": urls[OWNER], "app": urls[APP], "worker": urls[WORKER]}


async def _prepare_given(url: str, home: Path) -> dict[str, str]:
    """Make our roles in somebody's server; *url*'s role must be allowed to."""
    passwords = {role: folder.secret(home, f"password_{role}") for role in ROLES}
    try:
        admin = await asyncpg.connect(url, timeout=5)
        try:
            await ensure_roles(admin, passwords)
            await admin.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {OWNER}")
        finally:
            await admin.close()
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise CannotRun(
            "--database: that URL must reach PostgreSQL as a role that may create "
            f"roles ({type(error).__name__})"
        ) from error
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return {
        role: parts._replace(netloc=f"{role}:{passwords[role]}@{place}").geturl()
        for role in ROLES
    }


@asynccontextmanager
async def _provider(options: Options, home: Path, secret: str) -> AsyncGenerator[str]:
    port = options.provider_port
    _check_free(port, "--provider-port")
    origins = (f"http://localhost:{options.port}", f"http://127.0.0.1:{options.port}")
    provider = Provider(
        Realm(audience=demo.AUDIENCE, access_ttl=300),
        demo.PEOPLE,
        [demo.client(secret, origins)],
        state_file=home / "provider.json",
    )
    async with serving(provider, port=port) as issuer:
        yield issuer


@asynccontextmanager
async def _graph(
    options: Options, home: Path, issuer: str, gateway_key: str
) -> AsyncGenerator[str]:
    async with langgraph_server(
        folder=home / "langgraph",
        issuer=issuer,
        audience=options.audience,
        client_id=options.client_id,
        gateway_key=gateway_key,
    ) as server:
        yield server.url


def _forget(home: Path) -> None:
    stop(home / "postgres")  # left over from a run that was killed
    for path in home.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


def _check_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CannotRun(
                f"Port {port} is taken: stop what holds it, or choose another with "
                f'{option} (make run ARGS="{option} {port + 1000}")'
            ) from error


class _step:  # noqa: N801 - reads as a statement
    """Show how long one part took to start."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._began = time.monotonic()
        sys.stdout.write(f"  starting {self._name} … ")
        sys.stdout.flush()

    def __exit__(self, kind: object, *_: object) -> None:
        took = time.monotonic() - self._began
        print(f"{took:.1f} s" if kind is None else "failed", flush=True)


def _welcome(options: Options, parts: Parts, seconds: float) -> None:
    print(f"\nReady after {seconds:.0f} s:  {parts.gateway_url}\n")
    if options.issuer is None:
        print(f"Sign in with the password {demo.PASSWORD} as")
        for person in demo.PEOPLE:
            tenant = demo.TENANTS.get(person.tenant_id or 0, "no tenant yet")
            roles = ", ".join(person.roles)
            print(f"  {person.email:20} {tenant}{f' ({roles})' if roles else ''}")
    if options.ui is not None:
        behind = options.one_origin
        print(uis.advice(parts.gateway_url, options.ui, behind=behind))
    print(f"\nHealth and metrics: {parts.admin_url}/readyz, /metrics")
    print(f"Data stays in {options.folder} (forget it with --fresh). "
          "Ctrl-C stops everything.", flush=True)  # fmt: skip
