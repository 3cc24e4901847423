"""End a person's sessions in Odoo, because their session at the provider has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odoo.models import search
from odoo.records import USERS, has_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odoo.models import Models


async def sign_out(models: Models, subject: str) -> bool:
    """End all web sessions that a person has by SSO; False if there is no such user.

    Whoever signs in again gets in: this ends sessions, `suspending` ends access.

    Raises:
        NotOffered: This Odoo cannot forget the token (`ServerFault` by execute_kw).
        OdooError: Odoo is away, or refused; run this again.
    """
    if not await has_fields(models, USERS, {"oauth_uid"}):
        return False
    domain = [["oauth_uid", "=", subject], ["active", "in", [True, False]]]
    users = [row["id"] for row in await search(models, USERS, domain, ["login"])]
    if users:
        await forget_token(models, users)
    return bool(users)


async def forget_token(models: Models, users: Sequence[int]) -> None:
    """Make Odoo forget the access token of these users' last sign-in by SSO.

    Odoo's session token covers it, so their sessions end; people who never signed in
    so have none, and theirs go on (odoo/addons/auth_oauth/models/res_users.py).

    Raises:
        NotOffered: This Odoo cannot (`ServerFault` by execute_kw).
        OdooError: Odoo is away, or refused.
    """
    await models.call(USERS, "remove_oauth_access_token", users)
