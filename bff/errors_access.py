"""Failures of who is asking, and of what they may do."""

from __future__ import annotations

from bff.errors import GatewayError


class NotSignedIn(GatewayError):
    """Ask for a sign-in."""

    status = 401
    code = "not_signed_in"
    detail = "Sign in to continue."


class SessionEnded(GatewayError):
    """Tell that the session is over; its cookies are cleared with this answer."""

    status = 401
    code = "session_ended"
    detail = "Your session has ended. Sign in again."


class InvalidCredentials(GatewayError):
    """Answer alike for a wrong password, code, or an unknown or disabled person."""

    status = 401
    code = "invalid_credentials"
    detail = "E-mail, password or one-time code is not right."


class AccountActionRequired(GatewayError):
    """Send a person to the provider's own pages, where something waits for them."""

    status = 403
    code = "account_action_required"
    detail = "Your account needs attention first. Continue with single sign-on."


class AuthUnavailable(GatewayError):
    """Tell that the identity provider cannot be asked right now."""

    status = 503
    code = "auth_unavailable"
    detail = "Sign-in is not available right now. Try again in a moment."


class SignInFailed(GatewayError):
    """End a redirect sign-in that cannot be completed."""

    status = 400
    code = "sign_in_failed"
    detail = "This sign-in could not be completed. Start again."


class TokensTooLarge(GatewayError):
    """Tell that the provider's tokens do not fit into cookies."""

    status = 500
    code = "tokens_too_large"
    detail = (
        "Your account carries too much data to sign in. Ask your administrator to "
        "reduce the roles and claims in its tokens."
    )


class CrossSiteRefused(GatewayError):
    """Refuse a request that another site may have caused."""

    status = 403
    code = "cross_site_refused"
    detail = "This request came from another site and was refused."


class TenantMissing(GatewayError):
    """Tell a signed-in person that no tenant is theirs yet."""

    status = 403
    code = "tenant_missing"
    detail = "You are signed in, but no workspace is set up for you yet."


class TenantSuspended(GatewayError):
    """Keep the people of a suspended tenant out of it."""

    status = 403
    code = "tenant_suspended"
    detail = "This workspace is suspended. Ask the people who run this service."


class RoleMissing(GatewayError):
    """Refuse an act that needs another role."""

    status = 403
    code = "role_missing"
    detail = "Your role in this workspace does not allow this."


class WebhookRefused(GatewayError):
    """Answer alike for a signature that is missing, wrong, or of another time."""

    status = 401
    code = "signature_refused"
    detail = "This message is not signed as it must be, or was signed too long ago."


class WebhookRepeated(GatewayError):
    """Tell a caller that their message has come before, and counted."""

    status = 409
    code = "signature_used"
    detail = "This message has been received before. Sign a new one."
