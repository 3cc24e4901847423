"""`bff odoo …`: the template of tenants' databases, a tenant's address and its end."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer looks at it
from typing import Annotated

import typer

from bff.cli.common import ConfigFile, examples, fail
from bff.cli.odoo_address import move
from bff.cli.odoo_dropping import Order, drop
from bff.cli.odoo_template import template
from bff.cli.working import TenantId, load_odoo, run

odoo = typer.Typer(
    help="Tenants' Odoo: the template that is copied, a copy's address and end.",
    no_args_is_help=True,
)
odoo.add_typer(template, name="template")


@odoo.command("address")
def address_command(tenant_id: TenantId, config: ConfigFile = None) -> None:
    """Move a tenant's Odoo to the address that odoo.base_url_template gives by now.

    The redirect URI of its client, Odoo's own web.base.url and its row here. Odoo must
    answer at the new address already. Broken off, the same command goes on.
    """
    run(move(load_odoo(config), tenant_id))


@odoo.command(
    "drop",
    epilog=examples(
        "bff odoo drop 1001 --dump /backup/acme.zip",
        "bff odoo drop 1001 --dump /backup/acme.zip --yes odoo_t1001   # in scripts",
    ),
)
def drop_command(
    tenant_id: TenantId,
    dump: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where Odoo's backup of it goes first."),
    ] = None,
    no_dump: Annotated[
        bool, typer.Option("--no-dump", help="Keep nothing of it.")
    ] = False,
    yes: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Its name, instead of typing it."),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Drop a tenant's Odoo: a backup, the database, its client, its row here.

    The backup is Odoo's own zip, which Odoo restores: a new file, readable by you
    alone. A database that is not marked as this tenant's is left alone. Killed
    anywhere, the same command goes on. The tenant itself stays, and can have a new
    Odoo set up; `bff tenants delete ID` ends it.
    """
    if (dump is None) is not no_dump:
        fail("give --dump FILE, or --no-dump, which loses all that is in it")
    run(drop(load_odoo(config), Order(tenant_id=tenant_id, dump=dump, yes=yes)))
