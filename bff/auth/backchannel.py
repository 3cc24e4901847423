"""End sessions when the provider says so (OpenID Connect Back-Channel Logout 1.0)."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web

from bff.access import CONFIG, STORE
from bff.auth.signing_in import PROVIDER
from bff.database import DATABASE
from bff.errors import AuthUnavailable, BadRequest
from bff.identity.keys import SignatureRefused
from bff.identity.logout_token import LogoutToken, read_logout_token
from bff.identity.messages import ClaimsRefused, ProviderUnavailable
from bff.sessions.browser import CLOCK

if TYPE_CHECKING:
    from bff.database import Database

log = logging.getLogger(__name__)

REASON = "provider_logout"


async def backchannel_logout(request: web.Request) -> web.Response:
    """End the sessions that a logout token names, live streams included."""
    form = await request.post()
    text = form.get("logout_token")
    if not isinstance(text, str) or len(form.getall("logout_token")) != 1:
        raise BadRequest("Send one logout_token as a form field.")
    token = await _proven(request, text)
    # The provider sends once and never again: nothing may stop half-way.
    ended = await asyncio.shield(_end(request, token))
    log.info("the provider ended %d sessions", ended)
    return web.Response(status=200)


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
    store = request.app[STORE]
    if not await _first_use(request.app[DATABASE], token):
        raise BadRequest("The logout token was used before.")
    if token.sub is not None:
        user_id = f"{token.iss} {token.sub}"
    else:
        found = await store.user_of(token.sid or "")
        if found is None:
            return 0
        user_id = found
    if token.sid is None:
        return await store.end_all(user_id, REASON)
    return await store.end_of_provider(user_id, token.sid, REASON)


async def _first_use(database: Database, token: LogoutToken) -> bool:
    async with database.shared_transaction() as connection:
        await connection.execute("DELETE FROM logout_token WHERE expires_at < now()")
        return bool(
            await connection.fetchval(
                "INSERT INTO logout_token (jti, expires_at) VALUES ($1, $2) "
                "ON CONFLICT DO NOTHING RETURNING true",
                token.jti,
                datetime.fromtimestamp(token.expires_at, UTC),
            )
        )
