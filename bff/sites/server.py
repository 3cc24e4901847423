"""Find the Odoo server of a configuration, and a tenant's place on it."""

from __future__ import annotations

import re
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from bff.sites.postgres import named, opened
from odoo.breaker import Breaker
from odoo.client import Server
from odoo.cloning import ByForm, ByRpc, BySql
from odoo.command import ByCommand
from odoo.databases import Databases
from odoo.entering import Site
from odoo.names import checked
from odoo.preparing import template_name
from odoo.recent import Recent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp
    import asyncpg

    from bff.config_odoo import Odoo as Settings
    from bff.sites.store import Connection
    from odoo.cloning import Way
    from odoo.safe import Safe

# How long a server whose databases were in order is not looked at again, seconds.
SANE = 2.0
# Databases are made over RPC up to this version.
LAST_RPC = (19, 0)
# All that Odoo's command sees: it would obey PG* and ODOO_* variables of ours.
COMMAND_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True, kw_only=True)
class OdooServer:
    """One Odoo server, as the settings name it.

    One for each process: its breaker knows how the server does.
    """

    settings: Settings
    http: aiohttp.ClientSession
    breaker: Breaker = field(default_factory=lambda: Breaker(time.monotonic))
    sane: Recent = field(default_factory=lambda: Recent(time.monotonic, SANE))

    @property
    def databases(self) -> Databases:
        """Return its database manager."""
        settings = self.settings
        server = Server(
            http=self.http,
            url=settings.server_url,
            host=self.host,
            seconds=settings.timeout,
            breaker=self.breaker,
            sane=self.sane,
        )
        return Databases(
            server=server, master=settings.master_password.get_secret_value()
        )

    def host(self, database: str) -> str | None:
        """Return the Host that a database answers to, None where one serves all."""
        place = urlsplit(self.settings.base_url_template).netloc
        if "{tenant_id}" in place:
            before, _, after = self.settings.db_name_template.partition("{tenant_id}")
            named = f"{re.escape(before)}([0-9]+){re.escape(after)}"
            match = re.fullmatch(named, database, re.ASCII)
            if match is None:
                return None  # no tenant's: a template, or a copy in advance
            place = place.replace("{tenant_id}", match[1])
        elif "{db_name}" not in place:
            return None
        return place.replace("{db_name}", database)

    def name_for(self, tenant_id: int) -> str:
        """Return the name of a tenant's database.

        Raises:
            BadName: when the setting makes no good name of this number.
        """
        template = self.settings.db_name_template
        return checked(template.replace("{tenant_id}", str(tenant_id)))

    def address_for(self, tenant_id: int, database: str = "") -> str:
        """Return where a tenant's people reach their Odoo, without a `/` at the end.

        *database* is called otherwise than the settings say by now.
        """
        template = self.settings.base_url_template or self.settings.server_url
        return (
            template.replace("{tenant_id}", str(tenant_id))
            .replace("{db_name}", database or self.name_for(tenant_id))
            .rstrip("/")
        )

    def template_for(self, series: str) -> str:
        """Return the name of the template for a series of Odoo."""
        return self.settings.template or template_name(series, self.settings.apps)

    def site(self, name: str, series: str, safe: Safe) -> Site:
        """Return a database, with who keeps its secrets."""
        return Site(
            databases=self.databases,
            name=name,
            series=series,
            safe=safe,
            now=lambda: datetime.now(UTC),
            token=secrets.token_urlsafe,
        )

    def way(self, series: str) -> Way:
        """Return the best way to copy a database: what is set, else what is possible.

        SQL where a PostgreSQL role is configured, the command where there is one, RPC
        up to 19, the form from 20 on.
        """
        settings, kind = self.settings, self.settings.clone
        if kind == "auto":
            if settings.postgres_url.get_secret_value():
                kind = "sql"
            elif settings.bin_path is not None:
                kind = "command"
            else:
                kind = "rpc" if has_rpc(series) else "form"
        if kind == "sql":
            return BySql(
                connect=self.connect,
                owner=settings.postgres_owner,
                filestore=settings.filestore,
                now=lambda: datetime.now(UTC),
            )
        if kind == "command":
            return ByCommand(
                program=(str(settings.bin_path),),
                configuration=str(settings.conf),
                environment=COMMAND_ENVIRONMENT,
            )
        if kind == "form":
            master = settings.master_password.get_secret_value()
            return ByForm(server=self.databases.server, master=master)
        return ByRpc(self.databases)

    @asynccontextmanager
    async def connect(
        self, database: str = "postgres"
    ) -> AsyncGenerator[asyncpg.Connection]:
        """Open a connection to a database of Odoo's PostgreSQL, by the role we have.

        Raises:
            OdooError: what is wrong there, in the library's words.
        """
        url = self.settings.postgres_url.get_secret_value()
        async with opened(named(url, database)) as connection:
            yield connection


def has_rpc(series: str) -> bool:
    """Tell whether an Odoo of this series manages databases over RPC."""
    numbers = [int(one) for one in re.findall("[0-9]+", series)]
    return tuple(numbers[:2]) <= LAST_RPC


def sign_in_address(connection: Connection) -> str:
    """Return where a tenant's people sign in to their Odoo."""
    return f"{connection.base_url}/web/login?db={quote(connection.db_name, safe='')}"
