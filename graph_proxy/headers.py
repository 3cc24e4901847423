"""Which header fields cross, in each direction. No I/O here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Header = tuple[str, str]

# Fields that speak about one connection, never about the message (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What frames the message; written by us alone.
FRAMING = HOP_BY_HOP | {"host", "content-length", "expect"}
# Credentials and identities: not even configuration may let them through.
NEVER = FRAMING | {
    "authorization",
    "baggage",
    "cookie",
    "forwarded",
    "langsmith-trace",
    "x-api-key",
    "x-auth-scheme",
    "x-gateway-key",
    "x-organization-id",
    "x-real-ip",
    "x-request-id",
    "x-service-key",
    "x-tenant-id",
    "x-user-id",
}
_NEVER_PREFIXES = ("x-forwarded-",)
_REQUEST_NAMES = frozenset(
    {
        "accept",
        "accept-language",
        "cache-control",
        "last-event-id",
        "range",
        "traceparent",
        "user-agent",
    }
)
_REQUEST_PREFIXES = ("content-", "if-", "mcp-", "langgraph-a2a-")
# The handshake's own fields (RFC 6455, 4.1); `sec-websocket-accept` is an answer's.
_WEBSOCKET_NAMES = frozenset(
    {
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
    }
)
_NOT_FOR_BROWSER = HOP_BY_HOP | {"server", "set-cookie", "set-cookie2"}
_CORS = "access-control-"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def tokens(headers: Iterable[Header], name: str) -> list[str]:
    """List the lower-cased comma-separated members of every field called `name`."""
    size = len(name)
    return [
        token
        for key, value in headers
        if len(key) == size and key.lower() == name
        for member in value.split(",")
        if (token := member.strip(" \t").lower())
    ]


def forwardable(names: Iterable[str]) -> frozenset[str]:
    """Lower-case configured request field names.

    Raises:
        ValueError: A name is malformed, a look-alike, or must never be forwarded.
    """
    lowered = frozenset(name.lower() for name in names)
    for name in sorted(lowered):
        if not _TOKEN.fullmatch(name) or "_" in name:
            raise ValueError(f"{name!r} cannot be the name of a forwarded header")
        if name in NEVER or name.startswith(_NEVER_PREFIXES):
            raise ValueError(f"{name!r} may never be forwarded from the browser")
    return lowered


def checked(headers: Iterable[Header]) -> list[Header]:
    """Return the gateway's own fields as they are.

    Raises:
        ValueError: A name is malformed or frames the message.
    """
    own = list(headers)
    for name, _ in own:
        if not _TOKEN.fullmatch(name) or name.lower() in FRAMING:
            raise ValueError(f"{name!r} cannot be the name of an added header")
    return own


def to_upstream(
    headers: Iterable[Header],
    *,
    own: list[Header],
    extra: frozenset[str] = frozenset(),
    websocket: bool = False,
) -> list[Header]:
    """Choose the browser's fields that the upstream may see, then add the gateway's.

    The framing fields (Host, Content-Length, Transfer-Encoding …) are left to the
    writer of the request head.
    """
    received = list(headers)
    # Neither a Connection field nor a namesake touches what the gateway adds
    # (CVE-2024-45410): only the browser's fields pass through this filter.
    dropped = {name.lower() for name, _ in own} | set(tokens(received, "connection"))
    chosen = [
        (name, value)
        for name, value in received
        if (key := name.lower()) not in dropped
        and crosses(key, extra, websocket=websocket)
    ]
    return chosen + own


def crosses(key: str, extra: frozenset[str], *, websocket: bool = False) -> bool:
    """Say whether a browser's field of this lower-case name may reach the upstream."""
    # CGI-like servers read `X_User` as `X-User`; no field we forward has a `_`.
    if key in NEVER or "_" in key:
        return False
    return (
        key in _REQUEST_NAMES
        or key.startswith(_REQUEST_PREFIXES)
        or key in extra
        or (websocket and key in _WEBSOCKET_NAMES)
    )


def to_browser(headers: list[Header]) -> list[Header]:
    """Drop what belongs to the upstream's connection, cookies, CORS and its name."""
    chosen, listed = [], False
    for field in headers:
        key = field[0].lower()
        if key == "connection":
            listed = True
        elif key not in _NOT_FOR_BROWSER and not key.startswith(_CORS):
            chosen.append(field)
    if not listed:
        return chosen
    # Not the length: without it nobody would know where the body ends.
    named = set(tokens(headers, "connection")) - {"content-length"}
    return [field for field in chosen if field[0].lower() not in named]


def public_location(location: str, *, authority: str, base: str, public: str) -> str:
    """Map a redirect to the upstream's own host back under the public prefix.

    `authority` is the Host the upstream was asked for, `base` the path its address
    carries, `public` the prefix's absolute URL. Relative references and other hosts
    are left alone.
    """
    match = re.match(r"(?i:(?:https?:)?//([^/?#]*))?(/[^?#]*)?(.*)\Z", location)
    # The scheme does not count: servers behind TLS-ending proxies guess it wrong.
    if match is None or (match[1] or authority).lower() != authority.lower():
        return location
    if match[1] is None and match[2] is None:
        return location
    path = match[2] or "/"
    if path != base and not path.startswith(f"{base}/"):
        return location
    return f"{public}{path.removeprefix(base)}{match[3]}"
