"""Describe the routes of a tenant's data, of the pages, and of operation."""

from __future__ import annotations

from bff.acra.webhook import SIGNATURE, TIMESTAMP
from bff.errors import ShuttingDown, TooBusy, TooLarge, TooSlow, Unavailable
from bff.errors_access import (
    NotSignedIn,
    RoleMissing,
    SessionEnded,
    WebhookRefused,
    WebhookRepeated,
)
from bff.errors_workspace import RulesFull, TooManyExports
from bff.exports.queries import DEFAULT_LIMIT, MOST
from bff.icp.routes import Saved
from bff.openapi.operation import HTML, Answer, Key, Operation, Parameter, done, ok
from bff.openapi.shapes import (
    TEXT,
    YES_NO,
    Schema,
    exactly,
    listed,
    named,
    one_of,
    perhaps,
    whole,
)

DATA, PAGES, OPERATION = "Data", "Pages", "Operation"
KEPT = {"ETag": "Send it as If-None-Match: 304 if nothing has changed."}
SAME = Answer(304, "As you have it.")
_READY = exactly(
    ready=YES_NO,
    reason=perhaps(TEXT),
    database=TEXT,
    listener=TEXT,
    identity_provider=TEXT,
    graph=TEXT,
)
_SCORES = (
    Parameter("limit", whole(1, MOST, DEFAULT_LIMIT), "Most rows."),
    Parameter(
        "include",
        one_of("contacts"),
        "Whom to write to, too; for the roles ops and admin.",
    ),
)
_TOO_MANY = (RoleMissing, TooManyExports, ShuttingDown, TooBusy, Unavailable)


def _file(kind: str, schema: Schema, about: str) -> Answer:
    return Answer(200, about, {kind: schema})


def _page(summary: str, *, signed_in: bool = True) -> Operation:
    """Return what a built-in page does; a stranger's browser goes to sign in."""
    to_sign_in = Answer(303, "To `/login`.", headers={"Location": "The sign-in page."})
    elsewhere = Answer(
        307, "To our first origin.", headers={"Location": "The same page there."}
    )
    strangers = (to_sign_in,) if signed_in else ()
    page = Answer(200, "The page.", HTML, KEPT)
    return Operation(PAGES, (page, *strangers, SAME, elsewhere), summary=summary)


DATA_AND_PAGES: dict[Key, Operation] = {
    ("GET", "/export/latest_scores.json"): Operation(
        DATA,
        (
            _file(
                "application/json",
                listed(named("Score")),
                "The best first, without a score last; streamed.",
            ),
        ),
        parameters=_SCORES,
        errors=_TOO_MANY,
    ),
    ("GET", "/export/latest_scores.csv"): Operation(
        DATA,
        (
            Answer(
                200,
                "The same as a file, its cells safe in spreadsheets; streamed.",
                {"text/csv": TEXT},
                {"Content-Disposition": "The file's name."},
            ),
        ),
        parameters=_SCORES,
        errors=_TOO_MANY,
    ),
    ("GET", "/icp/rules"): Operation(DATA, (ok("Rules"),)),
    ("POST", "/icp/rules"): Operation(
        DATA,
        (ok("Rule", "Changed."), ok("Rule", "Made.", 201)),
        body=Saved,
        errors=(RulesFull, TooBusy),
    ),
    ("DELETE", "/icp/rules/{rule_id}"): Operation(
        DATA, (done("Deleted."),), errors=(TooBusy,)
    ),
    ("POST", "/acra/ingest"): Operation(
        DATA,
        (
            ok("Run", "One is under way, or waits."),
            ok("Run", "Queued.", 202),
        ),
        raw={"*/*": {}},
        parameters=(
            Parameter(
                TIMESTAMP,
                {"type": "string", "pattern": "^[0-9]{1,11}$"},
                "Seconds since 1970, within five minutes of ours.",
                where="header",
                required=True,
            ),
        ),
        errors=(WebhookRefused, WebhookRepeated, TooLarge, TooSlow, Unavailable),
        security=(("signature",),),
        about=f"{SIGNATURE} is `v1=` and the HMAC-SHA256, in hexadecimal digits, of "
        "the time, a full stop and the body, under `acra.webhook_secret`. 404 where "
        "that is not set.",
    ),
    ("GET", "/info"): Operation(
        OPERATION,
        (ok("Info"),),
        errors=(NotSignedIn, SessionEnded, Unavailable),
        about="For people who are signed in only, with `info.require_session`.",
    ),
    ("GET", "/"): _page("Show the chat."),
    ("GET", "/login"): _page("Show how to sign in.", signed_in=False),
    ("GET", "/register"): Operation(
        PAGES,
        (
            *_page("", signed_in=False).answers,
            Answer(404, "The page, where no account is opened here.", HTML, KEPT),
        ),
    ),
    ("GET", "/invite"): _page("Show an invitation.", signed_in=False),
    ("GET", "/onboarding"): _page("Show how far one's workspace is."),
    ("GET", "/account"): _page("Show who one is, and where signed in."),
    ("GET", "/admin"): _page("Show a workspace's members, audit log and Odoo."),
    ("GET", "/static/{path}"): Operation(
        PAGES,
        (Answer(200, "The file.", {"*/*": {}}, KEPT), SAME),
        about="The path may have several parts.",
    ),
    ("GET", "/favicon.ico"): Operation(
        PAGES, (Answer(200, "The picture.", {"image/svg+xml": TEXT}, KEPT), SAME)
    ),
    ("GET", "/healthz"): Operation(OPERATION, (ok("Alive"),)),
    ("GET", "/readyz"): Operation(
        OPERATION,
        (
            Answer(200, "Send us traffic.", {"application/json": _READY}),
            Answer(503, "Send us none.", {"application/json": _READY}),
        ),
    ),
    ("GET", "/metrics"): Operation(
        OPERATION, (Answer(200, "In Prometheus's format.", {"text/plain": TEXT}),)
    ),
    ("GET", "/openapi.json"): Operation(
        OPERATION,
        (Answer(200, "This document.", {"application/json": {"type": "object"}}),),
    ),
}
