"""End sessions when the provider says so (OpenID Connect Back-Channel Logout 1.0)."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from aiohttp import web

from bff.audit import actor_of
from bff.auth.signing_in import PROVIDER
from bff.body import read_raw
from bff.current_session import CONFIG, STORE
from bff.database import DATABASE
from bff.errors import BadRequest, WrongMediaType
from bff.errors_access import AuthUnavailable
from bff.identity.keys import SignatureRefused
from bff.identity.logout_token import LogoutToken, read_logout_token
from bff.identity.messages import CLOCK_TOLERANCE, ClaimsRefused, ProviderUnavailable
from bff.sessions.browser import CLOCK

if TYPE_CHECKING:
    from bff.audit import Actor
    from bff.database import Database
    from bff.sessions.store import SessionStore

log = logging.getLogger(__name__)

REASON = "provider_logout"


async def backchannel_logout(request: web.Request) -> web.Response:
    """End the sessions that a logout token names, live streams included."""
    token = await _proven(request, await _field(request))
    # The provider sends once and never again: nothing may stop half-way.
    ended = await asyncio.shield(_end(request, token))
    log.info("the provider ended %d sessions", ended)
    return web.Response(status=200)


async def _field(request: web.Request) -> str:
    if request.content_type != "application/x-www-form-urlencoded":
        raise WrongMediaType("Send the logout_token as a form field.")
    raw = await read_raw(request)
    try:
        fields = parse_qs(raw.decode("ascii"), max_num_fields=10)
    except ValueError as error:
        raise BadRequest("The form cannot be read.") from error
    values = fields.get("logout_token", [])
    if len(values) != 1:
        raise BadRequest("Send one logout_token as a form field.")
    return values[0]


async def _proven(request: web.Request, text: str) -> LogoutToken:
    provider = request.app[PROVIDER]
    try:
        claims = await provider.keys.verify(text)
        return read_logout_token(
            claims,
            typ=claims.pop("_typ", None),
            issuer=provider.auth.issuer,
            client_id=request.app[CONFIG].auth.client_id,
            now=request.app[CLOCK](),
        )
    except (SignatureRefused, ClaimsRefused) as error:
        log.warning("a logout token was refused: %s", error)
        raise BadRequest("The logout token does not count.") from error
    except ProviderUnavailable as error:
        raise AuthUnavailable(headers={"Retry-After": "10"}) from error


async def _end(request: web.Request, token: LogoutToken) -> int:
    if await _was_used(request.app[DATABASE], token):
        raise BadRequest("The logout token was used before.")
    ended = await _end_sessions(request.app[STORE], token, actor_of(request))
    # Noted last: what broke off half-way may be sent again; ending twice is harmless.
    await _note_use(request.app[DATABASE], token)
    return ended


async def _end_sessions(store: SessionStore, token: LogoutToken, by: Actor) -> int:
    if token.sub is not None:
        user_id = f"{token.iss} {token.sub}"
    else:
        found = await store.user_of(token.sid or "")
        if found is None:
            return 0
        user_id = found
    if token.sid is None:
        return len(await store.end_all(user_id, REASON, by=by))
    return await store.end_of_provider(user_id, token.sid, REASON, by=by)


async def _was_used(database: Database, token: LogoutToken) -> bool:
    async with database.shared_transaction() as connection:
        return bool(
            await connection.fetchval(
                "SELECT 1 FROM logout_token WHERE jti = $1", token.jti
            )
        )


async def _note_use(database: Database, token: LogoutToken) -> None:
    async with database.shared_transaction() as connection:
        await connection.execute("DELETE FROM logout_token WHERE expires_at < now()")
        await connection.execute(
            "INSERT INTO logout_token (jti, expires_at) VALUES ($1, $2) "
            "ON CONFLICT DO NOTHING",
            token.jti,
            # As long as the token itself would still be taken.
            datetime.fromtimestamp(token.expires_at + CLOCK_TOLERANCE, UTC),
        )
