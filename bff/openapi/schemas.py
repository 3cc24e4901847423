"""Say what our answers hold. Each field is always there; others never are."""

from __future__ import annotations

from bff.exports.queries import COLUMNS, CONTACT_COLUMNS, Column
from bff.identity.messages import ROLES
from bff.onboarding.phases import NAMES, State
from bff.openapi.shapes import (
    INTEGER,
    NUMBER,
    SECONDS,
    TEXT,
    TIME,
    UUID,
    YES_NO,
    Schema,
    exactly,
    listed,
    named,
    one_of,
    perhaps,
    with_others,
)

STATUSES = ("none", *NAMES[:-1], "ready", "error")
TASK_STATES = ("queued", "running", "done", "failed")

_ROLES = listed(one_of(*sorted(ROLES)))
_TENANT = perhaps(INTEGER)
_NUMBERS = frozenset({"employees_est", "score"})


def _column(column: Column) -> Schema:
    if column.name == "company_id":
        return INTEGER
    return perhaps(NUMBER if column.name in _NUMBERS else TEXT)


SCHEMAS: dict[str, Schema] = {
    "Problem": with_others(
        {
            "type": {"type": "string", "format": "uri"},
            "title": TEXT,
            "status": INTEGER,
            "detail": {**TEXT, "description": "A sentence for a person."},
            "code": {**TEXT, "description": "For programs: it never changes."},
            "request_id": {**TEXT, "description": "What our log calls the request."},
        },
        {
            "errors": {
                "description": "What is wrong with the body, field by field.",
                **listed(exactly(field=TEXT, message=TEXT)),
            },
            "continue_url": {
                **TEXT,
                "description": "Where the person goes on: the provider's own pages.",
            },
        },
    ),
    "Arrival": exactly(
        email=TEXT,
        tenant_id=_TENANT,
        roles=_ROLES,
        tenant_status=perhaps(one_of(*STATUSES)),
    ),
    "Who": exactly(sub=TEXT, email=TEXT, tenant_id=_TENANT, roles=_ROLES),
    "Session": {
        "oneOf": [
            exactly(authenticated={"const": False}),
            exactly(
                authenticated={"const": True},
                sub=TEXT,
                email=TEXT,
                tenant_id=_TENANT,
                roles=_ROLES,
                access_expires_at=SECONDS,
                session_expires_at=SECONDS,
            ),
        ]
    },
    "Renewal": exactly(
        ok={"const": True}, access_expires_at=SECONDS, session_expires_at=SECONDS
    ),
    "OwnSession": exactly(
        id=UUID,
        current=YES_NO,
        device=TEXT,
        tenant_id=_TENANT,
        created_at=TIME,
        expires_at=TIME,
    ),
    "Workspaces": exactly(
        tenants=listed(
            exactly(tenant_id=INTEGER, name=TEXT, roles=_ROLES, current=YES_NO)
        )
    ),
    "Onboarding": exactly(
        tenant_id=_TENANT,
        status=one_of(*STATUSES),
        error=perhaps(TEXT),
        phases=listed(
            exactly(
                name=one_of(*NAMES),
                state=one_of(*map(str, State)),
                detail=perhaps(TEXT),
                started_at=perhaps(TIME),
                finished_at=perhaps(TIME),
            )
        ),
        attempt=INTEGER,
    ),
    "OdooCheck": exactly(
        tenant_id=INTEGER,
        exists=YES_NO,
        smoke={**YES_NO, "description": "It was tried, and took a real write."},
        ready=YES_NO,
        error=perhaps(TEXT),
    ),
    "OdooInfo": exactly(
        email=TEXT,
        tenant_id=_TENANT,
        roles=_ROLES,
        odoo=exactly(
            exists=YES_NO,
            db_name=perhaps(TEXT),
            base_url=perhaps(TEXT),
            login_url=perhaps(TEXT),
            ready=YES_NO,
            error=perhaps(TEXT),
        ),
    ),
    "OdooTask": exactly(
        state=one_of(*TASK_STATES),
        error=perhaps(TEXT),
        asked_at=perhaps(TIME),
        started_at=perhaps(TIME),
        finished_at=perhaps(TIME),
    ),
    "Odoo": exactly(
        tenant_id=INTEGER,
        exists=YES_NO,
        db_name=perhaps(TEXT),
        base_url=perhaps(TEXT),
        login_url=perhaps(TEXT),
        suspended=YES_NO,
        error=perhaps(TEXT),
        checked_at=perhaps(TIME),
        key_expires_at=perhaps(TIME),
        tasks=exactly(
            rotate=perhaps(named("OdooTask")), repair=perhaps(named("OdooTask"))
        ),
    ),
    "OdooSync": exactly(
        state=one_of("none", *TASK_STATES),
        exported=INTEGER,
        created=INTEGER,
        updated=INTEGER,
        skipped=INTEGER,
        refused=INTEGER,
        count=perhaps(INTEGER),
        min_score=perhaps(NUMBER),
        limit=perhaps(INTEGER),
        errors=listed(exactly(company_id=INTEGER, error=TEXT)),
        error=perhaps(TEXT),
        started_at=perhaps(TIME),
        finished_at=perhaps(TIME),
    ),
    "NewInvite": exactly(
        invite_id=UUID,
        invite_url={**TEXT, "description": "Shown once; whoever has it may join."},
        expires_at=TIME,
        roles=_ROLES,
        email=perhaps(TEXT),
    ),
    "Invites": exactly(
        invites=listed(
            exactly(
                invite_id=UUID,
                email=perhaps(TEXT),
                roles=_ROLES,
                invited_by=perhaps(TEXT),
                created_at=TIME,
                expires_at=TIME,
            )
        )
    ),
    "Member": exactly(
        user=TEXT,
        email=perhaps(TEXT),
        roles=_ROLES,
        joined_at=TIME,
        removed_at=perhaps(TIME),
    ),
    "Members": exactly(members=listed(named("Member")), next=perhaps(TEXT)),
    "Audit": exactly(
        entries=listed(
            exactly(
                audit_id=INTEGER,
                at=TIME,
                action=TEXT,
                actor=perhaps(TEXT),
                actor_email=perhaps(TEXT),
                subject=perhaps(TEXT),
                detail={"type": "object"},
                address=perhaps(TEXT),
                request_id=perhaps(TEXT),
            )
        ),
        next=perhaps(INTEGER),
    ),
    "Score": with_others(
        {column.name: _column(column) for column in COLUMNS},
        {column.name: _column(column) for column in CONTACT_COLUMNS},
    ),
    "Rule": exactly(
        rule_id=INTEGER,
        name=TEXT,
        payload={**named("Profile"), "description": "The conditions that are given."},
        candidates=INTEGER,
        created_at=TIME,
        updated_at=TIME,
    ),
    "Rules": exactly(rules=listed(named("Rule"))),
    "Run": exactly(status=one_of("queued", "running"), run_id=INTEGER),
    "Info": exactly(ok={"const": True}, checkpoint_enabled=YES_NO, version=TEXT),
    "Alive": exactly(ok={"const": True}),
}
