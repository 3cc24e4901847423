"""Kill whoever is at work on a database after each of its steps, and run it again."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from odoo.errors import OutcomeUnknown
from tests.fakes.odoo_data import ADMIN
from tests.fakes.odoo_services import (
    ADMIN_PASSWORD,
    SERVICE_LOGIN,
    SERVICE_PASSWORD,
    TEMPLATE,
)
from tests.odoo.provisioning import (
    COMPANY,
    CONTACT,
    FOUNDER,
    PROVIDER,
    Death,
    Killed,
    MemorySafe,
    at_once,
    fake_template,
    provisioned,
    site_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from odoo.entering import Site
    from tests.fakes.odoo_data import FakeDatabase
    from tests.odoo.conftest import Odoo

MANY = 300


async def at_every_step(
    odoo: Odoo,
    run: Callable[[Site], Awaitable[object]],
    check: Callable[[FakeDatabase, MemorySafe], None],
    *,
    error: Callable[[], BaseException] = Killed,
    stride: int = 1,
    from_here: tuple[FakeDatabase, MemorySafe] | None = None,
    warm: FakeDatabase | None = None,
) -> None:
    """Die after step 1, 2, 3 …, and run again each time, until there are no more.

    `from_here` is what each time begins with, `warm` a database beside it.
    """
    for at in range(1, MANY, stride):
        name, safe = "acme", MemorySafe()
        series = odoo.fake.series
        if from_here is not None:
            odoo.fake.databases[name], safe = copy.deepcopy(from_here)
        if warm is not None:
            odoo.fake.databases[warm.name] = copy.deepcopy(warm)
        again = site_of(odoo.server, name, safe, series=series, sleep=at_once)
        death = Death(at=at, error=error())
        site = site_of(
            odoo.server, name, safe, series=series, death=death, sleep=at_once
        )
        try:
            await run(site)
        except (Killed, OutcomeUnknown):
            assert death.came
        if name in odoo.fake.databases:
            _assert_nothing_is_lost(odoo.fake.databases[name], safe)
        safe.death = Death()
        await run(again)
        assert set(odoo.fake.databases) == {TEMPLATE, name}
        check(odoo.fake.databases.pop(name), safe)
        if not death.came:
            assert at > 5, "steps were not counted"
            return
    raise AssertionError("there is no end to it")


def _assert_nothing_is_lost(database: FakeDatabase, safe: MemorySafe) -> None:
    """Find that each password Odoo knows, and no template had, was kept before."""
    told = {ADMIN_PASSWORD, SERVICE_PASSWORD, "admin", ""}
    told |= {safe.known.service_password}
    told |= {one.admin_password for one in safe.history}
    for row in database.records["res.users"].values():
        assert row["password"] in told


def assert_owned(database: FakeDatabase, safe: MemorySafe) -> None:
    """Find nobody's credentials but ours."""
    _assert_opened_by_us(database, safe)
    admin = database.records["res.users"][ADMIN]
    assert admin["password"] == safe.known.admin_password


def assert_template(database: FakeDatabase, safe: MemorySafe) -> None:
    """Find our credentials, and an administrator whose password nobody knows."""
    _assert_opened_by_us(database, safe)
    assert safe.known.admin_password == ""
    admin = database.records["res.users"][ADMIN]
    assert admin["password"] not in {ADMIN_PASSWORD, "admin", ""}


def _assert_opened_by_us(database: FakeDatabase, safe: MemorySafe) -> None:
    known = safe.known
    assert set(database.keys) == {known.key}
    assert known.previous == ""
    users = database.records["res.users"]
    assert users[known.user]["login"] == SERVICE_LOGIN
    assert users[known.user]["password"] == known.service_password


def assert_ready(database: FakeDatabase, safe: MemorySafe) -> None:
    """Find all that a ready database has, each once."""
    assert_owned(database, safe)
    rows = database.records["auth.oauth.provider"].items()
    ((provider, ours),) = [(at, row) for at, row in rows if row.get("enabled")]
    assert ours["name"] == PROVIDER.name
    assert ours["code_verifier"] == safe.known.code_verifier
    assert [row["name"] for _, row in rows].count(PROVIDER.name) == 1
    founder = database.records["res.users"][ADMIN]
    linked = founder["oauth_uid"], founder["oauth_provider_id"], founder["login"]
    assert linked == (FOUNDER.subject, provider, FOUNDER.email)
    names = [row["name"] for row in database.records["res.partner"].values()]
    assert names.count(CONTACT.name) == 1
    assert database.records["res.company"][1]["name"] == COMPANY.name
    keys = [row["key"] for row in database.records["ir.config_parameter"].values()]
    assert len(keys) == len(set(keys))
    assert "bff.probe" not in keys


async def ready(odoo: Odoo) -> tuple[FakeDatabase, MemorySafe]:
    """Return a database that is ready, out of the way, and what opens it."""
    safe, series = MemorySafe(), odoo.fake.series
    site = site_of(odoo.server, "acme", safe, series=series, sleep=at_once)
    await provisioned(site, fake_template(odoo.fake), patience=1)
    return odoo.fake.databases.pop("acme"), safe
