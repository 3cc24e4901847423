"""Which of Odoo's errors is which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from odoo import errors
from odoo.failures import failure, page_failure
from odoo.rpc import Answer

if TYPE_CHECKING:
    from odoo.errors import OdooError

TAKEN = 'duplicate key … constraint "pg_database_datname_index"'
CASES: dict[str, tuple[dict[str, Any], type[OdooError]]] = {
    f"{name} {number}": ({"name": name, "message": message, **more}, expected)
    for number, (name, message, more, expected) in enumerate(
        [
            ("odoo.exceptions.AccessDenied", "x", {}, errors.AccessDenied),
            ("werkzeug.exceptions.Unauthorized", "x", {}, errors.AccessDenied),
            ("odoo.exceptions.AccessError", "x", {}, errors.AccessRefused),
            ("odoo.http.SessionExpiredException", "x", {}, errors.SessionExpired),
            ("odoo.exceptions.UserError", "x", {}, errors.Invalid),
            ("odoo.exceptions.MissingError", "x", {}, errors.RecordMissing),
            ("werkzeug.exceptions.NotFound", "x", {}, errors.NotOffered),
            ("odoo.service.db.DatabaseExists", "x", {}, errors.DatabaseExists),
            ("psycopg2.errors.DuplicateDatabase", "x", {}, errors.DatabaseExists),
            ("psycopg2.errors.UniqueViolation", TAKEN, {}, errors.DatabaseExists),
            ("psycopg2.errors.UniqueViolation", "other", {}, errors.ServerFault),
            ("psycopg2.errors.ObjectInUse", "x", {}, errors.DatabaseBusy),
            ("psycopg2.errors.DiskFull", "x", {}, errors.NoRoom),
            ("builtins.OSError", "[Errno 28] No space left", {}, errors.NoRoom),
            ("builtins.OSError", "[Errno 13] Denied", {}, errors.ServerFault),
            ("psycopg2.errors.InvalidCatalogName", "x", {}, errors.TemplateMissing),
            ("psycopg2.OperationalError", "x", {}, errors.DatabaseUnreachable),
            (
                *("builtins.KeyError", "res.users"),
                *({"arguments": ["res.users"]}, errors.DatabaseBroken),
            ),
            (
                *("builtins.KeyError", "db"),
                *({"arguments": ["db"]}, errors.NotOffered),
            ),
            ("builtins.KeyError", "x", {"arguments": ["x"]}, errors.ServerFault),
            ("builtins.ValueError", "Invalid field", {}, errors.ServerFault),
        ]
    )
}


@pytest.mark.parametrize("case", CASES)
def test_exceptions_by_name(case: str) -> None:
    data, expected = CASES[case]
    error = failure(data, (), 200)
    assert type(error) is expected
    assert isinstance(error, errors.Refused)
    assert error.name == data["name"]


def test_what_time_may_cure() -> None:
    curable = (errors.DatabaseBusy, errors.DatabaseUnreachable)
    assert all(one("", "").passes for one in curable)
    assert errors.Unreachable().passes
    assert errors.BadAnswer(502).passes
    assert not errors.AccessDenied("", "").passes
    assert not errors.BadName().passes


def test_detail_has_no_traceback_no_secret_and_an_end() -> None:
    data = {
        "name": "builtins.ValueError",
        "message": "bad S3cret\n  " + "long " * 100,
        "debug": 'Traceback: File "/opt/odoo/http.py", S3cret',
    }
    error = failure(data, ("S3cret", ""), 200)
    assert str(error).startswith("builtins.ValueError: bad … long long")
    assert "S3cret" not in f"{error!r} {vars(error)}"
    assert "/opt/odoo" not in f"{error!r} {vars(error)}"
    assert len(str(error)) < 250


ALERT = '<div class="alert alert-danger{}">{}</div>'


@pytest.mark.parametrize(
    ("status", "page", "expected"),
    [
        (404, "… use the X-Odoo-Database header. -->", errors.NoDatabase),
        (404, "<h1>Not Found</h1>", errors.NotOffered),
        (
            *(200, ALERT.format(" text-center", "The database manager has been …")),
            errors.ManagerDisabled,
        ),
        (200, ALERT.format("", "… error: Access Denied"), errors.AccessDenied),
        (200, ALERT.format("", "… error: exists"), errors.ServerFault),
        (403, ALERT.format("", "Access Denied"), errors.AccessDenied),
        (422, ALERT.format("", "exists"), errors.Invalid),
        (422, "<h1>a proxy's</h1>", errors.BadAnswer),
        (500, ALERT.format("", "exists"), errors.BadAnswer),
    ],
)
def test_pages(status: int, page: str, expected: type[OdooError]) -> None:
    answer = Answer(status=status, media_type="text/html", body=page.encode())
    assert type(page_failure(answer, ())) is expected


def test_page_shows_text_without_entities_and_secrets() -> None:
    page = ALERT.format("", "database &#34;a&#34; S3cret")
    answer = Answer(status=200, media_type="text/html", body=page.encode())
    assert str(page_failure(answer, ("S3cret",))) == 'database "a" …'
