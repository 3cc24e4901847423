"""Envelopes: what is sent, and what answers mean."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from odoo import errors, rpc
from odoo.rpc import Answer

CALL = rpc.service("db", "drop", "S3cret", "acme", secrets=("S3cret",))


def _answer(body: Any, status: int = 200, media_type: str = rpc.JSON) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, media_type=media_type, body=raw)


def _page(text: str, status: int = 200) -> Answer:
    return _answer(text.encode(), status, "text/html")


def test_service_call() -> None:
    assert CALL.path == "/jsonrpc"
    assert json.loads(CALL.body) == {
        "jsonrpc": "2.0",
        "method": "call",
        "params": {"service": "db", "method": "drop", "args": ["S3cret", "acme"]},
        "id": 1,
    }


def test_json2_call_always_names_its_database() -> None:
    call = rpc.json2("res.users", "read", {"ids": [1]}, key="k3y", database="acme")
    assert call.path == "/json/2/res.users/read"
    assert json.loads(call.body) == {"ids": [1]}
    assert call.headers == {"Authorization": "bearer k3y", "X-Odoo-Database": "acme"}


def test_json2_path_stays_within_json2() -> None:
    call = rpc.json2("../web", "a/b", {}, key="k", database="acme")
    assert call.path == "/json/2/..%2Fweb/a%2Fb"


def test_form_call() -> None:
    call = rpc.form("/web/database/drop", {"name": "a&b"}, secrets=())
    assert parse_qs(call.body.decode()) == {"name": ["a&b"]}
    assert call.content_type == "application/x-www-form-urlencoded"


def test_calls_and_answers_do_not_show_secrets() -> None:
    call = rpc.json2("res.users", "read", {}, key="k3y-s3cret", database="acme")
    answer = Answer(status=200, media_type="x", body=b"s3cret", cookie="s3cret")
    assert "s3cret" not in f"{call!r} {answer!r}"
    assert "S3cret" not in repr(CALL)


def test_results() -> None:
    answer = _answer({"jsonrpc": "2.0", "id": 1, "result": [1]})
    assert rpc.jsonrpc_value(answer, CALL) == [1]
    # odoo/http.py leaves out a result of None.
    assert rpc.jsonrpc_value(_answer({"jsonrpc": "2.0", "id": 1}), CALL) is None
    assert rpc.json2_value(_answer(0), CALL) == 0


@pytest.mark.parametrize(
    "answer",
    [
        _answer(b"{half"),
        _answer([]),
        _answer({}),
        _answer({"jsonrpc": "2.0", "error": "oops"}),
        _answer({"jsonrpc": "2.0", "error": {"code": 0, "message": "x"}}),
        _answer({"jsonrpc": "2.0", "error": {"data": {"name": 1, "message": 2}}}),
        _answer({"jsonrpc": "2.0", "result": 1}, media_type="text/plain"),
        _page("<h1>502 Bad Gateway</h1>", 502),
        _page("<h1>Welcome</h1>"),
        _page("<h1>Forbidden by a proxy</h1>", 403),
    ],
)
def test_answer_that_is_not_odoos(answer: Answer) -> None:
    with pytest.raises(errors.BadAnswer) as raised:
        rpc.jsonrpc_value(answer, CALL)
    # A proxy that gave up waiting says nothing of what Odoo did.
    assert isinstance(raised.value, errors.OutcomeUnknown)
    assert raised.value.status == answer.status


@pytest.mark.parametrize(
    "answer", [_answer(b"{half"), _answer([], 500), _page("<h1>504</h1>", 504)]
)
def test_json2_answer_that_is_not_odoos(answer: Answer) -> None:
    with pytest.raises(errors.BadAnswer):
        rpc.json2_value(answer, CALL)


def test_json2_error() -> None:
    said = {"name": "werkzeug.exceptions.Unauthorized", "message": "Invalid apikey"}
    with pytest.raises(errors.AccessDenied, match="Invalid apikey"):
        rpc.json2_value(_answer(said, 401), CALL)


def test_form_is_done_by_its_redirect() -> None:
    rpc.form_done(_page("", 303), CALL)
    with pytest.raises(errors.BadAnswer):
        rpc.form_done(_page("", 302), CALL)
