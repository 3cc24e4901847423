"""Hold back password sign-in after failures, on all replicas alike.

A try is written down as a failure before the provider is asked and struck out when it
succeeds, so that a burst of parallel tries cannot outrun the count. Keys are hashes.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from bff.auth.limits import WINDOW, Tries, seconds_to_wait
from bff.client_address import network_of
from bff.errors import RateLimited

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    from bff.database import Database

COUNT = """
SELECT count(*) FILTER (WHERE pair = $1) AS pair,
       extract(epoch FROM now() - max(at) FILTER (WHERE pair = $1))::float8 AS pair_at,
       count(*) FILTER (WHERE account = $2) AS account,
       extract(epoch FROM now() - max(at) FILTER (WHERE account = $2))::float8
           AS account_at,
       count(*) FILTER (WHERE network = $3) AS network,
       extract(epoch FROM now() - max(at) FILTER (WHERE network = $3))::float8
           AS network_at
FROM sign_in_failure
WHERE (pair = $1 OR account = $2 OR network = $3)
  AND at > now() - make_interval(secs => $4)
"""


@dataclass(frozen=True, slots=True)
class Keys:
    """Whom a try is for and where it comes from, as hashes."""

    pair: bytes
    account: bytes
    network: bytes


def keys_of(email: str, address: str | None) -> Keys:
    """Return the keys of a try; case and blanks of the e-mail make no difference."""
    account, network = email.strip().casefold(), network_of(address)
    return Keys(
        pair=_hash("pair", account, network),
        account=_hash("account", account),
        network=_hash("network", network),
    )


class Throttle:
    """Count failures in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enter(self, keys: Keys, *, known_device: bool) -> UUID:
        """Write a try down and return its number, or tell how long to wait.

        Raises:
            RateLimited: with Retry-After in whole seconds.
        """
        async with self._database.shared_transaction() as connection:
            # One at a time for each account and each network: counting then is exact.
            # In rising order, so that no two tries wait for each other.
            for key in sorted((keys.account, keys.network)):
                await connection.execute(
                    "SELECT pg_advisory_xact_lock($1)",
                    int.from_bytes(key[:8], "big", signed=True),
                )
            wait = await _wait(connection, keys, known_device=known_device)
            if wait > 0:
                raise RateLimited(headers={"Retry-After": str(math.ceil(wait))})
            number: UUID = await connection.fetchval(
                "INSERT INTO sign_in_failure (pair, account, network) "
                "VALUES ($1, $2, $3) RETURNING try",
                keys.pair,
                keys.account,
                keys.network,
            )
        return number

    async def withdraw(self, number: UUID) -> None:
        """Strike out a try that nobody judged: the provider was away."""
        async with self._database.shared_transaction() as connection:
            await connection.execute(
                "DELETE FROM sign_in_failure WHERE try = $1", number
            )

    async def succeed(self, keys: Keys) -> None:
        """Forget the failures of an account from a network that has now signed in."""
        async with self._database.shared_transaction() as connection:
            await connection.execute(
                "DELETE FROM sign_in_failure WHERE pair = $1", keys.pair
            )


async def _wait(
    connection: asyncpg.pool.PoolConnectionProxy, keys: Keys, *, known_device: bool
) -> float:
    (row,) = await connection.fetch(
        COUNT, keys.pair, keys.account, keys.network, WINDOW
    )
    pair, account, network = (
        Tries(row[name], row[f"{name}_at"] or 0.0)
        for name in ("pair", "account", "network")
    )
    return seconds_to_wait(pair, account, network, known_device=known_device)


def _hash(*parts: str) -> bytes:
    return hashlib.sha256("\0".join(parts).encode()).digest()


THROTTLE = web.AppKey("throttle", Throttle)
