"""Say what in a database's catalogue would let tenants meet.

Each rule looks at the catalogue and says a sentence for each thing that is wrong; what
is allowed beside the rules is listed here, with the reason.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bff.roles import APP, OWNER, WORKER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bff.catalogue import Catalogue, Policy, Relation

SERVING = frozenset({APP, WORKER})
PUBLIC = "PUBLIC"
# How PostgreSQL words what policies compare with, but for names of columns.
_SET = "NULLIF(current_setting('request.{}'::text, true), ''::text)"
_ROWS = "({} = ( SELECT {}))"
_TENANT = f"({_SET.format('tenant_id')})::bigint"
BY_TENANT = _ROWS.format("tenant_id", _TENANT)
OF_NONE_TOO = f"(NOT (tenant_id IS DISTINCT FROM ( SELECT {_TENANT})))"
BY_USER = _ROWS.format("user_id", _SET.format("user_id"))
BY_PROVIDER = _ROWS.format("provider_sid", _SET.format("provider_sid"))
BY_ADMIN = BY_TENANT.replace("request.tenant_id", "request.sessions_of_tenant")
BY_TOKEN = _ROWS.format("token_hash", f"decode({_SET.format('invite')}, 'hex'::text)")
# An alias of a column that nobody sees; releases differ in naming it.
ALIAS = re.compile(r' AS (\w+|"\w+")(?=\))')

# Tables without a tenant, and why nothing in them is one tenant's.
EVERYBODYS = {
    "acra_ingest": "how far the reading of the public register has come",
    "acra_runs": "when the public register was read",
    "acra_signature": "hashes of calls that told of news in the register",
    "attempts": "hashes, for daily caps",
    "companies": "facts about companies, the same for all",
    "contacts": "facts about companies' people; the route says who may see them",
    "ended_session": "a session's number and when it ended",
    "logout_token": "numbers of the provider's tokens",
    "odoo_templates": "what opens databases that no tenant has; the worker's alone",
    "pgqueuer": "a job holds a tenant's number and nothing else",
    "pgqueuer_log": "what became of jobs",
    "pgqueuer_schedules": "jobs by the clock",
    "pgqueuer_statistics": "counts of jobs",
    "schema_migrations": "what the schema is",
    "sign_in_failure": "hashes, to slow down guessing",
    "staging_acra_companies": "the public register",
}
# Tables whose tenant may be unknown.
TENANT_MAY_BE_NULL = {
    "audit_log": "what people do before they have a tenant",
    "auth_session": "people sign in before they have a tenant",
    "odoo_warm": "a copy that nobody has claimed yet; the worker's alone",
}
# Unique indexes over all tenants: a collision would tell that another has the value.
UNIQUE_OVER_ALL = {
    "audit_log_pkey": "numbered by the database alone",
    "auth_session_pkey": "a random number",
    "odoo_connections_server_url_db_name_key": "the worker alone writes it",
    "odoo_warm_pkey": "a random name",
    "tenant_invites_token_hash_key": "the hash of a random number",
}
# Policies of the serving role that do not go by the tenant: command, USING, WITH CHECK.
# Each setting is set by one function of bff.database, for one purpose; whoever has no
# tenant writes of none into the audit log, and no row of a tenant passes by that.
NOT_BY_TENANT = {
    ("tenant_users", "app_own"): ("SELECT", BY_USER, None),
    ("auth_session", "app_own"): ("ALL", BY_USER, BY_USER),
    ("auth_session", "app_by_provider"): ("SELECT", BY_PROVIDER, None),
    ("auth_session", "app_by_admin"): ("SELECT", BY_ADMIN, None),
    ("auth_session", "app_end_by_admin"): ("UPDATE", BY_ADMIN, BY_ADMIN),
    ("tenant_invites", "app_by_token"): ("SELECT", BY_TOKEN, None),
    ("audit_log", "app_adds"): ("INSERT", None, OF_NONE_TOO),
}
TABLES = ("r", "p")
MAY = {
    "relation": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "column": {"SELECT", "INSERT", "UPDATE"},
    # Neither what others have taken so far, nor setting it back.
    "sequence": {"USAGE"},
    "schema": {"USAGE"},
    "function": {"EXECUTE"},
    "default": set[str](),
}


def problems_of(catalogue: Catalogue) -> list[str]:
    """Return what is wrong, a sentence each; an empty list when tenants stay apart."""
    return [said for rule in RULES for said in rule(catalogue)]


def tables_are_secured(catalogue: Catalogue) -> Iterator[str]:
    """Row-level security is forced wherever a row has a tenant, and every row has one.

    A partition counts as any table: it can be asked by its own name.
    """
    for one in _ours(catalogue):
        if one.kind not in TABLES:
            continue
        if one.has_rules:
            yield f"table {one.name} has a rewrite rule, which runs as its owner"
        if not one.has_tenant:
            if one.name not in EVERYBODYS:
                yield f"table {one.name} has no tenant_id and is not known as shared"
            continue
        if not one.forced:
            yield f"table {one.name}: row-level security is not forced"
        if not one.tenant_not_null and one.name not in TENANT_MAY_BE_NULL:
            yield f"table {one.name}: tenant_id may be NULL"


def nothing_goes_round(catalogue: Catalogue) -> Iterator[str]:
    """Nothing reads tables with another's rights, and nothing keeps copies of rows."""
    for one in _ours(catalogue):
        if one.kind == "v" and not one.invoker:
            yield f"view {one.name} reads as its owner: make it security_invoker"
        elif one.kind == "m":
            yield f"materialised view {one.name}: row-level security cannot guard it"
        elif one.kind == "f":
            yield f"foreign table {one.name}: row-level security ends there"
    for function in catalogue.functions:
        if function.definer:
            yield f"function {function.name} acts as its owner (SECURITY DEFINER)"
        if function.leakproof:
            yield f"function {function.name} is LEAKPROOF: it sees rows before policies"


def owners_are_right(catalogue: Catalogue) -> Iterator[str]:
    """All belongs to the owning role; who serves owns nothing and is nobody else."""
    for one in _ours(catalogue):
        if one.owner != OWNER:
            yield f"{one.name} is owned by {one.owner}, not by {OWNER}"
    for function in catalogue.functions:
        if function.owner in SERVING:
            yield f"function {function.name} is owned by {function.owner}"
    for membership in catalogue.memberships:
        if membership.role in SERVING:
            yield f"role {membership.role} may act as {membership.of}"
    for setting in catalogue.settings:
        yield f"a role or database sets {setting.partition('=')[0]} for all connections"


def policies_are_right(catalogue: Catalogue) -> Iterator[str]:
    """Policies name their role, narrow nothing else, and say what they are to say."""
    if not any(
        policy.relation == "tenants"
        and APP in policy.roles
        and _words(policy) == ("ALL", BY_TENANT, BY_TENANT)
        for policy in catalogue.policies
    ):
        yield "table tenants has no policy that goes by request.tenant_id"
    for policy in catalogue.policies:
        place = f"policy {policy.name} on {policy.relation}"
        if not policy.permissive:
            yield f"{place} is restrictive: nobody expects what it takes away"
        if PUBLIC in policy.roles or not SERVING.union({OWNER}).issuperset(
            policy.roles
        ):
            yield f"{place} is for {', '.join(policy.roles)}"
        if policy.command in {"ALL", "UPDATE"} and None in {
            policy.qual, policy.checked,
        }:  # fmt: skip
            yield f"{place} must have both USING and WITH CHECK"
        # PUBLIC concerns the serving role too.
        if {APP, PUBLIC}.intersection(policy.roles) and not _is_known(policy):
            said = " / ".join(filter(None, (policy.qual, policy.checked)))
            yield (f"{place} goes by another expression: {said} (for {policy.command})")


def grants_are_narrow(catalogue: Catalogue) -> Iterator[str]:
    """Everybody has nothing; those who serve have what rows need, and pass none on."""
    for grant in catalogue.grants:
        what = f"{grant.privilege} on {grant.kind} {grant.object}"
        if grant.grantee == PUBLIC:
            # That everybody may call a function is PostgreSQL's default; functions
            # that act as somebody else are found elsewhere.
            if grant.kind == "function" or (grant.kind, grant.privilege) == (
                "schema", "USAGE",
            ):  # fmt: skip
                continue
            yield f"everybody has {what}"
        elif grant.grantee in SERVING:
            if grant.privilege not in MAY[grant.kind]:
                yield f"{grant.grantee} has {what}"
            elif grant.grantable:
                yield f"{grant.grantee} may pass {what} on"
            elif grant.kind == "schema" and grant.object != "public":
                yield f"{grant.grantee} has {what}"


def keys_tell_nothing(catalogue: Catalogue) -> Iterator[str]:
    """Keys begin with the tenant: a collision would tell of another's row."""
    tenants = {one.name for one in catalogue.relations if one.has_tenant}
    keyed = {one.relation for one in catalogue.uniques if one.is_primary}
    for one in _ours(catalogue):
        if one.kind in TABLES and one.name in tenants - keyed:
            yield f"table {one.name} has no primary key"
    for unique in catalogue.uniques:
        if unique.relation not in tenants or unique.leading == "tenant_id":
            continue
        if unique.name not in UNIQUE_OVER_ALL:
            yield f"unique index {unique.name} does not begin with tenant_id"
    for key in catalogue.foreign_keys:
        if key.to_tenants_rows and not key.by_tenant:
            yield (
                f"foreign key {key.name} of {key.relation} refers to rows of "
                f"{key.target} whatever their tenant"
            )


def _ours(catalogue: Catalogue) -> Iterator[Relation]:
    """Pass over what somebody else keeps here and nobody who serves can reach."""
    reached = {
        grant.object.partition(".")[0]
        for grant in catalogue.grants
        if grant.grantee in {*SERVING, PUBLIC}
        and grant.kind in {"relation", "column", "sequence"}
    }
    for one in catalogue.relations:
        if one.owner in {OWNER, *SERVING} or one.name in reached:
            yield one


def _words(policy: Policy) -> tuple[str, str | None, str | None]:
    """Return what a policy says, in words that all releases have in common."""

    def plain(expression: str | None) -> str | None:
        return None if expression is None else ALIAS.sub("", expression)

    return policy.command, plain(policy.qual), plain(policy.checked)


def _is_known(policy: Policy) -> bool:
    by_tenant = (
        policy.command,
        None if policy.command == "INSERT" else BY_TENANT,
        None if policy.command in {"SELECT", "DELETE"} else BY_TENANT,
    )
    expected = NOT_BY_TENANT.get((policy.relation, policy.name), by_tenant)
    command, qual, checked = _words(policy)
    # What may be written may be less than the tenant's rows. PostgreSQL writes an OR
    # around it with parentheses of its own, so that nothing but AND begins like this.
    if checked is not None and checked.startswith(f"({BY_TENANT} AND "):
        checked = BY_TENANT
    return (command, qual, checked) == expected


RULES = (
    tables_are_secured,
    nothing_goes_round,
    owners_are_right,
    policies_are_right,
    grants_are_narrow,
    keys_tell_nothing,
)
