"""Every failure has one name, one status and a sentence that gives nothing away."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from bff.database import DatabaseUnavailable
from bff.errors import GatewayError, NotFound
from bff.errors_access import AccountActionRequired
from bff.problems import problem, problem_body, translate
from graph_proxy import errors as proxy_errors
from tests.bff.failures import kinds

ALL: list[type[GatewayError]] = [GatewayError, *kinds()]


@pytest.mark.parametrize("kind", ALL)
def test_each_answer_is_a_problem_with_a_sentence(kind: type[GatewayError]) -> None:
    answer = problem(kind(), "the-id")

    body = json.loads(problem_body(kind(), "the-id"))
    assert answer.status == body["status"] == kind.status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(body) == {"type", "title", "status", "detail", "code", "request_id"}
    assert body["type"] == f"urn:nexius:problem:{body['code']}"
    assert body["request_id"] == "the-id"
    assert body["detail"][0].isupper()
    assert body["detail"].endswith(".")


def test_codes_are_unlike() -> None:
    assert len({kind.code for kind in ALL}) == len(ALL)


def test_an_error_carries_headers_and_members() -> None:
    error = AccountActionRequired(
        "Look.", headers={"Retry-After": "5"}, continue_url="/auth/sso"
    )

    body = json.loads(problem_body(error, "id"))

    assert (body["detail"], body["continue_url"]) == ("Look.", "/auth/sso")
    assert problem(error, "id").headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (web.HTTPBadRequest(text="CANARY"), 400),
        (web.HTTPNotFound(text="CANARY"), 404),
        (web.HTTPRequestEntityTooLarge(10, 20, text="CANARY"), 413),
        (web.HTTPUnsupportedMediaType(text="CANARY"), 415),
        (web.HTTPExpectationFailed(text="CANARY"), 417),
        (web.HTTPUpgradeRequired(text="CANARY"), 400),
        (web.HTTPInternalServerError(text="CANARY"), 500),
        (web.HTTPServiceUnavailable(text="CANARY"), 500),
        (proxy_errors.PathRefused("CANARY"), 404),
        (proxy_errors.BadPath("CANARY"), 400),
        (proxy_errors.BodyTooLarge(5), 413),
        (proxy_errors.UpstreamUnavailable("CANARY"), 502),
        (DatabaseUnavailable("CANARY"), 503),
    ],
)
def test_errors_of_others_are_said_in_our_words(error: Exception, status: int) -> None:
    known = translate(error)

    assert known is not None
    assert known.status == status
    assert b"CANARY" not in problem_body(known, "id")


def test_a_wrong_method_says_which_are_right() -> None:
    known = translate(web.HTTPMethodNotAllowed("PUT", ["GET", "POST"]))

    assert known is not None
    assert known.status == 405
    assert known.headers["Allow"] == "GET,POST"


def test_subclasses_inherit_their_parents_row() -> None:
    class Hidden(proxy_errors.PathRefused):
        pass

    known = translate(Hidden("x"))

    assert isinstance(known, NotFound)


def test_strangers_and_redirects_have_no_name_here() -> None:
    assert translate(RuntimeError("CANARY")) is None
    assert translate(web.HTTPFound("/")) is None
    same = NotFound()
    assert translate(same) is same
