"""Name failures, once each: those of the request itself and of this server.

GatewayError
├── BadRequest … Unavailable    here
├── `bff.errors_access`         who is asking, what they may do
├── `bff.errors_workspace`      what a workspace may have
├── `bff.errors_graph`          the way to the graph server
└── `bff.errors_odoo`           a tenant's Odoo

`bff.problems` maps them to HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


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


class RateLimited(GatewayError):
    """Ask to wait; Retry-After says how many seconds."""

    status = 429
    code = "rate_limited"
    detail = "Too many attempts. Wait a moment and try again."


class Unavailable(GatewayError):
    """Tell that something we depend on is away."""

    status = 503
    code = "unavailable"
    detail = "This is not available right now. Try again in a moment."


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
