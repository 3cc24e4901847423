"""Stream a tenant's latest scores as JSON or CSV, row by row."""

from __future__ import annotations

import json
import math
from contextlib import aclosing
from typing import TYPE_CHECKING

from aiohttp import web

from bff.access import SESSION
from bff.database import DATABASE
from bff.errors import BadRequest
from bff.exports.cells import row

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import asyncpg

COLUMNS = (
    "company_id",
    "name",
    "website_domain",
    "industry_norm",
    "employees_est",
    "score",
    "bucket",
    "rationale",
)
DEFAULT_LIMIT, MOST = 200, 1_000_000
BATCH = 500

QUERY = """
SELECT company_id, name, website_domain, industry_norm, employees_est,
       score, bucket, rationale
FROM lead_scores JOIN companies USING (company_id)
WHERE tenant_id = $1
  AND ($3::bigint IS NULL
       OR CASE WHEN $4::float8 IS NULL THEN score IS NULL AND company_id > $3
               ELSE score < $4 OR score IS NULL OR (score = $4 AND company_id > $3)
          END)
ORDER BY score DESC NULLS LAST, company_id
LIMIT $2
"""


async def scores_json(request: web.Request) -> web.StreamResponse:
    """Stream the scores as one JSON array."""
    limit = _limit(request)
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    before = b"["
    async with aclosing(_batches(request, limit)) as batches:
        async for rows in batches:
            if not stream.prepared:
                await stream.prepare(request)
            for found in rows:
                await stream.write(before + _json(found))
                before = b",\n"
    if not stream.prepared:
        await stream.prepare(request)
    await stream.write(b"]" if before != b"[" else b"[]")
    return stream


async def scores_csv(request: web.Request) -> web.StreamResponse:
    """Stream the scores as CSV, the header always there."""
    limit = _limit(request)
    stream = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": 'attachment; filename="latest_scores.csv"',
        }
    )
    async with aclosing(_batches(request, limit)) as batches:
        async for rows in batches:
            if not stream.prepared:
                await stream.prepare(request)
                await stream.write(row(COLUMNS))
            await stream.write(b"".join(row(_finite(found)) for found in rows))
    if not stream.prepared:
        await stream.prepare(request)
        await stream.write(row(COLUMNS))
    return stream


async def _batches(
    request: web.Request, limit: int
) -> AsyncGenerator[list[asyncpg.Record]]:
    tenant_id = request[SESSION].tenant_id
    if tenant_id is None:  # the route's access has seen to it
        raise BadRequest
    last: asyncpg.Record | None = None
    while limit > 0:
        # A page, then the connection goes back: a reader who does not read holds none.
        async with request.app[DATABASE].tenant_transaction(tenant_id) as connection:
            rows = await connection.fetch(
                QUERY,
                tenant_id,
                min(BATCH, limit),
                last["company_id"] if last else None,
                last["score"] if last else None,
            )
        if rows:
            yield rows
        if len(rows) < BATCH:
            return
        last, limit = rows[-1], limit - len(rows)


def _json(found: asyncpg.Record) -> bytes:
    return json.dumps(dict(zip(COLUMNS, _finite(found), strict=True))).encode()


def _finite(found: asyncpg.Record) -> list[object]:
    """Return the values, None for numbers that JSON and spreadsheets do not know."""
    return [
        None if isinstance(value, float) and not math.isfinite(value) else value
        for value in found.values()
    ]


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(DEFAULT_LIMIT))
    short = len(text) <= len(str(MOST)) and text.isascii() and text.isdigit()
    if not (short and 1 <= int(text) <= MOST):
        raise BadRequest(f"limit must be a number from 1 to {MOST}.")
    return int(text)
