"""Say of one route what its row and its handler do not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bff.openapi.shapes import TEXT, Schema, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bff.body import Body
    from bff.errors import GatewayError

Key = tuple[str, str]
HTML = {"text/html": TEXT}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no problem; *content* is its schema by media type."""

    status: int
    about: str
    content: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something read of the query, or of a header field."""

    name: str
    schema: Schema
    about: str
    where: str = "query"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route takes and answers.

    What follows from the row's access, its path and *body* is added by the document:
    401 and 403 of who is asking, 404 of what is in the path, 422 of a body.
    """

    tag: str
    answers: tuple[Answer, ...]
    body: type[Body] | None = None
    # A body that is no JSON of ours: its schema by media type.
    raw: Mapping[str, Schema] | None = None
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[type[GatewayError], ...] = ()
    # The first line of the handler's docstring, where it has none of its own.
    summary: str = ""
    about: str = ""
    # Names of security schemes: alternatives of what is sent together.
    security: tuple[tuple[str, ...], ...] | None = None


def ok(
    schema: str,
    about: str = "As asked.",
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Return an answer that holds the schema of that name."""
    content = {"application/json": named(schema)}
    return Answer(status, about, content, headers or {})


def done(about: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer without a body."""
    return Answer(204, about, headers=headers or {})
