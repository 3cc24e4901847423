"""T3: nothing that a client says about itself turns the sign-in off.

Seen as CVE-2026-34457 (User-Agent of a health check), CVE-2020-14359 (lower-case
method), an `Accept: text/event-stream` that passed unasked, OPTIONS left unguarded.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from bff.routes import PUBLIC
from tests.attacks.outside import VISIBLE, ask, hostile

if TYPE_CHECKING:
    from tests.attacks.outside import Tap
    from tests.world import World

# Every route of the table that asks for a session, so that a new one is attacked too.
GUARDED = [
    (route.method, route.path.replace("{tenant_id}", "1001").split("{")[0])
    for route in PUBLIC
    if route.access.session
]
TARGETS = sorted(
    {path.rstrip("/") or "/" for _, path in GUARDED} | {"/graph/threads/x"}
)
METHODS = (
    *("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"),
    *("get", "Get", "post", "options", "PROPFIND", "QUERY", "X", "GETT"),
)
WEBSOCKET = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
)
SAID = (
    "Accept: text/event-stream",
    "Accept: text/html",
    "Accept: application/json",
    "Accept: */*, text/event-stream",
    "Accept:",
    "User-Agent: GoogleHC/1.0",
    "User-Agent: kube-probe/1.30",
    "User-Agent: ELB-HealthChecker/2.0",
    "User-Agent: Prometheus/3.0",
    "User-Agent: Googlebot",
    "User-Agent:",
    "X-Requested-With: XMLHttpRequest",
    "X-HTTP-Method-Override: OPTIONS",
    "X-Method-Override: OPTIONS",
    "Range: bytes=0-10",
    "If-None-Match: *",
    "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT",
    "Last-Event-ID: 1",
    "Purpose: prefetch",
    "Sec-Purpose: prefetch;prerender",
    "Access-Control-Request-Method: GET",
    "Origin: null",
    "X-Forwarded-For: 127.0.0.1",
    "X-Real-IP: 127.0.0.1",
    "X-Forwarded-User: alice@acme.test",
    "X-Internal: true",
    "X-Health-Check: 1",
    "x-auth-scheme: langsmith",
    "DNT: 1",
    WEBSOCKET,
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
)
# Nothing of these may be a success; a page's 303 leads to the sign-in, a 304 would
# tell that the page is known.
REFUSED = {303, 400, 401, 403, 404, 405, 415, 421, 426}


def test_there_is_something_to_attack() -> None:
    assert len(TARGETS) > 10
    assert {"/whoami", "/graph/threads/x", "/"} <= set(TARGETS)


async def test_no_method_gets_in(world: World) -> None:
    for method, target in itertools.product(METHODS, TARGETS):
        answer = await ask(world, f"{method} {target}")
        assert answer.status in REFUSED, (method, target, answer.raw)
        if answer.status == 303:
            assert answer.headers["location"].startswith("/login?")
    assert world.graph.seen == []


async def test_no_header_gets_in(world: World) -> None:
    for target in TARGETS:
        for said in SAID:
            for mode in ("cors", "navigate", "no-cors", "websocket", ""):
                answer = await ask(
                    world,
                    f"GET {target}",
                    *said.split("\r\n"),
                    f"Sec-Fetch-Mode: {mode}",
                    f"Origin: {world.url}",
                )
                assert answer.status in REFUSED, (said, mode, target, answer.raw)
    assert world.graph.seen == []


@hostile(100)
@given(
    st.sampled_from(TARGETS),
    st.lists(
        st.tuples(
            st.sampled_from([one.partition(":")[0] for one in SAID])
            | st.text("ABCxyz019-", min_size=1, max_size=20),
            st.text(VISIBLE, min_size=1, max_size=30),
        ),
        max_size=4,
    ),
)
async def test_no_made_up_header_gets_in(
    tap: Tap, target: str, said: list[tuple[str, str]]
) -> None:
    tap.jar = {}  # a stranger
    fields = [f"{name}: {value}" for name, value in said if name.lower() not in FRAMING]

    answer, seen = await tap.ask(f"GET {target}", *fields)

    assert answer.status in REFUSED, (target, fields)
    assert seen == []


# These would be another attack: see T20 and T24.
FRAMING = {"host", "content-length", "transfer-encoding", "expect"}
