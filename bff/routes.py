"""Every address of the product, on one page: method, path, handler, who may use it."""

from __future__ import annotations

import json
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from bff import health
from bff.access import (
    ANYONE,
    GRAPH,
    OPEN_PAGE,
    PAGE,
    PROBE,
    SIGNED_IN,
    TENANT,
    Access,
    guarded,
    role,
)
from bff.acra import webhook as acra
from bff.auth import routes as auth
from bff.auth import sso
from bff.auth.backchannel import backchannel_logout
from bff.auth.own_sessions import end_own_session, own_sessions
from bff.auth.register import register
from bff.auth.switching import switch, tenants
from bff.current_session import CONFIG
from bff.exports import odoo_sync_routes as odoo_sync
from bff.exports import routes as exports
from bff.graph import graph
from bff.icp import routes as icp
from bff.members import people
from bff.members import routes as members
from bff.members.audit import audit
from bff.onboarding import odoo_routes as odoo
from bff.onboarding import routes as onboarding
from bff.openapi.document import document
from bff.openapi.routes import DOCUMENT, Source, openapi
from bff.pages import routes as pages
from bff.pages import ui

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp import web

    from bff.access import Handler
    from bff.config import Config
    from bff.config_proxy import ProxyTarget
    from graph_proxy import Proxy


class Route(NamedTuple):
    """One row of the table."""

    method: str
    path: str
    handler: Handler
    access: Access


PUBLIC = (
    Route("GET", "/healthz", health.healthz, PROBE),
    Route("GET", "/info", health.info, PROBE),
    # Identity
    Route("POST", "/auth/login", auth.login, ANYONE),
    Route("GET", "/auth/sso", sso.sso, OPEN_PAGE),
    Route("GET", "/auth/callback", sso.callback, PROBE),
    Route("POST", "/auth/register", register, ANYONE),
    Route("POST", "/auth/refresh", auth.refresh, ANYONE),
    Route("POST", "/auth/logout", auth.logout, ANYONE),
    Route("GET", "/auth/session", auth.session, ANYONE),
    Route("GET", "/auth/sessions", own_sessions, SIGNED_IN),
    Route("DELETE", "/auth/sessions/{session_id}", end_own_session, SIGNED_IN),
    Route("GET", "/auth/tenants", tenants, SIGNED_IN),
    Route("POST", "/auth/tenant", switch, SIGNED_IN),
    Route("POST", "/auth/backchannel-logout", backchannel_logout, PROBE),
    Route("GET", "/whoami", auth.whoami, SIGNED_IN),
    # Onboarding
    Route("POST", "/onboarding/first_login", onboarding.first_login, SIGNED_IN),
    Route("GET", "/onboarding/status", onboarding.status, SIGNED_IN),
    Route("GET", "/onboarding/events", onboarding.events, SIGNED_IN),
    Route("GET", "/tenants/{tenant_id}", onboarding.tenant, SIGNED_IN),
    # A tenant's own Odoo
    # It writes a record, and removes it: guarded as what changes something.
    Route("GET", "/onboarding/verify_odoo", odoo.verify_odoo, GRAPH),
    Route("GET", "/session/odoo_info", odoo.odoo_info, SIGNED_IN),
    Route("GET", "/tenants/{tenant_id}/odoo", odoo.odoo, role("admin")),
    Route(
        "POST",
        "/tenants/{tenant_id}/odoo/api-key/rotate",
        odoo.rotate_key,
        role("admin"),
    ),
    Route("POST", "/tenants/{tenant_id}/odoo/repair", odoo.repair, role("admin")),
    Route("POST", "/export/odoo/sync", odoo_sync.start, role("ops", "admin")),
    Route("GET", "/export/odoo/sync", odoo_sync.progress, role("ops", "admin")),
    # The people of a tenant
    Route("POST", "/tenants/{tenant_id}/invites", members.invite, role("admin")),
    Route("GET", "/tenants/{tenant_id}/invites", members.invites, role("admin")),
    Route(
        "DELETE",
        "/tenants/{tenant_id}/invites/{invite_id}",
        members.revoke_invite,
        role("admin"),
    ),
    Route("POST", "/invites/redeem", members.redeem, SIGNED_IN),
    Route("GET", "/tenants/{tenant_id}/members", people.members, role("admin")),
    Route(
        "PATCH",
        "/tenants/{tenant_id}/members/{user}",
        people.change_member,
        role("admin"),
    ),
    Route(
        "DELETE",
        "/tenants/{tenant_id}/members/{user}",
        people.remove_member,
        role("admin"),
    ),
    Route(
        "DELETE",
        "/tenants/{tenant_id}/members/{user}/sessions",
        people.end_member_sessions,
        role("admin"),
    ),
    Route("GET", "/tenants/{tenant_id}/audit", audit, role("admin")),
    # A tenant's data
    Route("GET", "/export/latest_scores.json", exports.scores_json, TENANT),
    Route("GET", "/export/latest_scores.csv", exports.scores_csv, TENANT),
    Route("GET", "/icp/rules", icp.rules, TENANT),
    Route("POST", "/icp/rules", icp.save_rule, role("ops", "admin")),
    Route("DELETE", "/icp/rules/{rule_id}", icp.delete_rule, role("ops", "admin")),
    Route("POST", "/acra/ingest", acra.ingest, PROBE),
    # Pages
    Route("GET", "/", pages.page("index.html"), PAGE),
    Route("GET", "/login", pages.login, OPEN_PAGE),
    Route("GET", "/register", pages.register, OPEN_PAGE),
    Route("GET", "/invite", pages.page("invite.html"), OPEN_PAGE),
    Route("GET", "/onboarding", pages.page("onboarding.html"), PAGE),
    Route("GET", "/account", pages.page("account.html"), PAGE),
    Route("GET", "/admin", pages.page("admin.html"), PAGE),
    Route("GET", "/static/{path:.+}", pages.static, PROBE),
    Route("GET", "/favicon.ico", pages.favicon, PROBE),
)

ADMIN = (
    Route("GET", "/healthz", health.healthz, PROBE),
    Route("GET", "/readyz", health.readyz, PROBE),
    Route("GET", "/metrics", health.metrics, PROBE),
    Route("GET", "/openapi.json", openapi, PROBE),
)


def add_public(
    app: web.Application, proxies: Mapping[str, tuple[Proxy, ProxyTarget]]
) -> None:
    """Add the routes that browsers use; a user interface of others gets the rest."""
    for route in served(app[CONFIG]):
        handler = guarded(route.handler, route.access)
        if route.method == "GET":
            app.router.add_get(route.path, handler)  # HEAD with it
        else:
            app.router.add_route(route.method, route.path, handler)
    for proxy, target in proxies.values():
        handler = guarded(graph(proxy, target), GRAPH)
        app.router.add_route("*", f"{target.prefix}/{{path:.*}}", handler)
    ui.add(app, reserved(app[CONFIG]))


def served(config: Config) -> Iterator[Route]:
    """Yield those of our routes that there are with *config*."""
    for route in PUBLIC:
        if config.ui.mode != "builtin" and route.path in ui.TAKEN_OVER:
            continue
        if route.handler is register and config.registration.mode == "off":
            continue
        yield route


def described(config: Config) -> bytes:
    """Return the OpenAPI document of what there is with *config*, as JSON."""
    found = document(served(config), ADMIN, config)
    return (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode()


def reserved(config: Config) -> tuple[str, ...]:
    """Return the paths that no user interface gets, with all below them."""
    ours = {f"/{route.path.split('/')[1]}" for route in PUBLIC}
    prefixes = {target.prefix for target in config.proxy.values()}
    return tuple(sorted((ours | prefixes) - ui.TAKEN_OVER))


def add_admin(app: web.Application) -> None:
    """Add the routes of the admin listener: read-only, on loopback by default."""
    app[DOCUMENT] = Source(cache(partial(described, app[CONFIG])))
    for route in ADMIN:
        app.router.add_route(route.method, route.path, route.handler)
