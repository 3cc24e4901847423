"""Give a tenant its way into Odoo back, whatever its people did to it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from odoo import errors
from odoo.entering import entered
from odoo.keys import revoke
from odoo.models import search, write
from odoo.ownership import ADMIN
from odoo.records import USERS, external, keys_of
from odoo.safe import ADMIN_LOGIN
from odoo.signing_out import forget_token
from odoo.sso import ensure_provider
from odoo.suspending import is_suspended

if TYPE_CHECKING:
    from odoo.entering import Entry, Site
    from odoo.models import Models, Row
    from odoo.records import Provider
    from odoo.sso import Founder

_ANY = ["active", "in", [True, False]]


async def repair(site: Site, provider: Provider, founder: Founder) -> None:
    """Restore the provider's row and the founder's account, with a new password.

    The administrator's account is the founder's again, whoever it was linked to: that
    person's web sessions end, and its API keys are revoked. Another account
    that has the founder's link loses it, since Odoo lets one have it. The password is
    kept before Odoo hears of it. Login, name and e-mail stay as they are, unless the
    login is still Odoo's own. A suspension is not lifted.

    Raises:
        NotOurs: Nothing of ours opens the database.
        NotOffered: There is no auth_oidc, and no `userinfo_endpoint` was given.
        NotReady: Odoo does not take the new password.
        RecordMissing: The administrator's account was deleted.
        OdooError: Odoo is away, or refused; run this again.
    """
    kept = await site.kept()
    entry = await entered(site, kept, None)
    models = entry.models
    row = await ensure_provider(site, models, provider)
    admin = await external(models, ADMIN)
    if admin is None:
        raise errors.RecordMissing("", f"{ADMIN} is gone")
    await _unlink_others(models, row, founder, admin)
    kept = replace(kept, admin_password=site.token())
    await site.safe.keep(kept)
    if not await _is_linked(models, admin, founder):
        # Closed first, or its owner would make another key meanwhile; and not linked
        # before the keys are gone, so that a run that breaks off does this again.
        closing: Row = {"oauth_uid": False, "password": kept.admin_password}
        await write(models, USERS, [admin], closing)
        await _revoke_keys(site, entry, admin, kept.service_password)
    values: Row = {
        "oauth_uid": founder.subject,
        "oauth_provider_id": row,
        "password": kept.admin_password,
        **await _login(models, admin, founder),
    }
    if not await is_suspended(models):
        values["active"] = True
    await write(models, USERS, [admin], values)
    with suppress(errors.NotOffered, errors.ServerFault):
        # The password alone ends all sessions; an Odoo that cannot do this, forgets
        # the token with the next sign-in.
        await forget_token(models, [admin])
    if values.get("active"):
        await _tried(site, models, admin, kept.admin_password)


async def _unlink_others(
    models: Models, provider: int, founder: Founder, admin: int
) -> None:
    domain = [
        ["oauth_uid", "=", founder.subject],
        ["oauth_provider_id", "=", provider],
        ["id", "!=", admin],
        _ANY,
    ]
    others = [row["id"] for row in await search(models, USERS, domain, ["login"])]
    if others:
        await write(models, USERS, others, {"oauth_uid": False})


async def _is_linked(models: Models, admin: int, founder: Founder) -> bool:
    domain = [["id", "=", admin], ["oauth_uid", "=", founder.subject], _ANY]
    return bool(await search(models, USERS, domain, ["login"]))


async def _revoke_keys(site: Site, entry: Entry, user: int, password: str) -> None:
    """Revoke all API keys of a user; *password* is our own, which Odoo asks for."""
    if keys := await keys_of(entry.models, user):
        asking = await entry.asking(site, password)
        for key in keys:
            await revoke(asking, key.id, password=password)


async def _login(models: Models, admin: int, founder: Founder) -> Row:
    """Return the founder's login for an account that still has Odoo's own."""
    domain = [["login", "=", founder.email], ["id", "!=", admin], _ANY]
    (row,) = await search(models, USERS, [["id", "=", admin], _ANY], ["login"])
    if row["login"] not in {"", False, ADMIN_LOGIN}:
        return {}
    if await search(models, USERS, domain, ["login"]):
        return {}  # somebody else's by now; the link works without
    return {"login": founder.email}


async def _tried(site: Site, models: Models, admin: int, password: str) -> None:
    (row,) = await search(models, USERS, [["id", "=", admin]], ["login"])
    if await site.databases.authenticate(site.name, row["login"], password) != admin:
        raise errors.NotReady(("the new password is not accepted",))
