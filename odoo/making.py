"""Make a tenant's database exist: as a copy of a template, or slowly from nothing.

Either may be killed anywhere and run again. A database that is there already is ours
if its marker says so, or if we have asked for it and our credentials open it; any
other stops us, and nothing is done to it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from odoo import errors
from odoo.cloning import Made, clone
from odoo.databases import CREATE_SECONDS, LATE_SECONDS, State
from odoo.entering import entered
from odoo.records import MARKER, UUID, parameter, set_parameter
from odoo.safe import ADMIN_LOGIN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from odoo.cloning import Way
    from odoo.entering import Site
    from odoo.models import Models
    from odoo.safe import Credentials, Safe, Template

# What a creation leaves behind that broke off (odoo/modules/db.py: base's own data).
FORGOTTEN = "admin"
ATTACHMENTS = "ir.attachment"
_FEW = 20
_TRIES = 2
_STEP_SECONDS = 0.5


async def ensure_database(
    site: Site,
    tenant: str | None,
    template: Template,
    way: Way,
    *,
    patience: float = LATE_SECONDS,
) -> None:
    """Copy the template for this tenant, unless that has been done.

    A copy of ours that broke off is dropped and made again, once. *tenant* is None for
    a copy that is nobody's yet (`odoo.warming`).

    Raises:
        NotOurs: Something else is there by this name.
        DatabaseBroken: The copy is there and Odoo cannot load it, or broke off twice.
        OutcomeUnknown: No copy has appeared in *patience* seconds; run this again.
        OdooError: The copy failed, and nothing was made.
    """
    ours = _WhileOurs(way, site.safe)
    for _ in range(_TRIES):
        if await _copied(site, tenant, template, ours, patience):
            return
        # By the same way: where that is another than RPC, the manager may be off.
        await ours.drop(site.name)
    raise errors.DatabaseBroken("", f"the copies for {site.name} broke off")


async def ensure_created(
    site: Site, tenant: str | None, *, patience: float = CREATE_SECONDS
) -> Models:
    """Create the database with `base` in it, unless that has been done: the slow way.

    Returns its models as somebody who may do everything. *tenant* is None for a
    template, which gets no marker: its copies would all have it.

    Raises:
        NotOurs: Something else is there by this name.
        DatabaseBroken: The creation broke off twice.
        OutcomeUnknown: No database has appeared in *patience* seconds; run this again.
        OdooError: Odoo is away, or refused.
    """
    for _ in range(_TRIES):
        models = await _created(site, tenant, patience)
        if models is not None:
            return models
        await site.safe.still_ours()
        await site.databases.drop(site.name)
    raise errors.DatabaseBroken("", f"the creation of {site.name} broke off")


@dataclass(frozen=True)
class _WhileOurs:
    """A way to copy that asks first whether the database is still in our hands."""

    way: Way
    safe: Safe

    async def clone(self, template: str, name: str) -> None:
        await self.safe.still_ours()
        await self.way.clone(template, name)

    async def drop(self, name: str) -> None:
        await self.safe.still_ours()
        await self.way.drop(name)


async def _copied(
    site: Site, tenant: str | None, template: Template, way: Way, patience: float
) -> bool:
    """Look and copy; False if what is there is half of a copy of ours."""
    databases, name, kept = site.databases, site.name, await site.kept()
    if await databases.state(name) is State.MISSING:
        made = Made.MAYBE_HALF
        kept = kept.for_new(template.credentials.user)
        async with _asked_for(site, kept) as kept:
            made = await clone(way, databases, template.name, name, patience=patience)
        # The way may have kept another key: that of a copy made in advance.
        kept = await site.kept()
        if made is Made.WHOLE:
            await _mark((await entered(site, kept, template)).models, tenant)
            return True
    if await databases.settled(name, seconds=patience) is not State.USABLE:
        raise errors.DatabaseBroken("", f"Odoo cannot load {name}")
    models = (await entered(site, kept, template)).models
    if await _is_marked(models, tenant, kept):
        return True
    if not await _is_whole(models, template):
        return False
    await _mark(models, tenant)
    return True


async def _mark(models: Models, tenant: str | None) -> None:
    if tenant is not None:
        await set_parameter(models, MARKER, tenant)


@asynccontextmanager
async def _asked_for(site: Site, kept: Credentials) -> AsyncGenerator[Credentials]:
    """Keep that the database is asked for, before it is.

    If it exists all of a sudden, that may be an earlier try of ours, which comes late;
    without an earlier one somebody else came first.

    Raises:
        NotOurs: Somebody came first.
    """
    asked = replace(kept, begun=True)
    await site.safe.keep(asked)
    try:
        yield asked
    except errors.DatabaseExists as error:
        if not kept.begun:
            await site.safe.keep(kept)
            raise errors.NotOurs(f"{site.name} has appeared meanwhile") from error


async def _is_marked(models: Models, tenant: str | None, kept: Credentials) -> bool:
    """Tell whether it is this tenant's; False if it may become that.

    Raises:
        NotOurs: It is another tenant's, or nobody's and we never asked for it.
    """
    marker = await parameter(models, MARKER)
    if marker is not None and marker != tenant:
        raise errors.NotOurs("the database belongs to another tenant")
    if marker is None and not kept.begun:
        raise errors.NotOurs("the database is there, and we have never asked for it")
    return marker is not None


async def _is_whole(models: Models, template: Template) -> bool:
    """Tell whether a copy whose end we have not seen has come to its end.

    Odoo renews the uuid and then copies the files (odoo/service/db.py,
    exp_duplicate_database); a file that is missing reads as empty.
    """
    if await parameter(models, UUID) == template.credentials.uuid:
        return False
    rows = await models.call(
        *(ATTACHMENTS, "search_read"),
        # With the id asked for, Odoo does not leave out images of records.
        domain=[["id", ">", 0], ["store_fname", "!=", False], ["file_size", ">", 0]],
        fields=["datas"],
        order="file_size",
        limit=_FEW,
    )
    return all(row["datas"] for row in rows)


async def _created(site: Site, tenant: str | None, patience: float) -> Models | None:
    """Look and create; None if what is there is half of a creation of ours."""
    databases, name, kept = site.databases, site.name, await site.kept()
    if await databases.state(name) is State.MISSING:
        kept = kept.for_new(0)
        try:
            async with _asked_for(site, kept) as kept:
                await site.safe.still_ours()
                await databases.create(
                    name, login=ADMIN_LOGIN, password=kept.admin_password
                )
        except errors.DatabaseBroken:
            return None
        except errors.OutcomeUnknown:
            if await databases.settled(name, seconds=patience) is State.MISSING:
                raise
    if await databases.settled(name, seconds=patience) is not State.USABLE:
        if not kept.begun:
            raise errors.NotOurs(f"{name} is there, without tables, and is not ours")
        return None
    models = await _administrator(site, kept, patience)
    if models is None or tenant is None:
        return models
    if not await _is_marked(models, tenant, kept):
        await set_parameter(models, MARKER, tenant)
    return models


async def _administrator(
    site: Site, kept: Credentials, patience: float
) -> Models | None:
    """Enter as administrator, or later as the service user; None if it is half made.

    Odoo sets the password last, so that admin/admin may be only a moment.

    Raises:
        NotOurs: Nothing of ours opens it, and it is not half made by us either.
    """
    databases, name, waited = site.databases, site.name, 0.0
    while True:
        uid = await databases.authenticate(name, ADMIN_LOGIN, kept.admin_password)
        if uid is not None:
            return site.by_password(uid, kept.admin_password)
        forgot = await databases.authenticate(name, ADMIN_LOGIN, FORGOTTEN)
        if forgot is None or not kept.begun:
            return (await entered(site, kept, None)).models
        if waited >= patience:
            return None
        await databases.sleep(_STEP_SECONDS)
        waited += _STEP_SECONDS
