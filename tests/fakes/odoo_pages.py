"""Pages of an Odoo, byte for byte, and the statuses of its JSON-2 errors."""

from __future__ import annotations

import html
from typing import Any

NO_DATABASE = (
    "<!DOCTYPE html>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>No database"
    " is selected and the requested URL was not found in the server-wide controllers."
    "</p>\n<p>Please verify the hostname, <a href=/web/login>login</a> and try again."
    "</p>\n\n<!-- Alternatively, use the X-Odoo-Database header. -->\n"
)
NO_ROUTE = (
    "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n"
    "<h1>Not Found</h1>\n<p>The requested URL was not found on the server.</p>\n"
)
FAILED = (
    "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n"
    "<h1>Internal Server Error</h1>\n<p>The server encountered an internal error and"
    " was unable to complete your request. Either the server is overloaded or there is"
    " an error in the application.</p>\n"
)
PAGE = "<html>\n<head>\n    <title>Odoo</title>\n</head>\n<body>\n{}\n</body>\n</html>"
ALERT = '<div class="alert alert-danger{}">{}</div>'
DISABLED = "The database manager has been disabled by the administrator"
STATUSES = {
    "werkzeug.exceptions.Unauthorized": 401,
    "odoo.exceptions.AccessDenied": 403,
    "odoo.exceptions.AccessError": 403,
    "werkzeug.exceptions.NotFound": 404,
    "odoo.exceptions.MissingError": 404,
    "odoo.exceptions.UserError": 422,
    "odoo.exceptions.ValidationError": 422,
    "werkzeug.exceptions.UnprocessableEntity": 422,
}
LINK = """                <a class=" list-group-item py-2" href="{}?response_type=code\
&amp;redirect_uri=http%3A%2F%2F{}%2Fauth_oauth%2Fsignin">
                    <span class="mx-auto">{}</span>
                </a>"""


def sign_in_page(host: str, records: dict[str, dict[int, dict[str, Any]]]) -> str:
    """Return /web/login with a link for each provider that is enabled.

    Each has the host that was asked, which Werkzeug takes for none if it has a `_`
    (werkzeug/sansio/utils.py, since 3.1.7).
    """
    known = "" if "_" in host else host
    rows = records.get("auth.oauth.provider", {}).values()
    return PAGE.format(
        "\n".join(
            LINK.format(
                html.escape(row["auth_endpoint"]), known, html.escape(row["body"])
            )
            for row in rows
            if row.get("enabled")
        )
    )
