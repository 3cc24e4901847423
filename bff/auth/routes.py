"""Sign in, stay signed in, sign out: /auth/* and /whoami."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from aiohttp import web
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from bff.audit import actor_of
from bff.auth.device import DEVICE
from bff.auth.limits import seconds_to_step
from bff.auth.signing_in import PROVIDER, start_session
from bff.auth.sso import TRANSACTIONS
from bff.auth.throttle import THROTTLE, keys_of
from bff.body import Body, read_body
from bff.bypass import bypassed
from bff.client_address import address_of
from bff.current_session import CONFIG, SESSION, STORE, check_lives, refreshed
from bff.database import DatabaseUnavailable
from bff.errors import GatewayError, NotFound
from bff.errors_access import (
    AccountActionRequired,
    AuthUnavailable,
    InvalidCredentials,
    SessionEnded,
)
from bff.identity.messages import ProviderUnavailable, Refusal, TokenRefused
from bff.sessions.browser import CHANGES, CLOCK, COOKIES, forget
from bff.sessions.revocation import ENDED
from bff.telemetry import METRICS
from bff.tenancy.store import TENANCY

if TYPE_CHECKING:
    from uuid import UUID

    from bff.identity.messages import Tokens
    from bff.sessions.session import AccessTicket

log = logging.getLogger(__name__)

Line = Annotated[str, Field(max_length=254, pattern=r"^[^\x00-\x1f\x7f]*$")]
# The same with something in it beside blanks.
Name = Annotated[
    str,
    Field(
        max_length=254,
        pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$",
    ),
]


def _with_an_at(value: str) -> str:
    if "@" not in value:
        raise PydanticCustomError("email", "must be an e-mail address")
    return value


class Login(Body):
    """What /auth/login takes."""

    # Under a user name that is none, one account would be counted twice (throttle).
    email: Annotated[Name, AfterValidator(_with_an_at)]
    password: Annotated[str, Field(min_length=1, max_length=1024)]
    otp: Line | None = None


class Logout(Body):
    """What /auth/logout takes."""

    everywhere: bool = False


async def login(request: web.Request) -> web.Response:
    """Sign in with e-mail, password and an optional one-time code."""
    if not request.app[CONFIG].auth.direct_grant:
        raise NotFound
    body = await read_body(request, Login)
    loop = asyncio.get_running_loop()
    began = loop.time()
    keys = keys_of(body.email, address_of(request))
    known = request.app[DEVICE].knows(request, keys.account)
    number = await request.app[THROTTLE].enter(keys, known_device=known)
    try:
        tokens = await _granted(request, body, number)
    except (InvalidCredentials, AccountActionRequired):
        step = request.app[CONFIG].auth.refusal_step
        await asyncio.sleep(seconds_to_step(loop.time() - began, step))
        raise
    try:
        ticket = (await start_session(request, tokens, "password")).access
    except GatewayError:
        # The password was right; what failed is no fault of the person's.
        await request.app[THROTTLE].withdraw(number)
        raise
    try:
        await request.app[THROTTLE].succeed(keys)
        tenant_status = await request.app[TENANCY].status(ticket.tenant_id)
    except DatabaseUnavailable:
        # An answer that tells of a failure must not carry a session.
        request[CHANGES] = []
        raise
    request.app[DEVICE].remember(request, keys.account)
    return web.json_response(
        {
            "email": ticket.email,
            "tenant_id": ticket.tenant_id,
            "roles": ticket.roles,
            "tenant_status": tenant_status,
        }
    )


async def refresh(request: web.Request) -> web.Response:
    """Bring the session to its next generation of tokens now."""
    ticket = request.app[COOKIES].open_access(request.cookies)
    if ticket is None:
        forget(request)
        raise SessionEnded
    await check_lives(request, ticket)
    renewed = (await refreshed(request, ticket)).access
    return web.json_response(
        {
            "ok": True,
            "access_expires_at": int(renewed.access_exp),
            "session_expires_at": int(renewed.session_exp),
        }
    )


async def logout(request: web.Request) -> web.Response:
    """End the session here, or all of the person's, on every replica."""
    body = await read_body(request, Logout)
    ticket = request.app[COOKIES].open_access(request.cookies)
    answer = web.Response(status=204, headers={"Clear-Site-Data": '"cache"'})
    if ticket is not None:
        await asyncio.shield(_end(request, ticket, everywhere=body.everywhere))
        # After a password the provider keeps no session in the browser.
        if ticket.sso and (url := await _provider_logout_url(request)):
            answer.headers["X-Logout-Url"] = url
    forget(request)
    request.app[TRANSACTIONS].clear(request)
    return answer


async def session(request: web.Request) -> web.Response:
    """Tell a page whether somebody is signed in; never renews anything."""
    ticket = await bypassed(request, request.app[CONFIG])
    if ticket is None:
        ticket = request.app[COOKIES].open_access(request.cookies)
    if (
        ticket is None
        or ticket.is_over(request.app[CLOCK]())
        or await request.app[ENDED].is_ended(ticket.sid)
    ):
        return web.json_response({"authenticated": False})
    return web.json_response(
        {
            "authenticated": True,
            "sub": ticket.sub,
            "email": ticket.email,
            "tenant_id": ticket.tenant_id,
            "roles": ticket.roles,
            "access_expires_at": int(ticket.access_exp),
            "session_expires_at": int(ticket.session_exp),
        }
    )


async def whoami(request: web.Request) -> web.Response:
    """Tell who is signed in."""
    ticket = request[SESSION]
    return web.json_response(
        {
            "sub": ticket.sub,
            "email": ticket.email,
            "tenant_id": ticket.tenant_id,
            "roles": ticket.roles,
        }
    )


async def _granted(request: web.Request, body: Login, number: UUID) -> Tokens:
    """Ask the provider; what it could not judge does not count as a failure."""
    outcomes = request.app[METRICS].sign_ins
    try:
        return await request.app[PROVIDER].grant(
            body.email.strip(), body.password, body.otp
        )
    except TokenRefused as error:
        outcomes.labels("password", error.refusal.name).inc()
        if error.refusal is not Refusal.CREDENTIALS:
            await request.app[THROTTLE].withdraw(number)
        raise _refusal(error) from error
    except ProviderUnavailable as error:
        outcomes.labels("password", "unavailable").inc()
        await request.app[THROTTLE].withdraw(number)
        raise AuthUnavailable(headers={"Retry-After": "10"}) from error


def _refusal(error: TokenRefused) -> GatewayError:
    if error.refusal is Refusal.CREDENTIALS:
        return InvalidCredentials()
    if error.refusal is Refusal.ACTION_REQUIRED:
        return AccountActionRequired(continue_url="/auth/sso?prompt=login")
    return AuthUnavailable(headers={"Retry-After": "10"})


async def _end(request: web.Request, ticket: AccessTicket, *, everywhere: bool) -> None:
    """End our row first: it is what makes the old cookies worthless.

    Without the database this replica and the provider still end the session: no
    other replica can renew it. What is asked for everywhere fails then, and says so.
    """
    store = request.app[STORE]
    by = actor_of(request, ticket.user_id, ticket.email)
    if everywhere and await _is_live(request, ticket):
        # The others are heard of, too, but a moment later than this answer.
        for sid in await store.end_all(ticket.user_id, "signed_out_everywhere", by=by):
            request.app[ENDED].end(sid)
    else:
        try:
            await store.end(ticket.user_id, ticket.sid, "signed_out", by=by)
        except DatabaseUnavailable:
            log.warning("a session ended here and at the provider only: no database")
    request.app[ENDED].end(ticket.sid)
    refresh_ticket = request.app[COOKIES].open_refresh(request.cookies)
    if refresh_ticket is not None and refresh_ticket.sid == ticket.sid:
        try:
            await request.app[PROVIDER].end_session(refresh_ticket.refresh_token)
        except ProviderUnavailable:
            log.warning("the provider's session could not be ended; ours is")


async def _is_live(request: web.Request, ticket: AccessTicket) -> bool:
    """Tell whether the session may still speak for its person, by its row."""
    row = await request.app[STORE].look(ticket.user_id, ticket.sid)
    return row is not None and not row.ended


async def _provider_logout_url(request: web.Request) -> str | None:
    """Return where a browser ends the provider's own session; it holds no token."""
    config = request.app[CONFIG]
    try:
        found = await request.app[PROVIDER].discovery()
    except ProviderUnavailable:
        return None
    endpoint = found.get("end_session_endpoint")
    if not isinstance(endpoint, str):
        return None
    query = {
        "client_id": config.auth.client_id,
        "post_logout_redirect_uri": f"{config.canonical_origin}/",
    }
    return f"{endpoint}?{urlencode(query)}"
