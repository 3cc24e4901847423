"""Run a command on the database as its worker, and end it with one sentence."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import asyncpg
import typer
import uvloop

from bff import database
from bff.cli.common import fail, load, url_of
from bff.identity.admin_api import CallRefused
from bff.identity.client_auth import ClientKeyError
from bff.identity.messages import ProviderUnavailable
from bff.sessions.sealing import KeyRingError, Unopenable
from bff.sites.holding import NoOdoo, StillHeld
from bff.sites.safe import Replaced
from bff.tenancy.operating import NoSuchTenant
from odoo import errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine
    from pathlib import Path

    from bff.config import Config
    from bff.database import Database
    from bff.sites.server import OdooServer

T = TypeVar("T")
MOST = 2**63 - 1  # what the column holds
TenantId = Annotated[
    int, typer.Argument(metavar="ID", min=1, max=MOST, help="The tenant's number.")
]
AGAIN = "run the same command again"
# What an operator can do about it; the first that fits counts.
ODOO = {
    errors.Unreachable: f"Odoo does not answer; {AGAIN}",
    errors.OutcomeUnknown: f"Odoo did not answer in time; {AGAIN}",
    errors.ManagerDisabled: "Odoo's database manager is switched off (list_db)",
    errors.AccessDenied: "Odoo does not accept the master password, or its database "
    "manager is switched off (list_db): `bff doctor` tells which",
    errors.DatabaseUnreachable: f"Odoo cannot reach its PostgreSQL; {AGAIN}",
    errors.NotOffered: "this Odoo does not offer that by its services",
    errors.NotOurs: "nothing was done to the database",
}


def run(doing: Coroutine[None, None, T]) -> T:
    """Return what *doing* gives, or end the command with one sentence."""
    try:
        return uvloop.run(doing)
    except (NoSuchTenant, NoOdoo) as error:
        fail(str(error))
    except (database.DatabaseUnavailable, StillHeld, Replaced) as error:
        fail(f"not finished: {error}; {AGAIN}")
    except errors.OdooError as error:
        fail(f"not finished: {_of_odoo(error)}")
    except Unopenable as error:
        fail(f"the key ring does not open what is sealed in the database ({error})")
    except (KeyRingError, ClientKeyError) as error:
        fail(str(error))
    except (ProviderUnavailable, CallRefused) as error:
        fail(f"not finished: the identity provider: {error}; {AGAIN}")
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        fail("the schema does not fit this release: run `bff migrate up`")
    except (asyncpg.PostgresError, ValueError) as error:
        # The driver's own words may hold the URL.
        fail(f"the database cannot be used as its worker ({type(error).__name__})")


def load_odoo(file: Path | None) -> Config:
    """Return the configuration, or end the command where it names no Odoo."""
    settings = load(file)
    if not settings.odoo.server_url:
        fail("odoo.server_url is not set: there is no Odoo to talk to")
    return settings


@asynccontextmanager
async def as_worker(settings: Config, *, size: int = 2) -> AsyncGenerator[Database]:
    """Open the database as its worker."""
    url = url_of(settings.database.worker_url, "database.worker_url")
    async with database.connect(url, size=size, name="bff-command") as db:
        yield db


@asynccontextmanager
async def odoo_postgres(server: OdooServer) -> AsyncGenerator[asyncpg.Connection]:
    """Open Odoo's PostgreSQL, or end the command where that, or its use, fails."""
    try:
        async with server.connect() as connection:
            yield connection
    except errors.OdooError as error:
        fail(f"odoo.postgres_url cannot be used for this: {error}")


def confirmed(wanted: str, given: str | None, *, what: str) -> None:
    """End the command unless *wanted* was given, or is typed now, to the letter."""
    if given is None:
        given = typer.prompt(
            f"{what} Type {wanted!r} to go on", default="", show_default=False
        )
    if given != wanted:
        fail(f"that is not {wanted!r}: nothing was done")


def _of_odoo(error: errors.OdooError) -> str:
    for kind, hint in ODOO.items():
        if isinstance(error, kind):
            return f"{hint} ({error})"
    return f"Odoo: {error}"
