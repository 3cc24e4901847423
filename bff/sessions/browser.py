"""Carry tickets between a request, the handlers and the answer.

Cookies of a session are written here and nowhere else, as the answer's head is
prepared, and only when this request changed them. aiohttp has turned `set_cookie`
into headers before that moment, so the headers themselves are added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from bff.sessions.cookies import Cookies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bff.sessions.session import Pair

CLOCK: web.AppKey[Callable[[], float]] = web.AppKey("clock")
COOKIES = web.AppKey("cookies", Cookies)
CHANGES = web.RequestKey("cookie_changes", list[str])


def written(request: web.Request, pair: Pair) -> list[str]:
    """Return the Set-Cookie values that bring the browser of *request* to *pair*.

    Raises:
        CookieTooLarge: when they do not fit.
    """
    now = request.app[CLOCK]()
    return request.app[COOKIES].set_headers(pair, request.cookies, now)


def keep(request: web.Request, pair: Pair) -> None:
    """Let the answer to *request* set the cookies of *pair*.

    Raises:
        CookieTooLarge: when they do not fit.
    """
    request[CHANGES] = written(request, pair)


def forget(request: web.Request) -> None:
    """Let the answer to *request* delete every session cookie it came with."""
    cookies = request.app[COOKIES]
    request[CHANGES] = cookies.clear_headers(cookies.present(request.cookies))


def also(request: web.Request, headers: Sequence[str]) -> None:
    """Let the answer carry further Set-Cookie values."""
    request[CHANGES] = [*request.get(CHANGES, []), *headers]


async def write_cookies(request: web.Request, response: web.StreamResponse) -> None:
    """Add what `keep` and `forget` decided; an `on_response_prepare` signal."""
    for value in request.get(CHANGES, ()):
        response.headers.add("Set-Cookie", value)
