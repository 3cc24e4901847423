"""Decide which tenant a session acts for, and in which roles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bff.identity.messages import ROLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bff.identity.messages import Person

Policy = Literal["trust", "check", "ignore"]


@dataclass(frozen=True, slots=True)
class Membership:
    """One person's place in one tenant; a removed one is a tombstone."""

    tenant_id: int
    roles: tuple[str, ...]
    removed: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """The tenant of a session; *join* asks for the membership to be made first.

    *stored* are the roles of the membership itself, without the claim's.
    """

    tenant_id: int | None
    roles: tuple[str, ...] = ()
    join: bool = False
    stored: tuple[str, ...] = field(default=(), compare=False)


def choose(
    person: Person,
    memberships: Sequence[Membership],
    *,
    policy: Policy,
    current: int | None = None,
    chosen: bool = False,
) -> Choice:
    """Choose by hand before claim before membership; a tombstone always refuses.

    *current* is the session's tenant so far; *chosen* tells that it was switched to.
    Without a claim a person of several tenants stays where they are, else starts in
    the one they joined first.
    """
    active = {m.tenant_id: m for m in memberships if not m.removed}
    removed = {m.tenant_id for m in memberships if m.removed}
    if chosen and current in active:
        return seated(person, active[current], policy)
    claimed = person.claimed_tenant
    if claimed is not None and policy != "ignore":
        if claimed in active:
            return seated(person, active[claimed], policy)
        if policy == "trust" and claimed not in removed:
            roles = united((), person.claimed_roles)
            return Choice(claimed, roles, join=True, stored=ranked(()))
    if current in active:
        return seated(person, active[current], policy)
    first = next((m for m in memberships if not m.removed), None)
    return Choice(None) if first is None else seated(person, first, policy)


def seated(person: Person, membership: Membership, policy: Policy) -> Choice:
    """Return a session's place by *membership*, an active one of *person*."""
    # The claim's roles count only for the tenant that the claim names.
    same = policy != "ignore" and person.claimed_tenant == membership.tenant_id
    claimed = person.claimed_roles if same else ()
    roles = united(membership.roles, claimed)
    return Choice(membership.tenant_id, roles, stored=membership.roles)


def united(stored: Sequence[str], claimed: Sequence[str]) -> tuple[str, ...]:
    """Return both sets of roles as one, `viewer` at least, in rising order."""
    return ranked((*stored, *claimed))


def ranked(roles: Iterable[str]) -> tuple[str, ...]:
    """Return *roles* in rising order, `viewer` at least."""
    wanted = {*roles, "viewer"}
    return tuple(role for role in ROLES if role in wanted)
