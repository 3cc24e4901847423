"""Failures of a tenant's Odoo, as its people are told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Mapping


class OdooMissing(GatewayError):
    """Tell that a tenant has no Odoo of its own, or not yet."""

    status = 409
    code = "odoo_missing"
    detail = "Your workspace has no Odoo of its own yet."


class OdooSuspended(GatewayError):
    """Tell that a tenant's Odoo is closed for the time being."""

    status = 409
    code = "odoo_suspended"
    detail = "Your workspace's Odoo is suspended. Ask the people who run this service."


class OdooPending(GatewayError):
    """Tell that nobody knows yet what came of something asked of Odoo."""

    status = 503
    code = "odoo_pending"
    detail = (
        "This was not done in time, and may still happen. Asking again waits for the "
        "same one."
    )


class OdooFailed(GatewayError):
    """Tell what Odoo, or something on the way to it, made of what we asked.

    The code and the sentence are the task's (`bff.sites.failures`).
    """

    status = 502
    code = "odoo_failed"
    detail = "Odoo failed at something. Try again in a few minutes."

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Take the task's *code* and sentence."""
        super().__init__(detail, headers=headers)
        if code is not None:
            self.code = code


class OdooUnavailable(OdooFailed):
    """Tell that Odoo, or something on the way to it, is away for a moment."""

    status = 503
    code = "odoo_unavailable"


class OdooConflict(OdooFailed):
    """Tell that something stands in the way that a person must look at."""

    status = 409
    code = "odoo_conflict"
    detail = "Something in your Odoo stands in the way of this."
