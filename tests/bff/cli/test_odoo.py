"""`bff odoo drop`: backup, database, client, row; killed anywhere it goes on."""

from __future__ import annotations

import asyncio
import json
import stat
import zipfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bff.__main__ import app
from bff.cli import odoo_dropping
from bff.database import connect
from bff.identity.client_settings import MARKER as CLIENT_MARKER
from bff.sites.holding import holding
from tests.bff.cli.commands import in_a_thread
from tests.bff.cli.operators import environment, with_odoo
from tests.bff.cli.test_tenants import in_database
from tests.bff.members.people import entries
from tests.bff.odoo_world import NAME, OdooWorld, odoo_world
from tests.bff.waiting import until
from tests.fakes.keycloak_clients import MANAGES, KeycloakClients, serving
from tests.fakes.odoo_services import MASTER
from tests.world import PROVISIONED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from typer.testing import Result

    from bff.sites.holding import Hold
    from tests.databases import Databases

CLIENT = "odoo-t1001"
MARKER = "bff.tenant_id"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@dataclass
class Place:
    """A tenant with an Odoo and a client of its own at Keycloak."""

    odoo: OdooWorld
    keycloak: KeycloakClients
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        issuer = {"BFF_AUTH__ISSUER": self.keycloak.issuer}
        return environment(self.odoo.world, **with_odoo(self.odoo.fake, **issuer))

    @property
    def file(self) -> Path:
        return self.folder / "acme.zip"

    async def drop(
        self, *arguments: str, dump: bool = True, yes: str = NAME, **more: str
    ) -> Result:
        kept = ("--dump", str(self.file)) if dump else ("--no-dump",)
        given = ("odoo", "drop", "1001", *kept, "--yes", yes, *arguments)
        return await in_a_thread(*given, env={**self.env, **more})

    async def name(self) -> str:
        return str(await in_database(self.odoo.world, "SELECT name FROM tenants"))

    def parameter(self, key: str) -> object:
        rows = self.odoo.odoo.records["ir.config_parameter"].values()
        return next(row["value"] for row in rows if row["key"] == key)

    async def is_gone(self) -> bool:
        rows = await in_database(
            self.odoo.world, "SELECT count(*) FROM odoo_connections"
        )
        assert (rows == 0) is ("odoo.dropped" in await self.odoo.actions())
        clients = self.keycloak.find(CLIENT)
        return not rows and not clients and NAME not in self.odoo.fake.databases

    async def is_whole(self) -> bool:
        rows = await in_database(
            self.odoo.world, "SELECT count(*) FROM odoo_connections"
        )
        return bool(rows) and NAME in self.odoo.fake.databases


@pytest.fixture
async def place(databases: Databases, tmp_path: Path) -> AsyncGenerator[Place]:
    keycloak = KeycloakClients()
    secret = PROVISIONED["provisioner_client_secret"]
    keycloak.add(PROVISIONED["provisioner_client_id"], MANAGES, secret=secret)
    keycloak.add(CLIENT, attributes={CLIENT_MARKER: CLIENT})
    async with serving(keycloak), ready(databases) as world:
        yield Place(world, keycloak, tmp_path)


@asynccontextmanager
async def ready(databases: Databases) -> AsyncGenerator[OdooWorld]:
    """Run a world whose first tenant has its Odoo, and end the worker."""
    async with odoo_world(databases) as world:
        async with world.worker(), world.admin() as alice:
            await world.ready(alice)
        await world.execute("UPDATE odoo_connections SET sso_client_id = $1", CLIENT)
        yield world


async def test_all_goes_but_a_whole_backup_and_the_log(place: Place) -> None:
    result = await place.drop()

    assert result.exit_code == 0, result.output
    assert await place.is_gone()
    assert zipfile.is_zipfile(place.file)
    assert stat.S_IMODE(place.file.stat().st_mode) == 0o600
    assert [one.name for one in place.folder.iterdir()] == [place.file.name]
    size = place.file.stat().st_size
    assert result.stdout.splitlines() == [
        f"dumped to {place.file}: {size:,} bytes",
        f"the database {NAME} is dropped",
        f"the client '{CLIENT}' is deleted at the identity provider",
        "tenant 1001 has no Odoo any more",
    ]
    (entry,) = await entries(place.odoo.world, "odoo.dropped")
    assert entry["detail"] == {"database": NAME, "dumped": size, "client": CLIENT}
    again = await place.drop()
    assert (again.exit_code, again.stdout) == (
        *(0, "tenant 1001 has no Odoo: nothing to drop\n"),
    )


async def test_what_was_ready_is_ready_no_more_and_can_be_made_anew(
    place: Place,
) -> None:
    await place.drop(dump=False)

    row = "SELECT status || ' ' || error FROM onboarding"
    assert (await in_database(place.odoo.world, row)).startswith(
        "error The Odoo of this workspace was removed"
    )
    shown = await in_a_thread("tenants", "show", "1001", "--json", env=place.env)
    phases = json.loads(shown.stdout)["onboarding"]["phases"]
    assert [phase["state"] for phase in phases] == [
        *("done", "failed", "pending", "pending", "pending"),
    ]
    retried = await in_a_thread("tenants", "retry", "1001", env=place.env)
    assert retried.exit_code == 0, retried.output
    async with place.odoo.worker():

        async def look() -> bool:
            status = "SELECT status FROM onboarding"
            return bool(await in_database(place.odoo.world, status) == "ready")

        await until(look, seconds=30)
    assert NAME in place.odoo.fake.databases


async def test_nothing_happens_without_a_dump_or_a_word_against_it(
    place: Place,
) -> None:
    drop = ("odoo", "drop", "1001", "--yes", NAME)
    for more in ((), ("--dump", str(place.file), "--no-dump")):
        result = await in_a_thread(*drop, *more, env=place.env)
        assert result.exit_code == 1
        assert result.stderr.startswith("give --dump FILE, or --no-dump")
    assert await place.is_whole()


async def test_the_name_must_be_the_database_s_given_or_typed(place: Place) -> None:
    result = await place.drop(yes="odoo_t1002")
    assert result.exit_code == 1
    assert "nothing was done" in result.stderr
    assert await place.is_whole()

    def typed(text: str) -> Result:
        return CliRunner().invoke(
            app, ["odoo", "drop", "1001", "--no-dump"], env=place.env, input=text
        )

    assert (await asyncio.to_thread(typed, "yes\n")).exit_code == 1
    assert (await asyncio.to_thread(typed, "")).exit_code == 1
    assert await place.is_whole()
    result = await asyncio.to_thread(typed, f"{NAME}\n")
    assert result.exit_code == 0, result.output
    assert await place.is_gone()


async def test_a_dump_never_replaces_a_file(place: Place) -> None:
    place.file.write_text("another backup")

    result = await place.drop()

    assert result.exit_code == 1
    assert "is there already" in result.stderr
    assert place.file.read_text() == "another backup"
    assert await place.is_whole()


async def test_a_dump_that_broke_off_is_no_file_and_drops_nothing(
    place: Place,
) -> None:
    place.odoo.fake.backup_stops_at = 300
    result = await place.drop()
    assert result.exit_code == 1
    assert "not finished: Odoo did not answer in time" in result.stderr
    place.odoo.fake.backup_stops_at = None
    nowhere = await in_a_thread(
        *("odoo", "drop", "1001", "--dump", str(place.folder / "no" / "acme.zip")),
        *("--yes", NAME),
        env=place.env,
    )
    assert nowhere.exit_code == 1
    assert "cannot be written" in nowhere.stderr

    assert list(place.folder.iterdir()) == []
    assert await place.is_whole()
    # What a killed one has left is begun anew.
    place.file.with_name("acme.zip.part").write_bytes(b"half")
    assert (await place.drop()).exit_code == 0
    assert zipfile.is_zipfile(place.file)


@pytest.mark.parametrize("happens", [True, False])
async def test_a_drop_whose_answer_was_lost_is_run_again(
    place: Place, *, happens: bool
) -> None:
    place.odoo.fake.fail("drop", cut=True, happens=happens)

    first = await place.drop(dump=False)

    assert first.exit_code == 1
    assert "run the same command again" in first.stderr
    assert not await place.is_gone()
    assert (await place.drop(dump=False)).exit_code == 0
    assert await place.is_gone()


async def test_while_keycloak_is_away_the_row_stays_and_says_what_is_left(
    place: Place,
) -> None:
    result = await place.drop(BFF_AUTH__ISSUER="http://127.0.0.1:9/realms/nexius")

    assert result.exit_code == 1
    assert "the identity provider" in result.stderr
    assert NAME not in place.odoo.fake.databases
    assert not await place.is_gone()
    # The dump of the first time is there, and there is nothing to dump.
    again = await place.drop()
    assert again.exit_code == 0, again.output
    assert f"the database {NAME} is gone already" in again.stdout
    assert await place.is_gone()


@pytest.mark.parametrize("marker", ["1002", None])
async def test_a_database_that_is_not_marked_as_this_tenant_s_is_left_alone(
    place: Place, marker: str | None
) -> None:
    parameters = place.odoo.odoo.records["ir.config_parameter"]
    (number,) = (key for key, row in parameters.items() if row["key"] == MARKER)
    if marker is None:
        del parameters[number]
    else:
        parameters[number]["value"] = marker

    result = await place.drop()

    assert result.exit_code == 1
    assert "is marked as" in result.stderr
    assert await place.is_whole()
    assert place.keycloak.find(CLIENT)


async def test_a_database_that_nothing_of_ours_opens_is_left_alone(
    place: Place,
) -> None:
    place.odoo.odoo.keys.clear()
    for row in place.odoo.odoo.records["res.users"].values():
        row["password"] = "somebody-else-s"

    result = await place.drop()

    assert result.exit_code == 1
    assert "nothing of ours opens" in result.stderr
    assert await place.is_whole()


async def test_what_is_left_of_a_creation_that_broke_off_can_go(place: Place) -> None:
    await place.odoo.execute(
        "UPDATE odoo_connections SET made = false; "
        "UPDATE onboarding SET status = 'error'"
    )
    place.odoo.odoo.is_broken = True

    assert (await place.drop(dump=False)).exit_code == 0
    assert await place.is_gone()


async def test_a_tenant_that_is_being_set_up_or_in_hand_is_left_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odoo_dropping, "PATIENCE", 0.3)
    await place.odoo.execute("UPDATE onboarding SET status = 'seeding'")
    result = await place.drop()
    assert result.exit_code == 1
    assert "is being set up (seeding)" in result.stderr
    await place.odoo.execute("UPDATE onboarding SET status = 'ready'")
    async with (
        connect(place.odoo.world.databases.worker, size=1) as database,
        holding(database, 1001),
    ):
        result = await place.drop()
    assert result.exit_code == 1
    assert "another worker has" in result.stderr
    assert await place.is_whole()


async def test_what_begins_while_the_name_is_typed_stops_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def late(*given: Any, **named: Any) -> AsyncGenerator[Hold]:
        async with holding(*given, **named) as hold:
            await place.odoo.execute("UPDATE onboarding SET status = 'seeding'")
            yield hold

    monkeypatch.setattr(odoo_dropping, "holding", late)
    result = await place.drop(dump=False)

    assert result.exit_code == 1
    assert "is being set up (seeding)" in result.stderr
    assert await place.is_whole()


async def test_killed_at_the_drop_nobody_is_called_ready(place: Place) -> None:
    place.odoo.fake.fail("drop", cut=True, happens=True)
    assert (await place.drop(dump=False)).exit_code == 1
    said = await in_database(place.odoo.world, "SELECT status FROM onboarding")
    assert said == "error"
    assert (await place.drop(dump=False)).exit_code == 0
    assert await place.is_gone()


async def test_a_client_that_somebody_else_made_stays(place: Place) -> None:
    (client,) = place.keycloak.find(CLIENT)
    client["attributes"] = {}

    result = await place.drop(dump=False)

    assert result.exit_code == 0, result.output
    assert "was not made by us: it stays" in result.stdout
    assert place.keycloak.find(CLIENT)


async def test_a_client_for_all_tenants_stays_and_that_is_said(place: Place) -> None:
    result = await place.drop(
        dump=False,
        BFF_ODOO__SSO_CLIENT_ID="odoo",
        BFF_ODOO__SSO_CLIENT_SECRET="test-odoo-client-secret",
    )

    assert result.exit_code == 0, result.output
    assert "the client 'odoo' serves all tenants" in result.stdout
    assert place.keycloak.find(CLIENT)


async def test_open_tasks_of_it_end_with_it(place: Place) -> None:
    await place.odoo.execute(
        "INSERT INTO odoo_tasks (tenant_id, kind) VALUES (1001, 'sync')"
    )
    await place.drop(dump=False)

    task = await place.odoo.task("sync")
    assert task is not None
    assert (task["state"], task["code"]) == ("failed", "odoo_missing")


async def test_another_server_s_database_is_not_looked_for_here(place: Place) -> None:
    await place.odoo.execute(
        "UPDATE odoo_connections SET server_url = 'https://o.test'"
    )

    result = await place.drop()

    assert result.exit_code == 1
    assert f"{NAME} is on https://o.test" in result.stderr


async def test_the_wrong_master_password_drops_nothing(place: Place) -> None:
    for dump in (True, False):
        result = await place.drop(dump=dump, BFF_ODOO__MASTER_PASSWORD="test-wrong-one")
        assert result.exit_code == 1
        assert "Odoo does not accept the master password" in result.stderr
        assert "test-wrong-one" not in result.output
    assert await place.is_whole()
    assert list(place.folder.iterdir()) == []


async def test_a_lost_key_of_the_ring_is_one_sentence(place: Place) -> None:
    other = "2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

    result = await place.drop(BFF_SESSION__KEYS=other)

    assert result.exit_code == 1
    assert result.stderr.startswith("the key ring does not open what is sealed")
    assert await place.is_whole()


async def test_with_the_key_ring_lost_what_was_dropped_by_hand_can_be_forgotten(
    place: Place,
) -> None:
    other = "2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    del place.odoo.fake.databases[NAME]

    result = await place.drop(dump=False, BFF_SESSION__KEYS=other)

    assert result.exit_code == 0, result.output
    assert f"the database {NAME} is gone already" in result.stdout
    assert await place.is_gone()
    deleted = await in_a_thread(
        *("tenants", "delete", "1001", "--yes", await place.name()), env=place.env
    )
    assert deleted.exit_code == 0, deleted.output


async def test_an_odoo_moves_to_the_address_of_the_settings_and_says_so(
    place: Place,
) -> None:
    place.odoo.fake.fail("ir.config_parameter/write", cut=True)
    env = environment(
        place.odoo.world,
        BFF_ODOO__SERVER_URL=place.odoo.fake.url,
        BFF_ODOO__MASTER_PASSWORD=MASTER,
        BFF_ODOO__SSO_CLIENT_ID="odoo",
        BFF_ODOO__SSO_CLIENT_SECRET="test-odoo-client-secret",
        BFF_ODOO__BASE_URL_TEMPLATE="http://t{tenant_id}.odoo.test",
    )
    first = await in_a_thread("odoo", "address", "1001", env=env)
    assert first.exit_code == 1
    assert "run the same command again" in first.stderr
    old = (await place.odoo.row())["base_url"]
    assert old != "http://t1001.odoo.test"

    result = await in_a_thread("odoo", "address", "1001", env=env)

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "the Odoo of tenant 1001 is at http://t1001.odoo.test",
        f"take {old} out of the redirect URIs of the client for all tenants",
    ]
    assert (await place.odoo.row())["base_url"] == "http://t1001.odoo.test"
    assert place.parameter("web.base.url") == "http://t1001.odoo.test"
    (entry,) = await entries(place.odoo.world, "odoo.moved")
    assert entry["detail"] == {"old": old, "new": "http://t1001.odoo.test"}
    # Once more changes nothing, and is no move.
    again = await in_a_thread("odoo", "address", "1001", env=env)
    assert again.exit_code == 0, again.output
    assert len(await entries(place.odoo.world, "odoo.moved")) == 1


async def test_without_a_database_or_on_another_server_nothing_moves(
    place: Place,
) -> None:
    change = "UPDATE odoo_connections SET made = $1, server_url = $2"
    for values, said in (
        ((False, place.odoo.fake.url), "has no Odoo yet: its address follows"),
        ((True, "https://o.test"), "is on https://o.test"),
    ):
        await place.odoo.execute(change, *values)
        result = await in_a_thread("odoo", "address", "1001", env=place.env)
        assert result.exit_code == 1
        assert said in result.stderr


async def test_without_odoo_there_is_nothing_to_talk_to(place: Place) -> None:
    result = await in_a_thread(
        *("odoo", "drop", "1001", "--no-dump"), env=environment(place.odoo.world)
    )

    assert (result.exit_code, result.stderr) == (
        *(1, "odoo.server_url is not set: there is no Odoo to talk to\n"),
    )
