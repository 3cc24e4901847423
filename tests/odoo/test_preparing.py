"""Templates, and databases without one: modules, settings, the service user."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from odoo import errors, records
from odoo.making import ensure_created
from odoo.names import checked
from odoo.preparing import (
    APPS,
    SETTINGS,
    build_template,
    ensure_modules,
    prepare,
    template_name,
)
from tests.fakes.odoo_data import FakeDatabase
from tests.fakes.odoo_raised import Raised
from tests.odoo.provisioning import TENANT, MemorySafe, at_once, provisioned, site_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from odoo.entering import Site
    from tests.fakes.odoo import FakeOdoo
    from tests.odoo.conftest import Odoo


def _site(odoo: Odoo, name: str, safe: MemorySafe | None = None) -> Site:
    safe = safe or MemorySafe()
    return site_of(odoo.server, name, safe, series=odoo.fake.series, sleep=at_once)


@dataclass
class _Postgres:
    """PostgreSQL's catalogue, as far as templates go."""

    fake: FakeOdoo
    said: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[_Postgres]:
        yield self

    async def execute(self, query: str, *arguments: object) -> object:
        del arguments
        self.said.append(query)
        if query.startswith("ALTER DATABASE"):
            name = query.split('"')[1]
            self.fake.databases[name].allows_connections = False
        return None

    async def fetchval(self, query: str, *arguments: object) -> object:
        assert "pg_database" in query
        database = self.fake.databases.get(str(arguments[0]))
        return int(database is not None and not database.allows_connections)


@pytest.mark.parametrize("series", ["16.0", "17.0", "18.0", "19.0"])
async def test_template_is_built_once_and_serves(odoo: Odoo, series: str) -> None:
    name, safe, postgres = template_name(series), MemorySafe(), _Postgres(odoo.fake)
    site = _site(odoo, name, safe)
    template = await build_template(site, connect=postgres.connect, patience=1)

    database = odoo.fake.databases[name]
    assert not database.allows_connections
    assert "IS_TEMPLATE true" in postgres.said[0]
    (key,) = database.keys.values()
    assert key.expires is None
    rows = database.records["ir.config_parameter"].values()
    values = {row["key"]: row["value"] for row in rows}
    assert values.items() >= SETTINGS.items()
    assert records.MARKER not in values
    assert not [
        row for row in database.records[records.PROVIDERS].values() if row["enabled"]
    ]
    assert await build_template(site, connect=postgres.connect) == template
    assert odoo.fake.asked("create_database") == 1

    await provisioned(_site(odoo, "acme"), template, patience=1)
    assert records.MARKER not in {row["key"] for row in rows}


async def test_template_that_was_dropped_is_built_again(odoo: Odoo) -> None:
    safe, postgres = MemorySafe(), _Postgres(odoo.fake)
    site = _site(odoo, "tpl_new", safe)
    first = await build_template(site, connect=postgres.connect, patience=1)
    del odoo.fake.databases["tpl_new"]
    second = await build_template(site, connect=postgres.connect, patience=1)
    assert second.credentials.uuid != first.credentials.uuid
    assert set(odoo.fake.databases["tpl_new"].keys) == {second.credentials.key}


async def test_nothing_is_kept_of_a_database_that_is_there_already(
    odoo: Odoo,
) -> None:
    safe = MemorySafe()
    odoo.fake.databases["prod"] = FakeDatabase.initialised("prod")
    with pytest.raises(errors.NotOurs, match="never asked for it"):
        await build_template(_site(odoo, "prod", safe), patience=1)
    assert not safe.history


async def test_template_without_sql_stays_open(odoo: Odoo) -> None:
    site = _site(odoo, "tpl_new")
    template = await build_template(site, patience=1)
    assert await build_template(site, patience=1) == template
    assert odoo.fake.databases["tpl_new"].allows_connections


def test_name_of_a_template_tells_version_and_settings() -> None:
    name = template_name("19.0")
    assert name.startswith("tpl_19_0_")
    assert checked(name) == name
    assert template_name("19.0", (*APPS, "project")) != name
    assert checked(template_name("saas~18.3")).startswith("tpl_saas_18_3_")


async def test_module_that_the_server_does_not_have(odoo: Odoo) -> None:
    site = _site(odoo, "acme")
    with pytest.raises(errors.NotReady, match="the server has no nonsense"):
        await prepare(site, TENANT, apps=("crm", "nonsense"), patience=1)


async def test_installation_whose_answer_is_lost(odoo: Odoo) -> None:
    site = _site(odoo, "acme")
    models = await ensure_created(site, TENANT, patience=1)
    odoo.fake.fail("execute_kw", answers=())  # the look
    odoo.fake.fail("execute_kw", answers=())  # the ids
    odoo.fake.fail("execute_kw", cut=True, happens=True)
    await ensure_modules(site, models, {"crm"}, patience=1)
    assert await records.module_states(models, {"crm"}) == {"crm": "installed"}


async def test_installation_that_never_happens(odoo: Odoo) -> None:
    site = _site(odoo, "acme")
    models = await ensure_created(site, TENANT, patience=1)
    busy = Raised("odoo.exceptions.UserError", "busy")
    faults: tuple[dict[str, Any], ...] = ({"cut": True}, {"raises": busy})
    for fault in faults:
        odoo.fake.fail("execute_kw", answers=())
        odoo.fake.fail("execute_kw", answers=())
        odoo.fake.fail("execute_kw", **fault)
        with pytest.raises(errors.NotReady, match="not installed"):
            await ensure_modules(site, models, {"crm"}, patience=1)
