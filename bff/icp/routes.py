"""List, save and delete the rules that say whom a tenant wants as customers."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bff.auditing import entry_of
from bff.body import Body, read_body
from bff.current_session import SESSION
from bff.errors import NotFound
from bff.errors_access import TenantMissing
from bff.icp.rules import Profile, RuleName  # noqa: TC001 - pydantic reads them
from bff.icp.store import RULES

if TYPE_CHECKING:
    from bff.icp.store import Rule

# More digits than a bigint has surely.
MOST_DIGITS = 18


class Saved(Body):
    """What POST /icp/rules takes."""

    name: RuleName
    payload: Profile


async def rules(request: web.Request) -> web.Response:
    """List the tenant's rules, the one changed last first."""
    found = await request.app[RULES].of(_tenant(request))
    shown = {"rules": [_shown(rule) for rule in found]}
    # As it is: escaped, most of the world's letters are twice as long and more.
    return web.json_response(shown, dumps=partial(json.dumps, ensure_ascii=False))


async def save_rule(request: web.Request) -> web.Response:
    """Make a rule, or change the one of that name, and find who fits it."""
    body = await read_body(request, Saved)
    entry = entry_of(request, "icp_rule.saved", body.name)
    rule, is_new = await request.app[RULES].save(
        _tenant(request), body.name, body.payload, entry
    )
    return web.json_response(_shown(rule), status=201 if is_new else 200)


async def delete_rule(request: web.Request) -> web.Response:
    """Delete a rule and forget who fitted it."""
    asked = request.match_info["rule_id"]
    if not (asked.isascii() and asked.isdigit() and len(asked) <= MOST_DIGITS):
        raise NotFound
    entry = entry_of(request, "icp_rule.deleted")
    if not await request.app[RULES].delete(_tenant(request), int(asked), entry):
        raise NotFound
    return web.Response(status=204)


def _tenant(request: web.Request) -> int:
    tenant_id = request[SESSION].tenant_id
    if tenant_id is None:  # the route's access has seen to it
        raise TenantMissing
    return tenant_id


def _shown(rule: Rule) -> dict[str, Any]:
    return {
        "rule_id": rule.rule_id,
        "name": rule.name,
        "payload": rule.payload,
        "candidates": rule.candidates,
        "created_at": rule.created_at.isoformat(timespec="seconds"),
        "updated_at": rule.updated_at.isoformat(timespec="seconds"),
    }
