"""Exceptions inside the fake Odoo, by their Python names."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


class Raised(Exception):
    """An exception inside the fake Odoo, by its Python name."""

    def __init__(self, name: str, message: str, *arguments: Any) -> None:
        super().__init__(message)
        self.name, self.message = name, message
        self.arguments = list(arguments) or [message]

    def data(self) -> Row:
        """Return what odoo/http.py, serialize_exception makes of it."""
        debug = f'Traceback (most recent call last):\n  File "/opt/odoo"\n{self.name}'
        return {
            "name": self.name,
            "message": self.message,
            "arguments": self.arguments,
            "context": {},
            "debug": debug,
        }


def access_denied() -> Raised:
    return Raised("odoo.exceptions.AccessDenied", "Access Denied")


def not_found(message: str) -> Raised:
    return Raised("werkzeug.exceptions.NotFound", message, message, 404)


def cannot_connect(why: str) -> Raised:
    return Raised(
        "psycopg2.OperationalError",
        f'connection to server at "127.0.0.1", port 5432 failed: FATAL:  {why}\n',
    )
