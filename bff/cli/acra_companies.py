"""`bff acra sync` and `bff acra status`: from the register to companies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import asyncpg
import typer
import uvloop

from bff import database
from bff.acra.due import Left, catch_up
from bff.acra.runs import RunLost, Runs
from bff.acra.sync import sync
from bff.cli.common import ConfigFile, fail, load, url_of
from bff.icp.candidates import recompute_all

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from bff.acra.sync import Synced
    from bff.config import Config

# A batch is thousands of rows.
STATEMENT_SECONDS = 600.0
RUNS_SHOWN = 10


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""

    @app.command("sync")
    def sync_command(config: ConfigFile = None) -> None:
        """Bring what changed in the register into companies, and find who fits rules.

        A run of the worker does this itself; run it after `bff acra ingest`. Stopped or
        killed, it goes on where it was.
        """
        done = _run(_sync(load(config)))
        if done is None:
            fail("the register is being read; run it again when that is over")
        typer.echo(str(done))

    @app.command("status")
    def status_command(config: ConfigFile = None) -> None:
        """Show the last runs, and the datasets that are not read to their end."""
        for line in _run(_status(load(config))):
            typer.echo(line)


def _run(doing: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever it gives
    """Return what *doing* gives, or end the command with one sentence."""
    try:
        return uvloop.run(doing)
    except (RunLost, Left, database.DatabaseUnavailable) as error:
        fail(f"not finished: {error}; run it again")
    except (asyncpg.PostgresError, ValueError) as error:
        # The driver's own words may hold the URL.
        fail(f"the database cannot be used as its worker ({type(error).__name__})")


async def _sync(settings: Config) -> Synced | None:
    url = url_of(settings.database.worker_url, "database.worker_url")

    def say(done: Synced) -> None:
        typer.echo(f"{done.read:,} changes so far", err=True)

    async with (
        database.connect(
            url, size=4, command_timeout=STATEMENT_SECONDS, name="bff-acra"
        ) as db,
        Runs(db).begin("sync") as run,
    ):
        if run is None:
            return None
        done = await sync(db, run, {}, on_progress=say)
        await catch_up(db, recompute_all)
        return done


async def _status(settings: Config) -> list[str]:
    url = url_of(settings.database.worker_url, "database.worker_url")
    async with (
        database.connect(url, size=1, name="bff-acra") as db,
        db.shared_transaction() as connection,
    ):
        runs = await connection.fetch(
            "SELECT * FROM acra_runs ORDER BY run_id DESC LIMIT $1", RUNS_SHOWN
        )
        datasets = await connection.fetch(
            "SELECT dataset, marker, updated_at FROM acra_ingest "
            "WHERE dataset NOT LIKE '@%' ORDER BY dataset"
        )
    lines = ["no run yet"] if not runs else [_of_run(run) for run in reversed(runs)]
    return lines + [_of_dataset(row) for row in datasets]


def _of_run(run: asyncpg.Record) -> str:
    at = run["ended_at"] or run["started_at"] or run["queued_at"]
    counts = json.loads(run["counts"])
    said = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    line = (
        f"run {run['run_id']} ({run['reason']}): {run['status']}, {at:%Y-%m-%d %H:%M}Z"
    )
    return ": ".join(part for part in (line, run["error"], said) if part)


def _of_dataset(row: asyncpg.Record) -> str:
    marker = json.loads(row["marker"])
    read = marker.get("counts", {}).get("read", 0)
    state = "read" if marker.get("done") else "being read, or left"
    return f"dataset {row['dataset']}: {state}, {read:,} records so far"
