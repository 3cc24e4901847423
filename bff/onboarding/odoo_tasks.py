"""Do what tenants ask of their Odoo: a look, another key, a repair, closing it.

Each may be killed anywhere and run again (docs/odoo.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bff.audit import SYSTEM
from bff.database import DatabaseUnavailable
from bff.errors_access import TenantSuspended
from bff.onboarding.odoo_steps import NO_ADMIN, founder_of
from bff.onboarding.worker import utc_now
from bff.sites.failures import Failure, failure_of
from bff.sites.safe import Replaced
from bff.sites.tasks import Kind
from odoo.client import HASH_SECONDS
from odoo.errors import NotReady
from odoo.keys import end_of
from odoo.ownership import rotate_key
from odoo.repairing import repair
from odoo.suspending import resume, suspend
from odoo.verifying import smoke

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from bff.onboarding.store import OnboardingStore
    from bff.sites.holding import Hold
    from bff.sites.jobs import Handler
    from bff.sites.single_sign_on import SingleSignOn
    from bff.sites.store import Connection
    from bff.sites.tasks import Task
    from bff.sites.workshop import Workshop
    from odoo.entering import Site

UNWELL = (
    "Your Odoo is not as it should be: our key does not open it, or it is not marked "
    "as yours any more. An admin of your workspace can renew the key."
)


@dataclass(frozen=True, kw_only=True)
class OdooTasks:
    """The work of each kind of task, but for those of other features."""

    store: OnboardingStore
    workshop: Workshop
    sign_on: SingleSignOn
    now: Callable[[], datetime] = utc_now

    def handlers(self) -> Mapping[Kind, Handler]:
        """Return them by kind."""
        return {
            Kind.VERIFY: self.verify,
            Kind.ROTATE: self.rotate,
            Kind.REPAIR: self.repair,
            Kind.SUSPEND: self.suspend,
            Kind.RESUME: self.resume,
        }

    async def verify(self, task: Task, hold: Hold) -> Mapping[str, Any]:
        """Write and read with the tenant's key, and note what came of it."""
        connection = await self.workshop.made(hold)
        sites = self.workshop.sites
        try:
            await _tried(await self._site(connection, hold), task)
        except (DatabaseUnavailable, Replaced):
            raise  # nothing is known of Odoo
        except Exception as error:
            await sites.note_check(hold, failure_of(error)[1])
            raise
        await sites.note_check(hold, None)
        return {}

    async def rotate(self, task: Task, hold: Hold) -> Mapping[str, Any]:
        """Make a new key in Odoo, prove and keep it, and revoke all others."""
        del task
        _, site = await self._opened(hold)
        await self._rotated(site, hold)
        return {}

    async def repair(self, task: Task, hold: Hold) -> Mapping[str, Any]:
        """Restore the way in of the tenant's people, with a password nobody knows."""
        tenant_id = task.tenant_id
        connection, site = await self._opened(hold)
        owner = await self.store.owner(tenant_id)
        if owner is None:
            raise Failure("no_admin", NO_ADMIN)
        provider = await self.sign_on.ensured(connection)
        await repair(site, provider, founder_of(owner))
        entry = SYSTEM.did("odoo.repaired", tenant_id, owner.sub)
        client_id = provider.client_id
        if not await self.workshop.sites.note(
            hold, sso_client_id=client_id, entry=entry
        ):
            raise Replaced
        return {}

    async def suspend(self, task: Task, hold: Hold) -> Mapping[str, Any]:
        """Let nobody of the tenant into its Odoo any more."""
        _, site = await self._opened(hold)
        until = end_of(self.now())
        people = await suspend(site)  # which makes another key
        entry = SYSTEM.did("odoo.suspended", task.tenant_id, people=people)
        if not await self.workshop.sites.note(
            hold, key_expires_at=until, active=False, entry=entry
        ):
            raise Replaced
        return {"people": people}

    async def resume(self, task: Task, hold: Hold) -> Mapping[str, Any]:
        """Let those into it again who were suspended; the key may be old by now."""
        if not await self.store.is_active(task.tenant_id):
            raise Failure("tenant_suspended", TenantSuspended.detail)
        connection, site = await self._opened(hold)
        people = await resume(site)
        entry = SYSTEM.did("odoo.resumed", task.tenant_id, people=people)
        if not await self.workshop.sites.note(hold, active=True, entry=entry):
            raise Replaced
        if self._is_old(connection):
            await self._rotated(site, hold)
        return {"people": people}

    async def _opened(self, hold: Hold) -> tuple[Connection, Site]:
        connection = await self.workshop.made(hold)
        return connection, await self._site(connection, hold)

    async def _site(self, connection: Connection, hold: Hold) -> Site:
        """Return a tenant's database; what its calls may take covers a hash or two."""
        connection = await self.workshop.upgraded(connection, hold)
        return self.workshop.site(connection, hold).patient(HASH_SECONDS)

    async def _rotated(self, site: Site, hold: Hold) -> None:
        until = end_of(self.now())
        await rotate_key(site)
        entry = SYSTEM.did("odoo.key_rotated", hold.tenant_id)
        if not await self.workshop.sites.note(hold, key_expires_at=until, entry=entry):
            raise Replaced

    def _is_old(self, connection: Connection) -> bool:
        days = self.workshop.server.settings.rotate_before
        end = connection.key_expires_at
        return end is not None and end - timedelta(days=days) <= self.now()


async def _tried(site: Site, task: Task) -> None:
    try:
        await smoke(site, str(task.tenant_id))
    except NotReady as error:
        raise Failure("odoo_check_failed", UNWELL) from error
