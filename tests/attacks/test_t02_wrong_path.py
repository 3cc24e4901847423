"""T2: what is decided on is what is served, however the path is written.

Seen as CVE-2025-54576 (query), CVE-2026-41059 (`#` in the target), CVE-2026-40575
(X-Forwarded-Uri), CVE-2021-39206, CVE-2021-32637 (malformed URI).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from tests.attacks.outside import ask, hostile

if TYPE_CHECKING:
    from tests.attacks.outside import Tap
    from tests.bff.raw import RawAnswer
    from tests.world import World

OPEN = ("/healthz", "/info", "/login", "/static/style.css", "/auth/session", "/static")
CLOSED = (
    "/whoami",
    "/auth/sessions",
    "/onboarding/status",
    "/tenants/1001",
    "/export/latest_scores.json",
    "/graph/threads/x",
)
# {open} is a path for everybody, {closed} one that needs a session.
FORMS = (
    "{open}/..{closed}",
    "{open}/%2e%2e{closed}",
    "{open}/%2E%2E{closed}",
    "{open}/%252e%252e{closed}",
    "{open}/..;{closed}",
    "{open}/..;x=1{closed}",
    "{open}/%2e%2e%2f{closed}",
    "{open}\\..{closed}",
    "{open}%5c..{closed}",
    "{open};{closed}",
    "{open}#{closed}",
    "{open}%23{closed}",
    "{open}%3f{closed}",
    "{open}?{closed}",
    "{open}%00{closed}",
    "{open}%0d%0a{closed}",
    "{open}@{closed}",
    "{closed}#{open}",
    "{closed}?{open}",
    "{closed}?x={open}",
    "{closed};{open}",
    "{closed}/..{open}",
    "{closed}%3f{open}",
    "{closed}%23{open}",
    "/{closed}",
    "//{closed}",
    "/.{closed}",
    "/%2e{closed}",
    "/x/..{closed}",
    "{closed}/",
    "{closed}/.",
    "{closed}%20",
    "{closed}.css",
    "{closed};.css",
    "http://evil.test{closed}",
    "http://evil.test{open}/..{closed}",
    "//evil.test{closed}",
)
NAMED = ("X-Forwarded-Uri", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix")


def shows_nothing(answer: RawAnswer, target: str) -> None:
    """Check that nothing came that only a session opens."""
    assert answer.status < 500, target
    assert b"@acme.test" not in answer.body, target
    assert b"rationale" not in answer.body, target
    if answer.status == 200:
        # Then it is the open path's own answer, whatever the rest was taken for.
        kinds = ("text/css", "text/html", "text/javascript", "application/json")
        assert answer.headers["content-type"].partition(";")[0] in kinds
        known = (b"authenticated", b"ok", b"alive", b"<!doctype", b"version", b"status")
        css = answer.headers["content-type"].startswith("text/css")
        assert css or any(one in answer.body.lower() for one in known), target


async def test_no_way_of_writing_a_closed_path_opens_it(world: World) -> None:
    async with world.signed_in():  # somebody else is in; that must not help
        for form in FORMS:
            for closed in CLOSED:
                for decoy in OPEN[:: 1 if "{open}" in form else len(OPEN)]:
                    target = form.format(open=decoy, closed=closed)
                    shows_nothing(await ask(world, f"GET {target}"), target)
        for name in NAMED:
            for closed in CLOSED:
                plain = await ask(world, f"GET {closed}", f"{name}: /healthz")
                assert plain.status == 401
                other = await ask(world, "GET /healthz", f"{name}: {closed}")
                shows_nothing(other, name)
    assert world.graph.seen == []


PIECES = st.sampled_from(
    [
        *("threads", "x", "state", "docs", "internal", "metrics", "ui", "http", "mcp"),
        *("..", ".", "%2e%2e", "%2E.", "..;", "..;a=b", "%252e%252e", "%c0%ae%c0%ae"),
        *("%2f", "%5c", "\\", "%00", "%0a", "", "@evil.test", "a%2f..", "%23", "%3f"),
    ]
)
# What the graph server's allowed paths begin with (LangGraph's own API).
FIRST = {"threads", "runs", "assistants", "store", "info", "ok", "mcp", "a2a"}


@hostile(150)
@given(
    # Half of them begin as good ones do, or nothing would come to be judged.
    st.lists(PIECES, min_size=1, max_size=5)
    | st.lists(PIECES, min_size=1, max_size=2).map(lambda more: ["threads", *more]),
    st.sampled_from(["", "/", "?x"]),
)
async def test_only_what_was_decided_on_is_forwarded(
    tap: Tap, pieces: list[str], end: str
) -> None:
    target = f"/graph/{'/'.join(pieces)}{end}"

    answer, seen = await tap.ask(f"GET {target}")

    assert answer.status in {200, 400, 404, 405}, target
    assert (answer.status == 200) == bool(seen), target
    for one in seen:
        path = read_twice(one.target.partition("?")[0])
        segments = path.replace("\\", "/").split("/")
        plain = [segment.partition(";")[0] for segment in segments]
        assert plain[1] in FIRST, (target, one.target)
        assert not {"..", ".", ""} & set(plain[1:-1]), (target, one.target)
        assert plain[-1] not in {"..", "."}, (target, one.target)
        assert path.isprintable(), (target, one.target)


JUDGED = (
    ("/graph/threads/x", "/threads/x"),
    ("/graph/threads/%78?a=..%2f#", None),
    ("/graph/threads/%78?a=..%2f", "/threads/x?a=..%2f"),
    ("/graph/threads/x/../../info", "/info"),
    ("/graph/threads/x/../../docs", None),
    ("/graph/threads/x/%2e%2e/%2e%2e/internal/x", None),
    ("/graph/../graph/threads/x", "/threads/x"),
    ("/graph/../whoami", None),
    ("/graph/threads/a%2f..%2f..%2finternal", None),
    ("/graph/threads/..%2Finternal", None),
    ("/graph/threads/a%5c..%5cinternal", None),
    ("/graph/threads/a\\..\\internal", None),
    ("/graph/threads/a%252f..%252finternal", None),
    ("/graph/threads/..;/internal", None),
    ("/graph/threads/x/..;a=b", None),
    ("/graph/threads//x", None),
    ("/graph//threads/x", None),
    ("/graph/threads/%c0%ae%c0%ae", None),
    ("/graph/threads/x%00", None),
    ("/graph/threads/x%0d%0aX-Tenant-ID:1", None),
    ("/graph/threads/x%", None),
    ("/graph", None),
    ("/graphs/threads/x", None),
)


async def test_the_path_that_was_judged_is_the_path_that_is_sent(tap: Tap) -> None:
    for target, sent in JUDGED:
        _, seen = await tap.ask(f"GET {target}")

        assert [one.target for one in seen] == ([] if sent is None else [sent]), target


def read_twice(path: str) -> str:
    """Decode as often as the most careless reader would."""
    for _ in range(3):
        path = unquote(path, errors="replace")
    return path
