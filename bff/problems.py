"""Map every failure to HTTP: the one place that does.

Answers are ``application/problem+json`` (RFC 9457). ``detail`` is a sentence for a
person; exception texts, upstream bodies and tokens never get into it.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from aiohttp import web

from bff.database import DatabaseConflict, DatabaseUnavailable
from bff.errors import (
    BadRequest,
    ExpectationFailed,
    GatewayError,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unavailable,
    WrongMediaType,
)
from bff.errors_graph import GraphUnavailable
from graph_proxy import errors as proxy_errors

PROBLEM_JSON = "application/problem+json"
# The libraries know no HTTP status; subclasses inherit their parent's row.
FOREIGN: dict[type[Exception], type[GatewayError]] = {
    proxy_errors.PathRefused: NotFound,
    proxy_errors.BadPath: BadRequest,
    proxy_errors.MethodRefused: MethodNotAllowed,
    proxy_errors.BodyTooLarge: TooLarge,
    proxy_errors.BodyBroken: BadRequest,
    proxy_errors.UpstreamUnavailable: GraphUnavailable,
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
    if isinstance(error, DatabaseUnavailable):
        soon = isinstance(error, DatabaseConflict)
        return Unavailable(headers={"Retry-After": "1" if soon else "5"})
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
