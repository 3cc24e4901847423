"""Bodies are JSON of the expected shape, or the field that is wrong is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from aiohttp import web
from pydantic import Field

from bff.body import Body, read_body
from tests.bff.raw import exchange, head
from tests.bff.small import Small, small

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Deep(Body):
    """A field of a field."""

    limit: int = 1


class Wanted(Body):
    """What the address takes."""

    name: Annotated[str, Field(max_length=10, pattern=r"^[^\x00-\x1f\x7f]*$")]
    count: Annotated[int, Field(ge=0)] = 0
    deep: Deep = Deep()


class Optional(Body):
    """What an address takes that can do without."""

    everywhere: bool = False


async def take(request: web.Request) -> web.Response:
    return web.json_response((await read_body(request, Wanted)).model_dump())


async def maybe(request: web.Request) -> web.Response:
    return web.json_response((await read_body(request, Optional)).model_dump())


@pytest.fixture
async def gateway() -> AsyncGenerator[Small]:
    async with small({"POST /take": take, "POST /maybe": maybe}) as running:
        yield running


async def sent(gateway: Small, body: bytes | str) -> tuple[int, dict[str, Any], str]:
    answer = await gateway.ask(
        "POST", "/take", data=body, headers={"Content-Type": "application/json"}
    )
    return answer.status, await answer.json(content_type=None), await answer.text()


async def test_a_good_body_is_read(gateway: Small) -> None:
    status, body, _ = await sent(gateway, '{"name": "ä", "deep": {"limit": 2}}')

    assert status == 200
    assert body == {"name": "ä", "count": 0, "deep": {"limit": 2}}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{}", "name"),
        ('{"name": 5}', "name"),
        ('{"name": null}', "name"),
        ('{"name": ["CANARY"]}', "name"),
        ('{"name": "CANARY-too-long"}', "name"),
        ('{"name": "CANARY\\u0000"}', "name"),
        ('{"name": "CANARY\\n"}', "name"),
        ('{"name": "CANARY\\u001b"}', "name"),
        ('{"name": "CANARY\\u007f"}', "name"),
        ('{"name": "x", "count": "CANARY"}', "count"),
        ('{"name": "x", "count": -1}', "count"),
        ('{"name": "x", "count": 1e999}', "count"),
        ('{"name": "x", "extra": "CANARY"}', "extra"),
        ('{"name": "x", "deep": {"limit": "CANARY"}}', "deep.limit"),
        ('{"name": "x", "deep": {"more": "CANARY"}}', "deep.more"),
        ('["CANARY"]', "(the whole body)"),
        ('"CANARY"', "(the whole body)"),
        ("null", "(the whole body)"),
        ("5", "(the whole body)"),
    ],
)
async def test_a_wrong_field_is_named_and_its_value_never_shown(
    gateway: Small, body: str, field: str
) -> None:
    status, said, text = await sent(gateway, body)

    assert (status, said["code"]) == (422, "invalid_body")
    assert [one["field"] for one in said["errors"]] == [field]
    assert field in said["detail"]
    assert "CANARY" not in text


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"name": "CANARY"',
        b"CANARY",
        b'{"name": "CANARY",}',
        b"{'name': 'CANARY'}",
        b'{"name": "CANARY\xff"}',
        b'{"name": "CANARY\\ud800"}',
        b'{"name": "CANARY\x00"}',
        b"\xef\xbb\xbf{}",
        b"[" * 4000,
        b'{"name": "x"} CANARY',
        '{"name": "x"}'.encode("utf-16"),
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_what_is_not_json_is_a_bad_request(gateway: Small, body: bytes) -> None:
    status, said, text = await sent(gateway, body)

    assert (status, said["code"]) == (400, "bad_request")
    assert "CANARY" not in text


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/json",
        "application/jsonp",
        "application/json-patch+json",
        "application/octet-stream",
        "application/json/evil",
        "",
    ],
)
async def test_a_form_or_text_is_not_taken(gateway: Small, kind: str) -> None:
    for path in ("/take", "/maybe"):
        body = b'{"name": "x"}'
        answer = await exchange(
            gateway.url,
            head(
                gateway.url,
                f"POST {path}",
                f"Content-Type: {kind}",
                f"Content-Length: {len(body)}",
            )
            + body,
        )
        assert answer.status == 415
        assert answer.json["code"] == "unsupported_media_type"


async def test_a_charset_beside_the_type_is_taken(gateway: Small) -> None:
    answer = await gateway.ask(
        "POST",
        "/take",
        data=b'{"name": "x"}',
        headers={"Content-Type": "Application/JSON; charset=utf-8"},
    )
    assert answer.status == 200


async def test_an_oversize_body_is_refused_with_and_without_a_length(
    gateway: Small,
) -> None:
    body = json.dumps({"name": "CANARY" * 1000}).encode()
    typed = "Content-Type: application/json"
    known = head(gateway.url, "POST /take", typed, f"Content-Length: {len(body)}")
    chunked = head(gateway.url, "POST /take", typed, "Transfer-Encoding: chunked")
    chunks = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"

    for request in (known + body, chunked + chunks):
        answer = await exchange(gateway.url, request)
        assert (answer.status, answer.json["code"]) == (413, "too_large")
        assert b"CANARY" not in answer.raw


async def test_no_body_is_an_empty_one(gateway: Small) -> None:
    bare = await gateway.ask("POST", "/maybe")
    form = await gateway.ask("POST", "/maybe", headers={"Content-Type": "text/plain"})

    assert await bare.json() == await form.json() == {"everywhere": False}


async def test_a_body_that_never_ends_is_cut_off_by_its_browser(gateway: Small) -> None:
    request = head(
        gateway.url,
        "POST /take",
        "Content-Type: application/json",
        "Content-Length: 100",
    )

    with pytest.raises(TimeoutError):
        await exchange(gateway.url, request + b"{", timeout=0.2)
    assert (await gateway.ask("POST", "/maybe")).status == 200
