"""Suspend a tenant's people in its database, and let the same ones in again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odoo.entering import entered
from odoo.models import search, unlink, write
from odoo.ownership import rotate_key
from odoo.records import PARAMETERS, USERS, has_fields, parameter, set_parameter
from odoo.safe import SERVICE_LOGIN

if TYPE_CHECKING:
    from odoo.entering import Site
    from odoo.models import Models, Row
    from odoo.safe import Credentials

SUSPENDED = "bff.suspended"  # the ids of those to let in again
# Odoo's own, which it lets nobody activate (SUPERUSER_ID). By its number: an
# administrator can give its name to another. All others of Odoo's are archived anyway.
ROOT = 1
_NOBODY = "nobody"  # Odoo deletes a parameter that is empty


async def suspend(site: Site) -> int:
    """Archive everybody but our service user; return how many it were.

    Their web sessions end at once, because Odoo's session token covers `active`; no
    password, API key or provider lets them in (odoo/addons/base/models/res_users.py).
    Who they are is kept in the database before anybody is archived. The service user
    gets its kept password again, no provider's link, and a new key as its only one:
    an administrator may have prepared a way in as it. It lasts `ownership.KEY_DAYS`.

    Raises:
        NotOurs: Nothing of ours opens the database.
        OdooError: Odoo is away, or refused; run this again.
    """
    kept = await site.kept()
    models = (await entered(site, kept, None)).models
    archived = await _archive(models, kept)
    await _take_back(models, kept)
    models = await rotate_key(site)
    # Once more: until now somebody may have been at work as the service user.
    return archived + await _archive(models, await site.kept())


async def _archive(models: Models, kept: Credentials) -> int:
    spared = {kept.user, ROOT}
    people = {row["id"] for row in await search(models, USERS, [], ["login"])} - spared
    if people or await parameter(models, SUSPENDED) is None:
        ids = sorted(people | await suspended(models))
        await set_parameter(models, SUSPENDED, " ".join(map(str, ids)) or _NOBODY)
    if people:
        # Not `action_archive`: that would delete their activities and memberships.
        await write(models, USERS, sorted(people), {"active": False})
    return len(people)


async def _take_back(models: Models, kept: Credentials) -> None:
    """Make the service user ours alone, but for its keys; its web sessions end."""
    anybody = ["active", "in", [True, False]]
    domain = [["login", "=", SERVICE_LOGIN], ["id", "!=", kept.user], anybody]
    for row in await search(models, USERS, domain, ["login"]):
        # In its way; nobody needs that login but us.
        await write(
            models, USERS, [row["id"]], {"login": f"{SERVICE_LOGIN}-{row['id']}"}
        )
    values: Row = {"login": SERVICE_LOGIN, "password": kept.service_password}
    if await has_fields(models, USERS, {"oauth_uid"}):
        values["oauth_uid"] = False
    await write(models, USERS, [kept.user], values)


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
