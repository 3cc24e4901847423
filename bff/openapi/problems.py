"""Say which problems a route can answer with, by status and code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bff.errors import (
    BadRequest,
    GatewayError,
    InvalidBody,
    NotFound,
    TooLarge,
    TooSlow,
    Unavailable,
    UnknownHost,
    WrongMediaType,
)
from bff.errors_access import (
    AuthUnavailable,
    CrossSiteRefused,
    NotSignedIn,
    RoleMissing,
    SessionEnded,
    TenantMissing,
    TenantSuspended,
    TokensTooLarge,
)
from bff.errors_odoo import OdooConflict, OdooFailed, OdooUnavailable
from bff.odoo_asking import IN_THE_WAY
from bff.openapi.shapes import named
from bff.origin import SAFE_METHODS, Gate
from bff.problems import PROBLEM_JSON
from bff.sites.failures import CODES, PASSING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bff.access import Access
    from bff.openapi.operation import Operation
    from bff.routes import Route

# By status, each code with its sentence.
Problems = dict[int, dict[str, str]]

BODY = (BadRequest, WrongMediaType, TooLarge, TooSlow, InvalidBody)
# With these it is said when to try again, where that is known.
WAITING = frozenset({429, 503})
# Those whose code is that of what was asked of Odoo.
_OF_ODOO: dict[type[GatewayError], frozenset[str]] = {
    OdooUnavailable: PASSING,
    OdooConflict: IN_THE_WAY,
    OdooFailed: CODES - PASSING - IN_THE_WAY,
}


def is_gated(method: str, access: Access) -> bool:
    """Tell whether a request must show that it comes from our own origin."""
    if access.gate is Gate.UNSAFE_METHODS:
        return method not in SAFE_METHODS
    return access.gate is Gate.EVERY_REQUEST


def of_route(route: Route, about: Operation) -> Problems:
    """Return the problems of *route*, which *about* describes."""
    errors = [*of_access(route.method, route.access), *about.errors]
    if about.body is not None:
        errors += BODY
    read = [one.schema for one in about.parameters if one.where == "query"]
    if any(schema.keys() != {"type"} for schema in read):
        errors.append(BadRequest)  # not any text will do
    if "{" in route.path or about.raw == {"*/*": {}}:
        errors.append(NotFound)
    return by_status(errors)


def of_access(method: str, access: Access) -> list[type[GatewayError]]:
    """Return what is answered to those who may not."""
    found: list[type[GatewayError]] = [GatewayError, UnknownHost]
    if is_gated(method, access):
        found.append(CrossSiteRefused)
    if access.session:
        found += [NotSignedIn, SessionEnded, AuthUnavailable, Unavailable]
        found.append(TokensTooLarge)
    if access.tenant:
        found += [TenantMissing, TenantSuspended]
    if access.roles:
        found.append(RoleMissing)
    return found


def by_status(errors: Iterable[type[GatewayError]]) -> Problems:
    """Return *errors* by status."""
    found: Problems = {}
    for error in errors:
        codes = found.setdefault(error.status, {})
        codes.update(dict.fromkeys(sorted(_OF_ODOO.get(error, ())), error.detail))
        codes[error.code] = error.detail
    return found


def response(status: int, codes: dict[str, str]) -> dict[str, Any]:
    """Return the answer of *status* with one of *codes*."""
    schema = {
        "allOf": [named("Problem")],
        "properties": {
            "status": {"const": status},
            "code": {"enum": sorted(codes)},
        },
    }
    headers = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    if status in WAITING:
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    told = "\n".join(f"- `{code}`: {codes[code]}" for code in sorted(codes))
    return {
        "description": told,
        "headers": headers,
        "content": {PROBLEM_JSON: {"schema": schema}},
    }
