"""Sign in at the provider: authorization code with PKCE (RFC 7636, RFC 9207)."""

from __future__ import annotations

import base64
import hashlib
import html
import logging
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aiohttp import web
from aiohttp_session import Session

from bff.auth.return_to import return_target
from bff.auth.signing_in import PROVIDER, proven, start_session
from bff.auth.transactions import LIFETIME, Transactions
from bff.current_session import CONFIG
from bff.database import DatabaseUnavailable
from bff.errors import GatewayError, Unavailable
from bff.errors_access import AuthUnavailable, SignInFailed
from bff.identity.keys import SignatureRefused
from bff.identity.messages import (
    ClaimsRefused,
    ProviderUnavailable,
    Refusal,
    TokenRefused,
)
from bff.sessions.browser import CLOCK
from bff.telemetry import METRICS

if TYPE_CHECKING:
    from bff.identity.messages import Tokens

log = logging.getLogger(__name__)

TRANSACTIONS = web.AppKey("transactions", Transactions)
CALLBACK = "/auth/callback"
SINGLE = ("code", "state", "iss", "error", "session_state")


async def sso(request: web.Request) -> web.Response:
    """Send the browser to the provider."""
    config = request.app[CONFIG]
    provider = request.app[PROVIDER]
    try:
        endpoint = (await provider.discovery())["authorization_endpoint"]
    except ProviderUnavailable as error:
        raise AuthUnavailable(headers={"Retry-After": "10"}) from error
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    attempt = Session(state, data=None, new=True, max_age=LIFETIME)
    attempt["nonce"], attempt["verifier"] = nonce, verifier
    attempt["return_to"] = return_target(
        request.query.get("return_to"), config.split_origins
    )
    attempt._created = int(request.app[CLOCK]())  # noqa: SLF001 - it takes no clock
    digest = hashlib.sha256(verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": config.auth.client_id,
        "redirect_uri": config.canonical_origin + CALLBACK,
        "scope": config.auth.scope,
        "state": state,
        "nonce": nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    prompt = request.query.get("prompt")
    closed = prompt == "create" and config.registration.mode == "off"
    if prompt in config.auth.prompts and not closed:
        query["prompt"] = prompt
    answer = web.Response(
        status=302, headers={"Location": f"{endpoint}?{urlencode(query)}"}
    )
    await request.app[TRANSACTIONS].save_session(request, answer, attempt)
    return answer


async def callback(request: web.Request) -> web.Response:
    """Take the provider's answer, make a session, and return to where it began.

    What goes wrong ends on a plain page that says so: a redirect could loop.
    """
    try:
        return await _complete(request)
    except (GatewayError, web.HTTPException, DatabaseUnavailable) as error:
        refused = _refusal(error)
        log.info("a sign-in by redirect failed: %s", refused.code)
        request.app[METRICS].sign_ins.labels("sso", refused.code).inc()
        return _plain_page(refused)


async def _complete(request: web.Request) -> web.Response:
    query = request.query
    if any(len(query.getall(name, [])) > 1 for name in SINGLE):
        raise SignInFailed
    storage = request.app[TRANSACTIONS]
    attempt = await storage.load_session(request)
    if attempt.new:
        raise SignInFailed(
            "This sign-in was started in another browser, or too long ago. Start again."
        )
    nonce, verifier = str(attempt["nonce"]), str(attempt["verifier"])
    answer = web.Response(status=303, headers={"Location": str(attempt["return_to"])})
    attempt.invalidate()
    try:
        await _check_issuer(request)
        if "code" not in query:
            raise SignInFailed("The sign-in was cancelled or refused. Start again.")
        tokens = await _exchange(request, query["code"], verifier, nonce)
        await start_session(request, tokens, "sso")
    finally:
        # Used up, whatever came of it.
        await storage.save_session(request, answer, attempt)
    return answer


async def _check_issuer(request: web.Request) -> None:
    provider = request.app[PROVIDER]
    try:
        found = await provider.discovery()
    except ProviderUnavailable as error:
        raise AuthUnavailable from error
    promised = found.get("authorization_response_iss_parameter_supported") is True
    iss = request.query.get("iss")
    if (promised or iss is not None) and iss != provider.auth.issuer:
        raise SignInFailed


async def _exchange(
    request: web.Request, code: str, verifier: str, nonce: str
) -> Tokens:
    provider = request.app[PROVIDER]
    redirect_uri = request.app[CONFIG].canonical_origin + CALLBACK
    try:
        tokens = await provider.exchange(code, verifier, redirect_uri)
        if tokens.id_token is None:
            raise SignInFailed
        person = await proven(request, tokens)
        await provider.verify_id(tokens.id_token, nonce=nonce, sub=person.sub)
    except TokenRefused as error:
        if error.refusal is Refusal.SESSION_OVER:
            raise SignInFailed from error
        raise AuthUnavailable(headers={"Retry-After": "10"}) from error
    except (SignatureRefused, ClaimsRefused) as error:
        raise SignInFailed from error
    except ProviderUnavailable as error:
        raise AuthUnavailable from error
    return tokens


def _refusal(error: Exception) -> GatewayError:
    if isinstance(error, GatewayError):
        return error
    return Unavailable() if isinstance(error, DatabaseUnavailable) else SignInFailed()


def _plain_page(error: GatewayError) -> web.Response:
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        "<title>Sign-in failed · Nexius</title>"
        '<link rel="icon" href="/static/favicon.svg" type="image/svg+xml">'
        '<link rel="stylesheet" href="/static/style.css">'
        '<body class="plain"><header class="masthead">'
        '<span class="brand">Nexius</span></header><main class="card">'
        f'<h1>Sign-in failed</h1><p class="lead">{html.escape(error.detail)}</p>'
        '<a class="button primary wide" href="/login">Back to sign-in</a>'
        "</main></body></html>"
    )
    return web.Response(
        status=error.status, text=body, content_type="text/html", headers=error.headers
    )
