"""Show how an agent adds routes of its own beside LangGraph's (`http.app`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request


async def hello(request: Request) -> JSONResponse:
    """Greet the caller, whom `enable_custom_route_auth` makes known here."""
    return JSONResponse(
        {"hello": request.user.identity, "tenant_id": request.user["tenant_id"]}
    )


app = Starlette(routes=[Route("/demo/hello", hello)])
