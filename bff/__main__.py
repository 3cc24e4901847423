"""The `bff` command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bff.cli import (
    acra,
    acra_companies,
    database,
    dev,
    keys,
    odoo,
    serving,
    tenants,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="bff",
    help="One origin in front of Keycloak, LangGraph and Odoo: signs people in, keeps "
    "their tokens sealed, streams the agent's answers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="\b\n"
    "Settings:\n"
    "  config.toml, or the file of --config or BFF_CONFIG; variables like\n"
    "  BFF_DATABASE__URL for `[database] url` win over it. Secrets come from\n"
    "  variables, or from files of such names in the folder BFF_SECRETS_DIR.\n"
    "\n"
    "\b\n"
    "Exit status:\n"
    "  0  done; 1  something is wrong, in one sentence on standard error;\n"
    "  2  the command was called wrongly\n"
    "\n"
    "\b\n"
    "Examples:\n"
    "  bff doctor                         # is everything there and right?\n"
    "  bff migrate up && bff serve --workers 2\n"
    "  bff dev                            # all of it on this machine, to try\n"
    "  bff --install-completion           # for bash, zsh, fish, PowerShell",
)
serving.add(app)
dev.add(app)
app.add_typer(database.roles, name="db")
app.add_typer(database.migrations, name="migrate")
app.add_typer(keys.keys, name="keys")
acra_companies.add(acra.acra)
app.add_typer(acra.acra, name="acra")
app.add_typer(tenants.tenants, name="tenants")
app.add_typer(odoo.odoo, name="odoo")


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.")
    ] = False,
) -> None:
    """Serve as the root of all commands."""
    if show:
        from importlib.metadata import version as version_of  # noqa: PLC0415 - rare

        typer.echo(version_of("nexius-bff"))
        raise typer.Exit
    del context


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; *arguments* default to the process's."""
    app(arguments)


if __name__ == "__main__":
    main()
