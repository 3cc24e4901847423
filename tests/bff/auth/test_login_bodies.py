"""What /auth/login refuses before anybody is asked about a password."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.bff.raw import exchange, head
from tests.bff.sessions.refreshing import without_id
from tests.world import PASSWORD, World

if TYPE_CHECKING:
    from tests.databases import Databases


async def asked(world: World, raw: bytes, kind: str = "application/json") -> Any:
    async with world.browser() as browser:
        answer = await browser.post(
            "/auth/login", data=raw, headers={"Content-Type": kind}
        )
        text = await answer.text()
        assert "CANARY" not in text
        return answer.status, json.loads(text)


async def test_a_body_of_another_shape_is_named_and_not_repeated(world: World) -> None:
    good = {"email": "alice@acme.test", "password": "CANARY"}
    for change, field in (
        ({"email": None}, "email"),
        ({"email": 5}, "email"),
        ({"email": ""}, "email"),
        ({"email": "   "}, "email"),
        ({"email": "CANARY\x00@acme.test"}, "email"),
        ({"email": "CANARY\r\n@acme.test"}, "email"),
        ({"email": "\x7fCANARY"}, "email"),
        ({"email": "CANARY" * 50}, "email"),
        ({"email": "CANARY"}, "email"),
        ({"password": ""}, "password"),
        ({"password": 5}, "password"),
        ({"password": ["CANARY"]}, "password"),
        ({"password": "CANARY" * 200}, "password"),
        ({"otp": 123456}, "otp"),
        ({"otp": "CANARY\n"}, "otp"),
        ({"tenant_id": 1002}, "tenant_id"),
        ({"roles": ["CANARY"]}, "roles"),
    ):
        status, body = await asked(world, json.dumps({**good, **change}).encode())
        assert (status, body["code"]) == (422, "invalid_body")
        assert [one["field"] for one in body["errors"]] == [field]
    for missing in good:
        rest = {name: good[name] for name in good if name != missing}
        status, body = await asked(world, json.dumps(rest).encode())
        assert (status, body["errors"][0]["field"]) == (422, missing)


async def test_what_is_no_json_form_or_too_large_is_refused(world: World) -> None:
    form = b"email=alice@acme.test&password=CANARY"
    big = json.dumps({"email": "a", "password": "CANARY" * 50000}).encode()

    assert (await asked(world, b'{"email": "CANARY'))[0] == 400
    assert (await asked(world, form, "application/x-www-form-urlencoded"))[0] == 415
    assert (await asked(world, b'{"password": "CANARY"}', "text/plain"))[0] == 415
    assert (await asked(world, big))[0] == 413
    assert not world.provider.events


async def test_no_other_site_signs_a_browser_in(world: World) -> None:
    strange: list[dict[str, str]] = [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": world.url},
        {"Origin": "null"},
        {"Origin": "https://evil.test"},
        {"Origin": world.url + "0"},
        {"Origin": world.url.replace("localhost", "LOCALHOST")},
        {},
    ]
    body = json.dumps({"email": "alice@acme.test", "password": PASSWORD}).encode()
    sized = ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    for headers in strange:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        answer = await exchange(
            world.url, head(world.url, "POST /auth/login", *lines, *sized) + body
        )
        assert (answer.status, answer.json["code"]) == (403, "cross_site_refused")
        assert "set-cookie" not in answer.headers
    assert not world.provider.events

    for origin in world.config.server.public_origins:
        lines = [f"Origin: {origin}", *sized]
        answer = await exchange(
            world.url, head(world.url, "POST /auth/login", *lines) + body
        )
        assert answer.status == 200


async def test_password_sign_in_can_be_removed(databases: Databases) -> None:
    world = World(databases, settings={"auth": {"direct_grant": False}})
    async with world.running(), world.browser() as browser:
        answer = await browser.login("alice@acme.test")
        unknown = await browser.post("/auth/nowhere")

        assert answer.status == unknown.status == 404
        assert without_id(await answer.json(content_type=None)) == without_id(
            await unknown.json(content_type=None)
        )
