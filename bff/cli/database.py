"""`bff db …` and `bff migrate …`."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import unquote, urlsplit

import asyncpg
import typer

from bff import migrate
from bff.cli.common import ConfigFile, examples, fail, load, url_of
from bff.migrate import available
from bff.roles import APP, OWNER, WORKER, ensure_database, ensure_roles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bff.config import Config

T = TypeVar("T")

roles = typer.Typer(help="The database's roles.", no_args_is_help=True)
migrations = typer.Typer(help="The database's schema.", no_args_is_help=True)
# ValueError: a URL that the driver cannot read.
UNREACHABLE = (
    OSError,
    TimeoutError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)


@roles.command(
    "roles",
    epilog=examples(
        "bff db roles --admin-url postgresql://postgres:…@db/postgres",
        "BFF_ADMIN_URL=… bff db roles --create-database",
    ),
)
def roles_command(
    admin_url: Annotated[
        str,
        typer.Option(
            envvar="BFF_ADMIN_URL", help="URL of a role that may create roles."
        ),
    ],
    create: Annotated[
        bool,
        typer.Option(
            "--create-database",
            help="Make the database of `database.owner_url` too, unless it is there.",
        ),
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Create bff_owner, bff_app and bff_worker with the passwords of their URLs.

    Run again, it sets the passwords: that is how they are changed.
    """
    settings = load(config).database
    urls = {
        OWNER: url_of(settings.owner_url, "database.owner_url"),
        APP: url_of(settings.url, "database.url"),
        WORKER: url_of(settings.worker_url, "database.worker_url"),
    }
    passwords = {}
    for role, url in urls.items():
        parts = urlsplit(url)
        if parts.username != role or not parts.password:
            fail(f"the URL for {role} must name it and its password")
        passwords[role] = unquote(parts.password)
    name = unquote(urlsplit(urls[OWNER]).path.removeprefix("/"))
    if create and not name:
        fail("database.owner_url must name the database")
    asyncio.run(_make_roles(admin_url, passwords, name if create else None))
    typer.echo(f"roles ready: {', '.join(urls)}")


@migrations.command("up")
def up_command(config: ConfigFile = None) -> None:
    """Apply what is missing, in order; exit 1 where the schema does not fit."""
    for migration in asyncio.run(_as_owner(load(config), migrate.migrate)):
        typer.echo(f"applied {migration.name}")
    typer.echo("the schema is up to date")


@migrations.command("plan")
def plan_command(config: ConfigFile = None) -> None:
    """List what `up` would apply; exit 1 where it would refuse."""
    todo = asyncio.run(
        _as_owner(load(config), lambda owner: migrate.pending(owner, available()))
    )
    for migration in todo:
        typer.echo(f"would apply {migration.name}")


@migrations.command("status")
def status_command(config: ConfigFile = None) -> None:
    """List every migration with the time it was applied, in UTC, or as missing.

    Exit 0 when the schema is this release's. Exit 1 when migrations are missing, when
    the database has some that this release does not know or has changed since, and
    when it cannot be asked.
    """
    found = asyncio.run(
        _as_owner(load(config), lambda owner: migrate.states(owner, available()))
    )
    width = max((len(state.name) for state in found), default=0)
    for state in found:
        typer.echo(f"{state.name:{width}}  {_told(state)}")
    missing = sum(state.applied_at is None for state in found)
    typer.echo(f"{missing} of {len(found)} migrations are missing")
    if not all(state.fits for state in found):
        raise typer.Exit(1)


def _told(state: migrate.State) -> str:
    if state.applied_at is None:
        return "missing"
    said = f"applied {state.applied_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if not state.known:
        return f"{said}, by a newer release"
    return f"{said}, changed since" if state.changed else said


async def _as_owner(
    settings: Config, act: Callable[[asyncpg.Connection], Awaitable[T]]
) -> T:
    url = url_of(settings.database.owner_url, "database.owner_url")
    try:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            return await act(connection)
        finally:
            await connection.close()
    except migrate.MigrationError as error:
        fail(str(error))
    except UNREACHABLE as error:
        fail(f"the database cannot be used as its owner: {type(error).__name__}")


async def _make_roles(
    admin_url: str, passwords: dict[str, str], name: str | None
) -> None:
    try:
        connection = await asyncpg.connect(admin_url, timeout=10)
        try:
            await ensure_roles(connection, passwords)
            if name:
                await ensure_database(connection, name)
        finally:
            await connection.close()
    except UNREACHABLE as error:
        fail(f"the roles could not be made: {type(error).__name__}")
