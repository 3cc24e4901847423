"""Write the statements of the exports. No I/O here.

COPY takes no parameters. What is put into a statement is the names below and numbers,
never a text from outside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bff.exports.cells import safe

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_LIMIT, MOST = 200, 1_000_000
# Spreadsheets and JSON know neither NaN nor infinity: they are nothing, and come where
# nothing comes, though the index has them elsewhere.
_NO_NUMBER = "score IN ('NaN', 'Infinity', '-Infinity')"
# Of so many rows at most the best are looked up in the index; more are sorted, which
# several processes do together.
_FEW = 10_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an export, and what it is made of."""

    name: str
    source: str
    is_text: bool = True

    def selected(self, *, for_cells: bool) -> str:
        """Return its item of a SELECT list."""
        source = safe(self.source) if for_cells and self.is_text else self.source
        return f"{source} AS {self.name}"


COLUMNS = (
    Column("company_id", "company_id", is_text=False),
    Column("name", "companies.name"),
    Column("website_domain", "website_domain"),
    Column("industry_norm", "industry_norm"),
    Column("employees_est", "employees_est", is_text=False),
    Column("score", "score", is_text=False),
    Column("bucket", "bucket"),
    Column("rationale", "rationale"),
)
CONTACT_COLUMNS = (
    Column("primary_email", "contact.email"),
    Column("contact_name", "contact.full_name"),
    Column("contact_title", "contact.job_title"),
    Column("contact_linkedin", "contact.linkedin_profile"),
    Column("contact_phone", "contact.phone_number"),
)
# One of several: verified first, then the surest, then the newest. A lookup per row
# begins at once and costs a small export little, unlike DISTINCT ON over all contacts.
_CONTACT = """
LEFT JOIN LATERAL (
    SELECT email, full_name, job_title, linkedin_profile, phone_number
    FROM contacts
    WHERE contacts.company_id = companies.company_id
    ORDER BY email_verified DESC, verification_confidence DESC NULLS LAST,
             created_at DESC, contact_id
    LIMIT 1
) AS contact ON true
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an export is to hold."""

    tenant_id: int
    limit: int = DEFAULT_LIMIT
    contacts: bool = False
    columns: tuple[Column, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Work out the columns."""
        more = CONTACT_COLUMNS if self.contacts else ()
        object.__setattr__(self, "columns", COLUMNS + more)


def for_cells(asked: Asked) -> str:
    """Return a query of rows whose texts a spreadsheet does not run."""
    return _query(asked, (one.selected(for_cells=True) for one in asked.columns))


def for_json(asked: Asked) -> str:
    """Return a query of one JSON object a row, without a line break in it."""
    rows = _query(asked, (one.selected(for_cells=False) for one in asked.columns))
    return f"SELECT row_to_json(line) FROM ({rows}) AS line"  # noqa: S608 - see above


def _query(asked: Asked, selected: Iterable[str]) -> str:
    # Row-level security allows no other tenant anyway; its number, said once more, lets
    # PostgreSQL check that once for the statement instead of for each row.
    return f"""
SELECT {", ".join(selected)}
FROM ({_scores(asked)}) AS scored JOIN companies USING (company_id)
{_CONTACT if asked.contacts else ""}
ORDER BY scored.score DESC NULLS LAST, company_id
LIMIT {asked.limit:d}
"""  # noqa: S608 - see above


def _scores(asked: Asked) -> str:
    """Return a query of the tenant's scores, with at least those that are asked for."""
    rows = f"lead_scores WHERE tenant_id = {asked.tenant_id:d}"
    if asked.limit > _FEW:
        score = f"CASE WHEN ({_NO_NUMBER}) IS NOT TRUE THEN score END"
        return f"SELECT company_id, {score} AS score, bucket, rationale FROM {rows}"  # noqa: S608 - see above
    # Two lists in order make one in order, without reading the whole.
    return f"""
(SELECT company_id, score, bucket, rationale FROM {rows} AND ({_NO_NUMBER}) IS NOT TRUE
 ORDER BY lead_scores.score DESC NULLS LAST, company_id LIMIT {asked.limit:d})
UNION ALL
(SELECT company_id, NULL, bucket, rationale FROM {rows} AND {_NO_NUMBER}
 ORDER BY company_id LIMIT {asked.limit:d})
"""  # noqa: S608 - see above
