"""`bff tenants create`, `invite`, `suspend`, `resume` and `delete`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from bff.body import Email
from bff.cli.common import ConfigFile, examples, fail, load
from bff.cli.tenants_odoo import ask_odoo, told
from bff.cli.working import TenantId, as_worker, confirmed, run
from bff.sites.tasks import Kind
from bff.tenancy import operating
from bff.tenancy.operating import HasOdoo, NoSuchTenant, overview

if TYPE_CHECKING:
    from bff.config import Config
    from bff.tenancy.invites import Made

TOKEN_BYTES = 32
LONGEST_NAME = 200
Admin = Annotated[
    str, typer.Option("--admin", metavar="EMAIL", help="Who is to be its admin.")
]
Wait = Annotated[
    float, typer.Option(min=0, help="Seconds to wait for the worker to do it in Odoo.")
]


@dataclass(frozen=True, slots=True)
class _Link:
    tenant_id: int
    url: str
    until: str


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""

    @app.command(
        "create",
        epilog=examples(
            'bff tenants create --name "Acme Pte. Ltd." --admin ann@acme.example',
        ),
    )
    def create_command(
        name: Annotated[str, typer.Option(help="What the workspace is called.")],
        admin: Admin,
        config: ConfigFile = None,
    ) -> None:
        """Make a tenant, and print a link that makes one person its admin.

        For `[onboarding] open_to = "invited"`, where nobody founds a workspace alone.
        The link works once, for whoever signs in with that very address and has
        proven it to the identity provider. Their first visit sets the workspace up.
        """
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            fail(f"--name: 1 to {LONGEST_NAME} characters that can be printed")
        _print(run(_founded(load(config), name, _email(admin))))

    @app.command("invite")
    def invite_command(
        tenant_id: TenantId, admin: Admin, config: ConfigFile = None
    ) -> None:
        """Print another link that makes one person an admin of a tenant.

        For a link that has ended unused, or a workspace that has lost its admins.
        """
        _print(run(_invited(load(config), tenant_id, _email(admin))))

    @app.command("suspend")
    def suspend_command(
        tenant_id: TenantId, wait: Wait = 60.0, config: ConfigFile = None
    ) -> None:
        """Keep a tenant's people out: here at once, and out of its Odoo.

        Their sessions and streams end; who signs in is told that the workspace is
        suspended, or goes on in another one of theirs. Nothing is deleted. Running it
        again is fine, and needed when Odoo could not be reached.
        """
        run(_suspend(load(config), tenant_id, wait))

    @app.command("resume")
    def resume_command(
        tenant_id: TenantId, wait: Wait = 60.0, config: ConfigFile = None
    ) -> None:
        """Let a suspended tenant's people in again, here and into its Odoo."""
        run(_resume(load(config), tenant_id, wait))

    @app.command(
        "delete", epilog=examples('bff tenants delete 1001 --yes "Acme Pte. Ltd."')
    )
    def delete_command(
        tenant_id: TenantId,
        yes: Annotated[
            str | None,
            typer.Option(metavar="NAME", help="Its name, instead of typing it."),
        ] = None,
        config: ConfigFile = None,
    ) -> None:
        """Delete a tenant with all it has here; its audit log stays.

        Refused while it has an Odoo database: `bff odoo drop ID` comes first. What its
        people have at the identity provider and the agent's threads are not touched.
        """
        run(_delete(load(config), tenant_id, yes))


def _email(text: str) -> str:
    try:
        return TypeAdapter[str](Email).validate_python(text)
    except ValidationError:
        fail("--admin: this is no e-mail address")


def _print(link: _Link) -> None:
    typer.echo(f"tenant {link.tenant_id}")
    typer.echo(f"the link, which works once and until {link.until}:", err=True)
    typer.echo(link.url)


async def _founded(settings: Config, name: str, email: str) -> _Link:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    async with as_worker(settings) as db, db.shared_transaction() as connection:
        tenant_id = await operating.found(connection, name)
        made = await operating.invite_admin(connection, tenant_id, email, token)
    return _link(settings, tenant_id, token, made)


async def _invited(settings: Config, tenant_id: int, email: str) -> _Link:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    async with (
        as_worker(settings) as db,
        db.tenant_transaction(tenant_id) as connection,
    ):
        made = await operating.invite_admin(connection, tenant_id, email, token)
    return _link(settings, tenant_id, token, made)


def _link(settings: Config, tenant_id: int, token: str, made: Made) -> _Link:
    # In the fragment: no server, log or Referer sees the token of a link.
    url = f"{settings.canonical_origin}/invite#{token}"
    until = made.expires_at.astimezone(UTC)
    return _Link(tenant_id, url, f"{until:%Y-%m-%d %H:%M}Z")


async def _suspend(settings: Config, tenant_id: int, wait: float) -> None:
    async with as_worker(settings) as db:
        async with db.tenant_transaction(tenant_id) as connection:
            ended = await operating.suspend(connection, tenant_id)
            asked = await ask_odoo(connection, tenant_id, Kind.SUSPEND)
        typer.echo(f"tenant {tenant_id} is suspended; sessions ended: {ended}")
        await told(db, asked, wait)


async def _resume(settings: Config, tenant_id: int, wait: float) -> None:
    async with as_worker(settings) as db:
        async with db.tenant_transaction(tenant_id) as connection:
            changed = await operating.resume(connection, tenant_id)
            asked = await ask_odoo(connection, tenant_id, Kind.RESUME)
        now = "is active again" if changed else "was active already"
        typer.echo(f"tenant {tenant_id} {now}")
        await told(db, asked, wait)


async def _delete(settings: Config, tenant_id: int, yes: str | None) -> None:
    async with as_worker(settings) as db:
        async with db.tenant_transaction(tenant_id) as connection:
            found = await overview(connection, tenant_id)
        if not found:
            raise NoSuchTenant(tenant_id)
        (tenant,) = found
        if tenant.database:
            fail(_odoo_first(tenant_id, tenant.database))
        what = f"Tenant {tenant_id} goes with its members, rules, scores and runs."
        confirmed(tenant.name, yes, what=what)
        try:
            async with db.tenant_transaction(tenant_id) as connection:
                await operating.delete(connection, tenant_id)
        except HasOdoo as error:
            fail(_odoo_first(tenant_id, error.database))
    typer.echo(f"tenant {tenant_id} is deleted; its audit log stays")


def _odoo_first(tenant_id: int, database: str) -> str:
    return (
        f"tenant {tenant_id} has the Odoo database {database}: "
        f"`bff odoo drop {tenant_id}` comes first; nothing was done"
    )
