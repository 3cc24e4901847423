"""The company register: `bff acra ingest` beside PostgreSQL reading the file by itself.

`python -m bench.register`, or with `--quick` for seconds only.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import asyncpg
import typer

from bench import machine, programs, register_file
from bff import migrate
from bff.acra.records import COLUMNS
from bff.dev.postgres import (
    SUPERUSER,
    PostgresUnavailable,
    ensure_database,
    postgres,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.dev.postgres import Postgres

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
QUICK_ROWS = 20_000
DATABASE = "register"
# What PostgreSQL does when nobody looks at the records on their way: it takes `na` for
# NULL, and mends, trims and refuses nothing.
NAMES = ", ".join(COLUMNS)
STAGE = (
    f"CREATE TEMPORARY TABLE stage AS SELECT {NAMES} "  # noqa: S608 - names of COLUMNS
    "FROM staging_acra_companies WITH NO DATA"
)
UPSERT = (
    f"INSERT INTO staging_acra_companies ({NAMES}, source) "  # noqa: S608 - names of COLUMNS
    f"SELECT {NAMES}, 'sql' FROM stage ON CONFLICT (uen) DO UPDATE SET "
    + ", ".join(f"{name} = EXCLUDED.{name}" for name in COLUMNS[1:])
)
TITLES = {
    "sql": "COPY FROM file + upsert, by PostgreSQL alone",
    "bff": "`bff acra ingest`, into an empty table",
    "again": "`bff acra ingest`, nothing has changed",
}


class Failed(Exception):
    """Say in one sentence why there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A server with an empty table, and a file that it may read."""

    server: Postgres
    superuser: asyncpg.Connection
    file: Path


@app.command()
def bench(
    rows: Annotated[
        int, typer.Option(min=1, help="Records in the file.")
    ] = register_file.ROWS,
    quick: Annotated[
        bool, typer.Option("--quick", help="Seconds; proves only that it runs.")
    ] = False,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often everything is measured.")
    ] = 3,
    json_file: Annotated[
        Path, typer.Option("--json", metavar="FILE", help="Where all figures go.")
    ] = programs.CACHE / "register.json",
) -> None:
    """Import one file of the register both ways and print records per second."""
    if quick:
        rows, rounds = min(rows, QUICK_ROWS), 1
    try:
        result = asyncio.run(_measure(rows, rounds))
    except (PostgresUnavailable, Failed) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    print(f"\n{table(result['rates'])}\n")
    print(f"ratio, `bff acra ingest` : PostgreSQL alone = {result['ratio']:.2f}")
    json_file.parent.mkdir(parents=True, exist_ok=True)
    json_file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"All figures: {json_file}")


def table(rates: dict[str, float]) -> str:
    """Return *rates* as a Markdown table."""
    width = max(map(len, TITLES.values()))
    rule = f"| {'-' * width} | ---------: |"
    lines = [f"| {TITLES[name]:{width}} | {rates[name]:>10,.0f} |" for name in TITLES]
    return "\n".join([f"| {'':{width}} |  records/s |", rule, *lines])


async def _measure(rows: int, rounds: int) -> dict[str, Any]:
    async with _stage(rows) as stage:
        busy = round(await machine.busy(), 2)
        raw = []
        for number in range(rounds):
            seconds = {}
            # Each begins in every other round: the first one finds caches cold.
            for name in ("sql", "bff") if number % 2 == 0 else ("bff", "sql"):
                await _empty(stage)
                seconds[name] = await (_sql if name == "sql" else _bff)(stage, rows)
                if name == "bff":
                    seconds["again"] = await _bff(stage, rows)
            raw.append(seconds)
            print(", ".join(f"{name} {took:.1f} s" for name, took in seconds.items()))
    rates = {name: rows / median(one[name] for one in raw) for name in TITLES}
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": rows,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "busy_before": busy,
        "rates": rates,
        "ratio": rates["bff"] / rates["sql"],
        "seconds": raw,
    }


@asynccontextmanager
async def _stage(rows: int) -> AsyncGenerator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="bff-register-"))
    try:
        file = folder / "register.csv"
        print(f"writing {rows:,} records …")
        await asyncio.to_thread(_prepare, file, rows)
        async with postgres(folder / "postgres") as server:
            await ensure_database(server, DATABASE)
            owner = await asyncpg.connect(server.url("bff_owner", DATABASE))
            await migrate.migrate(owner)
            await owner.close()
            superuser = await asyncpg.connect(server.url(SUPERUSER, DATABASE))
            yield Stage(server, superuser, file)
            await superuser.close()
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


def _prepare(file: Path, rows: int) -> None:
    """Write the file where the server can read it: a system user when we are root."""
    file.parent.chmod(0o711)
    register_file.write(file, rows)
    file.chmod(0o644)


async def _empty(stage: Stage) -> None:
    await stage.superuser.execute("TRUNCATE staging_acra_companies, acra_ingest")
    await stage.superuser.execute("VACUUM ANALYZE staging_acra_companies")
    await stage.superuser.execute("CHECKPOINT")


async def _sql(stage: Stage, rows: int) -> float:
    """Let the server read the file by itself; return the seconds it took."""
    begun = time.perf_counter()
    async with stage.superuser.transaction():
        await stage.superuser.execute(STAGE)
        await stage.superuser.execute(
            f"COPY stage FROM '{stage.file}' WITH (FORMAT csv, HEADER, NULL 'na')"
        )
        await stage.superuser.execute(UPSERT)
        await stage.superuser.execute("DROP TABLE stage")
    took = time.perf_counter() - begun
    await _check(stage, rows)
    return took


async def _bff(stage: Stage, rows: int) -> float:
    """Run the command, its own start included; return the seconds it took."""
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bff",
        "acra",
        "ingest",
        str(stage.file),
        env={**os.environ, **_environment(stage.server)},
        stdout=asyncio.subprocess.DEVNULL,
    )
    status = await process.wait()
    took = time.perf_counter() - begun
    if status:
        raise Failed(f"`bff acra ingest` ended with status {status}")
    await _check(stage, rows)
    return took


async def _check(stage: Stage, rows: int) -> None:
    found = await stage.superuser.fetchval(
        "SELECT count(*) FROM staging_acra_companies"
    )
    if found != rows:
        raise Failed(f"{found:,} of {rows:,} records arrived")


def _environment(server: Postgres) -> dict[str, str]:
    """Return settings that are enough for a command that signs nobody in."""
    return {
        "BFF_ENVIRONMENT": "dev",
        "BFF_DATABASE__URL": server.url("bff_app", DATABASE),
        "BFF_DATABASE__WORKER_URL": server.url("bff_worker", DATABASE),
        "BFF_AUTH__ISSUER": "http://localhost:8180/realms/nexius",
        "BFF_AUTH__CLIENT_SECRET": "none is asked for it here",
    }


if __name__ == "__main__":
    app()
