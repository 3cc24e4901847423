"""The gateway answers as its OpenAPI document says, whatever it is asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.bff.openapi.asking import Asker
from tests.bff.openapi.elder import bridge
from tests.world import World

if TYPE_CHECKING:
    from tests.databases import Databases

# What schemathesis cannot think of by itself it says; our own warnings stay errors.
pytestmark = pytest.mark.filterwarnings(
    "ignore::hypothesis.errors.HypothesisWarning",
    "ignore::DeprecationWarning:schemathesis",
    "ignore::DeprecationWarning:hypothesis_jsonschema",
)
# Examples of each operation.
FEW, MANY = 5, 60
# What must have been answered for this to prove anything.
FINE = {200, 201, 202, 204, 302, 303}
# Refused, whatever we think of: there is no provider's word, secret, Odoo or other
# tenant, and nobody knows the number of a session, an invitation or a rule.
REFUSED = {
    "DELETE /auth/sessions/{session_id}",
    "DELETE /icp/rules/{rule_id}",
    "DELETE /tenants/{tenant_id}/invites/{invite_id}",
    # Fits seldom: roles, of somebody who is still a member, by an admin.
    "PATCH /tenants/{tenant_id}/members/{user}",
    "POST /auth/tenant",
    "GET /auth/callback",
    "POST /auth/login",
    "POST /auth/backchannel-logout",
    "POST /acra/ingest",
    "POST /invites/redeem",
    "POST /tenants/{tenant_id}/odoo/api-key/rotate",
    "POST /tenants/{tenant_id}/odoo/repair",
    "POST /export/odoo/sync",
}


@pytest.fixture(autouse=True)
def bridged(monkeypatch: pytest.MonkeyPatch) -> None:
    bridge(monkeypatch)


async def asked(databases: Databases, examples: int) -> Asker:
    async with World(databases).running() as world, world.browser() as browser:
        answer = await browser.session.get(f"{world.admin_url}/openapi.json")
        members = []
        for email in ("dave@acme.test", "alice@acme.test"):
            async with world.signed_in(email) as person:
                members.append((await (await person.get("/whoami")).json())["sub"])
        asker = Asker(
            world.url,
            world.admin_url,
            await answer.json(),
            known={"tenant_id": ["1001"], "user": members, "path": ["style.css"]},
        )
        for operation in asker.operations():
            await asyncio.to_thread(asker.ask, operation, examples)
    return asker


def check(asker: Asker) -> None:
    assert not asker.problems, "\n\n".join(asker.problems)
    unproven = {
        label for label, seen in asker.answers.items() if not seen & FINE
    } - REFUSED
    assert not unproven, f"asked, and only ever refused: {sorted(unproven)}"
    assert len(asker.answers) > 50


@pytest.mark.timeout(180)
async def test_a_few_questions_of_each_kind(databases: Databases) -> None:
    check(await asked(databases, FEW))


@pytest.mark.acceptance
@pytest.mark.timeout(600)
async def test_many_questions_of_each_kind(databases: Databases) -> None:
    check(await asked(databases, MANY))
