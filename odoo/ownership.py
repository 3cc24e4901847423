"""Make a database the tenant's alone: passwords and a key of its own, no other key."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from odoo import errors
from odoo.entering import entered, opens, together
from odoo.keys import KEY_DAYS, mint, revoke
from odoo.models import write
from odoo.records import (
    KEYS,
    MARKER,
    USERS,
    UUID,
    external,
    keys_of,
    parameter,
)

if TYPE_CHECKING:
    from odoo.entering import Entry, Site
    from odoo.models import Models
    from odoo.safe import Credentials, Template

ADMIN = "base.user_admin"
_EXPIRING_SINCE, _GENERATE_SINCE = 18, 19
_NAME_LETTERS = 16


async def take_ownership(
    site: Site, tenant: str | None, template: Template | None = None
) -> Models:
    """Shut out whoever knows the template, and return the models by our own key.

    *tenant* is None for a copy that is nobody's yet (`odoo.warming`).

    Passwords first, the key last: whoever finds a key of ours knows that the
    passwords were written. Afterwards they are the founder's to change.

    Raises:
        NotOurs: It is another tenant's, still the template itself, or not opened.
        OdooError: Odoo is away, or refused; run this again.
    """
    kept = await site.kept()
    entry = await entered(site, kept, template)
    if await parameter(entry.models, MARKER) != tenant:
        raise errors.NotOurs(f"{site.name} is not marked as this tenant's")
    uuid = await parameter(entry.models, UUID)
    if template is not None and uuid == template.credentials.uuid:
        raise errors.NotOurs(f"{site.name} has the uuid of its template")
    if not entry.own:
        if not kept.key:  # else the key has expired, and the passwords are written
            await _write_passwords(entry.models, kept, entry.key, template)
        if not entry.key:
            # By password until now, which may just have become another.
            own = site.by_password(kept.user, kept.service_password)
            entry = replace(entry, models=own)
        kept = await _mint(site, entry, kept, days=KEY_DAYS)
    return await _settled(site, kept)


def is_unknown(template: Template | None) -> bool:
    """Tell whether nobody knows the administrator's password in a template's copies."""
    return template is not None and not template.credentials.admin_password


async def ensure_key(site: Site, *, days: int | None) -> Models:
    """Mint a key for the service user if there is none, and revoke all others.

    Raises:
        NotOurs: Nothing of ours opens the database.
        OdooError: Odoo is away, or refused; run this again.
    """
    kept = await site.kept()
    entry = await entered(site, kept, None)
    if not entry.own:
        kept = await _mint(site, entry, kept, days=days)
    return await _settled(site, kept)


async def rotate_key(site: Site) -> Models:
    """Replace our key by a new one, and return the models by it.

    Mint with the old, keep, use, revoke the old. A rotation that was killed after the
    new key was kept goes on from there. An old key that has expired is no hindrance:
    the service user's password opens as well.

    Raises:
        NotOurs: Nothing of ours opens the database.
        OdooError: Odoo is away, or refused; run this again.
    """
    kept = await site.kept()
    under_way = bool(kept.previous)
    if not under_way or not await opens(site.by_key(kept.user, kept.key), kept.user):
        entry = await entered(site, kept, None)
        kept = await _mint(site, entry, kept, days=KEY_DAYS)
    return await _settled(site, kept)


async def _write_passwords(
    models: Models, kept: Credentials, entry_key: str, template: Template | None
) -> None:
    """Write the passwords that somebody might know.

    Whether ours count is tried by `odoo.verifying`. To try them here as well would
    take Odoo a second: it hashes slowly.
    """
    admin = await external(models, ADMIN)
    if admin is None:
        raise errors.RecordMissing("", f"{ADMIN} is gone")
    passwords = {admin: kept.admin_password, kept.user: kept.service_password}
    if is_unknown(template):
        del passwords[admin]
    if entry_key:
        await together(
            *(
                write(models, USERS, [user], {"password": password})
                for user, password in passwords.items()
            )
        )
        return
    # One after the other: with the second may go the password that we came by.
    for user, password in passwords.items():
        await write(models, USERS, [user], {"password": password})


async def _mint(
    site: Site, entry: Entry, kept: Credentials, *, days: int | None
) -> Credentials:
    """Mint a key and keep it; one that was not kept shows by its name."""
    name = f"bff {site.token()[:_NAME_LETTERS]}"
    proven = kept.proven
    key = await _generated(site, entry, name, days)
    if key is None:
        asking = await entry.asking(site, kept.service_password)
        lasting = days if site.major >= _EXPIRING_SINCE else None
        key = await mint(
            asking, name=name, password=kept.service_password, days=lasting
        )
        proven = True
    made = replace(kept, key=key, key_name=name, previous=entry.key)
    kept = replace(made, proven=proven)
    await site.safe.keep(kept)
    return kept


async def _generated(
    site: Site, entry: Entry, name: str, days: int | None
) -> str | None:
    """Ask for a key by a key (odoo/odoo#246118, 19 since 2026), None if not offered.

    Ten keys at once is Odoo's limit for this: beyond it, the wizard revokes.
    """
    if not entry.key or site.major < _GENERATE_SINCE:
        return None
    end = None if days is None else site.now() + timedelta(days=days)
    try:
        made = await entry.models.call(
            *(KEYS, "generate"),
            key=entry.key,
            scope="rpc",
            name=name,
            expiration_date=False if end is None else f"{end:%Y-%m-%d}",
        )
    except (errors.NotOffered, errors.Invalid):
        return None
    return str(made)


async def _settled(site: Site, kept: Credentials) -> Models:
    """Use the key, then revoke every other of the service user: only we hold any.

    Among them are the template's, the one before, and those that were minted and
    never kept.
    """
    models = site.by_key(kept.user, kept.key)
    if not await opens(models, kept.user):
        raise errors.NotReady(("our new key does not open the database",))
    if kept.previous and site.major >= _GENERATE_SINCE:
        await _revoke_by_value(models, kept.previous)
    listed = await keys_of(models, kept.user)
    others = [one.id for one in listed if one.name != kept.key_name]
    if others:
        entry = await entered(site, kept, None)
        asking = await entry.asking(site, kept.service_password)
        for one in others:
            await revoke(asking, one, password=kept.service_password)
    if kept.previous:
        await site.safe.keep(replace(kept, previous=""))
    return models


async def _revoke_by_value(models: Models, key: str) -> None:
    try:
        await models.call(KEYS, "revoke", key=key)
    except (errors.NotOffered, errors.Invalid, errors.AccessRefused):
        return  # the list of keys tells whether it is still there
