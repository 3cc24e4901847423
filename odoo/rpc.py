"""Odoo's envelopes: calls as bytes, and answers as values or errors.

JSON-RPC is that of odoo/addons/rpc and odoo/http.py (16 to 19), JSON-2 that of
odoo/addons/rpc/controllers/json2.py (19 on), the forms are those of
odoo/addons/web/controllers/database.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from odoo.errors import BadAnswer
from odoo.failures import failure, page_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/json"
Json = Any  # what JSON can hold; whoever asked knows what it should be


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request to a server; `secrets` are what its errors must not repeat."""

    path: str
    body: bytes = field(repr=False)
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back: HTTP status, media type without parameters, and the body."""

    status: int
    media_type: str
    body: bytes = field(repr=False)
    cookie: str = field(default="", repr=False)
    location: str = ""


def service(name: str, method: str, *arguments: Json, secrets: tuple[str, ...]) -> Call:
    """Build a call of a service (`common`, `db`, `object`) at /jsonrpc."""
    params = {"service": name, "method": method, "args": arguments}
    return web("/jsonrpc", params, secrets=secrets)


def web(path: str, params: Mapping[str, Any], *, secrets: tuple[str, ...]) -> Call:
    """Build a call of a JSON-RPC route, such as /web/session/authenticate."""
    envelope = {"jsonrpc": "2.0", "method": "call", "params": params, "id": 1}
    return Call(path=path, body=json.dumps(envelope).encode(), secrets=secrets)


def json2(
    model: str, method: str, named: Mapping[str, Any], *, key: str, database: str
) -> Call:
    """Build a call of /json/2: named arguments, `ids` and `context` among them.

    The database is always named: with a single one Odoo takes it by itself, and the
    day a second one comes a call without the header fails.
    """
    return Call(
        path=f"/json/2/{quote(model, safe='')}/{quote(method, safe='')}",
        body=json.dumps(named).encode(),
        headers={"Authorization": f"bearer {key}", "X-Odoo-Database": database},
        secrets=(key,),
    )


def form(path: str, fields: Mapping[str, str], *, secrets: tuple[str, ...]) -> Call:
    """Build a call of the database manager's forms."""
    return Call(
        path=path,
        body=urlencode(fields).encode(),
        content_type="application/x-www-form-urlencoded",
        secrets=secrets,
    )


def jsonrpc_value(answer: Answer, call: Call) -> Json:
    """Return the result of a JSON-RPC answer.

    Raises:
        Refused: Odoo answered with an error; the subclass says which.
        BadAnswer: It is no JSON-RPC answer.
    """
    if answer.status != HTTPStatus.OK:
        raise page_failure(answer, call.secrets)
    said = _object(answer)
    if "error" in said:
        error = said["error"]
        data = error.get("data") if isinstance(error, dict) else None
        if not isinstance(data, dict):
            raise BadAnswer(answer.status)
        raise failure(data, call.secrets, answer.status)
    if said.get("jsonrpc") != "2.0":
        raise BadAnswer(answer.status)
    # odoo/http.py leaves a result of None out.
    return said.get("result")


def json2_value(answer: Answer, call: Call) -> Json:
    """Return the value of a JSON-2 answer.

    Raises:
        Refused: Odoo answered with an error; the subclass says which.
        BadAnswer: It is no JSON-2 answer.
    """
    if answer.media_type != JSON:
        raise page_failure(answer, call.secrets)
    if answer.status == HTTPStatus.OK:
        return parsed(answer)
    raise failure(_object(answer), call.secrets, answer.status)


def form_done(answer: Answer, call: Call) -> None:
    """Accept a form's answer: a redirect is success, up to Odoo 19 a 200 is an error.

    Raises:
        Refused: The page tells of an error.
        BadAnswer: It is no page of the database manager.
    """
    if answer.status == HTTPStatus.SEE_OTHER:
        return
    raise page_failure(answer, call.secrets)


def parsed(answer: Answer) -> Json:
    """Return the JSON of a body.

    Raises:
        BadAnswer: It is none.
    """
    if answer.media_type != JSON:
        raise BadAnswer(answer.status)
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise BadAnswer(answer.status) from error


def _object(answer: Answer) -> dict[str, Any]:
    said = parsed(answer)
    if not isinstance(said, dict):
        raise BadAnswer(answer.status)
    return said
