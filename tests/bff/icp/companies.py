"""A few companies that differ in everything a rule may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.databases import Databases

# By name: industry, SSIC code, employees, year, country, registered in Singapore.
COMPANIES: dict[str, tuple[Any, ...]] = {
    "soft": ("Software", "62011", 18, 2015, "Singapore", True),
    "ships": ("MARINE", "30110", 510, 1990, "Singapore", True),
    "abroad": ("software", "62012", 120, 2020, "Malaysia", False),
    "food": ("Food", "10101", 80, 2001, "singapore", True),
    "unknown": (None, None, None, None, None, None),
}


async def fill(databases: Databases) -> dict[int, str]:
    """Put them in the place of all others; return their names by number."""
    async with databases.superuser() as superuser:
        await superuser.execute("DELETE FROM companies")
        for name, values in COMPANIES.items():
            await superuser.execute(
                "INSERT INTO companies (name, industry_norm, industry_code, "
                "employees_est, incorporation_year, hq_country, sg_registered) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                name,
                *values,
            )
        rows = await superuser.fetch("SELECT company_id, name FROM companies")
    return {row["company_id"]: row["name"] for row in rows}


async def candidates(databases: Databases, rule_id: int) -> set[str]:
    """Return the names of those who fit a rule."""
    async with databases.superuser() as superuser:
        rows = await superuser.fetch(
            "SELECT name FROM icp_candidate_companies JOIN companies "
            "USING (company_id) WHERE rule_id = $1",
            rule_id,
        )
    return {row["name"] for row in rows}
