"""Prove that a database is ready: only what was tried just now counts."""

from __future__ import annotations

import html
import re
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

from odoo import errors
from odoo.entering import opens, together
from odoo.making import FORGOTTEN
from odoo.models import create, search, unlink, write
from odoo.ownership import ADMIN, is_unknown
from odoo.preparing import APPS, INSTALLED
from odoo.records import (
    MARKER,
    PARAMETERS,
    PROVIDERS,
    USERS,
    UUID,
    external,
    module_states,
    parameter,
)
from odoo.safe import ADMIN_LOGIN, SERVICE_LOGIN, Credentials

if TYPE_CHECKING:
    from collections.abc import Collection

    from odoo.entering import Site
    from odoo.models import Models
    from odoo.records import Provider
    from odoo.safe import Template

PROBE = "bff.probe"


async def verify(
    site: Site,
    tenant: str,
    provider: Provider,
    *,
    template: Template | None = None,
    apps: Collection[str] = APPS,
    newly: bool = False,
) -> None:
    """Try all that a ready database must do, and all that it must not.

    *newly*: nobody but us has been in it so far. Passwords that Odoo has asked us for,
    or that nobody knows, are not tried again then: Odoo takes half a second for each.

    Nothing of it stays: what it writes it removes, and a run that was killed in
    between leaves one parameter that the next one removes.

    Raises:
        NotReady: Something is not so; `problems` says what.
        OdooError: Odoo is away, or refused.
    """
    models = await _opened(site)
    found = await together(
        _records(site, models, tenant, template),
        _modules(models, apps),
        _sign_in(site, models, provider),
        _intruders(site, models, template, newly=newly),
    )
    if problems := [one for part in found for one in part]:
        raise errors.NotReady(tuple(problems))


async def smoke(site: Site, tenant: str) -> None:
    """Try the least that must work, in six calls; on Odoo 19 none hashes a password.

    Our key, whose database it is, and a write, a read and its removal. Nothing stays.

    Raises:
        NotReady: Something is not so; `problems` says what.
        OdooError: Odoo is away, or refused.
    """
    models = await _opened(site)
    if problems := await _writes(site, models, tenant):
        raise errors.NotReady(tuple(problems))


async def _opened(site: Site) -> Models:
    kept = await site.kept()
    models = site.by_key(kept.user, kept.key)
    if not kept.key or not await opens(models, kept.user):
        raise errors.NotReady(("our key does not open the database",))
    return models


async def _records(
    site: Site, models: Models, tenant: str, template: Template | None
) -> list[str]:
    problems = await _writes(site, models, tenant)
    uuid = await parameter(models, UUID)
    if uuid is None or (template and uuid == template.credentials.uuid):
        problems.append("the database has no uuid of its own")
    return problems


async def _writes(site: Site, models: Models, tenant: str) -> list[str]:
    """Look whose it is, then write, read and remove; nothing in another tenant's."""
    domain = [["key", "in", [MARKER, PROBE]]]
    held = await search(models, PARAMETERS, domain, ["key", "value"])
    if [row["value"] for row in held if row["key"] == MARKER] != [tenant]:
        return ["the marker is not this tenant's"]
    problems, written = [], site.token()
    # One that is there was left by a run that was killed.
    if left := [row["id"] for row in held if row["key"] == PROBE]:
        await write(models, PARAMETERS, left, {"value": written})
    else:
        await create(models, PARAMETERS, {"key": PROBE, "value": written})
    rows = await search(models, PARAMETERS, [["key", "=", PROBE]], ["value"])
    if [row["value"] for row in rows] != [written]:
        problems.append("what is written cannot be read")
    await unlink(models, PARAMETERS, [row["id"] for row in rows])
    if await parameter(models, PROBE) is not None:
        problems.append("what is removed is still there")
    return problems


async def _modules(models: Models, apps: Collection[str]) -> list[str]:
    states = await module_states(models, apps)
    missing = [one for one in sorted(apps) if states.get(one) != INSTALLED]
    return [f"{one} is not installed" for one in missing]


async def _sign_in(site: Site, models: Models, provider: Provider) -> list[str]:
    problems = []
    rows = await search(models, PROVIDERS, [["enabled", "=", True]], ["name"])
    if [row["name"] for row in rows] != [provider.name]:
        problems.append("another provider than ours is enabled, or ours is not")
    path = f"/web/login?db={quote(site.name, safe='')}"
    page = await site.server.page(path, database=site.name)
    text = page.body.decode("utf-8", "replace")
    link = re.search(
        f'href="({re.escape(html.escape(provider.auth_endpoint))}[?][^"]*)"', text
    )
    if page.status != HTTPStatus.OK or link is None:
        problems.append("the sign-in page does not offer our provider")
    elif not _comes_back(html.unescape(link[1])):
        problems.append("the sign-in page tells our provider no way back")
    return problems


def _comes_back(link: str) -> bool:
    """Tell whether Odoo knew its own host: for one with `_` Werkzeug knows none."""
    asked = parse_qs(urlsplit(link).query)
    return all(urlsplit(one).hostname for one in asked.get("redirect_uri", [""]))


async def _intruders(
    site: Site, models: Models, template: Template | None, *, newly: bool
) -> list[str]:
    """Try what anybody might know, and what the template's makers know.

    A user has one password: where ours is accepted no other is. To try ours alone is
    half the work of trying what others know, and Odoo takes half a second for each.
    """
    kept, problems = await site.kept(), []
    admin = await external(models, ADMIN)
    rows = await search(models, USERS, [["id", "=", admin]], ["login"])
    held = template.credentials if template else Credentials()
    if held.key and await opens(site.by_key(held.user, held.key), held.user):
        problems.append("the template's key opens the database")
    names = [row["login"] for row in rows]
    ours = {SERVICE_LOGIN: kept.service_password}
    safe = set[str]()
    if is_unknown(template):
        # Odoo's own name is tried all the same: it is the one that anybody tries.
        safe |= {name for name in names if newly and name != ADMIN_LOGIN}
    else:
        ours |= dict.fromkeys(names, kept.admin_password)
    if newly and kept.proven:
        safe.add(SERVICE_LOGIN)
    signs_in = site.databases.authenticate
    mine = [(login, ours[login]) for login in ours.keys() - safe]
    users = await together(*(signs_in(site.name, *pair) for pair in mine))
    # The founder may have taken another password than ours since; the service not.
    safe |= {one for (one, _), user in zip(mine, users, strict=True) if user}
    if SERVICE_LOGIN not in safe:
        problems.append("our password of the service user is not accepted")
    theirs = {FORGOTTEN, held.admin_password}
    known = {login: set(theirs) for login in (ADMIN_LOGIN, *names, SERVICE_LOGIN)}
    known[SERVICE_LOGIN].add(held.service_password)
    pairs = [
        (login, password)
        for login in sorted(known.keys() - safe)
        for password in sorted(known[login])
        if password
    ]
    users = await together(*(signs_in(site.name, *pair) for pair in pairs))
    for (login, _), user in zip(pairs, users, strict=True):
        if user is not None:
            problems.append(f"{login} signs in with a password that others know")
    return problems
