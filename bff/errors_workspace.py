"""Failures of what a workspace may have, and who may open or join one."""

from __future__ import annotations

from bff.errors import GatewayError, NotFound


class OnboardingClosed(GatewayError):
    """Refuse a new workspace by policy."""

    status = 403
    code = "onboarding_closed"
    detail = "New workspaces are not open to this account."


class LastAdmin(GatewayError):
    """Keep a workspace from being left without anybody who may run it."""

    status = 409
    code = "last_admin"
    detail = (
        "This is the last admin of the workspace. Make another member an admin first; "
        "an admin role that comes from the identity provider does not count."
    )


class InviteNotFound(NotFound):
    """Answer alike for an invitation that is unknown, used, or too old."""

    code = "invite_not_found"
    detail = "This invitation does not exist, has been used, or is too old."


class InviteForAnother(GatewayError):
    """Refuse an invitation that names an address which is not proven to be ours."""

    status = 403
    code = "invite_for_another"
    detail = (
        "This invitation is for another e-mail address, or yours is not confirmed yet."
    )


class InvitesFull(GatewayError):
    """Refuse one more open invitation than a tenant may have."""

    status = 409
    code = "invites_full"
    detail = (
        "Your workspace has as many open invitations as it may. Take one back first."
    )


class RulesFull(GatewayError):
    """Refuse one more customer rule than a tenant may have."""

    status = 409
    code = "rules_full"
    detail = "Your workspace has as many rules as it may. Delete one first."


class TooManyExports(GatewayError):
    """Limit how many exports one tenant has at once."""

    status = 429
    code = "too_many_exports"
    detail = (
        "Your workspace is downloading as much as it may at once. Wait until one is "
        "complete and try again."
    )
