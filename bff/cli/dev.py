"""`bff dev`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import uvloop

from bff.cli.common import examples, fail


def add(app: typer.Typer) -> None:
    """Add the command to *app*."""

    @app.command(
        "dev",
        epilog=examples(
            "bff dev",
            "bff dev --graph http://127.0.0.1:2024   # beside `langgraph dev`",
            "bff dev --ui http://localhost:3000      # beside `next dev`, by CORS",
            "bff dev --ui http://localhost:3000 --one-origin   # in front of it",
        ),
    )
    def dev_command(
        port: Annotated[int, typer.Option(help="Port of the gateway.")] = 8080,
        provider_port: Annotated[
            int, typer.Option(help="Port of the built-in identity provider.")
        ] = 8180,
        graph: Annotated[
            str | None,
            typer.Option(metavar="URL", help="Use this graph server; start none."),
        ] = None,
        ui: Annotated[
            str | None,
            typer.Option(
                metavar="ORIGIN",
                help="Your own UI, started by you, for example http://localhost:3000: "
                "its pages may call the gateway, cookies included.",
            ),
        ] = None,
        one_origin: Annotated[
            bool,
            typer.Option(
                "--one-origin",
                help="Show --ui at the gateway's own address instead, as when live.",
            ),
        ] = False,
        issuer: Annotated[
            str | None,
            typer.Option(metavar="URL", help="Use this identity provider; start none."),
        ] = None,
        client_id: Annotated[
            str, typer.Option(help="Our client at --issuer.")
        ] = "nexius-bff",
        client_secret: Annotated[
            str | None,
            typer.Option(
                envvar="NEXIUS_CLIENT_SECRET", help="Its secret (better by variable)."
            ),
        ] = None,
        database: Annotated[
            str | None,
            typer.Option(
                metavar="URL",
                help="Use this PostgreSQL database, as a role that may create roles.",
            ),
        ] = None,
        fresh: Annotated[
            bool, typer.Option("--fresh", help="Forget the data of earlier runs.")
        ] = False,
        folder: Annotated[Path, typer.Option(help="Where data is kept.")] = Path(
            ".bff"
        ),
        log_level: Annotated[
            str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")
        ] = "WARNING",
    ) -> None:
        """Run the whole product on this machine: database, sign-in, agent, gateway."""
        try:
            from bff.dev.run import (  # noqa: PLC0415 - not in the image
                CannotRun,
                Options,
                run,
            )
        except ImportError as error:
            fail(f"`bff dev` needs its parts: pip install 'nexius-bff[dev]' ({error})")
        options = Options(
            port=port,
            provider_port=provider_port,
            graph=graph,
            ui=ui,
            one_origin=one_origin,
            issuer=issuer,
            client_id=client_id,
            client_secret=client_secret,
            database=database,
            fresh=fresh,
            folder=folder,
            log_level=log_level.upper(),
        )
        try:
            uvloop.run(run(options))
        except CannotRun as error:
            fail(str(error))
