"""`bff acra …`: the Singapore company register."""

from __future__ import annotations

import os
import sys
from pathlib import Path  # noqa: TC003 - typer looks at it
from typing import TYPE_CHECKING, Annotated, TypeAlias

import asyncpg
import typer
import uvloop

from bff import config, database
from bff.acra.calls import Surroundings
from bff.acra.datasets import ID, datasets
from bff.acra.ingest import ingest, rehearse
from bff.acra.report import CannotReport, Counts, RefusedFile
from bff.acra.runs import RunLost
from bff.acra.source import SourceError
from bff.cli.acra_files import REFUSED_FILE, local_files, refused_file
from bff.cli.common import ConfigFile, fail, url_of
from bff.cli.progress import Display
from bff.environment import with_acra_aliases
from bff.outbound import client_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import aiohttp

    from bff.acra.source import Dataset

    Found: TypeAlias = dict[str, Counts]

acra = typer.Typer(help="The Singapore company register.", no_args_is_help=True)

STATEMENT_SECONDS = 60.0
INTERRUPTED = 130  # what shells give a command that was stopped by Ctrl-C


class _NoDatabase(Exception):
    """Tell that the driver cannot even read the database's URL."""


@acra.command("ingest")
def ingest_command(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="CSV files, plain or gzip; data.gov.sg by default.",
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Read this one dataset of data.gov.sg; by default acra.resource_id.",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Read all of them, whatever acra.resource_id says."),
    ] = False,
    page_size: Annotated[
        int | None,
        typer.Option(
            min=1, max=32000, help="Records asked for in one call; acra.page_size."
        ),
    ] = None,
    refused: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where refused records are written, one JSON object a line; "
            f"{REFUSED_FILE} by default.",
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Do not take up an unfinished run.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and judge; write no company.")
    ] = False,
    config_file: ConfigFile = None,
) -> None:
    """Read the company register into the database: CSV files, or data.gov.sg.

    A run that was stopped, or killed, is taken up by the next one within a day. Records
    that cannot be taken are counted, named in a file, and are no failure: exit status 1
    says that the reading ended early.
    """
    paths = files or []
    if paths and (dataset or everything or page_size):
        fail("--dataset, --all and --page-size are for data.gov.sg: give no file")
    if dataset and everything:
        fail("give --dataset or --all, not both")
    local = local_files(paths)
    settings: config.Config | None = None
    # Files alone can be judged without any configuration.
    if not (local and dry_run):
        settings = _settings(config_file, with_acra_aliases(os.environ))
        if not local:
            chosen = "" if everything else dataset
            settings = _changed(settings, chosen, page_size)
    file = refused_file(refused, settings, paths)
    display = Display(sys.stderr)
    try:
        file.check()
        found = uvloop.run(
            _rehearse(settings, local, file, display)
            if dry_run or settings is None
            else _ingest(settings, local, file, display, restart=restart)
        )
    except KeyboardInterrupt:
        display.say("stopped; run the same command again, and it goes on from here")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        display.clear()
        if (sentence := _sentence(error)) is None:
            raise
        fail(sentence)
    if found is None:
        fail("another run is under way; nothing was read")
    display.clear()
    _report(found, dry_run=dry_run)
    if any(counts.refused for counts in found.values()):
        typer.echo(f"refused records are in {file.path}")


def _report(found: Found, *, dry_run: bool) -> None:
    total = sum(found.values(), Counts())
    if dry_run:
        good = total.read - total.refused - total.repeated
        typer.echo(
            f"{total.read:,} records, {total.refused:,} refused: "
            f"{good:,} companies would be written; nothing was"
        )
        return
    for name, counts in found.items():
        if len(found) > 1:
            typer.echo(f"{name}: {counts}")
    typer.echo(f"total: {total}" if len(found) > 1 else str(total))


def _sentence(error: Exception) -> str | None:
    """Say what went wrong in one sentence, or nothing of what should not happen."""
    if isinstance(error, (SourceError, CannotReport, RunLost)):
        return f"not finished: {error}"
    if isinstance(error, database.DatabaseUnavailable):
        return f"not finished: {error}; run the same command again, and it goes on"
    if isinstance(error, (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)):
        return "the schema does not fit this release: run `bff migrate up`"
    if isinstance(error, (asyncpg.PostgresError, _NoDatabase)):
        # The driver's own words may hold the URL.
        return f"the database cannot be used as its worker ({type(error).__name__})"
    return None


def _settings(file: Path | None, environ: Mapping[str, str]) -> config.Config:
    try:
        return config.load(file, environ)
    except config.ConfigError as error:
        fail(str(error))


def _changed(
    settings: config.Config, dataset: str | None, page_size: int | None
) -> config.Config:
    """Return *settings* with what the command says, None for nothing, in their place.

    A dataset's ID becomes part of addresses to which the key of the API is sent.
    """
    acra = settings.acra
    chosen = acra.resource_id if dataset is None else dataset
    if chosen and not ID.fullmatch(chosen):
        what = "--dataset" if dataset else "acra.resource_id"
        fail(f"{what} is no ID of a dataset: d_ and 32 digits of 0-9 and a-f")
    changes = {"resource_id": chosen, "page_size": page_size or acra.page_size}
    return settings.model_copy(update={"acra": acra.model_copy(update=changes)})


async def _ingest(
    settings: config.Config,
    local: Sequence[Dataset],
    file: RefusedFile,
    display: Display,
    *,
    restart: bool,
) -> Found | None:
    url = url_of(settings.database.worker_url, "database.worker_url")
    paced = settings.acra.page_by_page and not local
    async with (
        client_session() as http,
        database.connect(
            url, size=3, command_timeout=STATEMENT_SECONDS, name="bff-acra"
        ) as db,
    ):
        await _look(db)
        return await ingest(
            db,
            local or await _remote(settings, http),
            reason="command",
            restart=restart,
            refused_file=file,
            on_progress=display.show,
            on_notice=display.say,
            pause=settings.acra.interval if paced else 0.0,
        )


async def _look(db: database.Database) -> None:
    """Look whether the database can be had, before anybody else is asked.

    Raises:
        _NoDatabase: when its address is none.
        DatabaseUnavailable: when it is away.
    """
    try:
        async with db.shared_transaction():
            pass
    except ValueError as error:
        raise _NoDatabase from error


async def _rehearse(
    settings: config.Config | None,
    local: Sequence[Dataset],
    file: RefusedFile,
    display: Display,
) -> Found:
    async with client_session() as http:
        if settings is not None and not local:
            local = await _remote(settings, http)
        return await rehearse(local, refused_file=file, on_progress=display.show)


async def _remote(
    settings: config.Config, http: aiohttp.ClientSession
) -> Sequence[Dataset]:
    return await datasets(settings.acra, http, Surroundings())
