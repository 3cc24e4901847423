"""Copies of a template made in advance: a tenant's database is then one rename away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odoo import errors
from odoo.databases import LATE_SECONDS, State
from odoo.making import ensure_database

if TYPE_CHECKING:
    from odoo.cloning import Way
    from odoo.databases import Databases
    from odoo.entering import Site
    from odoo.safe import Template


@dataclass(frozen=True)
class ByRename:
    """Rename a copy that was made in advance by `warm_copy`.

    A rename is one statement of PostgreSQL; the files are moved after it, and one that
    broke off in between shows by files that are missing. `otherwise` is for when the
    warm copy is gone: taken by another tenant, or renamed already.
    """

    databases: Databases
    warm: str
    otherwise: Way | None = None

    async def clone(self, template: str, name: str) -> None:
        """Rename the warm copy, whichever template it was made of.

        Raises:
            DatabaseExists: The name is taken.
            TemplateMissing: The warm copy is gone, and there is no other way.
            OutcomeUnknown: It may be renamed, or come later.
            OdooError: Odoo is away, or refused.
        """
        if await self.databases.state(self.warm) is not State.MISSING:
            try:
                await self.databases.rename(self.warm, name)
            except errors.ServerFault as error:
                if await self.databases.state(name) is not State.MISSING:
                    raise errors.DatabaseExists(error.name, error.detail) from error
                if await self.databases.state(self.warm) is not State.MISSING:
                    raise
            else:
                return
        if self.otherwise is None:
            raise errors.TemplateMissing("", f"the warm copy {self.warm} is gone")
        await self.otherwise.clone(template, name)

    async def drop(self, name: str) -> None:
        """Drop what came of it, by the other way if there is one."""
        if self.otherwise is None:
            await self.databases.drop(name)
        else:
            await self.otherwise.drop(name)


async def warm_copy(
    site: Site, template: Template, way: Way, *, patience: float = LATE_SECONDS
) -> None:
    """Make a whole copy of the template under the site's name, nobody's so far.

    What opens the template opens it; `ByRename` makes it a tenant's. Run
    again it finds a whole copy of its own; half of one it drops and makes again.

    Raises:
        NotOurs: Another database has this name, or a tenant's marker.
        DatabaseBroken: The copies broke off twice, or Odoo cannot load them.
        OutcomeUnknown: No copy has appeared in *patience* seconds; run this again.
        OdooError: The copy failed, and nothing was made.
    """
    kept = await site.kept()
    if kept.begun and await site.databases.state(site.name) is State.BROKEN:
        await site.safe.still_ours()
        await way.drop(site.name)
    await ensure_database(site, None, template, way, patience=patience)
