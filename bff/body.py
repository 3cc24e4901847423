"""Read JSON bodies into typed values, naming the field that is wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, TypeVar

from aiohttp import web
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
)

from bff.errors import BadRequest, InvalidBody, TooLarge, TooSlow, WrongMediaType

if TYPE_CHECKING:
    from collections.abc import Mapping

BODY_SECONDS = 30.0
# What browsers take as an address (HTML Living Standard, type=email).
EMAIL = (
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}"
    r"[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"
)

Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254, pattern=EMAIL),
    AfterValidator(str.lower),
]


class Body(BaseModel):
    """Refuse fields that nobody reads, so that a typing error is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


B = TypeVar("B", bound=Body)


async def read_body(request: web.Request, model: type[B]) -> B:
    """Return the JSON body of *request* as *model*; an empty body is ``{}``.

    Raises:
        WrongMediaType: for forms and text, which a foreign page could send.
        TooLarge: over the server's limit.
        BadRequest: for what is not JSON.
        InvalidBody: naming every field that is wrong, never showing its value.
    """
    if request.can_read_body and request.content_type != "application/json":
        raise WrongMediaType
    raw = await read_raw(request)
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        problems = [_problem(found) for found in error.errors(include_input=False)]
        if any(found["type"] == "json_invalid" for found in error.errors()):
            raise BadRequest("The body of the request is not valid JSON.") from None
        names = ", ".join(sorted({problem["field"] for problem in problems}))
        raise InvalidBody(
            f"These fields are missing or not as expected: {names}.", errors=problems
        ) from None


async def read_raw(request: web.Request) -> bytes:
    """Return the body of *request*, which must come within 30 seconds.

    Raises:
        TooLarge: over the server's limit.
        TooSlow: when it does not come.
        BadRequest: when it breaks off, or is not encoded as it says.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLarge from error
    except TimeoutError as error:
        raise TooSlow from error
    except web.RequestPayloadError as error:
        raise BadRequest("The body of the request cannot be read.") from error


def _problem(found: Mapping[str, object]) -> dict[str, str]:
    place = found["loc"]
    steps = place if isinstance(place, tuple) else ()
    field = ".".join(str(step) for step in steps) or "(the whole body)"
    return {"field": field, "message": str(found["msg"])}
