"""Read a tenant's best companies for its Odoo, page by page."""

from __future__ import annotations

import html
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odoo.leads import Lead

if TYPE_CHECKING:
    from asyncpg import Record

    from bff.database import Database

# What lies between is a score; NaN and infinity are none, as in exports.
LEAST, MOST = -sys.float_info.max, sys.float_info.max
COUNT = """
SELECT count(*) FROM (
  SELECT FROM lead_scores
  WHERE tenant_id = $1 AND score BETWEEN $2 AND $3 LIMIT $4
) AS wanted
"""
# The contact is the one that exports show (`bff.exports.queries`).
PAGE = """
SELECT company_id, score, bucket, rationale, companies.name, website_domain,
  contact.email, contact.full_name, contact.phone_number
FROM (
  SELECT company_id, score, bucket, rationale FROM lead_scores
  WHERE tenant_id = $1 AND score >= $2
    AND (score < $3 OR (score = $3 AND company_id > $4))
  ORDER BY score DESC NULLS LAST, company_id LIMIT $5
) AS scored
JOIN companies USING (company_id)
LEFT JOIN LATERAL (
  SELECT email, full_name, phone_number FROM contacts
  WHERE contacts.company_id = companies.company_id
  ORDER BY email_verified DESC, verification_confidence DESC NULLS LAST,
           created_at DESC, contact_id
  LIMIT 1
) AS contact ON true
ORDER BY score DESC, company_id
"""


@dataclass(frozen=True, slots=True)
class Place:
    """How far one is in the list: behind this company."""

    score: float = MOST
    company_id: int = -1


@dataclass(frozen=True, slots=True)
class Scored:
    """A company as a lead, and its place in the list."""

    lead: Lead
    place: Place


async def count(
    database: Database, tenant_id: int, min_score: float | None, limit: int
) -> int:
    """Return how many of a tenant's companies there are to send, *limit* at most."""
    lowest = LEAST if min_score is None else min_score
    async with database.tenant_transaction(tenant_id) as connection:
        values = (tenant_id, lowest, MOST, limit)
        return int(await connection.fetchval(COUNT, *values))


async def page(
    database: Database,
    tenant_id: int,
    min_score: float | None,
    behind: Place,
    limit: int,
) -> list[Scored]:
    """Return the next *limit* of a tenant's companies, the best first."""
    lowest = LEAST if min_score is None else min_score
    async with database.tenant_transaction(tenant_id) as connection:
        values = (tenant_id, lowest, behind.score, behind.company_id, limit)
        rows = await connection.fetch(PAGE, *values)
    return [_scored(row) for row in rows]


def _scored(row: Record) -> Scored:
    name = _line(row["name"]) or f"Company {row['company_id']}"
    lead = Lead(
        company_id=row["company_id"],
        name=name,
        partner_name=name,
        website=_line(row["website_domain"]),
        email_from=_line(row["email"]),
        contact_name=_line(row["full_name"]),
        phone=_line(row["phone_number"]),
        description=_notes(row),
    )
    return Scored(lead, Place(row["score"], row["company_id"]))


def _notes(row: Record) -> str:
    """Return what is noted of a new lead, as HTML: Odoo's people read it so."""
    bucket = _line(row["bucket"])
    head = f"Score {row['score']:g}" + (f" ({bucket})" if bucket else "")
    parts = (head, *(row["rationale"] or "").splitlines())
    return "".join(f"<p>{html.escape(one)}</p>" for one in parts if one.strip())


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
