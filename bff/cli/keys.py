"""`bff keys …`: the ring that seals cookies, and the key that proves the client."""

from __future__ import annotations

import json
import os
import secrets
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import asyncpg
import typer
import uvloop
from joserfc.jwk import ECKey, RSAKey

from bff import database
from bff.cli.common import ConfigFile, fail, load, url_of
from bff.identity.client_auth import ClientKeyError, public_jwk, read_key
from bff.sessions import reseal as sessions
from bff.sessions.keyring import load_ring
from bff.sessions.reseal import Count, Place, by_key, reseal
from bff.sessions.sealing import KEY_BYTES, MAX_KEY_ID, KeyRingError, format_key
from bff.sites import safe as sites

if TYPE_CHECKING:
    from collections.abc import Callable

    from bff.config import Config
    from bff.sessions.sealing import KeyRing

keys = typer.Typer(
    help="The key ring that seals cookies, and the client's own key.",
    no_args_is_help=True,
)

RSA_BITS = 3072
DAY = 86400
# Every column that holds sealed values.
PLACES = (*sessions.PLACES, *sites.PLACES)
KeyFile = Annotated[Path, typer.Argument(help="Where the private key is, or will be.")]


class Kind(StrEnum):
    """What kinds of key a client may have."""

    P256 = "p256"
    RSA = "rsa"


@keys.command("new")
def new_command(
    after: int = typer.Option(0, help="Id of the newest key in use; 0 for none."),
) -> None:
    """Print a new key for the ring.

    Several replicas: put it last in every ring, then first in every ring. A replica
    that does not know it yet would take its cookies for none.
    """
    typer.echo(format_key(after % MAX_KEY_ID + 1, secrets.token_bytes(KEY_BYTES)))


@keys.command("list")
def list_command(config: ConfigFile = None) -> None:
    """List the ids in the ring; the first seals, all open. Keys are never shown."""
    for place, key_id in enumerate(_ring(load(config)).ids):
        typer.echo(f"{key_id:3}  {'seals and opens' if place == 0 else 'opens'}")


@keys.command("reseal")
def reseal_command(config: ConfigFile = None) -> None:
    """Seal anew with the first key what older ones sealed in PostgreSQL.

    Run it once the new key is first in the ring of every replica; as often as you
    like. It reaches no cookie: a browser's is sealed anew at its next renewal, and
    an old key taken out earlier than session.lifetime after that signs out whoever
    has not been back since. Exit status 1 when something is left to do.
    """
    settings = load(config)
    ring = _ring(settings)
    if not (settings.session.keys.get_secret_value() or settings.session.key_file):
        fail("there is no key ring: set session.keys or session.key_file")
    url = url_of(settings.database.worker_url, "database.worker_url")
    try:
        left = uvloop.run(_reseal(url, ring))
    except database.DatabaseUnavailable as error:
        fail(f"not finished: {error}; run it again")
    except (asyncpg.PostgresError, ValueError) as error:
        # The driver's own words may hold the URL.
        fail(f"the database cannot be used as its worker ({type(error).__name__})")
    if left:
        raise typer.Exit(1)
    if old := ", ".join(map(str, ring.ids[1:])):
        days = settings.session.lifetime / DAY
        typer.echo(
            f"nothing in PostgreSQL needs key {old} now; cookies may, until {days:g} "
            f"days after key {ring.ids[0]} became the first on every replica"
        )


@keys.command("client")
def client_command(
    file: KeyFile,
    kind: Annotated[Kind, typer.Option(help="Kind of a new key.")] = Kind.P256,
) -> None:
    """Make the client's private key unless it is there, and print its public JWKS.

    Set auth.client_key_file to the file. In Keycloak: client, Credentials, Signed JWT;
    then Keys, Import, JSON Web Key Set.
    """
    try:
        if not file.exists():
            _write_key(file, kind)
        key = read_key(file.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} cannot be used ({type(error).__name__})")
    except ClientKeyError as error:
        fail(f"{file} {error}")
    typer.echo(json.dumps({"keys": [public_jwk(key)]}, indent=2))


def _ring(settings: Config) -> KeyRing:
    try:
        return load_ring(settings)
    except KeyRingError as error:
        fail(str(error))


async def _reseal(url: str, ring: KeyRing) -> int:
    """Reseal every place, say how it went, and return how many values are left."""
    left = 0
    async with database.connect(url, size=1, name="bff-reseal") as db:
        for place in PLACES:
            count = await reseal(db, ring, place, progress=_progress(place))
            old = await by_key(db, place)
            old.pop(ring.ids[0], None)
            typer.echo(
                f"{place}: {count.resealed} sealed anew, {count.changed} changed "
                f"meanwhile, {count.unopenable} that no key of the ring opens"
            )
            for key_id, number in old.items():
                typer.echo(f"{place}: {number} still of key {key_id}")
            left += sum(n for key_id, n in old.items() if key_id in ring.ids)
    return left


def _progress(place: Place) -> Callable[[Count], None]:
    def say(count: Count) -> None:
        done = count.resealed + count.changed + count.unopenable
        typer.echo(f"{place}: {done} so far", err=True)

    return say


def _write_key(file: Path, kind: Kind) -> None:
    key: ECKey | RSAKey = (
        ECKey.generate_key("P-256")
        if kind is Kind.P256
        else RSAKey.generate_key(RSA_BITS)
    )
    # Nobody else's from the first byte on, and never over another key.
    opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "wb") as stream:
        stream.write(key.as_pem(private=True))
