"""Suspend a tenant's people in its database, and let the same ones in again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odoo.entering import entered
from odoo.models import search, unlink, write
from odoo.records import NAMES, PARAMETERS, USERS, parameter, set_parameter

if TYPE_CHECKING:
    from odoo.entering import Site
    from odoo.models import Models

SUSPENDED = "bff.suspended"  # the ids of those to let in again
# Odoo works as them; nobody signs in. default_user is gone since 19.
TECHNICAL = ("user_root", "public_user", "default_user", "template_portal_user_id")
_NOBODY = "nobody"  # Odoo deletes a parameter that is empty


async def suspend(site: Site) -> int:
    """Archive everybody but our service user and Odoo's own; return how many it were.

    Their web sessions end at once, because Odoo's session token covers `active`; no
    password, API key or provider lets them in (odoo/addons/base/models/res_users.py).
    Who they are is kept in the database before anybody is archived.

    Raises:
        NotOurs: Nothing of ours opens the database.
        OdooError: Odoo is away, or refused; run this again.
    """
    kept = await site.kept()
    models = (await entered(site, kept, None)).models
    spared = {kept.user, *await _technical(models)}
    people = {row["id"] for row in await search(models, USERS, [], ["login"])} - spared
    if people or await parameter(models, SUSPENDED) is None:
        ids = sorted(people | await suspended(models))
        await set_parameter(models, SUSPENDED, " ".join(map(str, ids)) or _NOBODY)
    if people:
        # Not `action_archive`: that would delete their activities and memberships.
        await write(models, USERS, sorted(people), {"active": False})
    return len(people)


async def resume(site: Site) -> int:
    """Activate exactly those whom `suspend` archived; return how many it were.

    Raises:
        NotOurs: Nothing of ours opens the database.
        OdooError: Odoo is away, or refused; run this again.
    """
    models = (await entered(site, await site.kept(), None)).models
    ids = sorted(await suspended(models))
    domain = [["id", "in", ids], ["active", "=", False]]
    archived = [row["id"] for row in await search(models, USERS, domain, ["login"])]
    if archived:
        await write(models, USERS, archived, {"active": True})
    # Last: without it nobody knows whom to let in.
    rows = await search(models, PARAMETERS, [["key", "=", SUSPENDED]], ["value"])
    if rows:
        await unlink(models, PARAMETERS, [row["id"] for row in rows])
    return len(archived)


async def suspended(models: Models) -> frozenset[int]:
    """Return the ids of those who wait to be let in again; empty without suspension."""
    held = await parameter(models, SUSPENDED) or ""
    return frozenset(int(one) for one in held.split() if one.isdigit())


async def is_suspended(models: Models) -> bool:
    """Tell whether the database is suspended."""
    return await parameter(models, SUSPENDED) is not None


async def _technical(models: Models) -> set[int]:
    domain = [["module", "=", "base"], ["name", "in", list(TECHNICAL)]]
    rows = await search(models, NAMES, [*domain, ["model", "=", USERS]], ["res_id"])
    return {int(row["res_id"]) for row in rows}
