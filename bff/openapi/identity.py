"""Describe the routes by which people sign in and out."""

from __future__ import annotations

from bff.auth.register import Register
from bff.auth.routes import Login, Logout
from bff.auth.switching import Switch
from bff.errors import (
    BadRequest,
    NotFound,
    RateLimited,
    TooLarge,
    TooSlow,
    Unavailable,
    WrongMediaType,
)
from bff.errors_access import (
    AccountActionRequired,
    AuthUnavailable,
    InvalidCredentials,
    SessionEnded,
    SignInFailed,
    TenantSuspended,
    TokensTooLarge,
)
from bff.openapi.operation import HTML, Answer, Key, Operation, Parameter, done, ok
from bff.openapi.shapes import TEXT, exactly, listed, named

TAG = "Identity"
# Both cookies, the second of which only these routes and renewals read.
BOTH = (("session", "renewal"),)
COOKIES = {"Set-Cookie": "The session's cookies, sealed."}
CLEARED = {"Set-Cookie": "Deletes the session's cookies."}

IDENTITY: dict[Key, Operation] = {
    ("POST", "/auth/login"): Operation(
        TAG,
        (ok("Arrival", "Signed in.", headers=COOKIES),),
        body=Login,
        errors=(
            InvalidCredentials,
            AccountActionRequired,
            TenantSuspended,
            NotFound,
            RateLimited,
            AuthUnavailable,
            TokensTooLarge,
            Unavailable,
        ),
        about="A wrong password, a wrong or missing code, an unknown, disabled or "
        "locked account: one answer, after the same time. 404 where passwords are not "
        "taken (`auth.direct_grant`).",
    ),
    ("GET", "/auth/sso"): Operation(
        TAG,
        (
            Answer(
                302,
                "To the provider: authorization code with PKCE.",
                headers={
                    "Location": "The provider's page.",
                    "Set-Cookie": "What this try is proven by, for ten minutes.",
                },
            ),
        ),
        parameters=(
            Parameter(
                "return_to",
                TEXT,
                "Where to go afterwards: a path of ours; anything else is `/`.",
            ),
            Parameter(
                "prompt",
                TEXT,
                "`login` asks for the password again, `create` opens an account; "
                "whatever else is left out.",
            ),
        ),
        errors=(AuthUnavailable,),
    ),
    ("GET", "/auth/callback"): Operation(
        TAG,
        (
            Answer(
                303,
                "Signed in; on to where it began.",
                headers={"Location": "A path of ours.", **COOKIES},
            ),
            *(
                Answer(status, "A plain page that says what went wrong.", HTML)
                for status in sorted(
                    {
                        one.status
                        for one in (
                            SignInFailed,
                            TenantSuspended,
                            TokensTooLarge,
                            Unavailable,
                        )
                    }
                )
            ),
        ),
        parameters=tuple(
            Parameter(name, TEXT, "The provider's; once at most (RFC 6749, RFC 9207).")
            for name in ("code", "state", "iss", "error", "session_state")
        ),
    ),
    ("POST", "/auth/register"): Operation(
        TAG,
        (
            Answer(
                200,
                "Where an account is opened; the body was not used "
                "(`register.mode = self_service`).",
                {
                    "application/json": exactly(
                        registration_url=TEXT, requires_verification={"const": True}
                    )
                },
            ),
            Answer(
                202,
                "The same for every address, new or known (`admin_api`).",
                {"application/json": exactly(requires_verification={"const": True})},
            ),
        ),
        body=Register,
        errors=(RateLimited, Unavailable),
        about="There is no such route where `register.mode` is `off`.",
    ),
    ("POST", "/auth/refresh"): Operation(
        TAG,
        (ok("Renewal", "Renewed.", headers=COOKIES),),
        errors=(SessionEnded, AuthUnavailable, TokensTooLarge, Unavailable),
        security=BOTH,
    ),
    ("POST", "/auth/logout"): Operation(
        TAG,
        (
            done(
                "Signed out, whether anybody was signed in or not.",
                {
                    **CLEARED,
                    "Clear-Site-Data": 'Always `"cache"`.',
                    "X-Logout-Url": "Where the browser ends the provider's own "
                    "session, if there is one.",
                },
            ),
        ),
        body=Logout,
        errors=(Unavailable,),
        security=((), *BOTH),
    ),
    ("GET", "/auth/session"): Operation(
        TAG,
        (ok("Session"),),
        errors=(Unavailable,),
        security=((), ("session",)),
    ),
    ("GET", "/auth/sessions"): Operation(
        TAG,
        (
            Answer(
                200,
                "The newest first.",
                {"application/json": listed(named("OwnSession"))},
            ),
        ),
    ),
    ("DELETE", "/auth/sessions/{session_id}"): Operation(
        TAG, (done("Ended, on every replica."),)
    ),
    ("GET", "/auth/tenants"): Operation(TAG, (ok("Workspaces"),)),
    ("POST", "/auth/tenant"): Operation(
        TAG,
        (ok("Arrival", "There, in a new session.", headers=COOKIES),),
        body=Switch,
        errors=(NotFound, RateLimited, TenantSuspended),
    ),
    ("POST", "/auth/backchannel-logout"): Operation(
        TAG,
        (Answer(200, "Ended what the token names."),),
        raw={
            "application/x-www-form-urlencoded": exactly(
                logout_token={
                    **TEXT,
                    "description": "Signed by the provider (OpenID Connect "
                    "Back-Channel Logout 1.0, section 2.4).",
                }
            )
        },
        errors=(
            BadRequest,
            WrongMediaType,
            TooLarge,
            TooSlow,
            AuthUnavailable,
            Unavailable,
        ),
        about="For the provider: the token is its own proof.",
    ),
    ("GET", "/whoami"): Operation(TAG, (ok("Who"),)),
}
