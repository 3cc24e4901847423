"""A sign-in in progress, carried by the form itself and bound to its browser."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from bff.dev.provider import sso
from bff.dev.provider.authorization import AuthorizationRequest
from bff.dev.provider.errors import PageRefusal

if TYPE_CHECKING:
    from aiohttp import web

    from bff.dev.provider.accounts import Account
    from bff.dev.provider.state import State

COOKIE = "AUTH_SESSION_ID"


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What a form brings back: the client's request, and who has got how far."""

    asked: AuthorizationRequest
    browser: str
    has_expired: bool = False
    # Set once the password was right and only required actions are left.
    account: Account | None = None

    def url(self, state: State, act: str) -> str:
        """Build the address that a form of this sign-in posts to."""
        content = {
            "typ": "Login",
            "exp": state.now() + state.realm.login_ttl,
            "browser": _digest(self.browser),
            "asked": asdict(self.asked),
            "sub": self.account.id if self.account else None,
        }
        query = {
            "session_code": state.keys.seal(content),
            "client_id": self.asked.client_id,
        }
        path = f"/realms/{state.realm.name}/login-actions/{act}"
        return f"{path}?{urlencode(query)}"

    def bind(self, state: State, answer: web.Response) -> web.Response:
        """Give the browser its half."""
        sso.set_cookie(state, answer, COOKIE, self.browser)
        return answer


def begun(request: web.Request, asked: AuthorizationRequest) -> Ticket:
    """Begin a sign-in in this browser."""
    # One cookie serves all tabs.
    browser = request.cookies.get(COOKIE) or secrets.token_urlsafe(24)
    return Ticket(asked=asked, browser=browser)


def presented(state: State, request: web.Request) -> Ticket:
    """Return the sign-in that a form continues."""
    content = state.keys.unsealed(request.query.get("session_code", ""))
    if content is None or content.get("typ") != "Login":
        raise PageRefusal("Page has expired. To restart the login process go back.")
    browser = request.cookies.get(COOKIE, "")
    if not hmac.compare_digest(_digest(browser), content["browser"]):
        sentence = (
            "Restart login cookie not found. It may have expired or been deleted."
        )
        raise PageRefusal(sentence)
    return Ticket(
        asked=AuthorizationRequest(**content["asked"]),
        browser=browser,
        has_expired=state.now() >= content["exp"],
        account=state.accounts.get(content["sub"] or ""),
    )


def _digest(browser: str) -> str:
    return hashlib.sha256(browser.encode()).hexdigest()
