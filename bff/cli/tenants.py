"""`bff tenants list`, `show` and `retry`: how tenants are."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bff.cli import tenants_changing
from bff.cli.common import ConfigFile, examples, fail, load
from bff.cli.working import TenantId, as_worker, run
from bff.onboarding.phases import document
from bff.onboarding.store import OnboardingStore
from bff.sites import operating
from bff.sites.store import Sites
from bff.tenancy.operating import NoSuchTenant, overview, people_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bff.config import Config
    from bff.onboarding.store import Started
    from bff.tenancy.operating import Overview

tenants = typer.Typer(
    help="The tenants: how they are, and what becomes of them.", no_args_is_help=True
)
tenants_changing.add(tenants)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
HEAD = ("ID", "NAME", "STATUS", "ONBOARDING", "ODOO DATABASE", "KEY ENDS")


@tenants.command(
    "list",
    epilog=examples(
        "bff tenants list",
        "bff tenants list --json | jq '.[] | select(.onboarding == \"error\")'",
    ),
)
def list_command(as_json: AsJson = False, config: ConfigFile = None) -> None:
    """List all tenants: status, how far onboarding is, their Odoo's database.

    KEY ENDS is the day on which our key of that database ends; the worker makes
    another before (`odoo.rotate_before`).
    """
    found = run(_all(load(config)))
    if as_json:
        typer.echo(_json([asdict(one) for one in found]))
        return
    for line in _table([HEAD, *map(_row, found)]):
        typer.echo(line)


@tenants.command("show")
def show_command(
    tenant_id: TenantId, as_json: AsJson = False, config: ConfigFile = None
) -> None:
    """Show one tenant: its people, each phase of its onboarding, its Odoo, its tasks.

    Nothing of it is secret: what opens its Odoo is shown by no command.
    """
    found = run(_one(load(config), tenant_id))
    if as_json:
        typer.echo(_json(found))
        return
    for line in _told(found):
        typer.echo(line)


@tenants.command("retry")
def retry_command(tenant_id: TenantId, config: ConfigFile = None) -> None:
    """Restart an onboarding that has failed, from the phase that did.

    It is what the tenant's own people do by the button on their page. Mend the cause
    first: `bff tenants show ID` has the sentence, the worker's log the rest.

    A tenant that was made ready before there was an Odoo gets its own by this.
    """
    started = run(_retry(load(config), tenant_id))
    if started is None:
        fail(
            f"tenant {tenant_id} has not begun: its onboarding does when one of its "
            "people signs in and asks for it"
        )
    if not started.fresh:
        if started.progress.status == "ready":
            fail(f"tenant {tenant_id} is ready: there is nothing to retry")
        fail(
            f"tenant {tenant_id} is under way ({started.progress.status}): nothing "
            "has failed"
        )
    typer.echo(
        f"tenant {tenant_id}: attempt {started.progress.attempt} goes on from "
        f"{started.progress.next()}; `bff tenants show {tenant_id}` tells how far it is"
    )


async def _all(settings: Config) -> list[Overview]:
    async with as_worker(settings) as db, db.shared_transaction() as connection:
        return await overview(connection)


async def _one(settings: Config, tenant_id: int) -> dict[str, Any]:
    async with as_worker(settings) as db:
        async with db.tenant_transaction(tenant_id) as connection:
            found = await overview(connection, tenant_id)
            if not found:
                raise NoSuchTenant(tenant_id)
            people = await people_of(connection, tenant_id)
            tasks = await operating.tasks(connection, tenant_id)
        store = OnboardingStore(db, settings.onboarding)
        begun = await store.get(tenant_id)
        site = await Sites(db).get(tenant_id)
    (tenant,) = found
    return {
        "tenant_id": tenant_id,
        "name": tenant.name,
        "status": tenant.status,
        "created_at": tenant.created_at,
        **asdict(people),
        "onboarding": document(tenant_id, begun[0] if begun else None),
        "odoo": asdict(site) if site else None,
        "tasks": tasks,
    }


async def _retry(settings: Config, tenant_id: int) -> Started | None:
    async with as_worker(settings) as db:
        async with db.tenant_transaction(tenant_id) as connection:
            found = await overview(connection, tenant_id)
        if not found:
            raise NoSuchTenant(tenant_id)
        if found[0].status == "suspended":
            fail(f"tenant {tenant_id} is suspended: `bff tenants resume {tenant_id}`")
        with_odoo = bool(settings.odoo.server_url)
        store = OnboardingStore(db, settings.onboarding, with_odoo=with_odoo)
        return await store.retry(tenant_id)


def _row(one: Overview) -> tuple[str, ...]:
    end = f"{one.key_expires_at:%Y-%m-%d}" if one.key_expires_at else "-"
    number = str(one.tenant_id)
    return number, one.name, one.status, one.onboarding, one.database or "-", end


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _told(found: dict[str, Any]) -> Iterator[str]:
    yield f"tenant {found['tenant_id']}: {found['name']}"
    yield f"status: {found['status']}, since {_at(found['created_at'])}"
    yield (
        f"members: {found['members']}, admins: {found['admins']}, "
        f"open invitations: {found['invites']}"
    )
    begun = found["onboarding"]
    yield f"onboarding: {begun['status']}, attempt {begun['attempt']}"
    for phase in begun["phases"]:
        words = [f"  {phase['name']:16}", f"{phase['state']:7}"]
        words += [phase[key] for key in ("started_at", "finished_at") if phase[key]]
        yield "  ".join(words).rstrip()
        if phase["detail"]:
            yield f"    {phase['detail']}"
    if begun["error"]:
        yield f"last error: {begun['error']}"
    yield from _of_odoo(found["odoo"])
    for task in found["tasks"]:
        at = task["finished_at"] or task["asked_at"]
        said = f": {task['problem']} ({task['code']})" if task["code"] else ""
        yield f"task {task['kind']}: {task['state']}, {_at(at)}{said}"


def _of_odoo(site: dict[str, Any] | None) -> Iterator[str]:
    if site is None:
        yield "Odoo: none"
        return
    state = "ready to use" if site["made"] else "not made yet"
    if not site["active"]:
        state = "suspended"
    yield f"Odoo: {site['db_name']} on {site['server_url']}, {state}"
    yield f"  people reach it at {site['base_url']}"
    yield f"  made from {site['template'] or 'nothing'}, series {site['series'] or '?'}"
    yield f"  our key ends {_at(site['key_expires_at'])}"
    if site["checked_at"]:
        yield f"  looked at {_at(site['checked_at'])}: {site['problem'] or 'well'}"


def _at(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}Z" if at else "never"


def _json(value: object) -> str:
    def plain(one: object) -> str:
        return one.isoformat() if isinstance(one, datetime) else str(one)

    return json.dumps(value, default=plain, ensure_ascii=False, indent=2)
