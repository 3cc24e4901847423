"""Keep onboarding: the row is the truth, the job only says that there is work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from aiohttp import web
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from bff import daily_caps
from bff.audit import SYSTEM, Actor, record
from bff.database import set_tenant
from bff.errors import Unavailable
from bff.errors_access import TenantSuspended
from bff.onboarding import first_rule
from bff.onboarding.founding import found
from bff.onboarding.phases import Progress, dump, read
from bff.sessions.standing import ACTIVE, is_active

if TYPE_CHECKING:
    import asyncpg

    from bff.config_tenancy import Onboarding as Settings
    from bff.database import Database

# Whoever has no Odoo does not know the second name, and cannot take such a job.
JOB, JOB_WITH_ODOO = "onboarding", "onboarding_odoo"
CHANNEL = "onboarding"
# Where an attempt ends; nothing is saved of it after that.
OUTCOMES = ("ready", "error")


# Who is admin by claim alone counts as founder only, since nobody else's token is at
# hand; and last: the claim may be gone by now.
OWNER = """
SELECT sub, email, name AS tenant_name FROM tenant_users
JOIN tenants USING (tenant_id) JOIN onboarding USING (tenant_id)
WHERE tenant_id = $1 AND removed_at IS NULL
  AND ('admin' = ANY (roles) OR (user_id = founder AND founder_by_claim))
ORDER BY NOT ('admin' = ANY (roles)), user_id <> founder, tenant_users.created_at, sub
LIMIT 1
"""
BEGIN = """
INSERT INTO onboarding (tenant_id, phases, founder, founder_by_claim)
VALUES ($1, $2, $3, $4 AND NOT EXISTS (
  SELECT FROM tenant_users
  WHERE tenant_id = $1 AND user_id = $3 AND 'admin' = ANY (roles)))
ON CONFLICT DO NOTHING RETURNING true
"""
# An admin by claim takes an onboarding over that has no admin at all, if it failed or
# is without the Odoo that there is by now.
SUCCEED = """
UPDATE onboarding SET founder = $2, founder_by_claim = true
WHERE tenant_id = $1 AND NOT founder_by_claim AND (status = 'error'
  OR $3 AND status = 'ready' AND phases @> '[{"state": "skipped"}]') AND NOT EXISTS (
  SELECT FROM tenant_users WHERE tenant_id = $1 AND removed_at IS NULL
  AND 'admin' = ANY (roles))
"""


@dataclass(frozen=True, slots=True)
class Founder:
    """Who asks for a workspace, and from where."""

    iss: str
    sub: str
    email: str
    email_verified: bool
    address: str
    workspace_name: str | None = None
    request_id: str = ""
    # In the tenant they have already, by our table or by their token's claim.
    is_admin: bool = False

    @property
    def user_id(self) -> str:
        """Return the key of the person."""
        return f"{self.iss} {self.sub}"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a workspace is: its founder, or whoever came after them."""

    sub: str
    email: str
    tenant_name: str


@dataclass(frozen=True, slots=True)
class Started:
    """A tenant's onboarding, and whether this call set it going."""

    tenant_id: int
    progress: Progress
    fresh: bool


class OnboardingStore:
    """Start, read and advance onboarding.

    *with_odoo* tells that tenants get an Odoo: those that were made ready while there
    was none may be set up again.
    """

    def __init__(
        self, database: Database, settings: Settings, *, with_odoo: bool = False
    ) -> None:
        self._database = database
        self._settings = settings
        self._with_odoo = with_odoo

    async def start(self, founder: Founder, tenant_id: int | None) -> Started:
        """Start, restart or find the onboarding of a person's tenant, all or nothing.

        A person without a tenant founds one and is its admin. Two calls at once make
        one tenant: the person's lock lets the second find what the first made.

        Raises:
            OnboardingClosed: when policy keeps new workspaces from this person.
            TenantSuspended: when their tenant is suspended.
            RateLimited: over the daily caps.
        """
        async with self._database.user_transaction(founder.user_id) as connection:
            await connection.execute(
                "SELECT pg_advisory_xact_lock($1)",
                daily_caps.lock_of("first_login", founder.user_id),
            )
            if tenant_id is None:
                tenant_id = await connection.fetchval(
                    "SELECT tenant_id FROM tenant_users "
                    "WHERE user_id = $1 AND removed_at IS NULL "
                    "ORDER BY created_at, tenant_id LIMIT 1",
                    founder.user_id,
                )
            if tenant_id is None:
                tenant_id = await found(connection, self._settings, founder)
            await set_tenant(connection, tenant_id)
            if not await connection.fetchval(ACTIVE, tenant_id):
                raise TenantSuspended
            started = await self._ensure(connection, tenant_id, founder)
            if started.fresh:
                by = Actor(
                    founder.user_id,
                    founder.email,
                    founder.address,
                    founder.request_id,
                )
                attempt = started.progress.attempt
                entry = by.did(
                    "onboarding.started" if attempt == 1 else "onboarding.restarted",
                    tenant_id,
                    attempt=attempt,
                )
                await record(connection, entry)
            return started

    async def retry(self, tenant_id: int) -> Started | None:
        """Restart what has failed, as an operator; None before there is anything.

        What is ready without the Odoo that there is by now is set up again as well.
        What is under way is only given its job again, should that have been lost.
        """
        async with self._database.tenant_transaction(tenant_id) as connection:
            started = await self._resumed(connection, tenant_id)
            if started is not None and started.fresh:
                attempt = started.progress.attempt
                entry = SYSTEM.did("onboarding.restarted", tenant_id, attempt=attempt)
                await record(connection, entry)
        return started

    async def get(self, tenant_id: int) -> tuple[Progress, int] | None:
        """Return the progress of a tenant and its event number, None before a start."""
        async with self._database.tenant_transaction(tenant_id) as connection:
            row = await connection.fetchrow(
                "SELECT phases, attempt, error, event_seq FROM onboarding "
                "WHERE tenant_id = $1",
                tenant_id,
            )
        if row is None:
            return None
        progress = read(row["phases"], row["attempt"], row["error"])
        return progress, row["event_seq"]

    async def founder(self, tenant_id: int) -> str | None:
        """Return who founded a tenant and is its admin still: ``iss + " " + sub``."""
        async with self._database.tenant_transaction(tenant_id) as connection:
            found: str | None = await connection.fetchval(
                "SELECT founder FROM onboarding JOIN tenant_users USING (tenant_id) "
                "WHERE tenant_id = $1 AND user_id = founder AND removed_at IS NULL "
                "AND 'admin' = ANY (roles)",
                tenant_id,
            )
        return found

    async def owner(self, tenant_id: int) -> Owner | None:
        """Return the founder if they are an admin still, else the oldest admin.

        Where there is none, whoever founded it as admin by a claim of their token.
        """
        async with self._database.tenant_transaction(tenant_id) as connection:
            row = await connection.fetchrow(OWNER, tenant_id)
        return Owner(**dict(row)) if row else None

    async def is_active(self, tenant_id: int) -> bool:
        """Tell whether a tenant is not suspended."""
        return await is_active(self._database, tenant_id)

    async def claim(self, tenant_id: int) -> tuple[Progress, int] | None:
        """Take the work up and return the progress with our fencing number."""
        async with self._database.tenant_transaction(tenant_id) as connection:
            row = await connection.fetchrow(
                "UPDATE onboarding SET fence = fence + 1 WHERE tenant_id = $1 "
                "RETURNING phases, attempt, error, fence",
                tenant_id,
            )
        if row is None:
            return None
        progress = read(row["phases"], row["attempt"], row["error"])
        if self._with_odoo and progress.lacks_odoo and progress.status not in OUTCOMES:
            # Another worker has begun with it that has no Odoo.
            progress = Progress(attempt=progress.attempt)
        return progress, row["fence"]

    async def save(self, tenant_id: int, progress: Progress, fence: int) -> bool:
        """Write progress and tell everybody; False when someone else took over."""
        async with self._database.tenant_transaction(tenant_id) as connection:
            done = await _write(connection, tenant_id, progress, fence)
            if done and progress.status in OUTCOMES:
                entry = SYSTEM.did(
                    "onboarding.ready"
                    if progress.status == "ready"
                    else "onboarding.failed",
                    tenant_id,
                    attempt=progress.attempt,
                    phase=progress.next(),
                    code=progress.code,
                )
                await record(connection, entry)
        return done

    async def _ensure(
        self,
        connection: asyncpg.pool.PoolConnectionProxy,
        tenant_id: int,
        founder: Founder,
    ) -> Started:
        first = Progress()
        made = await connection.fetchval(
            BEGIN,
            tenant_id,
            dump(first),
            founder.user_id,
            founder.is_admin,
        )
        if made:
            # Here, whoever has made the tenant: an operator, or a first sign-in.
            await first_rule.add(connection, tenant_id)
            await _enqueue(connection, tenant_id, first.attempt, self._job)
            return Started(tenant_id, first, fresh=True)
        if founder.is_admin:
            await connection.execute(
                SUCCEED, tenant_id, founder.user_id, self._with_odoo
            )
        resumed = await self._resumed(connection, tenant_id, by_admin=founder.is_admin)
        if resumed is None:
            raise Unavailable  # the tenant is being deleted
        return resumed

    async def _resumed(
        self,
        connection: asyncpg.pool.PoolConnectionProxy,
        tenant_id: int,
        *,
        by_admin: bool = True,
    ) -> Started | None:
        """Let what has failed begin again, what is under way go on; None: nothing is.

        A queue that was emptied by hand must not leave a tenant half-way.
        """
        row = await connection.fetchrow(
            "SELECT phases, attempt, error, fence FROM onboarding "
            "WHERE tenant_id = $1 FOR UPDATE",
            tenant_id,
        )
        if row is None:
            return None
        progress = read(row["phases"], row["attempt"], row["error"])
        lacking = self._with_odoo and progress.lacks_odoo
        again = progress.status == "error" or (
            lacking and by_admin and progress.status == "ready"
        )
        if again:
            progress = progress.retry(anew=lacking)
            await _write(connection, tenant_id, progress, row["fence"])
        if progress.status != "ready":
            await _enqueue(connection, tenant_id, progress.attempt, self._job)
        return Started(tenant_id, progress, fresh=again)

    @property
    def _job(self) -> str:
        return JOB_WITH_ODOO if self._with_odoo else JOB


def key_of(tenant_id: int, attempt: int) -> str:
    """Return what a job is known by, of which there is one at most.

    By either name: who has no Odoo must not queue a second one that undoes the first.
    """
    return f"{JOB}:{tenant_id}:{attempt}"


async def _write(
    connection: asyncpg.pool.PoolConnectionProxy,
    tenant_id: int,
    progress: Progress,
    fence: int,
) -> bool:
    done = await connection.fetchval(
        "UPDATE onboarding SET status = $2, phases = $3, attempt = $4, error = $5, "
        "event_seq = event_seq + 1, updated_at = now() "
        "WHERE tenant_id = $1 AND fence = $6 RETURNING true",
        tenant_id,
        progress.status,
        dump(progress),
        progress.attempt,
        progress.error,
        fence,
    )
    if done:
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, str(tenant_id))
    return bool(done)


async def _enqueue(
    connection: asyncpg.pool.PoolConnectionProxy, tenant_id: int, attempt: int, job: str
) -> None:
    """Add the job in the caller's transaction: both happen or neither.

    The attempt is part of the key: a retry may come while the failed job is still
    being put away.
    """
    # The proxy does all that a connection does; PgQueuer's types do not know it.
    driver = AsyncpgDriver(cast("asyncpg.Connection", connection))
    await Queries(driver).enqueue(
        job,
        str(tenant_id).encode(),
        dedupe_key=key_of(tenant_id, attempt),
        on_conflict="skip",
    )


ONBOARDING = web.AppKey("onboarding", OnboardingStore)
