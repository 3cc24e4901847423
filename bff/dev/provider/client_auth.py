"""Which client is calling, by a secret or by an assertion it has signed."""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from bff.dev.provider import assertions
from bff.dev.provider.errors import OAuthRefusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from bff.dev.provider.model import Client
    from bff.dev.provider.state import State


class Form(dict[str, str]):
    """The fields of a form, each once, and whether any came twice."""

    is_repeated = False


async def read_form(request: web.Request) -> Form:
    """Read the body as a form; what is not text does not count."""
    fields = await request.post()
    form = Form()
    for name, value in fields.items():
        form.is_repeated |= name in form
        if isinstance(value, str):
            form.setdefault(name, value)
    return form


def authenticated(
    state: State, request: web.Request, form: Mapping[str, str]
) -> Client:
    """Return the client that proved who it is."""
    header = request.headers.get("Authorization", "")
    client_id, secret = _basic(header) or (
        form.get("client_id", ""),
        form.get("client_secret", ""),
    )
    by_assertion = not client_id
    client = state.clients.get(client_id or assertions.subject(form))
    if client is None or (by_assertion and not client.keys):
        raise OAuthRefusal(
            "invalid_client",
            assertions.UNKNOWN,
            status=401,
            reason="client_not_found",
        )
    if client.keys:
        assertions.check(
            client,
            form,
            issuer=state.issuer(request),
            now=state.now(),
            spent=state.spent,
        )
        return client
    is_right = hmac.compare_digest(client.secret.encode(), secret.encode())
    if not (client.secret and is_right):
        raise OAuthRefusal(
            "unauthorized_client",
            assertions.UNKNOWN,
            status=401,
            reason="invalid_client_credentials",
        )
    return client


def claimed_client(request: web.Request, form: Mapping[str, str]) -> str | None:
    """Return the client id that the request names, proven or not."""
    pair = _basic(request.headers.get("Authorization", ""))
    if pair:
        return pair[0]
    return form.get("client_id") or assertions.subject(form) or None


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    name, _, secret = text.partition(":")
    # RFC 6749 section 2.3.1: both halves are form-encoded first.
    return unquote_plus(name), unquote_plus(secret)
