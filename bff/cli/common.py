"""What all commands share: the configuration, and an end with one clear message."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bff import config

if TYPE_CHECKING:
    from pydantic import SecretStr

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="BFF_CONFIG",
        help="Configuration file; config.toml in this folder by default.",
    ),
]


def examples(*lines: str) -> str:
    """Return what stands below a command's help, line by line as given."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def load(file: Path | None) -> config.Config:
    """Return the configuration, or end the command with all its problems."""
    try:
        return config.load(file)
    except config.ConfigError as error:
        fail(str(error))


def url_of(secret: SecretStr, name: str) -> str:
    """Return a database URL, or end the command naming its setting."""
    value = secret.get_secret_value()
    if not value:
        variable = "BFF_" + name.upper().replace(".", "__")
        fail(f"{name} is not set: give it as {variable}")
    return value


def fail(sentence: str) -> NoReturn:
    """End the command with *sentence* on standard error and exit status 1."""
    typer.echo(sentence, err=True)
    raise typer.Exit(1)
