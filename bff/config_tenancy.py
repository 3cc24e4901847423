"""Tenants in the configuration: how one is found, opened, and takes its data along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bff.config_base import Section

if TYPE_CHECKING:
    from bff.config import Config

# Of the one the person is in or chooses; of all they are in.
_ORGANIZATION_SCOPES = {"organization", "organization:*"}


class Tenancy(Section):
    """How a session finds its tenant."""

    claim: Literal["trust", "check", "ignore"] = Field(
        "trust",
        description="`trust`: the claim tenant_id makes the membership (not a removed "
        "one); `check`: it must match a membership; `ignore`: memberships only.",
    )
    source: Literal["attribute", "organization"] = Field(
        "attribute",
        description="What the claim is: `tenant_id`, from an attribute of the person; "
        "or `organization`, whose alias is the tenant's number. The latter needs "
        "`organization` or `organization:*` in auth.scope.",
    )


class Onboarding(Section):
    """Who may open a new workspace."""

    open_to: Literal["anyone", "verified", "invited"] = "verified"
    per_person_daily: int = Field(3, ge=1)
    per_address_daily: int = Field(20, ge=1)


class Exports(Section):
    """Downloads of a tenant's data."""

    pool_size: int = Field(
        4,
        ge=1,
        description="Connections for exports alone, in each process: a slow reader "
        "holds one.",
    )
    per_tenant: int = Field(
        2, ge=1, description="Exports of one tenant at once, in each process."
    )
    max_seconds: float = Field(
        600.0,
        gt=0,
        description="Seconds an export may take; a reader who is slower is cut off.",
    )


def problems_of(config: Config) -> list[str]:
    """Return one sentence for each problem, each beginning with its key."""
    found = []
    asked = set(config.auth.scope.split())
    if config.tenancy.source == "organization" and not asked & _ORGANIZATION_SCOPES:
        found.append(
            "tenancy.source: add organization or organization:* to auth.scope, or no "
            "token names an organization"
        )
    return found
