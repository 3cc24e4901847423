"""Describe the routes of a tenant: how it comes to be, its Odoo, its people."""

from __future__ import annotations

from bff.errors import RateLimited
from bff.errors_access import TenantMissing, TenantSuspended
from bff.errors_graph import TooManyStreams
from bff.errors_odoo import (
    OdooConflict,
    OdooFailed,
    OdooMissing,
    OdooPending,
    OdooSuspended,
    OdooUnavailable,
)
from bff.errors_workspace import (
    InviteForAnother,
    InviteNotFound,
    InvitesFull,
    LastAdmin,
    OnboardingClosed,
)
from bff.exports.odoo_sync_routes import Sync
from bff.members.audit import DEFAULT as AUDIT_DEFAULT
from bff.members.audit import MOST as AUDIT_MOST
from bff.members.people import DEFAULT, MOST, Change
from bff.members.routes import Invite, Redemption
from bff.onboarding.routes import FirstLogin
from bff.openapi.operation import Answer, Key, Operation, Parameter, done, ok
from bff.openapi.shapes import TEXT, one_of, whole

SETTING_UP, ODOO, PEOPLE = "Onboarding", "Odoo", "People"
THERE = {"Location": "Where to see how it goes."}

TENANT: dict[Key, Operation] = {
    ("POST", "/onboarding/first_login"): Operation(
        SETTING_UP,
        (
            ok("Onboarding", "Under way already, or over."),
            ok("Onboarding", "Begun, or begun anew after an error.", 202),
        ),
        body=FirstLogin,
        errors=(
            OnboardingClosed,
            RateLimited,
            TenantMissing,
            TenantSuspended,
        ),
    ),
    ("GET", "/onboarding/status"): Operation(
        SETTING_UP, (ok("Onboarding"),), errors=(TenantSuspended,)
    ),
    ("GET", "/onboarding/events"): Operation(
        SETTING_UP,
        (
            Answer(
                200,
                "Server-sent events without an end: each `data` is an Onboarding "
                "document, each `id` counts them; comments are heartbeats.",
                {"text/event-stream": TEXT},
            ),
        ),
        parameters=(
            Parameter(
                "Last-Event-ID",
                TEXT,
                "The last `id` seen: what is known is not sent again.",
                where="header",
            ),
        ),
        errors=(TooManyStreams, TenantSuspended),
    ),
    ("GET", "/tenants/{tenant_id}"): Operation(SETTING_UP, (ok("Onboarding"),)),
    ("GET", "/onboarding/verify_odoo"): Operation(ODOO, (ok("OdooCheck"),)),
    ("GET", "/session/odoo_info"): Operation(
        ODOO, (ok("OdooInfo"),), errors=(TenantSuspended,)
    ),
    ("GET", "/tenants/{tenant_id}/odoo"): Operation(ODOO, (ok("Odoo"),)),
    ("POST", "/tenants/{tenant_id}/odoo/api-key/rotate"): Operation(
        ODOO,
        (done("The new key works; the old one does not."),),
        errors=(
            OdooMissing,
            OdooSuspended,
            OdooConflict,
            OdooFailed,
            OdooUnavailable,
            OdooPending,
        ),
    ),
    ("POST", "/tenants/{tenant_id}/odoo/repair"): Operation(
        ODOO,
        (ok("OdooTask", "Queued, or under way.", 202, THERE),),
        errors=(OdooMissing, OdooSuspended),
    ),
    ("POST", "/export/odoo/sync"): Operation(
        ODOO,
        (
            ok("OdooSync", "One is under way.", 200, THERE),
            ok("OdooSync", "Queued.", 202, THERE),
        ),
        body=Sync,
        errors=(OdooMissing, OdooSuspended),
    ),
    ("GET", "/export/odoo/sync"): Operation(ODOO, (ok("OdooSync"),)),
    ("POST", "/tenants/{tenant_id}/invites"): Operation(
        PEOPLE,
        (ok("NewInvite", "Made.", 201),),
        body=Invite,
        errors=(InvitesFull,),
    ),
    ("GET", "/tenants/{tenant_id}/invites"): Operation(PEOPLE, (ok("Invites"),)),
    ("DELETE", "/tenants/{tenant_id}/invites/{invite_id}"): Operation(
        PEOPLE, (done("It works no more."),)
    ),
    ("POST", "/invites/redeem"): Operation(
        PEOPLE,
        (ok("Arrival", "Joined, in a new session there."),),
        body=Redemption,
        errors=(InviteNotFound, InviteForAnother, TenantSuspended, RateLimited),
    ),
    ("GET", "/tenants/{tenant_id}/members"): Operation(
        PEOPLE,
        (ok("Members"),),
        parameters=(
            Parameter("limit", whole(1, MOST, DEFAULT), "Most members of a page."),
            Parameter("after", TEXT, "`next` of the page before."),
            Parameter("removed", one_of("0", "1"), "With `1`, removed ones, too."),
        ),
    ),
    ("PATCH", "/tenants/{tenant_id}/members/{user}"): Operation(
        PEOPLE, (ok("Member", "As they are now."),), body=Change, errors=(LastAdmin,)
    ),
    ("DELETE", "/tenants/{tenant_id}/members/{user}"): Operation(
        PEOPLE, (done("Removed."),), errors=(LastAdmin,)
    ),
    ("DELETE", "/tenants/{tenant_id}/members/{user}/sessions"): Operation(
        PEOPLE, (done("Ended, live streams included."),)
    ),
    ("GET", "/tenants/{tenant_id}/audit"): Operation(
        PEOPLE,
        (ok("Audit"),),
        parameters=(
            Parameter(
                "limit", whole(1, AUDIT_MOST, AUDIT_DEFAULT), "Most entries of a page."
            ),
            Parameter("before", whole(1), "`next` of the page before."),
            Parameter(
                "action",
                {"type": "string", "pattern": "^[a-z_.]{0,64}$"},
                "How an action's name begins, such as `member.`",
            ),
        ),
    ),
}
