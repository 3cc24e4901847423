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
from bff.sessions.sealing import KeyRingError, Unopenable
from bff.sites.server import OdooServer
from bff.sites.store import Templates
from odoo import errors
from odoo.cloning import ByRpc
from odoo.databases import State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    import aiohttp

    from bff.config import Config

BUILD = "new tenants take a minute; bff odoo template build"
SUPERUSERS_MAY = """
SELECT rolsuper OR (rolcreatedb AND pg_has_role(current_user, $1, 'MEMBER'))
FROM pg_roles WHERE rolname = current_user
"""
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
                rows = await connection.fetch(
                    "SELECT name, series, usable FROM odoo_templates ORDER BY name"
                )
            known = {row["name"]: row for row in rows}
            lost = []
            for one in known:
                try:
                    await Templates(db, ring).get(one)
                except Unopenable:
                    lost.append(one)
    except KeyRingError:
        return  # a finding of its own
    except AWAY as error:
        said = f"cannot be looked up ({type(error).__name__})"
        yield Finding(name, ok=False, said=said)
        return
    if series is not None:
        yield await _template(server, series, known)
    if known:
        said = f"no key of the ring opens {', '.join(lost)}" if lost else "all open"
        yield Finding("odoo secrets", ok=not lost, said=said)


async def _template(
    server: OdooServer, series: str, known: Mapping[str, asyncpg.Record]
) -> Finding:
    """Look whether new tenants' can be copied from what we know and Odoo has."""
    name, wanted = "odoo template", server.template_for(series)
    if problem := _problem(known.get(wanted), series):
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


def _problem(row: asyncpg.Record | None, series: str) -> str | None:
    if row is None:
        return "is missing"
    if not row["usable"]:
        return "is not finished"
    if row["series"] != series:
        return f"is of Odoo {row['series']}, and the server is {series}"
    return None


async def _is_there(server: OdooServer, name: str) -> bool | None:
    """Tell whether a database exists; None where Odoo alone cannot tell."""
    if server.settings.postgres_url.get_secret_value():
        async with server.connect() as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = $1"
            return await connection.fetchval(query, name) is not None
    return await server.databases.state(name) is not State.MISSING or None


async def _apart(config: Config, server: OdooServer) -> AsyncGenerator[Finding]:
    """Make sure that Odoo can neither list nor drop the gateway's own database."""
    name = "odoo and our database"
    try:
        async with _connected(config.database.url.get_secret_value()) as connection:
            ((ours, owner),) = await connection.fetch(
                "SELECT datname, pg_get_userbyid(datdba) FROM pg_database "
                "WHERE datname = current_database()"
            )
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
            known = await connection.fetchval(
                "SELECT 1 FROM pg_roles WHERE rolname = $1", owner
            )
            if not known:
                said = f"odoo.postgres_owner: there is no role {owner}"
                return Finding(name, ok=False, said=said)
            may = await connection.fetchval(SUPERUSERS_MAY, owner)
    except errors.OdooError as error:
        said = f"odoo.postgres_url cannot be used: {error}"
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
