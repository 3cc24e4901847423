"""`bff odoo template build`, `list` and `drop`."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from bff.background import make_workshop
from bff.cli.common import ConfigFile, fail
from bff.cli.odoo_template_drop import drop
from bff.cli.working import as_worker, load_odoo, odoo_postgres, run
from bff.outbound import client_session
from bff.sites import operating
from bff.sites.safe import TemplateSafe
from odoo.errors import BadName, OdooError
from odoo.names import checked
from odoo.preparing import build_template, recipe_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from bff.config import Config
    from bff.database import Database
    from bff.sites.operating import TemplateRow
    from bff.sites.server import OdooServer

template = typer.Typer(
    help="The databases that tenants' Odoo is copied from.", no_args_is_help=True
)


@template.command("build")
def build_command(
    name: Annotated[
        str,
        typer.Option(
            help="What it is called; by default by Odoo's version and its content, or "
            "odoo.template.",
        ),
    ] = "",
    config: ConfigFile = None,
) -> None:
    """Make the database that tenants' are copied from; it takes about a minute.

    With odoo.postgres_url it is closed: PostgreSQL copies it, and nobody connects.
    Killed or broken off, the same command goes on. Once it is there, a new tenant's
    Odoo takes seconds. Build another after changing odoo.apps or upgrading Odoo: one by
    a name of your own (--name, odoo.template) is not made anew until it is dropped.
    """
    run(_build(load_odoo(config), name))


@template.command("list")
def list_command(config: ConfigFile = None) -> None:
    """List the templates: which is in use, and how many tenants came from each."""
    run(_list(load_odoo(config)))


@template.command("drop")
def drop_command(
    name: Annotated[str, typer.Argument(help="The template's name.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also the one in use, and one that is gone.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Drop a template and the copies of it that were made in advance.

    Tenants that came from it keep their databases. Killed anywhere, the same command
    goes on.
    """
    run(_drop(load_odoo(config), name, force=force))


@asynccontextmanager
async def alone(database: Database) -> AsyncGenerator[None]:
    """Be the only one who builds or drops a template, or end the command."""
    async with database.shared_transaction() as connection:
        if not await operating.alone(connection):
            fail("another command is at the templates just now; wait until it is done")
        yield


async def _build(settings: Config, name: str) -> None:
    async with (
        as_worker(settings, size=4) as db,
        client_session() as http,
        alone(db),
    ):
        workshop = make_workshop(settings, db, http)
        server = workshop.server
        series = await server.databases.preflight()
        recipe = recipe_of(settings.odoo.apps)
        wanted = name or server.template_for(series)
        await _check(db, wanted, series, recipe)
        safe = TemplateSafe(db, workshop.ring, wanted, series, recipe)
        connect = None
        if settings.odoo.postgres_url.get_secret_value():
            connect = partial(odoo_postgres, server)
        typer.echo(f"template {wanted} for Odoo {series}")
        made = await build_template(
            server.site(wanted, series, safe),
            apps=settings.odoo.apps,
            connect=connect,
            say=_progress(),
        )
        await workshop.templates.finish(made.name)
    typer.echo(f"{wanted} is ready to be copied")
    if connect is None:
        typer.echo(
            "it stays an ordinary database, in reach of whoever knows the master "
            "password; set odoo.postgres_url and run this again to close it"
        )
    else:
        typer.echo("it is closed: nobody can connect to it")
    if wanted != server.template_for(series):
        typer.echo(f"it is not in use yet: set odoo.template to {wanted}")


async def _drop(settings: Config, name: str, *, force: bool) -> None:
    async with (
        as_worker(settings, size=4) as db,
        client_session() as http,
        alone(db),
    ):
        await drop(make_workshop(settings, db, http), name, force=force)


async def _check(database: Database, name: str, series: str, recipe: str) -> None:
    """End the command unless *name* is free, or a template that is made like this."""
    try:
        checked(name)
    except BadName as error:
        fail(f"--name: {error}")
    async with database.shared_transaction() as connection:
        taken = await operating.tenant_of(connection, name)
        row = (await operating.templates(connection)).get(name)
    if taken is not None:
        fail(f"{name} is the database of tenant {taken}")
    if row is None:
        return
    first = (
        f"drop it first (`bff odoo template drop {name} --force`), or give another "
        "name (--name)"
    )
    if row.series != series:
        fail(f"{name} was made for Odoo {row.series}, the server is {series}: {first}")
    # Nobody knows it of one that an older release has made.
    if row.recipe not in {"", recipe}:
        fail(f"{name} was made with other odoo.apps, or by another release: {first}")


def _progress() -> Callable[[str], None]:
    began = time.monotonic()

    def say(what: str) -> None:
        typer.echo(f"{time.monotonic() - began:5.0f} s  {what} …", err=True)

    return say


async def _list(settings: Config) -> None:
    async with as_worker(settings) as db, client_session() as http:
        async with db.shared_transaction() as connection:
            rows = await operating.templates(connection)
        used = await _in_use(make_workshop(settings, db, http).server)
    if not rows:
        typer.echo("there is none: `bff odoo template build` makes it")
    for row in rows.values():
        typer.echo(_line(row, used))
    if used and used not in rows:
        typer.echo(f"{used} would be used, and is missing: bff odoo template build")


async def _in_use(server: OdooServer) -> str:
    """Return the name of the template in use, empty while Odoo does not say."""
    if server.settings.template:
        return server.settings.template
    try:
        return server.template_for(await server.databases.server.version())
    except OdooError as error:
        typer.echo(f"which one is in use cannot be told: {error}", err=True)
        return ""


def _line(row: TemplateRow, used: str) -> str:
    state = "usable" if row.usable else "not finished, or being dropped"
    words = [
        f"{row.name}: Odoo {row.series}, {state}",
        f"made {row.created_at:%Y-%m-%d}",
        f"{row.tenants} tenants",
        f"{row.warm} ready copies",
    ]
    if row.name == used:
        words.append("in use")
    return ", ".join(words)
