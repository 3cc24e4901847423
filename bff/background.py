"""Run what nobody waits for in a request: jobs, the register, tidying up.

This is the only place that wires the worker, whether it runs in `bff serve` or alone.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from bff import database, outbound, telemetry
from bff.acra import worker as register
from bff.exports.odoo_sync import OdooSync
from bff.icp import first_candidates
from bff.icp.candidates import recompute_all
from bff.identity.accounts import Accounts
from bff.identity.clients import Clients
from bff.identity.provider import Provider
from bff.onboarding.jobs import AT_ONCE, AT_ONCE_OF_OTHERS, work
from bff.onboarding.odoo_steps import OdooSteps
from bff.onboarding.odoo_tasks import OdooTasks
from bff.onboarding.store import OnboardingStore
from bff.onboarding.worker import STEPS, Runner, utc_now
from bff.onboarding.write_back import WriteBack
from bff.sessions.keyring import load_ring
from bff.sites.jobs import AT_ONCE as TASKS_AT_ONCE
from bff.sites.jobs import SYNCS_AT_ONCE, Jobs
from bff.sites.pool import Pool, keep_warm
from bff.sites.server import OdooServer
from bff.sites.single_sign_on import SingleSignOn
from bff.sites.upkeep import keep_up
from bff.sites.workshop import Workshop
from bff.survey import keep_surveying
from bff.tidy import keep_tidy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import aiohttp
    from pgqueuer import PgQueuer

    from bff.config import Config
    from bff.sessions.sealing import KeyRing

log = logging.getLogger(__name__)

# Connections of the worker: each job in hand may want one at a time, and so may those
# that look after all of it (tidying, tasks, copies made in advance).
POOL_SIZE = AT_ONCE + AT_ONCE_OF_OTHERS + TASKS_AT_ONCE + SYNCS_AT_ONCE + 3


@asynccontextmanager
async def worker(
    config: Config,
    metrics: telemetry.Metrics | None = None,
    ring: KeyRing | None = None,
) -> AsyncGenerator[None]:
    """Run the job workers in the background, and tidy up beside them.

    *ring* is one that others use too; without it, it is read. All begin again after
    every lost connection.

    Raises:
        KeyRingError: when tenants' secrets could not be read.
    """
    url = config.database.worker_url.get_secret_value()
    closing = asyncio.Event()
    metrics = metrics or telemetry.Metrics()

    async def forever(runner: Runner, *more: Callable[[PgQueuer], None]) -> None:
        # Not `while True`: a connection that breaks as we cancel hides the cancelling.
        while not closing.is_set():
            try:
                await work(
                    url,
                    runner,
                    config.worker,
                    *more,
                    with_odoo=bool(config.odoo.server_url),
                )
            except Exception:
                # Whatever it was: a gateway without a worker onboards nobody.
                log.exception("the worker stopped and starts again")
            await asyncio.sleep(1)

    async with (
        outbound.client_session() as http,
        database.connect(url, size=POOL_SIZE, name="bff-worker") as db,
        database.connect(
            url, size=first_candidates.POOL_SIZE, name="bff-candidates"
        ) as for_candidates,
    ):
        metrics.pools.watch("worker", db)
        metrics.pools.watch("candidates", for_candidates)
        has_odoo = bool(config.odoo.server_url)
        workshop = make_workshop(config, db, http, ring) if has_odoo else None
        work_of = _work_of(config, db, http, workshop, metrics)
        doing = [
            forever(*work_of, first_candidates.taking(for_candidates)),
            keep_tidy(db, closing, random.random, config.audit.keep_days),
            keep_surveying(db, metrics.standing),
        ]
        if workshop is not None:
            days = config.odoo.rotate_before
            doing += [
                keep_up(db, closing, random.random, days),
                keep_warm(Pool(workshop=workshop), closing, random.random),
            ]
        tasks = [asyncio.ensure_future(one) for one in doing]
        try:
            async with AsyncExitStack() as stack:
                if register.is_wanted(config):
                    await stack.enter_async_context(
                        register.running(config, recompute_all, metrics)
                    )
                yield
        finally:
            closing.set()
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task


def make_workshop(
    config: Config,
    db: database.Database,
    http: aiohttp.ClientSession,
    ring: KeyRing | None = None,
) -> Workshop:
    """Return what works on tenants' Odoo; *db* is the worker's, *ring* may be shared.

    Raises:
        KeyRingError: when the key ring cannot be read.
    """
    return Workshop(
        database=db,
        ring=ring or load_ring(config),
        server=OdooServer(settings=config.odoo, http=http),
    )


def make_sign_on(config: Config, http: aiohttp.ClientSession) -> SingleSignOn:
    """Return how tenants' Odoo signs people in.

    Raises:
        ClientKeyError: when the gateway's own client key cannot be read.
    """
    has_provisioner = bool(config.auth.provisioner_client_id)
    return SingleSignOn(
        settings=config.odoo,
        identity=Provider(config.auth, http, time.time),
        clients=Clients(config.auth, http, time.time) if has_provisioner else None,
    )


def _work_of(
    config: Config,
    db: database.Database,
    http: aiohttp.ClientSession,
    workshop: Workshop | None,
    metrics: telemetry.Metrics,
) -> tuple[Runner, *tuple[Callable[[PgQueuer], None], ...]]:
    """Return what runs the phases, and what adds further jobs to the queue."""
    store = OnboardingStore(
        db, config.onboarding, with_odoo=bool(config.odoo.server_url)
    )
    make = partial(
        Runner,
        store,
        now=utc_now,
        afterwards=_afterwards(config, store, db, http),
        on_phase=metrics.time_phase,
    )
    if workshop is None:
        return (make(STEPS),)
    sign_on = make_sign_on(config, http)
    odoo = OdooSteps(store=store, workshop=workshop, sign_on=sign_on)
    asked = OdooTasks(store=store, workshop=workshop, sign_on=sign_on)
    sync = OdooSync(workshop=workshop)
    tasks = Jobs(database=db, handlers={**asked.handlers(), **sync.handlers()})
    return make(odoo.steps()), tasks.register


def _afterwards(
    config: Config,
    store: OnboardingStore,
    db: database.Database,
    http: aiohttp.ClientSession,
) -> Callable[[int], Awaitable[None]]:
    """Return what is done once a tenant is ready, and nobody waits for."""
    write_back = _write_back(config, store, http)

    async def afterwards(tenant_id: int) -> None:
        if write_back is not None:
            await write_back(tenant_id)
        await first_candidates.ask(db, tenant_id)  # its first rule's

    return afterwards


def _write_back(
    config: Config, store: OnboardingStore, http: aiohttp.ClientSession
) -> WriteBack | None:
    """Return what notes a ready tenant at the provider; None where nobody may."""
    if not config.auth.provisioner_client_id or config.tenancy.source != "attribute":
        return None
    accounts = Accounts(config.auth, http, time.time)
    return WriteBack(store, accounts, config.auth.issuer)
