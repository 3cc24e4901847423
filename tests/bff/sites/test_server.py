"""Where tenants' databases are, what they are called, and how they are copied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bff.config_odoo import Odoo as Settings
from bff.outbound import client_session
from bff.sites.server import OdooServer, has_rpc, sign_in_address
from bff.sites.store import Connection
from bff.sites.workshop import Workshop
from odoo import errors
from odoo.cloning import ByForm, ByRpc, BySql
from odoo.command import ByCommand
from odoo.records import UUID, parameter
from tests.bff.sites.estate import Estate, opened_estate
from tests.bff.sites.scene import RING, TENANT, Scene
from tests.fakes.odoo_services import TEMPLATE, TEMPLATE_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

URL = "http://127.0.0.1:9"


@pytest.fixture
async def http() -> AsyncGenerator[aiohttp.ClientSession]:
    async with client_session() as session:
        yield session


def server(http: aiohttp.ClientSession, **settings: Any) -> OdooServer:
    values = {"server_url": URL, "master_password": "test-master-only", **settings}
    return OdooServer(settings=Settings.model_validate(values), http=http)


@pytest.mark.parametrize(
    ("settings", "series", "way"),
    [
        ({}, "19.0", ByRpc),
        ({}, "16.0", ByRpc),
        ({}, "20.0", ByForm),
        ({}, "saas~19.1", ByForm),
        ({"clone": "form"}, "19.0", ByForm),
        ({"clone": "rpc"}, "20.0", ByRpc),
        ({"bin_path": "/opt/odoo-bin", "conf": "/etc/o.conf"}, "19.0", ByCommand),
        ({"postgres_url": "postgresql://x@h", "bin_path": "/x"}, "19.0", BySql),
        ({"postgres_url": "postgresql://x@h", "clone": "rpc"}, "19.0", ByRpc),
        ({"postgres_url": "postgresql://x@h", "filestore": "/f"}, "20.0", BySql),
    ],
)
async def test_the_best_way_there_is(
    http: aiohttp.ClientSession, settings: dict[str, Any], series: str, way: type
) -> None:
    assert isinstance(server(http, **settings).way(series), way)


async def test_a_way_is_told_all_that_is_set(http: aiohttp.ClientSession) -> None:
    sql = server(
        http, postgres_url="postgresql://x@h", postgres_owner="o", filestore="/f"
    ).way("19.0")
    assert isinstance(sql, BySql)
    assert (sql.owner, sql.filestore) == ("o", Path("/f"))
    command = server(http, bin_path="/opt/odoo-bin", conf="/etc/o.conf").way("19.0")
    assert isinstance(command, ByCommand)
    assert (command.program, command.configuration) == (
        ("/opt/odoo-bin",),
        "/etc/o.conf",
    )
    # Odoo 19 obeys PG* and ODOO_* variables: it sees none of ours.
    assert set(command.environment) == {"PATH", "LANG"}


@pytest.mark.parametrize(
    ("series", "has"),
    [
        ("16.0", True),
        ("18.0", True),
        ("saas~18.3", True),
        ("19.0", True),
        ("saas~19.1", False),
        ("20.0", False),
        ("21.0", False),
    ],
)
def test_which_odoo_manages_databases_over_rpc(series: str, *, has: bool) -> None:
    assert has_rpc(series) is has


async def test_names_and_addresses_come_from_the_settings_alone(
    http: aiohttp.ClientSession,
) -> None:
    plain = server(http)
    assert plain.name_for(1001) == "odoo_t1001"
    assert plain.address_for(1001) == URL
    by_name = server(
        http,
        db_name_template="acme_{tenant_id}",
        base_url_template="https://{db_name}.odoo.test/",
    )
    assert by_name.name_for(7) == "acme_7"
    assert by_name.address_for(7) == "https://acme_7.odoo.test"
    by_tenant = server(http, base_url_template="https://t{tenant_id}.odoo.test:8443")
    assert by_tenant.address_for(7) == "https://t7.odoo.test:8443"


async def test_a_name_that_odoo_would_not_take_is_refused(
    http: aiohttp.ClientSession,
) -> None:
    long = server(http, db_name_template="t" * 38 + "{tenant_id}")
    assert long.name_for(999)
    with pytest.raises(errors.BadName):
        long.name_for(1000)


@pytest.mark.parametrize(
    ("template", "database", "host"),
    [
        ("", "odoo_t7", None),
        ("https://odoo.test", "odoo_t7", None),
        ("https://{db_name}.odoo.test", "odoo_t7", "odoo_t7.odoo.test"),
        ("https://{db_name}.odoo.test:8443/", "tpl_x", "tpl_x.odoo.test:8443"),
        ("https://t{tenant_id}.odoo.test", "odoo_t7", "t7.odoo.test"),
        ("https://t{tenant_id}.odoo.test", "tpl_x", None),
        ("https://t{tenant_id}.odoo.test", "odoo_t7x", None),
        ("https://t{tenant_id}.odoo.test", "warm_odoo_t7", None),
    ],
)
async def test_which_host_a_database_answers_to(
    http: aiohttp.ClientSession, template: str, database: str, host: str | None
) -> None:
    assert server(http, base_url_template=template).host(database) == host


async def test_a_template_s_name_tells_what_is_in_it(
    http: aiohttp.ClientSession,
) -> None:
    plain = server(http)
    assert plain.template_for("19.0").startswith("tpl_19_0_")
    assert plain.template_for("19.0") != plain.template_for("18.0")
    more = server(http, apps=["contacts", "crm", "auth_oidc", "stock"])
    assert plain.template_for("19.0") != more.template_for("19.0")
    assert server(http, template="mine").template_for("19.0") == "mine"


async def test_only_the_server_of_the_settings_is_dialled(
    scene: Scene, http: aiohttp.ClientSession
) -> None:
    """Whatever a row says: its addresses are for people and for comparing."""
    async with opened_estate(scene) as estate, opened_estate(scene) as foreign:
        await scene.tenant()
        await scene.execute(
            "UPDATE odoo_connections SET server_url = $1, base_url = $1, db_name = $2",
            foreign.fake.url,
            TEMPLATE,
        )
        estate.fake.databases[TEMPLATE].allows_connections = True
        workshop = estate.workshop(
            db_name_template="x{tenant_id}", base_url_template=""
        )
        found = await workshop.sites.get(TENANT)
        assert found is not None
        site = workshop.server.site(found.db_name, "19.0", Nobody())
        models = site.by_key(5, TEMPLATE_KEY)
        assert await parameter(models, UUID)
        assert await site.databases.server.version() == "19.0"
        assert foreign.fake.seen == []
        assert foreign.fake.contexts == []


class Nobody:
    """A safe that has nothing."""

    async def kept(self) -> None:
        return None

    async def keep(self, credentials: object) -> None:
        del credentials

    async def still_ours(self) -> None:
        return None


async def test_where_people_sign_in_names_the_database() -> None:
    connection = _connection("https://one.test", "a&b c")
    assert sign_in_address(connection) == "https://one.test/web/login?db=a%26b%20c"


def _connection(base_url: str, db_name: str) -> Connection:
    return Connection(
        tenant_id=TENANT,
        server_url=URL,
        series="19.0",
        db_name=db_name,
        base_url=base_url,
        template="",
        sso_client_id="",
        key_expires_at=None,
        made=True,
        active=True,
        checked_at=None,
        problem=None,
    )


async def test_all_who_call_the_server_share_what_is_known_of_its_health(
    http: aiohttp.ClientSession, scene: Scene
) -> None:
    odoo = server(http)  # nobody listens there
    workshop = Workshop(database=scene.worker, ring=RING, server=odoo)
    for _ in range(5):
        with pytest.raises(errors.Unreachable):
            await odoo.databases.server.version()
    site = workshop.server.site("odoo_t7", "19.0", Nobody())
    with pytest.raises(errors.Unreachable, match="left alone"):
        await site.databases.state("odoo_t7")
    with pytest.raises(errors.Unreachable, match="left alone"):
        await parameter(site.patient(60).by_key(5, "x"), UUID)


async def test_the_master_password_is_in_no_repr(
    http: aiohttp.ClientSession, estate: Estate
) -> None:
    odoo = server(http, postgres_url="postgresql://x:pw-canary@h", clone="sql")
    for shown in (
        *(odoo, odoo.databases, odoo.way("19.0"), odoo.settings),
        server(http, clone="form").way("19.0"),
        estate.workshop(),
    ):
        text = repr(shown)
        assert "test-master-only" not in text
        assert "canary" not in text
