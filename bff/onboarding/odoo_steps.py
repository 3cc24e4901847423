"""The phases that give a tenant its Odoo: each looks first, acts, and checks.

A phase may be killed anywhere and run again, by whichever worker (docs/onboarding.md).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bff.onboarding.odoo_place import ensure_row, opened
from bff.onboarding.phases import State
from bff.onboarding.worker import Outcome, PhaseFailed
from bff.sites.warm import OLDEST
from odoo import errors
from odoo.cloning import ByRpc
from odoo.keys import end_of
from odoo.making import ensure_database
from odoo.ownership import take_ownership
from odoo.preparing import prepare
from odoo.recent import Recent
from odoo.repairing import repair
from odoo.seeding import Company, Contact, seed
from odoo.sso import Founder, ensure_oidc
from odoo.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bff.onboarding.store import OnboardingStore, Owner
    from bff.onboarding.worker import Say, Step
    from bff.sites.single_sign_on import SingleSignOn
    from bff.sites.store import Connection
    from bff.sites.workshop import Workshop
    from odoo.safe import Credentials, Template

log = logging.getLogger(__name__)

COPIED = "copied from {0}"
SLOWLY = "made from nothing, which takes a minute: there is no template"
COPYING, OWNING = "copying {0}", "making it yours alone"
MENDING = "something was not right, and is put right"
NO_ADMIN = "Nobody is admin of this workspace. Name an admin, then try again."
# How long what we have seen ourselves is not tried again, seconds.
NEW = 300.0
# Nobody's address (RFC 2606): Odoo's accounts need a login, and people may have none.
NO_EMAIL = "{0}@no-address.invalid"


@dataclass(frozen=True, kw_only=True)
class OdooSteps:
    """The work of each phase, on the one Odoo server there is."""

    store: OnboardingStore
    workshop: Workshop
    sign_on: SingleSignOn
    # Tenants that this process has just taken over; that the manager let us in.
    taken: Recent = field(default_factory=lambda: Recent(time.monotonic, NEW))
    managed: Recent = field(default_factory=lambda: Recent(time.monotonic, NEW))

    def steps(self) -> Mapping[str, Step]:
        """Return them by the names of the phases."""
        return {
            "starting": self.starting,
            "creating_odoo": self.creating,
            "configuring_oidc": self.configuring,
            "seeding": self.seeding,
            "ready": self.verifying,
        }

    async def starting(self, tenant_id: int, say: Say) -> Outcome:
        """Give the tenant its row and its name, and see that Odoo can be worked on."""
        del say
        log.info("onboarding of tenant %d", tenant_id)
        await ensure_row(self.workshop, tenant_id)
        server = self.workshop.server
        series = await server.databases.server.version()
        template = await self._template("", series)
        # Whoever copies by SQL or by Odoo's command needs no database manager.
        if template is None or isinstance(server.way(series), ByRpc):
            await self._try_manager(template)
        return Outcome(State.DONE)

    async def creating(self, tenant_id: int, say: Say) -> Outcome:
        """Make the database, and make it the tenant's alone."""
        workshop, marker = self.workshop, str(tenant_id)
        async with opened(self.workshop, tenant_id) as place:
            site, connection = place.site, place.connection
            kept = await site.kept()
            template = await self._template_of(connection, kept, site.series)
            if not kept.key:
                # Before it is minted: never later than Odoo's own.
                # One made in advance has its own, from some days ago.
                begun = datetime.now(UTC) - (OLDEST if self._has_pool else timedelta())
                await place.note(key_expires_at=end_of(begun))
            if template is None:
                said = SLOWLY
                await say(said)
                await prepare(site, marker, apps=workshop.server.settings.apps)
            else:
                said = COPIED.format(template.name)
                await place.note(template=template.name)
                await say(COPYING.format(template.name))
                way = workshop.way(site.series, tenant_id, site.safe)
                await ensure_database(site, marker, template, way)
            await say(OWNING)
            await take_ownership(site, marker, template)
            name = "" if template is None else template.name
            await place.note(made=True, template=name)
        if not kept.key:
            self.taken.note(tenant_id)
        return Outcome(State.DONE, said)

    async def configuring(self, tenant_id: int, say: Say) -> Outcome:
        """Let the tenant's people sign in through the identity provider."""
        del say
        async with opened(self.workshop, tenant_id) as place:
            founder = founder_of(await self._owner(tenant_id))
            site, connection = place.site, place.connection
            provider = await self.sign_on.ensured(connection)
            models = await self.workshop.models(site)
            try:
                await ensure_oidc(site, models, provider, founder, connection.base_url)
            except errors.NotOurs:
                # Linked to a founder who has left since: nobody else was here so far.
                log.warning("tenant %d gets another founder in Odoo", tenant_id)
                await repair(site, provider, founder)
            await place.note(sso_client_id=provider.client_id)
        return Outcome(State.DONE)

    async def seeding(self, tenant_id: int, say: Say) -> Outcome:
        """Write the company and a first contact."""
        del say
        async with opened(self.workshop, tenant_id) as place:
            owner = await self._owner(tenant_id)
            company = " ".join(owner.tenant_name.split()) or f"Workspace {tenant_id}"
            await seed(
                await self.workshop.models(place.site),
                Company(name=company, email=owner.email),
                Contact(name=owner.email or company, email=owner.email),
            )
        return Outcome(State.DONE)

    async def verifying(self, tenant_id: int, say: Say) -> Outcome:
        """Try all that a ready Odoo must do, and all that it must not.

        What is not so is put right, once: the phases before look first, too.
        """
        try:
            await self._verify(tenant_id)
        except errors.NotReady as error:
            self.taken.forget(tenant_id)
            log.warning("the Odoo of tenant %d is not ready: %s", tenant_id, error)
            await say(MENDING)
            await self.creating(tenant_id, say)
            await self.configuring(tenant_id, say)
            await self._verify(tenant_id)
        return Outcome(State.DONE)

    async def _verify(self, tenant_id: int) -> None:
        workshop = self.workshop
        async with opened(self.workshop, tenant_id) as place:
            connection, template = place.connection, None
            if connection.template:
                template = await workshop.templates.get(connection.template)
            await verify(
                place.site,
                str(tenant_id),
                # Once more: who adds another tenant's address may have dropped ours.
                await self.sign_on.ensured(connection),
                template=template,
                apps=workshop.server.settings.apps,
                newly=self.taken.holds(tenant_id),
            )
            await workshop.sites.note_check(place.hold, None)

    @property
    def _has_pool(self) -> bool:
        return bool(self.workshop.server.settings.warm)

    async def _template_of(
        self, connection: Connection, kept: Credentials, series: str
    ) -> Template | None:
        """Return what this database is, or will be, a copy of; None: of nothing."""
        if kept.begun and not connection.template:
            return None  # begun slowly, before there was a template
        return await self._template(connection.template, series)

    async def _template(self, name: str, series: str) -> Template | None:
        """Return the template by this name, else the settings' own for this series.

        Raises:
            TemplateMissing: when the settings name one that there is not.
        """
        server, templates = self.workshop.server, self.workshop.templates
        for one in filter(None, (name, server.template_for(series))):
            if found := await templates.get(one, series):
                return found
        if server.settings.template:
            said = f"no template {server.settings.template!r} for Odoo {series}"
            raise errors.TemplateMissing("", said)
        return None

    async def _try_manager(self, template: Template | None) -> None:
        # Odoo hashes the master password each time: half a second, as for a person's.
        if self.managed.holds():
            return
        try:
            await self.workshop.server.databases.preflight()
        except errors.NotOffered as error:
            if template is not None:
                raise
            # Odoo 20 can be asked for copies only.
            raise errors.TemplateMissing(error.name, error.detail) from error
        self.managed.note()

    async def _owner(self, tenant_id: int) -> Owner:
        owner = await self.store.owner(tenant_id)
        if owner is None:
            raise PhaseFailed(NO_ADMIN, "no_admin")
        return owner


def founder_of(owner: Owner) -> Founder:
    """Return the owner as Odoo is to know them."""
    email = owner.email or NO_EMAIL.format(owner.sub)
    return Founder(
        subject=owner.sub, email=email, name=owner.email or owner.tenant_name
    )
