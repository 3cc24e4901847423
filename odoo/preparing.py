"""Prepare a database: modules, settings, the service user; and make it a template."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from odoo import errors
from odoo.cloning import Sql
from odoo.databases import CREATE_SECONDS, State
from odoo.making import ensure_created
from odoo.models import search, write
from odoo.ownership import ensure_key
from odoo.records import (
    MODULES,
    PROVIDERS,
    USERS,
    UUID,
    external,
    has_fields,
    load,
    module_states,
    parameter,
    set_parameter,
)
from odoo.safe import SERVICE_LOGIN, Template

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractAsyncContextManager

    from odoo.entering import Site
    from odoo.models import Models

APPS = ("contacts", "crm", "auth_oidc")
# group_system alone may not create a lead.
GROUPS = (
    *("base.group_user", "base.group_system", "base.group_partner_manager"),
    "sales_team.group_sale_manager",
)
SETTINGS = {
    # Since auth_oauth is there anybody in the realm would get an account (b2c).
    "auth_signup.invitation_scope": "b2b",
    "auth_signup.reset_password": "False",
    # Else each sign-in of an administrator sets it to the address he came by.
    "web.base.url.freeze": "True",
    # Only core's implicit flow reads it: Keycloak takes its token in no other way.
    "auth_oauth.authorization_header": "True",
}
SERVICE = "bff.service_user"
INSTALLED = "installed"
INSTALL_SECONDS = 300.0
_STEP_SECONDS = 0.5


class Catalogue(Sql, Protocol):
    """A PostgreSQL connection that can also answer, as asyncpg's."""

    async def fetchval(self, query: str, *arguments: object) -> object:
        """Return the first value of the first row, None if there is none."""


def template_name(series: str, apps: Collection[str] = APPS) -> str:
    """Return the name of the template that is made so: `tpl_19_0_0123456789`."""
    number = "".join(one if one.isalnum() else "_" for one in series.lower())
    return f"tpl_{number}_{recipe_of(apps)}"


def recipe_of(apps: Collection[str] = APPS) -> str:
    """Return a digest of what is in a template that is made now."""
    recipe = json.dumps([sorted(apps), GROUPS, SETTINGS], sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()[:10]


async def build_template(
    site: Site,
    *,
    apps: Collection[str] = APPS,
    connect: Callable[[], AbstractAsyncContextManager[Catalogue]] | None = None,
    patience: float = CREATE_SECONDS,
    say: Callable[[str], None] = lambda _: None,
) -> Template:
    """Make the template, or what of it is missing; it takes most of a minute.

    `connect` opens a connection to the database `postgres` by a role that may alter
    the template, whose flags keep Odoo's crons and manager away from it. Without one
    the template stays an ordinary database: whoever knows the master password sees it.
    `say` hears what comes next, for people who wait.

    One that is closed is taken for finished as it is: whether it was made for this
    series, with these modules, is the caller's to know.

    Raises:
        NotOurs: Another database is called so.
        NotReady: A module is missing on the server.
        OdooError: Odoo is away, or refused; run this again.
    """
    known = await site.safe.kept()  # before anything is: that looks like ours
    is_there = await site.databases.state(site.name) is not State.MISSING
    if is_there and not (known and known.begun):
        raise errors.NotOurs(f"{site.name} is there, and we have never asked for it")
    if known and known.uuid and connect is not None and await _is_closed(site, connect):
        return Template(name=site.name, credentials=known)
    await prepare(site, None, apps=apps, patience=patience, say=say)
    say("making a key")
    # Without an end: a template is used for as long as its settings are.
    models = await ensure_key(site, days=None)
    uuid = await parameter(models, UUID)
    if uuid is None:
        raise errors.NotReady((f"{site.name} has no uuid",))
    # The administrator's goes: what nobody knows need not be changed in copies.
    kept = replace(await site.kept(), uuid=uuid, admin_password="")
    await site.safe.keep(kept)
    if connect is not None:
        say("closing it to connections")
        await _close(site, connect)
    return Template(name=site.name, credentials=kept)


async def prepare(
    site: Site,
    tenant: str | None,
    *,
    apps: Collection[str] = APPS,
    patience: float = CREATE_SECONDS,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Create a database and all that a template has: also the way without a template.

    Raises:
        NotOurs: Another database is called so.
        NotReady: A module is missing on the server.
        OdooError: Odoo is away, or refused; run this again.
    """
    say(f"creating {site.name} with base")
    await ensure_created(site, tenant, patience=patience)
    # Once more, for models that wait as long as an installation takes.
    long = site.patient(INSTALL_SECONDS)
    models = await ensure_created(long, tenant, patience=patience)
    say(f"installing {', '.join(apps)}")
    await ensure_modules(site, models, apps, patience=patience)
    say("writing settings and the service user")
    await ensure_settings(models)
    await _ensure_service_user(site, models)


async def ensure_modules(
    site: Site,
    models: Models,
    names: Collection[str],
    *,
    patience: float = INSTALL_SECONDS,
) -> None:
    """Install modules, and wait for an installation that somebody else has begun.

    *models* must wait long enough; installing takes half a minute.

    Raises:
        NotReady: The server does not know a module, or it is not installed at the end.
        OdooError: Odoo is away, or refused.
    """
    states = await module_states(models, names)
    if set(states) != set(names):
        await models.call(MODULES, "update_list")
        states = await module_states(models, names)
    if unknown := sorted(set(names) - set(states)):
        raise errors.NotReady(tuple(f"the server has no {one}" for one in unknown))
    missing = sorted(one for one in names if states[one] != INSTALLED)
    if not missing:
        return
    rows = await search(models, MODULES, [["name", "in", missing]], ["name"])
    try:
        await models.call(
            MODULES, "button_immediate_install", [row["id"] for row in rows]
        )
    except (errors.OutcomeUnknown, errors.Invalid) as error:
        # Odoo goes on without us; or it was at it already, and says so.
        if not await _installed_at_last(site, models, names, patience):
            raise errors.NotReady(("the modules are not installed",)) from error
    else:
        if not await _installed_at_last(site, models, names, 0.0):
            raise errors.NotReady(("the modules are not installed",))


async def ensure_settings(models: Models, *, keep_provider: int | None = None) -> None:
    """Set what every database of ours has, and switch all other providers off."""
    for key, value in SETTINGS.items():
        await set_parameter(models, key, value)
    enabled = await search(models, PROVIDERS, [["enabled", "=", True]], ["name"])
    stray = [row["id"] for row in enabled if row["id"] != keep_provider]
    if stray:
        await write(models, PROVIDERS, stray, {"enabled": False})


async def _ensure_service_user(site: Site, models: Models) -> None:
    """Make the user whose key we hold, with a password that only we know."""
    kept = await site.kept()
    fields = await has_fields(models, USERS, {"group_ids", "groups_id"})
    groups = [one for one in GROUPS if await external(models, one) is not None]
    values = {"name": "Service", "login": SERVICE_LOGIN}
    values |= {f"{one}/id": ",".join(groups) for one in fields}
    user = await load(models, USERS, SERVICE, values)
    if user != kept.user:
        kept = replace(kept, user=user)
        await site.safe.keep(kept)
    password = kept.service_password
    if await site.databases.authenticate(site.name, SERVICE_LOGIN, password) is None:
        await write(models, USERS, [user], {"password": password})


async def _installed_at_last(
    site: Site, models: Models, names: Collection[str], patience: float
) -> bool:
    waited = 0.0
    while True:
        try:
            states = await module_states(models, names)
        except errors.OdooError as error:
            if not error.passes or waited >= patience:
                raise
        else:
            if set(states.values()) == {INSTALLED}:
                return True
            if waited >= patience:
                return False
        await site.databases.sleep(_STEP_SECONDS)
        waited += _STEP_SECONDS


async def _is_closed(
    site: Site, connect: Callable[[], AbstractAsyncContextManager[Catalogue]]
) -> bool:
    if await site.databases.state(site.name) is not State.MISSING:
        return False
    query = "SELECT count(*) FROM pg_database WHERE datname = $1 AND NOT datallowconn"
    async with connect() as server:
        return bool(await server.fetchval(query, site.name))


async def _close(
    site: Site, connect: Callable[[], AbstractAsyncContextManager[Catalogue]]
) -> None:
    """Let nobody connect to it any more; it can still be copied."""
    flags = "IS_TEMPLATE true ALLOW_CONNECTIONS false"
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
    async with connect() as server:
        await server.execute(f'ALTER DATABASE "{site.name}" {flags}')
        await server.execute(query, site.name)
