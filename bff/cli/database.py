"""`bff db …` and `bff migrate …`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

import asyncpg
import typer

from bff import migrate
from bff.cli.common import ConfigFile, fail, load, url_of
from bff.roles import APP, OWNER, WORKER, ensure_roles

if TYPE_CHECKING:
    from bff.config import Config

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


@roles.command("roles")
def roles_command(
    admin_url: Annotated[
        str,
        typer.Option(
            envvar="BFF_ADMIN_URL", help="URL of a role that may create roles."
        ),
    ],
    config: ConfigFile = None,
) -> None:
    """Create bff_owner, bff_app and bff_worker with the passwords of their URLs."""
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
    asyncio.run(_make_roles(admin_url, passwords))
    typer.echo(f"roles ready: {', '.join(urls)}")


@migrations.command("up")
def up_command(config: ConfigFile = None) -> None:
    """Apply what is missing, in order."""
    for migration in asyncio.run(_run(load(config), apply=True)):
        typer.echo(f"applied {migration.name}")
    typer.echo("the schema is up to date")


@migrations.command("plan")
def plan_command(config: ConfigFile = None) -> None:
    """List what `up` would apply."""
    for migration in asyncio.run(_run(load(config), apply=False)):
        typer.echo(f"would apply {migration.name}")


@migrations.command("status")
def status_command(config: ConfigFile = None) -> None:
    """Tell whether the schema fits this release; exit 1 if not."""
    todo = asyncio.run(_run(load(config), apply=False))
    typer.echo(f"{len(todo)} of {len(migrate.available())} migrations are missing")
    if todo:
        raise typer.Exit(1)


async def _run(settings: Config, *, apply: bool) -> list[migrate.Migration]:
    url = url_of(settings.database.owner_url, "database.owner_url")
    try:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            if apply:
                return await migrate.migrate(connection)
            return await migrate.pending(connection, migrate.available())
        finally:
            await connection.close()
    except migrate.MigrationError as error:
        fail(str(error))
    except UNREACHABLE as error:
        fail(f"the database cannot be used as its owner: {type(error).__name__}")


async def _make_roles(admin_url: str, passwords: dict[str, str]) -> None:
    try:
        connection = await asyncpg.connect(admin_url, timeout=10)
        try:
            await ensure_roles(connection, passwords)
        finally:
            await connection.close()
    except UNREACHABLE as error:
        fail(f"the roles could not be made: {type(error).__name__}")
