"""Serve the OpenAPI document on the admin listener."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Source:
    """Where the document comes from, when somebody asks for it."""

    write: Callable[[], bytes]


DOCUMENT = web.AppKey("openapi_document", Source)


async def openapi(request: web.Request) -> web.Response:
    """Answer with the OpenAPI 3.1 document of what this configuration serves."""
    return web.Response(
        body=request.app[DOCUMENT].write(),
        content_type="application/json",
        charset="utf-8",
    )
