"""Check what tenants' Odoo needs, one finding a line; nothing is changed."""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from bff import database
from bff.database import DatabaseUnavailable
from bff.doctor_findings import Finding
from bff.identity.admin_api import CallRefused
from bff.identity.client_auth import ClientKeyError
from bff.identity.clients import Clients
from bff.identity.messages import ProviderUnavailable
from bff.sessions.keyring import load_ring
from bff.sessions.reseal import by_key
from bff.sessions.sealing import KeyRingError
from bff.sites import operating
from bff.sites.postgres import exists, may_copy_for, whose
from bff.sites.safe import PLACES
from bff.sites.server import OdooServer
from odoo import errors
from odoo.cloning import ByRpc
from odoo.databases import State
from odoo.preparing import recipe_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    import aiohttp

    from bff.config import Config
    from bff.sessions.reseal import Place
    from bff.sessions.sealing import KeyRing
    from bff.sites.operating import TemplateRow

BUILD = "new tenants take a minute; bff odoo template build"
# Whatever keeps PostgreSQL from answering; ValueError is a URL that cannot be read.
AWAY = (
    *(OSError, TimeoutError, ValueError),
    *(asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailable),
)


async def odoo_findings(
    config: Config, http: aiohttp.ClientSession
) -> AsyncGenerator[Finding]:
    """Look at the Odoo server, what new tenants' are copied from, and what may."""
    server = OdooServer(settings=config.odoo, http=http)
    series: str | None = None
    try:
        series = await server.databases.server.version()
    except errors.OdooError as error:
        yield Finding("odoo", ok=False, said=str(error))
    if series is not None:
        yield Finding("odoo", ok=True, said=f"{series} at {config.odoo.server_url}")
        yield await _manager(server, series)
    async for finding in _templates(config, server, series):
        yield finding
    async for finding in _apart(config, server):
        yield finding
    if config.odoo.postgres_url.get_secret_value():
        yield await _copier(server)
    for name, path, needed in (
        ("odoo filestore", config.odoo.filestore, os.R_OK | os.W_OK | os.X_OK),
        ("odoo command", config.odoo.bin_path, os.X_OK),
        ("odoo configuration file", config.odoo.conf, os.R_OK),
    ):
        if path is not None:
            yield _path(name, path, needed)
    yield await _clients(config, http)


async def _manager(server: OdooServer, series: str) -> Finding:
    """Tell a wrong master password from a manager that is switched off."""
    name = "odoo manager"
    try:
        await server.databases.preflight()
    except errors.ManagerDisabled:
        said = "the database manager is switched off (list_db = False)"
        if isinstance(server.way(series), ByRpc):
            return Finding(name, ok=False, said=f"{said}: nothing can be copied")
        said = f"{said}: templates and dumps need it, copies do not"
        return Finding(name, ok=True, said=said)
    except errors.AccessDenied:
        said = "odoo.master_password is wrong: it is not Odoo's admin_passwd"
        return Finding(name, ok=False, said=said)
    except errors.NotOffered:
        said = "this Odoo has forms only: templates are made and dropped by hand"
        return Finding(name, ok=True, said=said)
    except errors.OdooError as error:
        return Finding(name, ok=False, said=str(error))
    return Finding(name, ok=True, said="takes our master password")


async def _templates(
    config: Config, server: OdooServer, series: str | None
) -> AsyncGenerator[Finding]:
    """Look whether there is a good template, and whether what is sealed opens."""
    name = "odoo template"
    url = config.database.worker_url.get_secret_value()
    if not url:
        said = "database.worker_url is not set: nobody knows which there are"
        yield Finding(name, ok=False, said=said)
        return
    try:
        ring = load_ring(config)
        async with database.connect(url, size=1, name="bff-doctor") as db:
            async with db.shared_transaction() as connection:
                known = await operating.templates(connection)
            kept = {place: await by_key(db, place) for place in PLACES}
    except KeyRingError:
        return  # a finding of its own
    except AWAY as error:
        said = f"cannot be looked up ({type(error).__name__})"
        yield Finding(name, ok=False, said=said)
        return
    if series is not None:
        yield await _template(server, series, known)
    yield _secrets(kept, ring)


def _secrets(kept: Mapping[Place, Mapping[int, int]], ring: KeyRing) -> Finding:
    """Look whether what opens tenants' databases and templates is sealed with our keys.

    Each value names its key; none is opened.
    """
    name = "odoo secrets"
    lost = [
        f"{number} of {place.table} with key {key_id}"
        for place, numbers in kept.items()
        for key_id, number in numbers.items()
        if key_id not in ring.ids
    ]
    if lost:
        said = f"the ring has lost what sealed {', '.join(lost)}: give it back"
        return Finding(name, ok=False, said=said)
    number = sum(sum(numbers.values()) for numbers in kept.values())
    return Finding(name, ok=True, said=f"{number} sealed, each with a key of the ring")


async def _template(
    server: OdooServer, series: str, known: Mapping[str, TemplateRow]
) -> Finding:
    """Look whether new tenants' can be copied from what we know and Odoo has."""
    name, wanted = "odoo template", server.template_for(series)
    recipe = recipe_of(server.settings.apps)
    if problem := _problem(known.get(wanted), series, recipe):
        return Finding(name, ok=False, said=f"{wanted} {problem}: {BUILD}")
    try:
        is_there = await _is_there(server, wanted)
    except errors.OdooError as error:
        return Finding(name, ok=False, said=f"{wanted} cannot be looked for: {error}")
    said = {
        True: f"{wanted} is usable",
        False: f"{wanted} is gone: {BUILD}",
        None: f"{wanted} is usable, if it is closed and not gone: Odoo does not see it",
    }
    return Finding(name, ok=is_there is not False, said=said[is_there])


def _problem(row: TemplateRow | None, series: str, recipe: str) -> str | None:
    if row is None:
        return "is missing"
    if not row.usable:
        return "is not finished"
    if row.series != series:
        return f"is of Odoo {row.series}, and the server is {series}"
    if row.recipe not in {"", recipe}:
        return "was made with other odoo.apps, or by another release"
    return None


async def _is_there(server: OdooServer, name: str) -> bool | None:
    """Tell whether a database exists; None where Odoo alone cannot tell."""
    if server.settings.postgres_url.get_secret_value():
        async with server.connect() as connection:
            return await exists(connection, name)
    return await server.databases.state(name) is not State.MISSING or None


async def _apart(config: Config, server: OdooServer) -> AsyncGenerator[Finding]:
    """Make sure that Odoo can neither list nor drop the gateway's own database."""
    name = "odoo and our database"
    try:
        async with _connected(config.database.url.get_secret_value()) as connection:
            ours, owner = await whose(connection)
    except AWAY:
        return  # a finding of its own
    if owner == config.odoo.postgres_owner:
        said = f"{ours} belongs to Odoo's role {owner}, whose manager could drop it"
        yield Finding(name, ok=False, said=said)
        return
    try:
        listed = await server.databases.listed()
    except errors.OdooError:
        yield Finding(name, ok=True, said=f"{ours} belongs to {owner}")
        return
    if ours in listed:
        said = (
            f"Odoo lists a database {ours}, as ours is called: whoever knows the "
            "master password could drop it; give it an owner and a server of its own"
        )
        yield Finding(name, ok=False, said=said)
        return
    yield Finding(name, ok=True, said=f"{ours} belongs to {owner}; Odoo has none so")


async def _copier(server: OdooServer) -> Finding:
    name, owner = "odoo postgres", server.settings.postgres_owner
    try:
        async with server.connect() as connection:
            may = await may_copy_for(connection, owner)
    except errors.OdooError as error:
        said = f"odoo.postgres_url cannot be used: {error}"
        return Finding(name, ok=False, said=said)
    if may is None:
        said = f"odoo.postgres_owner: there is no role {owner}"
        return Finding(name, ok=False, said=said)
    if not may:
        said = f"our role needs CREATEDB, and membership in {owner}"
        return Finding(name, ok=False, said=said)
    return Finding(name, ok=True, said=f"may copy databases for {owner}")


@asynccontextmanager
async def _connected(url: str) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        yield connection
    finally:
        connection.terminate()


def _path(name: str, path: Path, needed: int) -> Finding:
    if not path.exists():
        return Finding(name, ok=False, said=f"{path} does not exist")
    if not os.access(path, needed):
        return Finding(name, ok=False, said=f"{path} cannot be used by this user")
    return Finding(name, ok=True, said=str(path))


async def _clients(config: Config, http: aiohttp.ClientSession) -> Finding:
    """Look whether tenants' people can be signed in to Odoo."""
    name = "odoo sign-in"
    if shared := config.odoo.sso_client_id:
        return Finding(name, ok=True, said=f"by the client {shared} for all tenants")
    try:
        await Clients(config.auth, http, time.time).check()
    except (CallRefused, ProviderUnavailable, ClientKeyError) as error:
        return Finding(name, ok=False, said=str(error))
    return Finding(name, ok=True, said="the provisioner may manage clients")
