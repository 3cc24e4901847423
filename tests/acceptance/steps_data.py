"""What a tenant sees and does, and nobody else (lines 4, 7 and 9)."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import asyncpg

from bff.database import connect
from tests.acceptance.plan import Plan
from tests.bff.waiting import until

if TYPE_CHECKING:
    from tests.acceptance.place import Place
    from tests.real.odoo_person import Person

DATA = Plan()
SCORED = """
WITH one AS (
  INSERT INTO companies (name, website_domain, industry_norm)
  VALUES ($2 || ' Pte. Ltd.', lower($2) || '.test', 'Food') RETURNING company_id)
INSERT INTO lead_scores (tenant_id, company_id, score, bucket, rationale)
SELECT $1, company_id, 0.9, 'high', 'because' FROM one
"""
MARKS = {"alice": "Merlion", "bob": "Orchid"}


@DATA.promise("4a", "Exports, JSON and CSV, hold a tenant's own rows and no others")
async def exports(place: Place) -> None:
    async with place.here.databases.superuser() as superuser:
        await superuser.execute(SCORED, place.alices, MARKS["alice"])
        await superuser.execute(SCORED, place.bobs, MARKS["bob"])
    for person, mark in ((place.alice, "alice"), (place.bob, "bob")):
        wanted = [f"{MARKS[mark]} Pte. Ltd."]
        _, rows = await place.status(person, "GET", "/export/latest_scores.json")
        assert [row["name"] for row in rows] == wanted
        _, text = await place.status(person, "GET", "/export/latest_scores.csv")
        assert [row["name"] for row in csv.DictReader(io.StringIO(text))] == wanted


@DATA.promise("4b", "PostgreSQL itself knows the tenant of a request, and keeps to it")
async def rows(place: Place) -> None:
    async with connect(place.here.databases.app, size=1) as database:
        for tenant in (place.alices, place.bobs):
            async with database.tenant_transaction(tenant) as connection:
                said = "SELECT current_setting('request.tenant_id', true)"
                assert await connection.fetchval(said) == str(tenant)
                seen = await connection.fetch("SELECT tenant_id FROM lead_scores")
                assert {row["tenant_id"] for row in seen} == {tenant}


DATA.superseded(
    "4c",
    "The materialized view is refreshed before an export",
    "there is none: exports read the scores themselves, under row-level security",
)


@DATA.promise("7", "A sync writes A's leads into A's Odoo, B's into B's")
async def synced(place: Place) -> None:
    for person in (place.alice, place.bob):
        await person.asks("POST", "/export/odoo/sync", json={})
        await _over(person)
    assert await _leads(place, place.alices) == [f"{MARKS['alice']} Pte. Ltd."]
    assert await _leads(place, place.bobs) == [f"{MARKS['bob']} Pte. Ltd."]


@DATA.promise("9a", "A role is enforced: a viewer administers nothing")
async def roles(place: Place) -> None:
    path = f"/tenants/{place.alices}"
    invited = await place.alice.asks(
        "POST", f"{path}/invites", json={"roles": ["viewer"]}
    )
    token = invited["invite_url"].rpartition("#")[2]
    await place.viewer.asks("POST", "/invites/redeem", json={"token": token})
    assert (await place.viewer.asks("GET", "/whoami"))["tenant_id"] == place.alices
    for method, asked in (
        ("GET", f"{path}/members"),
        ("GET", f"{path}/audit"),
        ("POST", f"{path}/odoo/api-key/rotate"),
        ("POST", "/export/odoo/sync"),
    ):
        status, body = await place.status(place.viewer, method, asked, json={})
        assert (status, body["code"]) == (403, "role_missing"), asked


@DATA.promise("9b", "One tenant's admin is a stranger to the other")
async def strangers(place: Place) -> None:
    for asked in ("members", "audit", "invites", "odoo"):
        path = f"/tenants/{place.bobs}/{asked}"
        status, _ = await place.status(place.alice, "GET", path)
        assert status in {403, 404}, asked


@DATA.promise("9c", "What the server writes tells which tenant and which person")
async def written(place: Place) -> None:
    found = await place.alice.asks("GET", f"/tenants/{place.alices}/audit")
    entries = found["entries"]
    assert {"odoo.sync_asked", "invite.redeemed"} <= {one["action"] for one in entries}
    (asked,) = [one for one in entries if one["action"] == "odoo.sync_asked"]
    assert place.alice.email in json.dumps(asked)
    async with place.here.databases.superuser() as superuser:
        tenant = await superuser.fetchval(
            "SELECT tenant_id FROM audit_log WHERE action = 'odoo.sync_asked' "
            "AND actor_email = $1",
            place.alice.email,
        )
    assert tenant == place.alices


async def _over(person: Person) -> None:
    async def look() -> dict[str, Any] | None:
        found = await person.asks("GET", "/export/odoo/sync")
        return found if found["state"] in {"done", "failed"} else None

    found = await until(look, seconds=90)
    assert (found["state"], found["exported"]) == ("done", 1), found


async def _leads(place: Place, tenant: int) -> list[str]:
    """Return the leads in a tenant's Odoo, by what its own PostgreSQL says."""
    database = place.here.odoo.place.superuser(place.here.name(tenant))
    connection = await asyncpg.connect(database)
    try:
        found = await connection.fetch("SELECT partner_name FROM crm_lead")
    finally:
        await connection.close()
    return [row["partner_name"] for row in found]
