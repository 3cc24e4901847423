"""What a client asks of the authorization endpoint, checked; no I/O here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bff.dev.provider import pkce
from bff.dev.provider.errors import OAuthRefusal, PageRefusal, RedirectRefusal
from bff.dev.provider.issuance import granted_scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bff.dev.provider.client_auth import Form
    from bff.dev.provider.model import Client


@dataclass(frozen=True, kw_only=True)
class AuthorizationRequest:
    """A request that may be answered by a redirect."""

    client_id: str
    redirect_uri: str
    scope: str
    code_challenge: str
    state: str | None = None
    nonce: str | None = None
    prompt: str = ""
    login_hint: str = ""
    max_age: int | None = None

    def prompts(self, kind: str) -> bool:
        """Tell whether this kind of prompt was asked for."""
        return kind in self.prompt.split()

    def accepts(self, auth_time: int | None, now: int) -> bool:
        """Tell whether a sign-in of that time is recent enough."""
        if self.max_age is None:
            return True
        return auth_time is not None and now - auth_time <= self.max_age


def read(asked: Form, clients: Mapping[str, Client]) -> AuthorizationRequest:
    """Check a request: without a trusted redirect URI the refusal is a page."""
    if not asked.get("client_id"):
        raise PageRefusal("Invalid Request")
    client = clients.get(asked["client_id"])
    if client is None:
        raise PageRefusal("Client not found.")
    redirect_uri = asked.get("redirect_uri", "")
    if not redirect_uri or not client.may_redirect_to(redirect_uri):
        raise PageRefusal("Invalid parameter: redirect_uri")

    if not asked.get("max_age", "0").isdecimal():
        raise PageRefusal("Invalid Request")
    error, description = _problem(asked)
    if error:
        raise RedirectRefusal(redirect_uri, asked.get("state"), error, description)
    try:
        scope = granted_scope(asked.get("scope"))
    except OAuthRefusal as refusal:
        raise RedirectRefusal(
            redirect_uri, asked.get("state"), refusal.error, refusal.description or ""
        ) from refusal
    max_age = asked.get("max_age", "")
    return AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        scope=scope,
        code_challenge=asked["code_challenge"],
        state=asked.get("state"),
        nonce=asked.get("nonce"),
        prompt=asked.get("prompt", ""),
        login_hint=asked.get("login_hint", ""),
        max_age=int(max_age) if max_age else None,
    )


def _problem(asked: Form) -> tuple[str, str]:
    # Keycloak's order: the first problem is the one reported.
    checks = (
        (asked.is_repeated, "duplicated parameter"),
        ("response_type" not in asked, "Missing parameter: response_type"),
        (
            asked.get("response_mode", "query") != "query",
            "Invalid parameter: response_mode",
        ),
        (
            "code_challenge_method" not in asked,
            "Missing parameter: code_challenge_method",
        ),
        (
            asked.get("code_challenge_method") != "S256",
            (
                "Invalid parameter: code challenge method is not matching the"
                " configured one"
            ),
        ),
        ("code_challenge" not in asked, "Missing parameter: code_challenge"),
        (
            not pkce.is_well_formed(asked.get("code_challenge", "")),
            "Invalid parameter: code_challenge",
        ),
    )
    if asked.get("response_type", "code") != "code":
        return "unsupported_response_type", ""
    found = next((sentence for is_wrong, sentence in checks if is_wrong), "")
    return ("invalid_request", found) if found else ("", "")
