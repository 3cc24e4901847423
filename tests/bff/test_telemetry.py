"""Log lines hold no secret and no trick; what happens is counted."""

from __future__ import annotations

import json
import logging
import sys
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from bff.config_operating import Telemetry
from bff.current_session import _attach
from bff.telemetry import (
    JsonFormatter,
    TextFormatter,
    about,
    configure_logging,
    mark_of,
    masked,
    new_request_id,
    request_id,
)
from tests.bff.identity.minting import token
from tests.bff.sessions.tickets import make_pair
from tests.bff.small import small

SECRETS = (
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.CANARY-signature",
    "Authorization: Bearer CANARY.token~with/all+chars=",
    "bearer CANARY",
    "nx_access=1CANARY",
    "__Host-nx_access.2=CANARY-part",
    "Cookie: a=b; nx_refresh=1CANARY_value-x; c=d",
    "nx_signin.Qx_3-z=CANARY",
    "__Host-nx_device=1CANARY",
    "password=CANARY&username=x",
    "{'password': 'CANARY'}",
    '{"password":"CANARY"}',
    "client_secret=CANARY",
    "refresh_token=CANARY",
    "code_verifier=CANARY",
    "otp=123CANARY",
    "totp: CANARY",
    "postgresql://bff_app:CANARY@127.0.0.1:5432/db",
    "postgres://u:CANARY@h",
)


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("bff.test", logging.INFO, "f", 1, message, (), None)
    made.__dict__.update(extra)
    return made


def failed(text: str) -> logging.LogRecord:
    try:
        raise RuntimeError(text)  # noqa: TRY301 - raised to be caught
    except RuntimeError:
        made = record("a handler failed")
        made.exc_info = sys.exc_info()
        return made


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_masked_wherever_it_stands(secret: str) -> None:
    for formatter in (JsonFormatter(), TextFormatter()):
        for line in (
            formatter.format(record(f"before {secret} after")),
            formatter.format(record("x", fields={"path": f"/a/{secret}"})),
            formatter.format(failed(f"it was {secret}")),
        ):
            assert "CANARY" not in line
            assert "masked" in line


def test_a_real_token_is_masked_and_words_are_not() -> None:
    assert masked(f"got {token()} from there") == "got [masked] from there"
    assert masked("the password was refused") == "the password was refused"


@given(st.text(), st.text())
def test_one_record_is_one_line_without_control_characters(
    message: str, path: str
) -> None:
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(record("%s", args=(message,), fields={"path": path}))
        assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in line)
    json.loads(JsonFormatter().format(record("%s", args=(message,))))


def test_an_error_in_text_keeps_its_lines_but_obeys_nobody() -> None:
    line = TextFormatter().format(failed("a\x1b[2Jb\x9bc\rd"))

    assert "\n" in line
    assert not {"\x1b", "\x9b", "\r"} & set(line)


def test_a_line_names_its_request() -> None:
    reset = request_id.set("the-id")
    try:
        line = json.loads(JsonFormatter().format(record("hello")))
    finally:
        request_id.reset(reset)

    assert line["request_id"] == "the-id"
    assert (line["level"], line["logger"], line["message"]) == (
        "info",
        "bff.test",
        "hello",
    )
    assert "request_id" not in json.loads(JsonFormatter().format(record("hello")))


def test_a_session_is_marked_by_a_hash_and_never_named() -> None:
    sid = uuid4()

    assert mark_of(sid) == mark_of(UUID(sid.hex))
    assert mark_of(sid) != mark_of(uuid4())
    assert sid.hex[:8] not in mark_of(sid)
    assert len(new_request_id()) == 32
    assert new_request_id() != new_request_id()


@pytest.mark.parametrize(
    ("form", "kind"), [("json", JsonFormatter), ("text", TextFormatter)]
)
def test_logging_is_set_up_in_the_form_asked_for(
    form: str, kind: type[logging.Formatter]
) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    others = {name: logging.getLogger(name).level for name in ("pgqueuer", "asyncio")}
    try:
        configure_logging(
            Telemetry.model_validate({"log_format": form, "log_level": "WARNING"})
        )
        assert [type(one.formatter) for one in root.handlers] == [kind]
        assert root.level == logging.WARNING
    finally:
        root.handlers[:], root.level = before
        for name, level in others.items():
            logging.getLogger(name).setLevel(level)


def test_lines_of_a_request_name_session_and_tenant() -> None:
    ticket = make_pair(tenant_id=7).access
    token = about.set({})
    try:
        _attach(make_mocked_request("GET", "/"), ticket)
        line = json.loads(JsonFormatter().format(record("said")))
    finally:
        about.reset(token)

    assert (line["session"], line["tenant"]) == (mark_of(ticket.sid), 7)


async def test_the_next_request_on_a_connection_is_not_taken_for_the_last() -> None:
    async def handler(_: web.Request) -> web.Response:
        marks = about.get()
        assert marks is not None
        before = dict(marks)
        marks["session"] = "somebody"
        return web.json_response(before)

    async with small({"GET /": handler}) as app:
        for _ in range(2):
            assert await (await app.ask("GET", "/")).json() == {}
