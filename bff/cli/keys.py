"""`bff keys …`: the ring that seals cookies."""

from __future__ import annotations

import secrets

import typer

from bff.cli.common import ConfigFile, fail, load
from bff.sessions.keyring import load_ring
from bff.sessions.sealing import KEY_BYTES, MAX_KEY_ID, KeyRingError, format_key

keys = typer.Typer(help="The key ring that seals cookies.", no_args_is_help=True)


@keys.command("new")
def new_command(
    after: int = typer.Option(0, help="Id of the newest key in use; 0 for none."),
) -> None:
    """Print a new key. Put it first in the ring; keep the old ones behind it."""
    typer.echo(format_key(after % MAX_KEY_ID + 1, secrets.token_bytes(KEY_BYTES)))


@keys.command("list")
def list_command(config: ConfigFile = None) -> None:
    """List the ids in the ring; the first seals, all open. Keys are never shown."""
    try:
        ring = load_ring(load(config))
    except KeyRingError as error:
        fail(str(error))
    for place, key_id in enumerate(ring.ids):
        typer.echo(f"{key_id:3}  {'seals and opens' if place == 0 else 'opens'}")
