"""`bff odoo template build`, `list` and `drop`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from bff.dev.postgres import SUPERUSER
from bff.sessions.sealing import KeyRing, parse_keys
from bff.sites.operating import LOCK
from bff.sites.safe import name_of_template, seal, unseal
from odoo.preparing import template_name
from odoo.safe import Credentials
from tests.bff.cli.commands import in_a_thread
from tests.bff.cli.operators import environment, with_odoo
from tests.fakes.odoo import FakeOdoo, odoo_server
from tests.fakes.odoo_data import FakeDatabase
from tests.fakes.odoo_services import SERVICE_LOGIN
from tests.world import KEY, World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from typer.testing import Result

    from bff.dev.postgres import Postgres
    from tests.databases import Databases

NAME = template_name("19.0")
ROWS = "SELECT name, series, usable FROM odoo_templates ORDER BY name"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@dataclass
class Place:
    """An Odoo server without templates of ours, and our database."""

    fake: FakeOdoo
    databases: Databases

    async def template(self, *arguments: str, **more: str) -> Result:
        world = World(self.databases)
        env = environment(world, **with_odoo(self.fake, **more))
        return await in_a_thread("odoo", "template", *arguments, env=env)

    async def rows(self) -> list[tuple[Any, ...]]:
        async with self.databases.superuser() as superuser:
            return [tuple(row) for row in await superuser.fetch(ROWS)]

    async def execute(self, statement: str, *values: object) -> None:
        async with self.databases.superuser() as superuser:
            await superuser.execute(statement, *values)

    async def kept(self, name: str = NAME) -> Credentials:
        async with self.databases.superuser() as superuser:
            sealed = await superuser.fetchval(
                "SELECT sealed FROM odoo_templates WHERE name = $1", name
            )
        found = unseal(KeyRing(parse_keys(KEY)), name_of_template(name), sealed)
        assert found is not None
        return found

    async def keep(self, name: str, credentials: Credentials) -> None:
        sealed = seal(KeyRing(parse_keys(KEY)), name_of_template(name), credentials)
        await self.execute(
            "INSERT INTO odoo_templates (name, series, sealed) VALUES ($1, $2, $3)",
            *(name, "19.0", sealed),
        )

    async def tenant(self, tenant_id: int = 7, **values: object) -> None:
        await self.execute(
            "INSERT INTO tenants (tenant_id, name) VALUES ($1, 'Seven')", tenant_id
        )
        row = {"db_name": f"odoo_t{tenant_id}", "template": NAME, "made": True}
        row |= values
        await self.execute(
            "INSERT INTO odoo_connections "
            "(tenant_id, server_url, base_url, db_name, template, made) "
            "VALUES ($1, 'https://o.test', 'https://o.test', $2, $3, $4)",
            tenant_id,
            *(row[key] for key in ("db_name", "template", "made")),
        )

    async def warm(self, name: str, state: str, *, held: str = "0 s") -> None:
        self.fake.databases[name] = FakeDatabase.initialised(name)
        await self.execute(
            "INSERT INTO odoo_warm (name, template, state, held_until) "
            "VALUES ($1, $2, $3, now() + $4::text::interval)",
            *(name, NAME, state, held),
        )


@pytest.fixture
async def place(databases: Databases) -> AsyncGenerator[Place]:
    async with odoo_server() as fake:
        yield Place(fake, databases)


@asynccontextmanager
async def in_postgres(
    server: Postgres, name: str
) -> AsyncGenerator[asyncpg.Connection]:
    """Have a database of this name, and connect beside it."""
    superuser = await asyncpg.connect(server.url(SUPERUSER, "postgres"))
    try:
        await superuser.execute(f'CREATE DATABASE "{name}"')
        try:
            yield superuser
        finally:
            await superuser.execute(
                f'ALTER DATABASE "{name}" IS_TEMPLATE false ALLOW_CONNECTIONS true'
            )
            await superuser.execute(f'DROP DATABASE "{name}"')
    finally:
        await superuser.close()


async def flags(superuser: asyncpg.Connection, name: str) -> tuple[bool, bool]:
    row = await superuser.fetchrow(
        "SELECT datistemplate, datallowconn FROM pg_database WHERE datname = $1", name
    )
    assert row is not None
    return row["datistemplate"], row["datallowconn"]


async def test_a_template_is_built_step_by_step_and_known(place: Place) -> None:
    result = await place.template("build")

    assert result.exit_code == 0, result.output
    steps = [line.partition(" s  ")[2] for line in result.stderr.splitlines()]
    assert steps == [
        f"creating {NAME} with base …",
        "installing contacts, crm, auth_oidc …",
        "writing settings and the service user …",
        "making a key …",
    ]
    assert f"{NAME} is ready to be copied" in result.stdout
    assert "it stays an ordinary database" in result.stdout
    assert "not in use" not in result.stdout
    assert await place.rows() == [(NAME, "19.0", True)]
    kept = await place.kept()
    made = place.fake.databases[NAME]
    assert made.knows(kept.user, kept.key)
    assert kept.uuid == made.uuid
    assert made.signs_in(SERVICE_LOGIN, kept.service_password) == kept.user
    for secret in (kept.key, kept.service_password):
        assert secret not in result.output
    # Nobody knows it: copies of the template are given one each.
    assert kept.admin_password == ""
    again = await place.template("build")
    assert again.exit_code == 0, again.output
    assert place.fake.asked("create_database") == 1


@pytest.mark.parametrize("call", ["session.authenticate", "make_key"])
async def test_a_build_that_broke_off_goes_on(place: Place, call: str) -> None:
    place.fake.fail(call, cut=True, happens=True)

    tries = 0
    while (result := await place.template("build")).exit_code:
        assert "run the same command again" in result.stderr
        assert [row[2] for row in await place.rows()] == [False]
        tries += 1
        assert tries < 4, result.output

    assert tries
    assert await place.rows() == [(NAME, "19.0", True)]
    kept = await place.kept()
    # Only the key that was kept is left.
    assert list(place.fake.databases[NAME].keys) == [kept.key]


async def test_with_odoo_s_postgres_the_template_is_closed(
    place: Place, postgres_server: Postgres
) -> None:
    url = {"BFF_ODOO__POSTGRES_URL": postgres_server.url(SUPERUSER, "postgres")}
    async with in_postgres(postgres_server, NAME) as superuser:
        result = await place.template("build", **url)
        assert result.exit_code == 0, result.output
        assert "closing it to connections …" in result.stderr
        assert "it is closed: nobody can connect to it" in result.stdout
        assert await flags(superuser, NAME) == (True, False)
        # As Odoo sees it from now on.
        place.fake.databases[NAME].allows_connections = False
        again = await place.template("build", **url)
        assert again.exit_code == 0, again.output
        assert again.stderr == ""

        place.fake.databases[NAME].allows_connections = True
        dropped = await place.template("drop", NAME, "--force", **url)
        assert dropped.exit_code == 0, dropped.output
        assert await flags(superuser, NAME) == (False, True)
    assert await place.rows() == []


async def test_a_postgres_that_cannot_be_used_is_told_without_its_url(
    place: Place,
) -> None:
    url = "postgresql://postgres:pw-secret@127.0.0.1:9/postgres"

    result = await place.template("build", BFF_ODOO__POSTGRES_URL=url)

    assert result.exit_code == 1
    assert "odoo.postgres_url cannot be used for this" in result.stderr
    assert "pw-secret" not in result.output
    assert [row[2] for row in await place.rows()] == [False]


FIXED = {"BFF_ODOO__TEMPLATE": "tpl_fixed"}


@pytest.mark.parametrize("change", ["series", "apps"])
async def test_one_by_a_fixed_name_that_is_of_the_past_is_no_success(
    place: Place, postgres_server: Postgres, change: str
) -> None:
    url = postgres_server.url(SUPERUSER, "postgres")
    settings = {**FIXED, "BFF_ODOO__POSTGRES_URL": url}
    async with in_postgres(postgres_server, "tpl_fixed"):
        first = await place.template("build", **settings)
        assert first.exit_code == 0, first.output
        # As Odoo sees what is closed.
        place.fake.databases["tpl_fixed"].allows_connections = False
        if change == "series":
            await place.execute("UPDATE odoo_templates SET series = '18.0'")
            said = "tpl_fixed was made for Odoo 18.0, the server is 19.0: "
        else:
            settings["BFF_ODOO__APPS"] = '["contacts", "crm"]'
            said = "tpl_fixed was made with other odoo.apps, or by another release: "

        result = await place.template("build", **settings)

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(said)
        assert "bff odoo template drop tpl_fixed --force" in result.stderr
        place.fake.databases["tpl_fixed"].allows_connections = True
        assert (await place.template("drop", "tpl_fixed", "--force", **settings)).stdout
    again = await place.template("build", **FIXED)
    assert again.exit_code == 0, again.output
    assert await place.rows() == [("tpl_fixed", "19.0", True)]


async def test_one_whose_recipe_nobody_has_kept_goes_on(place: Place) -> None:
    await place.template("build", **FIXED)
    await place.execute("UPDATE odoo_templates SET recipe = ''")

    assert (await place.template("build", **FIXED)).exit_code == 0


async def test_one_that_no_key_opens_any_more_is_dropped_and_built_anew(
    place: Place,
) -> None:
    await place.template("build")
    other = {"BFF_SESSION__KEYS": "2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
    lost = await place.template("build", **other)
    assert lost.exit_code == 1
    assert lost.stderr.startswith("the key ring does not open")

    dropped = await place.template("drop", NAME, "--force", **other)

    assert dropped.exit_code == 0, dropped.output
    built = await place.template("build", **other)
    assert built.exit_code == 0, built.output
    assert await place.rows() == [(NAME, "19.0", True)]


async def test_another_name_is_built_and_said_to_be_unused(place: Place) -> None:
    result = await place.template("build", "--name", "tpl_next")

    assert result.exit_code == 0, result.output
    assert "it is not in use yet: set odoo.template to tpl_next" in result.stdout
    assert await place.rows() == [("tpl_next", "19.0", True)]


async def test_a_name_that_is_no_template_s_is_not_taken(place: Place) -> None:
    await place.tenant()
    for name, said in (
        ("Tpl-Next", "--name: "),
        ("odoo_t7", "odoo_t7 is the database of tenant 7"),
    ):
        result = await place.template("build", "--name", name)
        assert result.exit_code == 1
        assert result.stderr.startswith(said)
    place.fake.databases["theirs"] = FakeDatabase.initialised(
        "theirs", password="somebody-else-s"
    )
    result = await place.template("build", "--name", "theirs")
    assert result.exit_code == 1
    assert "nothing was done to the database" in result.stderr
    assert place.fake.databases["theirs"].signs_in("admin", "somebody-else-s")


async def test_of_two_who_build_one_is_told_to_wait(place: Place) -> None:
    async with place.databases.superuser() as superuser, superuser.transaction():
        await superuser.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        results = [
            await place.template(*arguments)
            for arguments in (("build",), ("drop", NAME))
        ]

    for result in results:
        assert result.exit_code == 1
        assert "another command is at the templates just now" in result.stderr
    assert await place.rows() == []


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("password", "Odoo does not accept the master password"),
        ("manager", "Odoo's database manager is switched off"),
        ("away", "Odoo does not answer"),
    ],
)
async def test_an_odoo_that_cannot_be_managed_is_one_sentence(
    place: Place, trouble: str, said: str
) -> None:
    more = {}
    if trouble == "password":
        more["BFF_ODOO__MASTER_PASSWORD"] = "test-wrong-one"
    if trouble == "away":
        more["BFF_ODOO__SERVER_URL"] = "http://127.0.0.1:9"
    place.fake.list_db = trouble != "manager"

    result = await place.template("build", **more)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"not finished: {said}")
    assert await place.rows() == []


async def test_the_list_tells_which_is_used_by_whom(place: Place) -> None:
    assert (await place.template("list")).stdout.splitlines() == [
        "there is none: `bff odoo template build` makes it",
        f"{NAME} would be used, and is missing: bff odoo template build",
    ]
    await place.template("build")
    await place.template("build", "--name", "tpl_next")
    await place.tenant()
    await place.warm("warm_1", "ready")
    await place.execute(
        "UPDATE odoo_templates SET usable = false WHERE name <> $1", NAME
    )

    result = await place.template("list")

    one, other = result.stdout.splitlines()
    assert one.startswith(f"{NAME}: Odoo 19.0, usable, made ")
    assert one.endswith(", 1 tenants, 1 ready copies, in use")
    assert other.startswith("tpl_next: Odoo 19.0, not finished, or being dropped")
    assert other.endswith(", 0 tenants, 0 ready copies")
    away = await place.template("list", BFF_ODOO__SERVER_URL="http://127.0.0.1:9")
    assert away.exit_code == 0
    assert "which one is in use cannot be told" in away.stderr
    assert "in use" not in away.stdout
    named = await place.template("list", BFF_ODOO__TEMPLATE="tpl_next")
    assert named.stdout.splitlines()[1].endswith(", in use")


async def test_the_one_in_use_is_dropped_by_force_only(place: Place) -> None:
    await place.template("build")

    result = await place.template("drop", NAME)
    assert (result.exit_code, result.stderr) == (
        *(1, f"{NAME} is in use: build another first, or say --force\n"),
    )
    assert await place.rows() == [(NAME, "19.0", True)]
    result = await place.template("drop", NAME, "--force")

    assert result.exit_code == 0, result.output
    assert NAME not in place.fake.databases
    assert await place.rows() == []
    again = await place.template("drop", NAME, "--force")
    assert (again.exit_code, again.stderr) == (1, f"there is no template {NAME}\n")


async def test_what_was_never_asked_for_is_not_dropped(place: Place) -> None:
    place.fake.databases["prod"] = FakeDatabase.initialised("prod", password="theirs")
    assert (await place.template("build", "--name", "prod")).exit_code == 1
    assert await place.rows() == []
    # As a release before this one left it.
    safe = Credentials(service_password="x", admin_password="y")
    await place.keep("prod", safe)

    result = await place.template("drop", "prod")

    assert result.exit_code == 0, result.output
    assert "prod" in place.fake.databases
    assert await place.rows() == []


async def test_what_we_keep_nothing_for_is_not_dropped(
    place: Place, postgres_server: Postgres
) -> None:
    await place.template("build")
    place.fake.databases[NAME] = FakeDatabase.initialised(NAME, password="theirs")
    url = {"BFF_ODOO__POSTGRES_URL": postgres_server.url(SUPERUSER, "postgres")}
    for more in ({}, url):
        result = await place.template("drop", NAME, "--force", **more)
        assert result.exit_code == 1
        assert "nothing was done to the database" in result.stderr
        assert NAME in place.fake.databases
        assert len(await place.rows()) == 1
    async with in_postgres(postgres_server, NAME) as superuser:
        for closed in (False, True):
            if closed:
                flag = "IS_TEMPLATE true ALLOW_CONNECTIONS false"
                await superuser.execute(f'ALTER DATABASE "{NAME}" {flag}')
            result = await place.template("drop", NAME, "--force", **url)
            assert result.exit_code == 1
            assert await flags(superuser, NAME) == (closed, not closed)


async def test_half_a_template_of_ours_is_dropped(place: Place) -> None:
    no_module = {"BFF_ODOO__APPS": '["nonsense"]', "BFF_ODOO__TEMPLATE": NAME}
    assert (await place.template("build", **no_module)).exit_code == 1
    assert not (await place.kept()).user
    assert NAME in place.fake.databases

    result = await place.template("drop", NAME, "--force")

    assert result.exit_code == 0, result.output
    assert NAME not in place.fake.databases
    assert await place.rows() == []


async def test_copies_made_in_advance_go_first(place: Place) -> None:
    await place.template("build")
    await place.warm("warm_1", "ready")
    await place.warm("warm_2", "making", held="1 hour")
    other = {"BFF_ODOO__TEMPLATE": "tpl_next"}

    place.fake.fail("drop", cut=True)
    first = await place.template("drop", NAME, **other)
    assert first.exit_code == 1
    assert await place.rows() == [(NAME, "19.0", False)]
    result = await place.template("drop", NAME, **other)

    assert "the copy warm_2 is in a worker's hands" in result.stderr
    await place.execute("UPDATE odoo_warm SET held_until = now()")
    result = await place.template("drop", NAME, **other)
    assert result.exit_code == 0, result.output
    assert set(place.fake.databases) == {"tpl_test"}
    assert await place.rows() == []


async def test_while_a_tenant_s_is_made_from_it_a_template_stays(place: Place) -> None:
    await place.template("build")
    await place.tenant(made=False)

    result = await place.template("drop", NAME, BFF_ODOO__TEMPLATE="tpl_next")

    assert result.exit_code == 1
    assert "databases are being made, of tenants 7" in result.stderr
    # Also one that is made, and not tried yet against what opens the template.
    await place.execute("UPDATE odoo_connections SET made = true")
    await place.execute(
        "INSERT INTO onboarding (tenant_id, phases, founder, status) "
        "VALUES (7, '[]', 'i a', 'seeding')"
    )
    result = await place.template("drop", NAME, "--force")
    assert "databases are being made, of tenants 7" in result.stderr
    assert await place.rows() == [(NAME, "19.0", True)]


async def test_a_closed_one_that_cannot_be_opened_stays(place: Place) -> None:
    await place.template("build")
    place.fake.databases[NAME].allows_connections = False
    other = {"BFF_ODOO__TEMPLATE": "tpl_next"}

    result = await place.template("drop", NAME, **other)

    assert result.exit_code == 1
    assert "it is gone, or closed. Set odoo.postgres_url" in result.stderr
    assert NAME in place.fake.databases
    assert len(await place.rows()) == 1
