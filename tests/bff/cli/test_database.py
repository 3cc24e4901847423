"""`bff db` and `bff migrate` against a real server, `bff doctor` beside them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from bff.dev.ports import free_port
from bff.dev.postgres import SUPERUSER, Postgres
from bff.migrate import available
from bff.roles import ROLES, ensure_roles
from tests.bff.cli.commands import bff, in_a_thread
from tests.bff.configs import DEV
from tests.bff.schemas import empty_database

if TYPE_CHECKING:
    from pathlib import Path

    from tests.databases import Databases

ALL = len(available())


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def environment(server: Postgres, name: str) -> dict[str, str]:
    return {
        **DEV,
        "BFF_DATABASE__URL": server.url("bff_app", name),
        "BFF_DATABASE__OWNER_URL": server.url("bff_owner", name),
        "BFF_DATABASE__WORKER_URL": server.url("bff_worker", name),
    }


async def test_plan_up_and_status_from_nothing_to_everything(
    postgres_server: Postgres,
) -> None:
    names = [migration.name for migration in available()]
    async with empty_database(postgres_server) as name:
        env = environment(postgres_server, name)

        behind = await in_a_thread("migrate", "status", env=env)
        assert behind.exit_code == 1
        *lines, last = behind.output.splitlines()
        assert [line.split() for line in lines] == [[each, "missing"] for each in names]
        assert last == f"{ALL} of {ALL} migrations are missing"
        plan = await in_a_thread("migrate", "plan", env=env)
        assert plan.exit_code == 0
        assert plan.output.split("\n")[:-1] == [f"would apply {each}" for each in names]
        up = await in_a_thread("migrate", "up", env=env)
        assert up.exit_code == 0
        assert up.output.split("\n")[:-1] == [
            *(f"applied {each}" for each in names),
            "the schema is up to date",
        ]
        again = await in_a_thread("migrate", "up", env=env)
        assert again.output == "the schema is up to date\n"
        status = await in_a_thread("migrate", "status", env=env)
        assert status.exit_code == 0
        *lines, last = status.output.splitlines()
        for line, each in zip(lines, names, strict=True):
            assert re.fullmatch(
                rf"{each} +applied \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d", line
            )
        assert last == f"0 of {ALL} migrations are missing"


async def test_a_database_of_a_newer_release_is_one_sentence(
    databases: Databases, postgres_server: Postgres
) -> None:
    async with databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO schema_migrations VALUES (9999, '9999_x', 'x')"
        )
    name = urlsplit(databases.app).path[1:]

    for command in ("up", "plan"):
        result = await in_a_thread(
            "migrate", command, env=environment(postgres_server, name)
        )
        assert result.exit_code == 1
        assert "9999" in result.stderr
        assert "Traceback" not in result.stderr
    status = await in_a_thread(
        "migrate", "status", env=environment(postgres_server, name)
    )
    assert status.exit_code == 1
    *_, newest, last = status.output.splitlines()
    assert newest.startswith("9999_x")
    assert newest.endswith(", by a newer release")
    assert last == f"0 of {ALL + 1} migrations are missing"


async def test_a_file_that_was_changed_after_it_had_been_applied_is_named(
    databases: Databases, postgres_server: Postgres
) -> None:
    async with databases.superuser() as superuser:
        await superuser.execute(
            "UPDATE schema_migrations SET checksum = 'x' WHERE number = 2"
        )
    name = urlsplit(databases.app).path[1:]

    status = await in_a_thread(
        "migrate", "status", env=environment(postgres_server, name)
    )

    assert status.exit_code == 1
    (line,) = (one for one in status.output.splitlines() if "changed" in one)
    assert line.startswith("0002_sessions")


def test_without_the_owner_s_url_migrate_says_which_variable_is_missing() -> None:
    result = bff("migrate", "status", env=DEV)

    assert result.exit_code == 1
    assert "BFF_DATABASE__OWNER_URL" in result.stderr


UNUSABLE = "the database cannot be used as its owner"
MALFORMED = "database.owner_url: give postgresql://"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("127.0.0.1:{free}/x", UNUSABLE),
        ("h:port/x", MALFORMED),
        ("h:65536/x", MALFORMED),
        ("[::1/x", MALFORMED),
    ],
)
def test_a_database_that_cannot_be_used_is_one_sentence_without_its_url(
    place: str, said: str
) -> None:
    url = f"postgresql://bff_owner:pw-secret@{place.format(free=free_port())}"

    result = bff("migrate", "up", env={**DEV, "BFF_DATABASE__OWNER_URL": url})

    assert result.exit_code == 1
    assert said in result.stderr
    assert "pw-secret" not in result.output


async def test_db_roles_gives_the_roles_the_passwords_of_their_urls(
    postgres_server: Postgres,
) -> None:
    strange = "p@ss/w:rd'%"
    env = {**DEV, "BFF_ADMIN_URL": postgres_server.url(SUPERUSER, "postgres")}
    place = f"127.0.0.1:{postgres_server.port}/postgres"
    for key, role in (("URL", "app"), ("OWNER_URL", "owner"), ("WORKER_URL", "worker")):
        env[f"BFF_DATABASE__{key}"] = (
            f"postgresql://bff_{role}:{quote(strange, safe='')}@{place}"
        )
    try:
        for _ in range(2):
            result = await in_a_thread("db", "roles", env=env)
            assert result.exit_code == 0, result.output
            assert result.output == "roles ready: bff_owner, bff_app, bff_worker\n"
        for role in ROLES:
            connection = await asyncpg.connect(
                host="127.0.0.1",
                port=postgres_server.port,
                user=role,
                password=strange,
                database="postgres",
            )
            await connection.close()
    finally:
        admin = await asyncpg.connect(postgres_server.url(SUPERUSER, "postgres"))
        await ensure_roles(admin, postgres_server.passwords)
        await admin.close()


async def test_db_roles_makes_the_database_once_for_its_owner(
    postgres_server: Postgres,
) -> None:
    name = 'made by "roles"'
    env = {**DEV, "BFF_ADMIN_URL": postgres_server.url(SUPERUSER, "postgres")}
    place = f"127.0.0.1:{postgres_server.port}/{quote(name)}"
    for key, role in (("URL", "app"), ("OWNER_URL", "owner"), ("WORKER_URL", "worker")):
        password = postgres_server.passwords[f"bff_{role}"]
        env[f"BFF_DATABASE__{key}"] = f"postgresql://bff_{role}:{password}@{place}"
    admin = await asyncpg.connect(postgres_server.url(SUPERUSER, "postgres"))
    try:
        for _ in range(2):
            result = await in_a_thread("db", "roles", "--create-database", env=env)
            assert result.exit_code == 0, result.output
        owner = await admin.fetchval(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1", name
        )
        assert owner == "bff_owner"
        result = await in_a_thread("migrate", "up", env=env)
        assert result.output.endswith("the schema is up to date\n")
    finally:
        await admin.execute('DROP DATABASE IF EXISTS "made by ""roles""" WITH (FORCE)')
        await admin.execute(f"REVOKE bff_owner FROM {SUPERUSER}")
        await admin.close()


@pytest.mark.parametrize(
    "owner", ["postgresql://other:x@h/d", "postgresql://bff_owner@h/d"]
)
def test_db_roles_wants_urls_that_name_role_and_password(owner: str) -> None:
    result = bff(
        "db",
        "roles",
        "--admin-url",
        "postgresql://x",
        env={**DEV, "BFF_DATABASE__OWNER_URL": owner},
    )

    assert result.exit_code == 1
    assert result.stderr == ("the URL for bff_owner must name it and its password\n")


async def test_db_roles_by_one_who_may_not_is_one_sentence(
    postgres_server: Postgres,
) -> None:
    env = environment(postgres_server, "postgres")
    for admin in (
        env["BFF_DATABASE__URL"],
        f"postgresql://x:pw-secret@127.0.0.1:{free_port()}/x",
        "not a url",
    ):
        result = await in_a_thread("db", "roles", "--admin-url", admin, env=env)
        assert result.exit_code == 1
        assert result.stderr.startswith("the roles could not be made")
        assert "pw-secret" not in result.stderr


async def test_the_doctor_s_exit_status_tells_whether_all_is_well(
    databases: Databases, postgres_server: Postgres
) -> None:
    name = urlsplit(databases.app).path[1:]
    env = environment(postgres_server, name)
    env["BFF_AUTH__ISSUER"] = f"http://127.0.0.1:{free_port()}/realms/x"

    result = await in_a_thread("doctor", env=env)

    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert "ok   schema: up to date" in lines
    assert any(line.startswith("FAIL issuer: ") for line in lines)
    assert all(line.startswith(("ok   ", "FAIL ")) for line in lines)
