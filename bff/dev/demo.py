"""The people, tenants and scores that `make run` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff.dev.provider import Client, Person

if TYPE_CHECKING:
    import asyncpg

    from bff.database import Database

PASSWORD = "Correct-Horse-1"  # noqa: S105 - published, for a provider on loopback
CLIENT_ID = "nexius-bff"
AUDIENCE = "nexius-api"
TENANTS = {1001: "Acme", 1002: "Globex"}
# New tenants get numbers above those of the demo.
NEXT_TENANT = 2001

PEOPLE = (
    Person(
        email="alice@acme.test",
        password=PASSWORD,
        tenant_id=1001,
        roles=("admin",),
        first_name="Alice",
        last_name="Acme",
    ),
    Person(
        email="bob@globex.test",
        password=PASSWORD,
        tenant_id=1002,
        roles=("viewer",),
        first_name="Bob",
        last_name="Globex",
    ),
    Person(
        email="carol@initech.test",
        password=PASSWORD,
        first_name="Carol",
        last_name="Initech",
    ),
)

COMPANIES = (
    ("202500001A", "Merlion Logistics Pte. Ltd.", "Logistics", 120, "merlion.test"),
    ("202500002B", "Straits Robotics Pte. Ltd.", "Manufacturing", 45, "straits.test"),
    ("202500003C", "Orchid Health Pte. Ltd.", "Healthcare", 300, "orchid.test"),
    ("202500004D", "Kallang Foods Pte. Ltd.", "Food", 80, "kallang.test"),
    ("202500005E", "Jurong Marine Works Pte. Ltd.", "Marine", 510, "jurong.test"),
    ("202500006F", "Bukit Analytics Pte. Ltd.", "Software", 18, "bukit.test"),
)


def client(secret: str, origins: tuple[str, ...]) -> Client:
    """Return the gateway's client at the development provider."""
    return Client(
        client_id=CLIENT_ID,
        secret=secret,
        redirect_uris=tuple(f"{origin}/auth/callback" for origin in origins),
        post_logout_redirect_uris=tuple(f"{origin}/" for origin in origins),
        # By address: the provider calls from this machine, where a name may be IPv6.
        backchannel_logout_url=(
            f"{origins[-1]}/auth/backchannel-logout" if origins else None
        ),
    )


async def seed(owner: asyncpg.Connection, database: Database) -> None:
    """Make tenants, companies and scores; running it again changes nothing."""
    for uen, name, industry, employees, domain in COMPANIES:
        await owner.execute(
            "INSERT INTO companies (uen, name, industry_norm, employees_est, "
            "website_domain, sg_registered) VALUES ($1, $2, $3, $4, $5, true) "
            "ON CONFLICT DO NOTHING",
            uen,
            name,
            industry,
            employees,
            domain,
        )
    await owner.execute(
        "SELECT setval(pg_get_serial_sequence('tenants', 'tenant_id'), "
        "greatest($1, nextval(pg_get_serial_sequence('tenants', 'tenant_id'))), false)",
        NEXT_TENANT,
    )
    for place, (tenant_id, name) in enumerate(TENANTS.items()):
        async with database.tenant_transaction(tenant_id) as connection:
            await connection.execute(
                "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2) "
                "ON CONFLICT DO NOTHING",
                tenant_id,
                name,
            )
            await connection.execute(
                "INSERT INTO lead_scores (tenant_id, company_id, score, bucket, "
                "rationale) SELECT $1, company_id, "
                "round((0.35 + 0.1 * ((company_id + $2) % 6))::numeric, 2), "
                "CASE WHEN (company_id + $2) % 6 > 3 THEN 'high' ELSE 'medium' END, "
                "'Demo score for ' || $3 || ': ' || industry_norm FROM companies "
                "ON CONFLICT DO NOTHING",
                tenant_id,
                place * 2,
                name,
            )
