"""The register's changes in `companies`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bff.acra.runs import RunLost, Runs
from bff.acra.sync import Synced, sync
from bff.database import connect
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import asyncpg

    from bff.acra.runs import Run
    from bff.database import Database
    from tests.databases import Databases

T0 = datetime(2026, 9, 16, 2, 4, 13, 123456, tzinfo=UTC)


@dataclass
class Bench:
    """The register and the companies, as a superuser sees them."""

    databases: Databases
    database: Database
    super: asyncpg.Connection
    at: datetime = T0
    seen: list[Synced] = field(default_factory=list)

    async def entity(self, uen: str, name: str, **values: Any) -> None:
        """Put an entity into the register, or change it."""
        self.at += timedelta(seconds=1)
        row = {
            "uen": uen,
            "entity_name": name,
            "entity_status_description": "Live Company",
            "registration_incorporation_date": "2015-03-04",
            "primary_ssic_code": 62011,
            "primary_ssic_description": "DEVELOPMENT OF SOFTWARE",
            "ingested_at": self.at,
            "source": "test",
        } | values
        names = ", ".join(row)
        places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        changes = ", ".join(f"{column} = EXCLUDED.{column}" for column in row)
        await self.super.execute(
            f"INSERT INTO staging_acra_companies ({names}) VALUES ({places}) "  # noqa: S608 - our own names
            f"ON CONFLICT (uen) DO UPDATE SET {changes}",
            *row.values(),
        )

    async def company(self, name: str, **values: Any) -> int:
        row = {"name": name} | values
        places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        return int(
            await self.super.fetchval(
                f"INSERT INTO companies ({', '.join(row)}) VALUES ({places}) "  # noqa: S608 - our own names
                "RETURNING company_id",
                *row.values(),
            )
        )

    async def sync(self, batch: int = 5000) -> Synced:
        async with Runs(self.database).begin("test") as run:
            assert run is not None
            return await self.sync_in(run, batch)

    async def sync_in(self, run: Run, batch: int = 5000) -> Synced:
        return await sync(
            self.database,
            run,
            {"read": 7},
            batch=batch,
            on_progress=self.seen.append,
        )

    async def companies(self) -> list[dict[str, Any]]:
        rows = await self.super.fetch("SELECT * FROM companies ORDER BY company_id")
        return [dict(row) for row in rows]

    async def uens(self) -> list[str | None]:
        return [row["uen"] for row in await self.companies()]


@pytest.fixture
async def bench(databases: Databases) -> AsyncGenerator[Bench]:
    async with (
        databases.superuser() as superuser,
        connect(databases.worker, size=4) as database,
    ):
        yield Bench(databases, database, superuser)


async def test_a_live_company_of_the_register_becomes_a_company(bench: Bench) -> None:
    await bench.entity("201500001K", "ALPHA PTE. LTD.")

    done = await bench.sync()

    assert done == Synced(read=1, new=1)
    (row,) = await bench.companies()
    assert row["uen"] == "201500001K"
    assert row["name"] == "ALPHA PTE. LTD."
    assert row["industry_norm"] == "development of software"
    assert row["industry_code"] == "62011"
    assert row["incorporation_year"] == 2015
    assert row["sg_registered"] is True
    assert row["last_seen"] == bench.at
    counts = await bench.super.fetchval("SELECT counts FROM acra_runs")
    assert '"read": 7' in counts
    assert '"companies_new": 1' in counts


@pytest.mark.parametrize(
    "status",
    [
        "Live Company",
        "Live",
        "Live (Receiver or Receiver and Manager appointed)",
    ],
)
async def test_every_word_for_live_is_live(bench: Bench, status: str) -> None:
    await bench.entity("201500001K", "A", entity_status_description=status)
    await bench.sync()

    assert (await bench.companies())[0]["sg_registered"] is True


@pytest.mark.parametrize(
    ("values", "column", "expected"),
    [
        ({"primary_ssic_code": 1111}, "industry_code", "01111"),
        ({"primary_ssic_code": None}, "industry_code", None),
        ({"primary_ssic_description": None}, "industry_norm", None),
        ({"registration_incorporation_date": None}, "incorporation_year", None),
        ({"registration_incorporation_date": "0015-01-01"}, "incorporation_year", None),
        ({"registration_incorporation_date": "soon"}, "incorporation_year", None),
        ({"registration_incorporation_date": "1899-1-1"}, "incorporation_year", 1899),
    ],
)
async def test_what_the_register_says_is_read_with_care(
    bench: Bench, values: dict[str, Any], column: str, expected: object
) -> None:
    await bench.entity("201500001K", "ALPHA PTE. LTD.", **values)
    await bench.sync()

    assert (await bench.companies())[0][column] == expected


async def test_only_what_changed_since_the_last_time_is_read(bench: Bench) -> None:
    for number in range(5):
        await bench.entity(f"20150000{number}K", f"ALPHA {number} PTE. LTD.")
    assert (await bench.sync()).read == 5
    assert (await bench.sync()) == Synced()

    await bench.entity("201500003K", "ALPHA 3 PTE. LTD.", primary_ssic_code=47411)
    await bench.entity("201500009K", "NEW PTE. LTD.")

    assert await bench.sync() == Synced(read=2, new=1, updated=1)
    assert (await bench.companies())[3]["industry_code"] == "47411"


async def test_changes_of_one_moment_are_not_lost_between_batches(bench: Bench) -> None:
    at = T0 + timedelta(days=1)
    for number in range(7):
        await bench.entity(f"20150000{number}K", f"A {number}", ingested_at=at)

    done = await bench.sync(batch=2)

    assert done == Synced(read=7, new=7)
    assert [one.read for one in bench.seen] == [2, 4, 6, 7]
    assert len(await bench.companies()) == 7


async def test_a_company_that_left_the_register_is_kept_and_says_so(
    bench: Bench,
) -> None:
    await bench.entity("201500001K", "ALPHA PTE. LTD.")
    await bench.sync()
    await bench.entity(
        "201500001K", "ALPHA PTE. LTD.", entity_status_description="Struck Off"
    )
    await bench.entity("201500002K", "B", entity_status_description="Struck Off")
    await bench.entity("201500003K", "C", entity_status_description=None)

    assert await bench.sync() == Synced(read=3, updated=1, left_out=2)
    (row,) = await bench.companies()
    assert row["sg_registered"] is False


async def test_what_the_register_does_not_know_stays_as_it_was(bench: Bench) -> None:
    """Enrichment knows more, and NULL is no news."""
    known = {
        "uen": "201500001K",
        "industry_norm": "saas",
        "industry_code": "62090",
        "employees_est": 40,
        "revenue_bucket": "1-5m",
        "incorporation_year": 2014,
        "founded_year": 2013,
        "sg_registered": True,
        "website_domain": "alpha.example",
        "hq_city": "Singapore",
        "hq_country": "SG",
        "linkedin_url": "https://linkedin.example/alpha",
    }
    await bench.company("Alpha Pte Ltd", **known)
    await bench.entity(
        "201500001K",
        "ALPHA PTE. LTD.",
        entity_status_description=None,
        primary_ssic_code=None,
        primary_ssic_description=None,
        registration_incorporation_date=None,
    )
    await bench.sync()

    (row,) = await bench.companies()
    assert {name: row[name] for name in known} == known
    assert row["name"] == "Alpha Pte Ltd", "the spelling is ours while the name is"


async def test_a_company_that_was_renamed_is_renamed(bench: Bench) -> None:
    await bench.company("Alpha Pte Ltd", uen="201500001K")
    await bench.entity(
        "201500001K",
        "OMEGA PTE. LTD.",
        former_entity_name1="BETA PTE. LTD.",
        former_entity_name2="ALPHA PTE. LTD.",
    )
    await bench.sync()

    assert (await bench.companies())[0]["name"] == "OMEGA PTE. LTD."


async def test_a_name_that_people_know_it_by_stays(bench: Bench) -> None:
    await bench.company("Grab", uen="201500001K")
    await bench.company(" ", uen="201500002K")
    await bench.entity(
        "201500001K", "GRABTAXI HOLDINGS PTE. LTD.", former_entity_name1="MYTEKSI"
    )
    await bench.entity("201500002K", "OMEGA PTE. LTD.")
    await bench.sync()
    await bench.entity(
        "201500001K",
        "GRABTAXI HOLDINGS PTE. LTD.",
        former_entity_name1="MYTEKSI",
        postal_code="018956",
    )
    await bench.sync()

    names = [row["name"] for row in await bench.companies()]
    assert names == ["Grab", "OMEGA PTE. LTD."]


SAME = [
    ("Alpha (Private) Limited", "ALPHA PTE. LTD."),
    ("A.B.C. Pte Ltd", "ABC PRIVATE LIMITED"),
    ("O\u2019Neill \u2013 Sons", "O'NEILL-SONS"),
    ("CAFÉ ZoË", "café zoë"),
    ("Smith & Sons Pte Ltd", "SMITH AND SONS PTE. LTD."),
    ("24-7 Shop", "24 7 SHOP"),
    ("Alpha\u00a0Beta\t", "ALPHA  BETA"),
]
OTHER = [
    ("C++ Pte Ltd", "C PTE. LTD."),
    ("1+1", "11"),
    ("1-1 Pte Ltd", "11 PTE. LTD."),
    ("3.14", "314"),
    ("Café", "CAF"),
    ("日本 Pte Ltd", "中国 Pte Ltd"),
    ("日本", "中国"),
    ("H&Y Pte Ltd", "HANDY PTE. LTD."),
    ("C# Pte Ltd", "C@ PTE. LTD."),
    ("Alpha Pte Ltd", "ALPHA"),
]


# Those that this server has; servers with and without ICU are both good.
COLLATIONS = ["C", "POSIX", "C.UTF-8", "C.utf8", "en_US.utf8", "und-x-icu"]


@pytest.mark.parametrize(("one", "other"), SAME + OTHER)
async def test_names_are_the_same_but_for_spelling_or_they_are_not(
    databases: Databases, one: str, other: str
) -> None:
    async with databases.superuser() as superuser:
        found = await superuser.fetch(
            "SELECT DISTINCT collname FROM pg_collation WHERE collname = ANY($1)",
            COLLATIONS,
        )
        assert found
        for (collation,) in found:
            keys = await superuser.fetchrow(
                f'SELECT company_name_key($1 COLLATE "{collation}"), '
                f'company_name_key($2 COLLATE "{collation}")',
                one,
                other,
            )
            assert keys is not None
            assert all(keys), collation
            assert (keys[0] == keys[1]) is ((one, other) in SAME), collation


async def test_a_claimed_company_is_brought_up_to_date_though_its_entity_is_as_it_was(
    bench: Bench,
) -> None:
    await bench.entity("201500000K", "ALPHA PTE. LTD.", entity_status_description=None)
    await bench.entity("201500001K", "BETA PTE. LTD.", entity_status_description="Gone")
    await bench.sync()
    assert await bench.companies() == []
    await bench.company("Alpha Pte Ltd")
    await bench.company("Beta Pte Ltd")
    await bench.entity("201500009K", "OMEGA PTE. LTD.")

    done = await bench.sync()

    assert (done.read, done.new, done.by_name) == (1, 1, 2)
    alpha, beta, _ = await bench.companies()
    assert (alpha["uen"], alpha["industry_code"]) == ("201500000K", "62011")
    assert (alpha["sg_registered"], beta["sg_registered"]) == (None, False)


# What is claimed: (company's name and facts, register's names) → claimed or not.
SG = {"hq_country": "Singapore"}
CLAIMED: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "the same name": ("Alpha Robotics Pte Ltd", {}, ["ALPHA ROBOTICS PTE. LTD."]),
    "another spelling": (
        "alpha-robotics (Private) Limited", {}, ["ALPHA ROBOTICS PTE LTD"]
    ),
    "no legal form, but Singapore and unique": ("Kopi Corner", SG, ["KOPI CORNER"]),
    "no legal form, but a domain of Singapore": (
        "Kopi Corner", {"website_domain": "https://www.kopi.com.sg/x"}, ["KOPI CORNER"]
    ),
}  # fmt: skip
LEFT: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "another legal form": ("Alpha Robotics", SG, ["ALPHA ROBOTICS PTE. LTD."]),
    "a name that two entities have": (
        "Alpha Pte Ltd", SG, ["ALPHA PTE. LTD.", "ALPHA PTE LTD"]
    ),
    "a plain name that a company of another form has, too": (
        "Kopi Corner", SG, ["KOPI CORNER", "KOPI CORNER PTE. LTD."]
    ),
    "nothing that says Singapore": ("Kopi Corner", {}, ["KOPI CORNER"]),
    "a domain that says nothing": (
        "Apple", {"website_domain": "apple.com"}, ["APPLE"]
    ),
    "another country": (
        "Alpha Pte Ltd", {"hq_country": "Fiji"}, ["ALPHA PTE. LTD."]
    ),
    "known not to be registered": (
        "Alpha Pte Ltd", {"sg_registered": False}, ["ALPHA PTE. LTD."]
    ),
    "signs only": ("???", SG, ["!!!"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CLAIMED)
async def test_a_company_without_uen_is_found_by_its_name(
    bench: Bench, case: str
) -> None:
    name, facts, names = CLAIMED[case]
    company_id = await bench.company(name, **facts)
    for number, entity in enumerate(names):
        await bench.entity(f"20150000{number}K", entity)

    done = await bench.sync()

    assert done.by_name == 1
    (row,) = await bench.companies()
    assert (row["company_id"], row["uen"]) == (company_id, "201500000K")
    assert row["industry_code"] == "62011"


@pytest.mark.parametrize("case", LEFT)
async def test_a_name_that_proves_nothing_makes_a_company_of_its_own(
    bench: Bench, case: str
) -> None:
    name, facts, names = LEFT[case]
    await bench.company(name, **facts)
    for number, entity in enumerate(names):
        await bench.entity(f"20150000{number}K", entity)

    done = await bench.sync()

    assert done.by_name == 0
    assert done.new == len(names)
    uens = await bench.uens()
    assert uens[0] is None
    assert len(uens) == 1 + len(names)


async def test_of_several_namesakes_the_domain_decides(bench: Bench) -> None:
    await bench.company("Alpha Robotics Pte Ltd", website_domain="ar-labs.example")
    second = await bench.company(
        "Alpha Robotics Pte. Ltd.", website_domain="www.alpha-robotics-pte.example"
    )
    third = await bench.company(
        "ALPHA ROBOTICS PTE LTD", website_domain="alpha-robotics.example"
    )
    await bench.entity("201500000K", "ALPHA ROBOTICS PTE. LTD.")

    assert (await bench.sync()).by_name == 1
    by_id = {row["company_id"]: row["uen"] for row in await bench.companies()}
    assert by_id[third] == "201500000K"
    assert by_id[second] is None
    assert len(by_id) == 3


async def test_of_two_with_the_same_domain_none_is_taken(bench: Bench) -> None:
    for _ in range(2):
        await bench.company("Alpha Pte Ltd", website_domain="alpha.example")
    await bench.entity("201500000K", "ALPHA PTE. LTD.")

    assert await bench.sync() == Synced(read=1, new=1)
    assert await bench.uens() == [None, None, "201500000K"]


async def test_companies_are_claimed_in_the_order_of_their_numbers(
    bench: Bench,
) -> None:
    """As candidates' foreign keys lock them: neither waits for the other."""
    for number in (9, 5, 7):
        await bench.company(f"Alpha {number} Pte Ltd", company_id=number)
        await bench.entity(f"20150000{number}K", f"ALPHA {number} PTE. LTD.")
    lock = "SELECT FROM companies WHERE company_id = $1 FOR KEY SHARE NOWAIT"
    async with bench.super.transaction():
        await bench.super.execute(lock, 5)
        syncing = asyncio.ensure_future(bench.sync())

        async def waits() -> bool:
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            return bool(await bench.super.fetchval(query))

        await until(waits)
        for number in (7, 9):
            await bench.super.execute(lock, number)
    assert (await syncing).by_name == 3


async def test_a_namesake_with_a_uen_of_its_own_puts_a_name_in_doubt(
    bench: Bench,
) -> None:
    await bench.company("Alpha Pte Ltd", uen="199900009K")
    await bench.company("Alpha Pte Ltd")
    await bench.entity("201500000K", "ALPHA PTE. LTD.")

    assert (await bench.sync()).by_name == 0
    assert await bench.uens() == ["199900009K", None, "201500000K"]


async def test_two_companies_never_become_one(bench: Bench) -> None:
    """The entity is a company already: the namesake without UEN stays what it is."""
    await bench.entity("201500000K", "ALPHA PTE. LTD.")
    await bench.sync()
    await bench.company("Alpha Pte Ltd", website_domain="alpha.example")
    await bench.entity("201500000K", "ALPHA PTE. LTD.", primary_ssic_code=1111)

    assert await bench.sync() == Synced(read=1, updated=1)
    assert await bench.uens() == ["201500000K", None]


async def test_a_sync_that_is_killed_goes_on_where_it_was(bench: Bench) -> None:
    for number in range(6):
        await bench.entity(f"20150000{number}K", f"A {number}")

    class Killed(Exception):
        pass

    def kill(done: Synced) -> None:
        if done.read == 4:
            raise Killed

    async with Runs(bench.database).begin("test") as run:
        assert run is not None
        with pytest.raises(Killed):
            await sync(bench.database, run, {}, batch=2, on_progress=kill)
    assert len(await bench.companies()) == 4

    assert await bench.sync(batch=2) == Synced(read=2, new=2)
    assert len(await bench.companies()) == 6


async def test_a_run_that_was_taken_over_changes_no_company(bench: Bench) -> None:
    await bench.entity("201500000K", "ALPHA PTE. LTD.")
    async with Runs(bench.database).begin("test") as run:
        assert run is not None
        await bench.super.execute("UPDATE acra_runs SET status = 'failed'")
        with pytest.raises(RunLost):
            await bench.sync_in(run)
    assert await bench.companies() == []


async def test_a_company_that_appears_meanwhile_is_not_doubled(bench: Bench) -> None:
    """Somebody else may write companies: the unique UEN decides."""
    await bench.entity("201500000K", "ALPHA PTE. LTD.")
    transaction = bench.super.transaction()
    await transaction.start()
    await bench.company("Alpha Pte Ltd", uen="201500000K", employees_est=9)
    syncing = asyncio.ensure_future(bench.sync())
    await asyncio.sleep(0.3)
    await transaction.commit()

    assert await syncing == Synced(read=1, updated=1)
    (row,) = await bench.companies()
    assert (row["employees_est"], row["industry_code"]) == (9, "62011")
