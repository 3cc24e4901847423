"""Sign-in through the identity provider: its row in Odoo, and the founder's account."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from odoo import errors
from odoo.models import create, search, write
from odoo.ownership import ADMIN
from odoo.preparing import ensure_settings
from odoo.records import (
    BASE_URL,
    PROVIDERS,
    USERS,
    external,
    has_fields,
    set_parameter,
)

if TYPE_CHECKING:
    from odoo.entering import Site
    from odoo.models import Models, Row
    from odoo.records import Provider

_OIDC = {"flow", "code_verifier", "client_secret", "token_endpoint", "jwks_uri"}


@dataclass(frozen=True, kw_only=True)
class Founder:
    """Who gets the administrator's account; `subject` is the `sub` of their tokens."""

    subject: str
    email: str
    name: str


async def ensure_oidc(
    site: Site, models: Models, provider: Provider, founder: Founder, base_url: str
) -> int:
    """Let people sign in through the provider, and nobody through any other.

    Returns the provider's id. Its code verifier is this tenant's own, whatever the
    given one is: OCA's auth_oidc keeps one for each row. Without auth_oidc core's
    auth_oauth does, if `userinfo_endpoint` is given and the provider's client allows
    the implicit flow. People are known by provider and subject, never by e-mail.

    Raises:
        NotOurs: The administrator's account is somebody else's already.
        NotOffered: There is no auth_oidc, and no `userinfo_endpoint` was given.
        Invalid: Somebody else in this database has the founder's e-mail for login.
        OdooError: Odoo is away, or refused; run this again.
    """
    row = await ensure_provider(site, models, provider)
    await set_parameter(models, BASE_URL, base_url)
    await _link(models, row, founder)
    return row


async def ensure_provider(site: Site, models: Models, provider: Provider) -> int:
    """Make or correct the provider's row, switch all others off, and return its id.

    Raises:
        NotOffered: There is no auth_oidc, and no `userinfo_endpoint` was given.
        OdooError: Odoo is away, or refused; run this again.
    """
    kept = await site.kept()
    own = replace(provider, code_verifier=kept.code_verifier)
    values = await _values(models, own)
    row = await _ensure_row(models, values)
    await ensure_settings(models, keep_provider=row)
    return row


async def _values(models: Models, provider: Provider) -> Row:
    if await has_fields(models, PROVIDERS, _OIDC) == _OIDC:
        return provider.values()
    if not provider.userinfo_endpoint:
        raise errors.NotOffered("", "auth_oidc is not installed")
    return provider.implicit_values()


async def _ensure_row(models: Models, values: Row) -> int:
    """Make the provider's row, or write what differs; the oldest by its name counts."""
    domain = [["name", "=", values["name"]]]
    rows = await search(models, PROVIDERS, domain, sorted(values))
    if not rows:
        return await create(models, PROVIDERS, values)
    held, *_ = rows
    changed = {name: value for name, value in values.items() if held[name] != value}
    if changed:
        await write(models, PROVIDERS, [held["id"]], changed)
    return int(held["id"])


async def _link(models: Models, provider: int, founder: Founder) -> None:
    """Give the administrator's account to the founder, once.

    Later their name, login and e-mail are theirs to change.
    """
    admin = await external(models, ADMIN)
    if admin is None:
        raise errors.RecordMissing("", f"{ADMIN} is gone")
    fields = ["oauth_uid", "oauth_provider_id"]
    domain = [["id", "=", admin], ["active", "in", [True, False]]]
    (row,) = await search(models, USERS, domain, fields)
    subject, by = row["oauth_uid"], row["oauth_provider_id"]
    if subject and subject != founder.subject:
        raise errors.NotOurs("the administrator's account is another person's")
    values: Row = {"oauth_uid": founder.subject, "oauth_provider_id": provider}
    if not subject:
        values |= {"login": founder.email, "email": founder.email, "name": founder.name}
    if not by or by[0] != provider or not subject:
        await write(models, USERS, [admin], values)
