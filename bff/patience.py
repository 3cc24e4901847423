"""Wait at the start for what is on its way, and refuse at once what waiting won't mend.

A database that is away comes: orchestrators start things in any order. One that knows
us not, or is of another release, needs a person. The identity provider is not waited
for: whoever is signed in needs it later, and what it says may change at any time.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from bff import migrate
from bff.database import LOST
from bff.identity.messages import ProviderUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from bff.config import Config
    from bff.identity.provider import Provider

log = logging.getLogger(__name__)

LIMIT = 5.0
# Seconds between two tries, and between two lines that say the same.
PAUSE, SAY_AGAIN = 0.5, 10.0
# What an operator can do about a refusal; the driver's own words may hold the URL.
REFUSED: dict[type[Exception], str] = {
    asyncpg.InvalidPasswordError: "the password is not the role's; `bff db roles` sets "
    "it",
    asyncpg.InvalidAuthorizationSpecificationError: "the server does not let this role "
    "in from here; `bff db roles` makes it, pg_hba.conf lets it in",
    asyncpg.InvalidCatalogNameError: "there is no such database; make it, and run "
    "`bff migrate up`",
    asyncpg.InsufficientPrivilegeError: "the role may not read schema_migrations; run "
    "`bff migrate up`, which grants it",
}


class DatabaseRefused(Exception):
    """Say why this database cannot be used, and what to do about it."""


def urls_of(config: Config) -> dict[str, str]:
    """Return the URLs that `bff serve` needs, by their settings."""
    database = config.database
    urls = {"database.url": database.url, "database.listen_url": database.listen_url}
    if config.worker.embedded:
        urls["database.worker_url"] = database.worker_url
    found = {key: url.get_secret_value() for key, url in urls.items()}
    return {key: url for key, url in found.items() if url}


async def look(url: str, key: str) -> bool:
    """Look once whether the database of setting *key* can be used.

    Returns whether something between it and us shares connections out.

    Raises:
        DatabaseRefused: saying what to do, when waiting would not help.
        OSError, TimeoutError, asyncpg's own: when it is away; those of `LOST`.
    """
    try:
        # A pooler may give each statement another session, but not in a transaction.
        connection = await asyncpg.connect(
            url, timeout=LIMIT, command_timeout=LIMIT, statement_cache_size=0
        )
        try:
            async with connection.transaction():
                await migrate.require_current(connection)
                own = await connection.fetchval("SELECT pg_backend_pid()")
            return bool(own != connection.get_server_pid())
        finally:
            connection.terminate()
    except migrate.MigrationError as error:
        raise DatabaseRefused(str(error)) from error
    except ssl.SSLCertVerificationError:
        raise DatabaseRefused(
            f"{key}: the certificate of {_place(url)} is not one to be trusted"
        ) from None
    except LOST as error:
        if isinstance(error, ValueError):  # of the driver's: the URL makes no sense
            raise DatabaseRefused(f"{key}: the driver cannot read it") from None
        raise
    except (asyncpg.PostgresError, ValueError) as error:
        why = next(
            (said for kind, said in REFUSED.items() if isinstance(error, kind)), ""
        )
        said = why or f"it cannot be used ({type(error).__name__})"
        raise DatabaseRefused(f"{key} at {_place(url)}: {said}") from None


async def until_usable(
    urls: dict[str, str],
    tell: Callable[[str], None],
    *,
    pooled: bool = False,
) -> None:
    """Wait, for ever, until all of *urls* can be used; *tell* is told what for.

    *pooled* says that a pooler before ``database.url`` is meant to be there.

    Raises:
        DatabaseRefused: saying what to do, when waiting would not help.
    """
    for key, url in urls.items():
        shared = await _until_usable(url, key, tell)
        if shared and not (pooled and key == "database.url"):
            log.warning("%s: %s", key, POOLED[key == "database.url"])


async def _until_usable(url: str, key: str, tell: Callable[[str], None]) -> bool:
    said = float("-inf")
    what = f"waiting for PostgreSQL at {_place(url)} ({key})"
    while True:
        try:
            shared = await look(url, key)
        except LOST as error:
            tell(what)
            if time.monotonic() - said >= SAY_AGAIN:
                said = time.monotonic()
                name = type(error).__name__
                log.warning("%s: %s. Start it, or correct the setting", what, name)
            await asyncio.sleep(PAUSE)
        else:
            if said > 0:
                log.info("PostgreSQL at %s is there (%s)", _place(url), key)
            return shared


POOLED = {
    True: "goes through a connection pooler. In transaction mode sign-outs are not "
    "heard and statements fail: set database.listen_url to PostgreSQL itself",
    False: "goes through a connection pooler. In transaction mode nothing is heard and "
    "no job is done: name PostgreSQL itself",
}


async def tell_of_provider(provider: Provider) -> None:
    """Log that nobody can sign in for as long as the provider is away at the start."""
    said = False
    while True:
        try:
            await provider.discovery()
        except ProviderUnavailable as error:
            if not said:
                log.warning(
                    "the identity provider (auth.issuer) does not answer: %s. Serving "
                    "without it; nobody can sign in until it comes",
                    error,
                )
            said = True
            await asyncio.sleep(SAY_AGAIN)
        else:
            if said:
                log.info("the identity provider answers now")
            return


def _place(url: str) -> str:
    """Return host and port of a URL, never what stands before them."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "its socket"
    except ValueError:
        return "its address"
