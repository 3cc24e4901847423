"""Tell Odoo's errors apart, by the names of its exceptions."""

from __future__ import annotations

import html
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from odoo import errors
from odoo.errors import BadAnswer, OdooError, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from odoo.rpc import Answer

# odoo/http.py, serialize_exception: module and class of what was raised.
_BY_NAME: Mapping[str, type[Refused]] = {
    "odoo.exceptions.AccessDenied": errors.AccessDenied,
    "werkzeug.exceptions.Unauthorized": errors.AccessDenied,
    "odoo.exceptions.AccessError": errors.AccessRefused,
    "werkzeug.exceptions.Forbidden": errors.AccessRefused,
    "odoo.http.SessionExpiredException": errors.SessionExpired,
    "odoo.exceptions.UserError": errors.Invalid,
    "odoo.exceptions.ValidationError": errors.Invalid,
    "odoo.exceptions.RedirectWarning": errors.Invalid,
    "odoo.exceptions.MissingError": errors.RecordMissing,
    "werkzeug.exceptions.NotFound": errors.NotOffered,
    # json2.py: the method's signature is another one than ours.
    "werkzeug.exceptions.UnprocessableEntity": errors.NotOffered,
    "odoo.service.db.DatabaseExists": errors.DatabaseExists,
    "psycopg2.errors.DuplicateDatabase": errors.DatabaseExists,
    "psycopg2.errors.InvalidCatalogName": errors.TemplateMissing,
    "psycopg2.errors.ObjectInUse": errors.DatabaseBusy,
    "psycopg2.errors.SerializationFailure": errors.DatabaseBusy,
    "psycopg2.errors.LockNotAvailable": errors.DatabaseBusy,
    "psycopg2.errors.TooManyConnections": errors.DatabaseBusy,
    "psycopg2.pool.PoolError": errors.DatabaseBusy,
    "psycopg2.OperationalError": errors.DatabaseUnreachable,
    "psycopg2.errors.UndefinedTable": errors.DatabaseBroken,
    "psycopg2.errors.DiskFull": errors.NoRoom,
}
_BY_STATUS: Mapping[int, type[Refused]] = {
    HTTPStatus.OK: errors.ServerFault,
    HTTPStatus.FORBIDDEN: errors.AccessDenied,
    HTTPStatus.UNPROCESSABLE_ENTITY: errors.Invalid,
}
# Two creations at once: PostgreSQL's own index refuses the slower one.
_NAMES_TAKEN = "pg_database_datname_index"
_DISK_FULL = "[Errno 28]"
# PostgreSQL's own words, where it speaks English (utils/init/postinit.c).
_NO_SUCH = re.compile(
    r'database "[^"]*" (does not exist|is not currently accepting connections)'
)
_LONGEST = 200
_ALERT = re.compile(r'class="alert alert-danger([^"]*)"[^>]*>(.*?)</div>', re.DOTALL)


def failure(data: Mapping[str, Any], secrets: Sequence[str], status: int) -> OdooError:
    """Return the error that Odoo's `data` tells of; its `debug` is not looked at."""
    name, message = data.get("name"), data.get("message")
    if not isinstance(name, str) or not isinstance(message, str):
        return BadAnswer(status)
    kind = _BY_NAME.get(name, errors.ServerFault)
    if name == "builtins.KeyError" and data.get("arguments") == ["res.users"]:
        # The registry of a database whose creation broke off (failure mode 6).
        kind = errors.DatabaseBroken
    elif name == "builtins.KeyError" and data.get("arguments") == ["db"]:
        kind = errors.NotOffered  # the db service, gone in Odoo 20
    elif name == "builtins.OSError" and _DISK_FULL in message:
        kind = errors.NoRoom  # of files, which are copied after the database
    elif name.endswith(".UniqueViolation") and _NAMES_TAKEN in message:
        kind = errors.DatabaseExists
    elif kind is errors.DatabaseUnreachable and _NO_SUCH.search(message):
        kind = errors.NoSuchDatabase
    return kind(name, _shown(message, secrets))


def page_failure(answer: Answer, secrets: Sequence[str]) -> OdooError:
    """Return the error that a page tells of: forms, and what no database was found for.

    Up to 19 a form's error is HTTP 200 with an alert in the page; 20 answers 403 and
    422 (odoo/addons/web/controllers/database.py).
    """
    if answer.media_type != "text/html":
        return BadAnswer(answer.status)
    page = answer.body.decode("utf-8", "replace")
    if answer.status == HTTPStatus.NOT_FOUND:
        if "X-Odoo-Database" in page:
            return errors.NoDatabase("", "no database is selected")
        return errors.NotOffered("", "this server has no such route")
    alerts = [(marks, html.unescape(text)) for marks, text in _ALERT.findall(page)]
    if any("text-center" in marks for marks, _ in alerts):
        return errors.ManagerDisabled("", "the database manager is disabled")
    said = _shown(" ".join(text for _, text in alerts), secrets)
    denied = answer.status == HTTPStatus.OK and said.endswith(": Access Denied")
    kind = errors.AccessDenied if denied else _BY_STATUS.get(answer.status)
    # A page without an alert is somebody else's: a proxy's, a sign-in.
    return kind("", said) if kind and alerts else BadAnswer(answer.status)


def _shown(message: str, secrets: Sequence[str]) -> str:
    for secret in filter(None, secrets):
        message = message.replace(secret, "…")
    return " ".join(message.split())[:_LONGEST]
