"""A page of another origin is told the same on the direct way and on aiohttp's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bff.test_graph_direct import (
    ANSWERS,
    PLAIN,
    Answer,
    Both,
    assert_same,
    both_ways,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

UI, OTHER = "http://localhost:3000", "http://localhost:5173"
FROM_UI = (f"Origin: {UI}", "Sec-Fetch-Site: same-site")


@pytest.fixture
async def both(databases: Databases) -> AsyncGenerator[Both]:
    async with both_ways(databases, split_origin={"origins": [UI, OTHER]}) as made:
        yield made


def cors(got: Answer) -> dict[str, str]:
    found = [pair for pair in got.fields if pair[0].startswith("access-control-")]
    assert len(dict(found)) == len(found), "said twice"
    return dict(found)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_every_answer_may_be_read_by_the_page_that_asked(
    both: Both, method: str
) -> None:
    body = b"{}" if method == "POST" else None
    for kind, sent in ANSWERS.items():
        ours, theirs, got = await both.ask(
            method, "/graph/threads/t/state", *FROM_UI, body=body, answer=sent
        )
        assert both.ways.last(), kind
        assert_same(ours, theirs, got)
        found = cors(ours)
        assert found["access-control-allow-origin"] == UI, kind
        assert found["access-control-allow-credentials"] == "true"
        assert "Content-Location" in found["access-control-expose-headers"]
        assert "X-Pagination-Total" in found["access-control-expose-headers"]
        assert "Origin" in dict(ours.fields)["vary"]


async def test_each_origin_on_one_connection_is_answered_by_its_own_name(
    both: Both,
) -> None:
    """Answers alike are written once and sent again: never with another's name."""
    ours_only = f"Origin: http://{both.direct.host}"
    for origin, expected in (
        (UI, UI),
        (OTHER, OTHER),
        (UI, UI),
        (None, None),
        (OTHER, OTHER),
        (None, None),
    ):
        fields = (
            (ours_only, "Sec-Fetch-Site: same-origin")
            if origin is None
            else (f"Origin: {origin}", "Sec-Fetch-Site: same-site")
        )
        ours, theirs, got = await both.ask("GET", "/graph/ok", *fields, answer=PLAIN)
        assert both.ways.last()
        assert_same(ours, theirs, got)
        assert cors(ours).get("access-control-allow-origin") == expected
        assert "Origin" in dict(ours.fields)["vary"]


async def test_a_refusal_may_be_read_as_well(both: Both) -> None:
    for method, path, fields, status in (
        ("GET", "/graph/docs", (), 404),
        ("PUT", "/graph/threads/t", (), 405),
        ("GET", "/graph/ok", ("Cookie: a=b",), 401),
        ("GET", "/graph/%zz", (), 400),
    ):
        ours, theirs, got = await both.ask(method, path, *FROM_UI, *fields)
        assert ours.status == status
        assert_same(ours, theirs, got, asks=0)
        assert cors(ours)["access-control-allow-origin"] == UI
        assert dict(ours.fields)["content-type"] == "application/problem+json"


STRANGERS = (
    "null",
    "http://localhost:30000",
    "http://localhost:300",
    "http://localhost",
    "http://LOCALHOST:3000",
    "HTTP://localhost:3000",
    "https://localhost:3000",
    "http://127.0.0.1:3000",
    "http://localhost:3000/",
    "http://localhost:3000.evil.test",
    "http://evil.localhost:3000",
    "http://localhost.:3000",
    "http://localhost:3000@evil.test",
    "http://localhost:3000, http://localhost:3000",
)


@pytest.mark.parametrize("origin", STRANGERS)
async def test_a_look_alike_is_refused_and_reads_nothing(
    both: Both, origin: str
) -> None:
    for method, body in (("GET", None), ("POST", b"{}")):
        fields = (f"Origin: {origin}", "Sec-Fetch-Site: same-site")
        ours, theirs, got = await both.ask(
            method, "/graph/threads/t/state", *fields, body=body
        )
        assert not both.ways.last()
        assert ours.status == 403
        assert_same(ours, theirs, got, asks=0)
        assert cors(ours) == {}


async def test_a_listed_origin_that_is_another_site_is_refused_all_the_same(
    both: Both,
) -> None:
    """The browser knows better than the list who asks."""
    ours, theirs, got = await both.ask(
        "GET", "/graph/ok", f"Origin: {UI}", "Sec-Fetch-Site: cross-site"
    )
    assert ours.status == 403
    assert_same(ours, theirs, got, asks=0)


async def test_an_answer_that_is_lost_may_be_read(both: Both) -> None:
    ours, theirs, got = await both.ask(
        "POST", "/graph/threads/t/runs", *FROM_UI, body=b"{}", answer=b"nonsense\r\n"
    )
    assert ours.status == 409
    assert_same(ours, theirs, got)
    assert cors(ours)["access-control-allow-origin"] == UI


async def test_asking_for_leave_never_reaches_the_upstream(both: Both) -> None:
    ours, theirs, got = await both.ask(
        "OPTIONS",
        "/graph/threads",
        *FROM_UI,
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: content-type,authorization",
    )
    assert ours.status == 204
    assert_same(ours, theirs, got, asks=0)
    assert cors(ours)["access-control-allow-headers"] == "content-type"
