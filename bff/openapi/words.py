"""What the OpenAPI document says of all routes alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bff.acra.webhook import SIGNATURE
from bff.openapi.shapes import TEXT, one_of
from bff.sessions.cookies import CookieRules

if TYPE_CHECKING:
    from bff.config import Config

ABOUT = """\
One origin for a browser's user interface in front of Keycloak, LangGraph and Odoo.

**Who asks** is in HttpOnly cookies, sealed, which signing in sets and any answer may
renew; a browser keeps them by itself. A long cookie is split: `NAME`, `NAME.1`, and so
on; send all of them.

**Own origin.** A request that changes something, and each below a proxied prefix, must
show that a page of ours has caused it, or a script that is no page: by `Sec-Fetch-Site:
same-origin`, which browsers send, or else by an `Origin` that is one of
`server.public_origins`. All others are answered 403 `cross_site_refused`.

**Problems** are `application/problem+json` (RFC 9457). `detail` is a sentence for a
person, `code` never changes, `request_id` is in our log. Beside what is listed, a
request that is malformed, too large in its head, or asks for something unknown or by
another method gets 400, 404, 405, 417 or 431.

GET takes HEAD, too. What is not listed, and not below a proxied prefix, belongs to the
user interface.
"""
PROXIED = """\
The path may have several parts, with a query and a body of any kind; bodies,
server-sent events and WebSockets pass as they come. Which paths pass:
`docs/streaming.md`. What they take and answer is LangGraph's own document.
409 `answer_lost` is ours: the request was sent, and its answer lost; look before you
send it again.
"""
TAGS = {
    "Identity": "Sign in, stay signed in, sign out.",
    "Onboarding": "From the first sign-in to a workspace that is ready.",
    "Odoo": "A workspace's own Odoo.",
    "People": "Members, invitations, the audit log.",
    "Data": "Scores, rules, the company register.",
    "Pages": "The built-in user interface.",
    "Operation": "Is it alive, does it take traffic, what does it measure.",
    "Proxied": "The graph server, as the caller.",
}


def schemes(config: Config) -> dict[str, Any]:
    """Return how a caller is known."""
    rules = CookieRules(
        access=config.session.access_cookie,
        refresh=config.session.refresh_cookie,
        host_prefix=config.host_prefix,
    )
    return {
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": rules.name(rules.access),
            "description": "The session; set by signing in.",
        },
        "renewal": {
            "type": "apiKey",
            "in": "cookie",
            "name": rules.name(rules.refresh),
            "description": "What the session is renewed with; goes with the other.",
        },
        "signature": {
            "type": "apiKey",
            "in": "header",
            "name": SIGNATURE,
            "description": "Made of the time, the body and a secret of both sides.",
        },
    }


def parameters_of_all(config: Config) -> dict[str, Any]:
    """Return what shows that a request comes from our own origin."""
    found: dict[str, Any] = {
        "Origin": {
            "name": "Origin",
            "in": "header",
            "description": "A script sends one of ours; a browser its page's.",
            "schema": {**TEXT, "examples": [config.canonical_origin]},
        },
        "SecFetchSite": {
            "name": "Sec-Fetch-Site",
            "in": "header",
            "description": "A browser says by itself where its page came from.",
            "schema": one_of("same-origin", "same-site", "none", "cross-site"),
        },
    }
    if config.csrf.require_header:
        found["Required"] = {
            "name": config.csrf.require_header,
            "in": "header",
            "required": True,
            "description": "Demanded by `csrf.require_header`; any value will do.",
            "schema": TEXT,
        }
    return found
