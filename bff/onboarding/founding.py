"""Make a workspace for somebody who has none, where policy allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff import daily_caps
from bff.client_address import network_of
from bff.database import set_tenant
from bff.errors_workspace import OnboardingClosed

if TYPE_CHECKING:
    import asyncpg

    from bff.config_tenancy import Onboarding as Settings
    from bff.onboarding.store import Founder

ENOUGH = "That is enough new workspaces for today. Try again tomorrow."


async def found(
    connection: asyncpg.pool.PoolConnectionProxy, settings: Settings, founder: Founder
) -> int:
    """Make a tenant whose admin is *founder*, in their transaction; return its number.

    Raises:
        OnboardingClosed: when policy keeps new workspaces from this person.
        RateLimited: over the daily caps.
    """
    if settings.open_to == "invited":
        raise OnboardingClosed(
            "New workspaces are by invitation. Ask for an invitation link."
        )
    if settings.open_to == "verified" and not founder.email_verified:
        raise OnboardingClosed("Confirm your e-mail address first, then sign in.")
    for kind, key, most in (
        ("found_by_person", founder.user_id, settings.per_person_daily),
        (
            "found_by_address",
            network_of(founder.address),
            settings.per_address_daily,
        ),
    ):
        await daily_caps.count(connection, kind, key, most=most, refusal=ENOUGH)
    tenant_id = int(
        await connection.fetchval(
            "SELECT nextval(pg_get_serial_sequence('tenants', 'tenant_id'))"
        )
    )
    await set_tenant(connection, tenant_id)
    name = founder.workspace_name or f"Workspace of {founder.email or founder.sub}"
    await connection.execute(
        "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2)",
        tenant_id,
        name[:200],
    )
    await connection.execute(
        "INSERT INTO tenant_users (tenant_id, iss, sub, email, roles) "
        "VALUES ($1, $2, $3, $4, '{viewer,admin}')",
        tenant_id,
        founder.iss,
        founder.sub,
        founder.email,
    )
    return tenant_id
