"""Name every failure once, and map it to HTTP in one place.

GatewayError
├── BadRequest … TooLarge               the request itself
├── NotSignedIn, SessionEnded …         who is asking
├── CrossSiteRefused, TenantMissing …   what they may do
└── AuthUnavailable, Unavailable …      what we depend on

Answers are ``application/problem+json`` (RFC 9457). ``detail`` is a sentence for a
person; exception texts, upstream bodies and tokens never get into it.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from aiohttp import web

from bff.database import DatabaseConflict, DatabaseUnavailable
from graph_proxy import errors as proxy_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBLEM_JSON = "application/problem+json"


class GatewayError(Exception):
    """Carry a status, a stable code and a public sentence; never raised itself."""

    status: ClassVar[int] = 500
    code: str = "internal_error"
    detail: str = "Something went wrong on our side. Try again in a moment."

    def __init__(
        self,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        """Take a better *detail*, headers and extra members for the answer."""
        if detail is not None:
            self.detail = detail
        super().__init__(self.detail)
        self.headers: dict[str, str] = dict(headers or {})
        self.members = members


class BadRequest(GatewayError):
    """Say which part of the request cannot be understood."""

    status = 400
    code = "bad_request"
    detail = "The request could not be understood."


class InvalidBody(BadRequest):
    """Name the field of the body that is missing or of the wrong kind."""

    status = 422
    code = "invalid_body"
    detail = "The body of the request is not what this address expects."


class WrongMediaType(GatewayError):
    """Refuse a body that is not JSON."""

    status = 415
    code = "unsupported_media_type"
    detail = "Send the body as application/json."


class TooLarge(GatewayError):
    """Refuse a body over the limit."""

    status = 413
    code = "too_large"
    detail = "The body of the request is larger than this address takes."


class TooSlow(GatewayError):
    """Give up on a body that does not come."""

    status = 408
    code = "too_slow"
    detail = "The body of the request did not arrive in time."


class NotFound(GatewayError):
    """Answer for unknown addresses, and for things of other tenants alike."""

    status = 404
    code = "not_found"
    detail = "There is nothing at this address."


class MethodNotAllowed(GatewayError):
    """Answer for a known address and another method."""

    status = 405
    code = "method_not_allowed"
    detail = "This address does not take that method."


class ExpectationFailed(GatewayError):
    """Refuse an Expect that is not 100-continue."""

    status = 417
    code = "expectation_failed"
    detail = "This server does not do what the Expect header asks for."


class UnknownHost(GatewayError):
    """Refuse a Host that this gateway does not serve (RFC 9110 section 7.4)."""

    status = 421
    code = "unknown_host"
    detail = "This server does not answer for that host name."


class NotSignedIn(GatewayError):
    """Ask for a sign-in."""

    status = 401
    code = "not_signed_in"
    detail = "Sign in to continue."


class SessionEnded(GatewayError):
    """Tell that the session is over; its cookies are cleared with this answer."""

    status = 401
    code = "session_ended"
    detail = "Your session has ended. Sign in again."


class InvalidCredentials(GatewayError):
    """Answer alike for a wrong password, code, or an unknown or disabled person."""

    status = 401
    code = "invalid_credentials"
    detail = "E-mail, password or one-time code is not right."


class WebhookRefused(GatewayError):
    """Answer alike for a signature that is missing, wrong, or of another time."""

    status = 401
    code = "signature_refused"
    detail = "This message is not signed as it must be, or was signed too long ago."


class WebhookRepeated(GatewayError):
    """Tell a caller that their message has come before, and counted."""

    status = 409
    code = "signature_used"
    detail = "This message has been received before. Sign a new one."


class AccountActionRequired(GatewayError):
    """Send a person to the provider's own pages, where something waits for them."""

    status = 403
    code = "account_action_required"
    detail = "Your account needs attention first. Continue with single sign-on."


class RateLimited(GatewayError):
    """Ask to wait; Retry-After says how many seconds."""

    status = 429
    code = "rate_limited"
    detail = "Too many attempts. Wait a moment and try again."


class AuthUnavailable(GatewayError):
    """Tell that the identity provider cannot be asked right now."""

    status = 503
    code = "auth_unavailable"
    detail = "Sign-in is not available right now. Try again in a moment."


class SignInFailed(GatewayError):
    """End a redirect sign-in that cannot be completed."""

    status = 400
    code = "sign_in_failed"
    detail = "This sign-in could not be completed. Start again."


class TokensTooLarge(GatewayError):
    """Tell that the provider's tokens do not fit into cookies."""

    status = 500
    code = "tokens_too_large"
    detail = (
        "Your account carries too much data to sign in. Ask your administrator to "
        "reduce the roles and claims in its tokens."
    )


class CrossSiteRefused(GatewayError):
    """Refuse a request that another site may have caused."""

    status = 403
    code = "cross_site_refused"
    detail = "This request came from another site and was refused."


class TenantMissing(GatewayError):
    """Tell a signed-in person that no tenant is theirs yet."""

    status = 403
    code = "tenant_missing"
    detail = "You are signed in, but no workspace is set up for you yet."


class TenantSuspended(GatewayError):
    """Keep the people of a suspended tenant out of it."""

    status = 403
    code = "tenant_suspended"
    detail = "This workspace is suspended. Ask the people who run this service."


class RoleMissing(GatewayError):
    """Refuse an act that needs another role."""

    status = 403
    code = "role_missing"
    detail = "Your role in this workspace does not allow this."


class OnboardingClosed(GatewayError):
    """Refuse a new workspace by policy."""

    status = 403
    code = "onboarding_closed"
    detail = "New workspaces are not open to this account."


class LastAdmin(GatewayError):
    """Keep a workspace from being left without anybody who may run it."""

    status = 409
    code = "last_admin"
    detail = (
        "This is the last admin of the workspace. Make another member an admin first; "
        "an admin role that comes from the identity provider does not count."
    )


class InviteNotFound(NotFound):
    """Answer alike for an invitation that is unknown, used, or too old."""

    code = "invite_not_found"
    detail = "This invitation does not exist, has been used, or is too old."


class InviteForAnother(GatewayError):
    """Refuse an invitation that names an address which is not proven to be ours."""

    status = 403
    code = "invite_for_another"
    detail = (
        "This invitation is for another e-mail address, or yours is not confirmed yet."
    )


class InvitesFull(GatewayError):
    """Refuse one more open invitation than a tenant may have."""

    status = 409
    code = "invites_full"
    detail = (
        "Your workspace has as many open invitations as it may. Take one back first."
    )


class RulesFull(GatewayError):
    """Refuse one more customer rule than a tenant may have."""

    status = 409
    code = "rules_full"
    detail = "Your workspace has as many rules as it may. Delete one first."


class Unavailable(GatewayError):
    """Tell that something we depend on is away."""

    status = 503
    code = "unavailable"
    detail = "This is not available right now. Try again in a moment."


class GraphUnavailable(GatewayError):
    """Tell that the graph server cannot be reached; nothing was sent to it."""

    status = 502
    code = "graph_unavailable"
    detail = "The agent's server cannot be reached right now. Try again in a moment."


class AnswerLost(GatewayError):
    """Tell that a request may have been carried out, though no answer came of it.

    SDKs send a POST again after a 5xx, Chromium by itself after a connection that
    broke before an answer: either would start the run again, up to six times.
    """

    status = 409
    code = "answer_lost"
    detail = (
        "The agent's server broke off before it answered. It may have begun: look "
        "before you send this again."
    )


class ShuttingDown(GatewayError):
    """Send new work to another replica."""

    status = 503
    code = "shutting_down"
    detail = "This server is being restarted. Try again in a moment."


class TooBusy(GatewayError):
    """Take no more than this process can hold."""

    status = 503
    code = "too_busy"
    detail = "This server has too much to do right now. Try again in a moment."


class PreconditionFailed(GatewayError):
    """Refuse what was asked for another version of a file (RFC 9110 13.1)."""

    status = 412
    code = "precondition_failed"
    detail = "This file has changed meanwhile."


class RangeRefused(GatewayError):
    """Refuse a part that a file does not have (RFC 9110 section 15.5.17)."""

    status = 416
    code = "range_not_satisfiable"
    detail = "This file has no such part."


class UiUnavailable(GatewayError):
    """Tell that the user interface's folder or server cannot be reached."""

    status = 502
    code = "ui_unavailable"
    detail = "The application cannot be reached right now. Try again in a moment."


class TooManyStreams(GatewayError):
    """Limit how many streams one session or tenant holds open."""

    status = 429
    code = "too_many_streams"
    detail = "Too many answers are streaming at once. Close one and try again."


class TooManyExports(GatewayError):
    """Limit how many exports one tenant has at once."""

    status = 429
    code = "too_many_exports"
    detail = (
        "Your workspace is downloading as much as it may at once. Wait until one is "
        "complete and try again."
    )


class OdooMissing(GatewayError):
    """Tell that a tenant has no Odoo of its own, or not yet."""

    status = 409
    code = "odoo_missing"
    detail = "Your workspace has no Odoo of its own yet."


class OdooSuspended(GatewayError):
    """Tell that a tenant's Odoo is closed for the time being."""

    status = 409
    code = "odoo_suspended"
    detail = "Your workspace's Odoo is suspended. Ask the people who run this service."


class OdooPending(GatewayError):
    """Tell that nobody knows yet what came of something asked of Odoo."""

    status = 503
    code = "odoo_pending"
    detail = (
        "This was not done in time, and may still happen. Asking again waits for the "
        "same one."
    )


class OdooFailed(GatewayError):
    """Tell what Odoo, or something on the way to it, made of what we asked.

    The code and the sentence are the task's (`bff.sites.failures`).
    """

    status = 502
    code = "odoo_failed"
    detail = "Odoo failed at something. Try again in a few minutes."

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Take the task's *code* and sentence."""
        super().__init__(detail, headers=headers)
        if code is not None:
            self.code = code


class OdooUnavailable(OdooFailed):
    """Tell that Odoo, or something on the way to it, is away for a moment."""

    status = 503
    code = "odoo_unavailable"


class OdooConflict(OdooFailed):
    """Tell that something stands in the way that a person must look at."""

    status = 409
    code = "odoo_conflict"
    detail = "Something in your Odoo stands in the way of this."


# The libraries know no HTTP status; subclasses inherit their parent's row.
FOREIGN: dict[type[Exception], type[GatewayError]] = {
    proxy_errors.PathRefused: NotFound,
    proxy_errors.BadPath: BadRequest,
    proxy_errors.MethodRefused: MethodNotAllowed,
    proxy_errors.BodyTooLarge: TooLarge,
    proxy_errors.BodyBroken: BadRequest,
    proxy_errors.UpstreamUnavailable: GraphUnavailable,
    DatabaseUnavailable: Unavailable,
}

# What aiohttp itself raises, in our words.
STATUS_ERRORS: dict[int, type[GatewayError]] = {
    400: BadRequest,
    404: NotFound,
    405: MethodNotAllowed,
    413: TooLarge,
    415: WrongMediaType,
    417: ExpectationFailed,
}


def translate(error: Exception) -> GatewayError | None:
    """Return the gateway's name for *error*, or None when it has none."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, DatabaseConflict):
        return Unavailable(headers={"Retry-After": "1"})
    if isinstance(error, web.HTTPException):
        if error.status < HTTPStatus.BAD_REQUEST:
            return None
        other = BadRequest if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else None
        kind = STATUS_ERRORS.get(error.status) or other or GatewayError
        allow = error.headers.get("Allow")
        return kind(headers={"Allow": allow} if allow else None)
    for cls in type(error).__mro__:
        foreign = FOREIGN.get(cls)
        if foreign is not None:
            allowed = getattr(error, "allowed", None)
            return foreign(headers={"Allow": ", ".join(allowed)} if allowed else None)
    return None


def problem_body(error: GatewayError, request_id: str) -> bytes:
    """Write *error* as a problem document (RFC 9457)."""
    document = {
        "type": f"urn:nexius:problem:{error.code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        **error.members,
    }
    return json.dumps(document, ensure_ascii=False).encode()


def problem(error: GatewayError, request_id: str) -> web.Response:
    """Answer with *error* as problem+json."""
    return web.Response(
        status=error.status,
        body=problem_body(error, request_id),
        headers={
            **error.headers,
            "Content-Type": PROBLEM_JSON,
            "Cache-Control": "no-store",
        },
    )
