"""Have copies of the template ready, so that a tenant's database is one rename away."""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bff.database import DatabaseUnavailable
from bff.sites.holding import LEASE, extended
from bff.sites.safe import Replaced, name_of_warm, seal, unseal
from bff.sites.server import has_rpc
from bff.sites.upkeep import pause
from bff.sites.warm import WarmRows
from odoo.errors import DatabaseExists, OdooError, OutcomeUnknown, TemplateMissing
from odoo.errors import Unreachable as NothingSent
from odoo.ownership import take_ownership
from odoo.safe import Credentials
from odoo.warming import ByRename, warm_copy

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from bff.sessions.sealing import KeyRing
    from bff.sites.warm import Making
    from bff.sites.workshop import Workshop
    from odoo.cloning import Way
    from odoo.databases import Databases
    from odoo.safe import Safe

log = logging.getLogger(__name__)

# Seconds between two looks, give or take a tenth, and after failures in a row.
PAUSE, LONGEST_PAUSE, JITTER = 5.0, 300.0, 0.1
PREFIX = "warm_"
# How often one copy is taken up: after that another gets its turn, by another name.
TRIES = 5


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """A way to copy: rename a copy that is ready, for this tenant alone.

    Copies the template by *otherwise* if none is ready or Odoo will not rename. What
    opens the copy is kept in *safe* before it is the tenant's; that tells also whether
    the tenant is still in our hands, and with it what it has claimed.
    """

    rows: WarmRows
    databases: Databases
    tenant_id: int
    otherwise: Way
    ring: KeyRing
    safe: Safe

    async def clone(self, template: str, name: str) -> None:
        """Give *name* to a copy of *template*.

        Raises:
            DatabaseExists: The name is taken.
            OutcomeUnknown: It may be renamed, or copied, or come later.
            Replaced: when another worker has the tenant in hand.
            Unopenable: when the key ring has lost the key.
            OdooError: Odoo is away, or refused to copy.
            DatabaseUnavailable: when our own database goes away.
        """
        while (warm := await self.rows.claim(template, self.tenant_id)) is not None:
            await self._adopt(warm)
            try:
                await ByRename(self.databases, warm).clone(template, name)
            except (DatabaseExists, OutcomeUnknown, NothingSent):
                raise  # it stays this tenant's: the next try begins with it
            except TemplateMissing:
                log.warning("the copy %s is gone", warm)
                # Not forgotten: should it be there all the same, the pool drops it.
                await self._disown()
                await self.rows.give_up(warm, self.tenant_id)
            except OdooError as error:
                log.warning("%s is not renamed, but copied", warm, exc_info=error)
                await self._disown()
                await self.rows.put_back(warm, self.tenant_id)
                break
            else:
                await self.rows.use_up(warm, self.tenant_id)
                return
        await self.otherwise.clone(template, name)

    async def _adopt(self, warm: str) -> None:
        """Keep what opens the copy as the tenant's own."""
        sealed = await self.rows.opening(warm, self.tenant_id)
        own = unseal(self.ring, name_of_warm(warm), sealed)
        if own is not None:  # else what opens its template opens it
            await self.safe.keep(replace(own, begun=True))

    async def _disown(self) -> None:
        """Forget it: nothing that opens one copy may open another, too."""
        await self.safe.still_ours()
        kept = await self.safe.kept() or Credentials()
        await self.safe.keep(Credentials(begun=kept.begun, user=kept.user))

    async def drop(self, name: str) -> None:
        """Drop what came of it; raises as `clone` does."""
        await self.otherwise.drop(name)


@dataclass(frozen=True)
class WarmSafe:
    """Keep what opens a warm copy in its row, which says that we asked for it.

    All raise as `still_ours` does; `kept` also Unopenable, when the key ring has lost
    the key.
    """

    making: Making
    ring: KeyRing

    async def kept(self) -> Credentials | None:
        """Return what was kept last."""
        sealed = await self.making.kept()
        held = unseal(self.ring, name_of_warm(self.making.name), sealed)
        return held or Credentials(begun=True)

    async def keep(self, credentials: Credentials) -> None:
        """Keep them; committed when this returns."""
        name = name_of_warm(self.making.name)
        await self.making.keep(seal(self.ring, name, credentials))

    async def still_ours(self) -> None:
        """Return if nobody took it up.

        Raises:
            Replaced: when somebody did.
            DatabaseUnavailable: when it cannot be told.
        """
        await self.making.extend()


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Keep as many copies ready as the settings say; run in every worker."""

    workshop: Workshop
    new_name: Callable[[], str] = lambda: PREFIX + secrets.token_hex(8)
    lease: float = LEASE

    @property
    def rows(self) -> WarmRows:
        """Return the rows."""
        return WarmRows(self.workshop.database, self.lease)

    async def step(self) -> bool:
        """Drop what is no longer wanted, make one copy; tell whether one was made.

        Raises:
            OdooError: Odoo is away, or refused; run this again.
            Replaced: when another worker took the copy up.
            Unopenable: when the key ring has lost the template's key.
            DatabaseUnavailable: when our own database goes away.
        """
        server, most = self.workshop.server, self.workshop.server.settings.warm
        if not most and not await self.rows.are_there():
            return False
        series = await server.databases.server.version()
        template = None
        if has_rpc(series):  # nobody renames a database on Odoo 20
            name = server.template_for(series)
            template = await self.workshop.templates.get(name, series)
        most = most if template else 0
        way = server.way(series)
        wanted = template.name if template else ""
        failed = await self.drop_outdated(wanted, most, way)
        making = None
        if template is not None:
            making = await self.rows.begin(wanted, most, self.new_name())
        if template is None or making is None:
            if failed is not None:
                raise failed
            return False
        safe = WarmSafe(making, self.workshop.ring)
        site = server.site(making.name, series, safe)
        try:
            async with extended(making, making.lease):
                await warm_copy(site, template, way)
                # All that takes Odoo long is done before somebody waits for it.
                await take_ownership(site, None, template)
            await making.finish()
        except OdooError:
            if making.fence >= TRIES:
                log.warning("the copy %s is given up", making.name)
                await making.give_up()
            raise
        finally:
            # Nothing to let go once it is finished; the lease ends by itself, too.
            with suppress(Replaced, DatabaseUnavailable):
                await making.let_go()
        log.info("a copy of %s is ready: %s", template.name, making.name)
        return True

    async def drop_outdated(
        self, template: str, most: int, way: Way
    ) -> OdooError | None:
        """Drop what nobody claims: of other templates, and beyond so many.

        Returns the first failure of one that is not dropped: others wait for none.

        Raises:
            Unreachable: Odoo is away.
            DatabaseUnavailable: when our own database goes away.
        """
        failed: OdooError | None = None
        for name in await self.rows.to_drop(template, most):
            try:
                await way.drop(name)
            except NothingSent:
                raise
            except OdooError as error:
                log.warning("the copy %s is not dropped", name, exc_info=error)
                failed = failed or error
                continue
            await self.rows.forget(name)
            log.info("the copy %s is dropped", name)
        return failed


async def keep_warm(
    pool: Pool, closing: asyncio.Event, random: Callable[[], float]
) -> None:
    """Fill the pool until *closing*; *random* gives numbers from 0 to 1."""
    rest = PAUSE
    # Not `while True`: a connection that breaks as we cancel hides the cancelling.
    while not closing.is_set():
        try:
            made = await pool.step()
        except Exception as error:
            # Whatever it was: tenants get their copies without, a little later.
            rest = min(LONGEST_PAUSE, rest * 2)
            log.warning("no copies are made for %g s", rest, exc_info=error)
        else:
            rest = PAUSE
            if made:
                continue
        await pause(closing, rest * (1 + JITTER * (2 * random() - 1)))
