"""Keep what opens a database sealed in its row, and refuse who was replaced."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from bff.sessions.reseal import Place
from odoo.safe import Credentials

if TYPE_CHECKING:
    from bff.database import Database
    from bff.sessions.sealing import KeyRing
    from bff.sites.holding import Hold

PURPOSE = "odoo"


class Replaced(Exception):
    """Tell that another worker has the database in hand: nothing more may be done."""


def name_of_tenant(tenant_id: int) -> str:
    """Return what a tenant's sealed value is bound to."""
    return f"tenant {tenant_id}"


def name_of_template(name: str) -> str:
    """Return what a template's sealed value is bound to."""
    return f"template {name}"


def name_of_warm(name: str) -> str:
    """Return what a warm copy's sealed value is bound to."""
    return f"warm copy {name}"


# To be sealed anew when the key ring changes.
PLACES = (
    Place("odoo_connections", "tenant_id", "sealed", PURPOSE, name_of_tenant),
    Place("odoo_templates", "name", "sealed", PURPOSE, name_of_template),
    Place("odoo_warm", "name", "sealed", PURPOSE, name_of_warm),
)


def seal(ring: KeyRing, name: str, credentials: Credentials) -> bytes:
    """Seal them as a whole."""
    return ring.seal(PURPOSE, name, json.dumps(asdict(credentials)).encode())


def unseal(ring: KeyRing, name: str, sealed: bytes) -> Credentials | None:
    """Return what was sealed, None of nothing.

    Raises:
        Unopenable: for damage, or a key that is no longer in the ring.
    """
    if not sealed:
        return None
    return Credentials(**json.loads(ring.open(PURPOSE, name, sealed)))


class TenantSafe:
    """Keep a tenant's credentials, for whoever holds the tenant (`odoo.safe.Safe`)."""

    def __init__(self, database: Database, ring: KeyRing, hold: Hold) -> None:
        self._database = database
        self._ring = ring
        self._hold = hold
        self._name = name_of_tenant(hold.tenant_id)

    async def kept(self) -> Credentials | None:
        """Return what was kept last.

        Raises:
            Replaced: when another worker took over.
            Unopenable: when the key ring has lost the key.
            DatabaseUnavailable: when it cannot be read.
        """
        async with self._database.tenant_transaction(self._hold.tenant_id) as one:
            row = await one.fetchrow(
                "SELECT sealed FROM odoo_connections "
                "WHERE tenant_id = $1 AND fence = $2",
                self._hold.tenant_id,
                self._hold.fence,
            )
        if row is None:
            raise Replaced
        return unseal(self._ring, self._name, row["sealed"])

    async def keep(self, credentials: Credentials) -> None:
        """Keep them; committed when this returns.

        Raises:
            Replaced: when another worker took over; nothing was written.
            DatabaseUnavailable: when nobody knows whether they were kept.
        """
        await self._write(
            "UPDATE odoo_connections SET sealed = $3 "
            "WHERE tenant_id = $1 AND fence = $2 RETURNING true",
            seal(self._ring, self._name, credentials),
        )

    async def still_ours(self) -> None:
        """Return if nobody took over, and hold the tenant for a whole lease more.

        Raises:
            Replaced: when somebody did.
            DatabaseUnavailable: when it cannot be told.
        """
        await self._hold.extend()

    async def _write(self, statement: str, *values: object) -> None:
        async with self._database.tenant_transaction(self._hold.tenant_id) as one:
            done = await one.fetchval(
                statement, self._hold.tenant_id, self._hold.fence, *values
            )
        if not done:
            raise Replaced


class TemplateSafe:
    """Keep what opens a template; whoever builds it sees to being alone at it.

    *series* and *recipe* (`odoo.preparing.recipe_of`) are written once, with the first.
    """

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        name: str,
        series: str,
        recipe: str = "",
    ) -> None:
        self._database = database
        self._ring = ring
        self._name = name
        self._series = series
        self._recipe = recipe

    async def kept(self) -> Credentials | None:
        """Return what was kept last.

        Raises:
            Unopenable: when the key ring has lost the key.
            DatabaseUnavailable: when it cannot be read.
        """
        async with self._database.shared_transaction() as connection:
            sealed = await connection.fetchval(
                "SELECT sealed FROM odoo_templates WHERE name = $1", self._name
            )
        return unseal(self._ring, name_of_template(self._name), sealed or b"")

    async def keep(self, credentials: Credentials) -> None:
        """Keep them; committed when this returns.

        Raises:
            DatabaseUnavailable: when nobody knows whether they were kept.
        """
        sealed = seal(self._ring, name_of_template(self._name), credentials)
        async with self._database.shared_transaction() as connection:
            await connection.execute(
                "INSERT INTO odoo_templates (name, series, recipe, sealed) "
                "VALUES ($1, $2, $3, $4) "
                "ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed",
                self._name,
                self._series,
                self._recipe,
                sealed,
            )

    async def still_ours(self) -> None:
        """Return: nobody takes a template over."""
