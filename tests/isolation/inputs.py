"""What each route takes, so that it does as much as it can: a row for every route."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.world import PASSWORD

if TYPE_CHECKING:
    from tests.isolation.tenants import Tenant


@dataclass(frozen=True)
class Inputs:
    """A body, a form or a query; `EMAIL` in a value is the caller's own address."""

    body: dict[str, Any] | None = None
    form: dict[str, str] | None = None
    query: dict[str, str] = field(default_factory=dict)
    # What a well-meant call of one's own things is answered with.
    expected: frozenset[int] = frozenset({200})

    def body_of(self, tenant: Tenant) -> dict[str, Any] | None:
        """Return the body that *tenant*'s admin sends."""
        if self.body is None:
            return None
        own = {"EMAIL": tenant.email, "TENANT": tenant.tenant_id}
        return {
            name: own.get(value, value) if isinstance(value, str) else value
            for name, value in self.body.items()
        }


def gives(*expected: int, **inputs: Any) -> Inputs:
    """Return what a route takes, and the status it answers with."""
    return Inputs(expected=frozenset(expected), **inputs)


NONE = Inputs()
PAGE = gives(200, 302, 303, 307)
INPUTS: dict[tuple[str, str], Inputs] = {
    ("GET", "/healthz"): NONE,
    ("GET", "/info"): NONE,
    ("POST", "/auth/login"): Inputs(body={"email": "EMAIL", "password": PASSWORD}),
    ("GET", "/auth/sso"): gives(302, query={"return_to": "/"}),
    ("GET", "/auth/callback"): gives(400, query={"code": "x", "state": "y"}),
    ("POST", "/auth/register"): gives(
        200, body={"email": "new@person.test", "full_name": "New Person"}
    ),
    ("POST", "/auth/refresh"): NONE,
    ("POST", "/auth/logout"): gives(204, body={"everywhere": True}),
    ("GET", "/auth/session"): NONE,
    ("GET", "/auth/sessions"): NONE,
    # Another person's session, though of one's own tenant.
    ("DELETE", "/auth/sessions/{session_id}"): gives(404),
    ("GET", "/auth/tenants"): NONE,
    ("POST", "/auth/tenant"): Inputs(body={"tenant_id": "TENANT"}),
    ("POST", "/auth/backchannel-logout"): gives(400, form={"logout_token": "x"}),
    ("GET", "/whoami"): NONE,
    ("POST", "/onboarding/first_login"): gives(200, 202, body={"workspace_name": "x"}),
    ("GET", "/onboarding/status"): NONE,
    ("GET", "/onboarding/events"): NONE,
    ("GET", "/tenants/{tenant_id}"): NONE,
    # Without an Odoo server.
    ("GET", "/onboarding/verify_odoo"): NONE,
    ("GET", "/session/odoo_info"): NONE,
    ("GET", "/tenants/{tenant_id}/odoo"): NONE,
    ("POST", "/tenants/{tenant_id}/odoo/api-key/rotate"): gives(409),
    ("POST", "/tenants/{tenant_id}/odoo/repair"): gives(409),
    ("POST", "/export/odoo/sync"): gives(409, body={"min_score": 0.5, "limit": 10}),
    ("GET", "/export/odoo/sync"): NONE,
    ("POST", "/tenants/{tenant_id}/invites"): gives(
        201, body={"email": "guest@new.test", "roles": ["viewer"]}
    ),
    ("GET", "/tenants/{tenant_id}/invites"): NONE,
    ("DELETE", "/tenants/{tenant_id}/invites/{invite_id}"): gives(204),
    ("POST", "/invites/redeem"): gives(404, body={"token": "unknown"}),
    ("GET", "/tenants/{tenant_id}/members"): gives(200, query={"removed": "1"}),
    ("PATCH", "/tenants/{tenant_id}/members/{user}"): gives(
        200, body={"roles": ["viewer"]}
    ),
    ("DELETE", "/tenants/{tenant_id}/members/{user}"): gives(204),
    ("DELETE", "/tenants/{tenant_id}/members/{user}/sessions"): gives(204),
    ("GET", "/tenants/{tenant_id}/audit"): NONE,
    ("GET", "/export/latest_scores.json"): gives(
        200, query={"limit": "1000", "include": "contacts"}
    ),
    ("GET", "/export/latest_scores.csv"): gives(200, query={"limit": "1000"}),
    ("GET", "/icp/rules"): NONE,
    ("POST", "/icp/rules"): gives(
        200, 201, body={"name": "walk", "payload": {"industries": ["Food"]}}
    ),
    ("DELETE", "/icp/rules/{rule_id}"): gives(204),
    # Signed by somebody else's key: not ours to know.
    ("POST", "/acra/ingest"): gives(401, 403, 404, body={"x": 1}),
    ("GET", "/"): PAGE,
    ("GET", "/login"): PAGE,
    ("GET", "/register"): PAGE,
    ("GET", "/invite"): PAGE,
    ("GET", "/onboarding"): PAGE,
    ("GET", "/account"): PAGE,
    ("GET", "/admin"): PAGE,
    ("GET", "/static/{path}"): gives(404),
    ("GET", "/favicon.ico"): gives(200, 204, 404),
    ("*", "/graph/{path}"): gives(200, body={"metadata": {}}),
}
