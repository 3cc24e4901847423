"""Whatever is wrong with a database, it is not called ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from odoo import errors, records
from odoo.verifying import PROBE, smoke, verify
from tests.fakes.odoo_data import ADMIN, SERVICE
from tests.fakes.odoo_keys import Key
from tests.fakes.odoo_services import ADMIN_PASSWORD, SERVICE_PASSWORD, TEMPLATE_KEY
from tests.odoo.provisioning import (
    FOUNDER,
    PROVIDER,
    TENANT,
    Death,
    Killed,
    MemorySafe,
    fake_template,
    provisioned,
    site_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from odoo.databases import Databases
    from odoo.entering import Site
    from odoo.safe import Template
    from tests.fakes.odoo_data import FakeDatabase
    from tests.odoo.conftest import Odoo

NAME = "acme"


@pytest.fixture
def template(odoo: Odoo) -> Template:
    return fake_template(odoo.fake)


@pytest.fixture
async def site(odoo: Odoo, template: Template) -> Site:
    made = site_of(odoo.server, NAME, MemorySafe(), series=odoo.fake.series)
    await provisioned(made, template, patience=1)
    return made


def _password(user: int, password: str) -> Callable[[FakeDatabase], None]:
    return lambda it: it.records["res.users"][user].update(password=password)


def _providers(it: FakeDatabase, **values: object) -> None:
    for row in it.records[records.PROVIDERS].values():
        row.update(values)


def _module(it: FakeDatabase, name: str, state: str) -> None:
    for row in it.records["ir.module.module"].values():
        if row["name"] == name:
            row["state"] = state


def _uuid(it: FakeDatabase, template: Template) -> None:
    it.set_parameter(records.UUID, template.credentials.uuid)


WRONG: dict[str, tuple[Callable[[FakeDatabase], object], str]] = {
    "no key": (lambda it: it.keys.clear(), "our key does not open"),
    "admin/admin": (_password(ADMIN, "admin"), "signs in"),
    "template's administrator": (_password(ADMIN, ADMIN_PASSWORD), "signs in"),
    "template's service": (
        _password(SERVICE, SERVICE_PASSWORD),
        "bff-service signs in",
    ),
    "another service": (_password(SERVICE, "Another-1"), "our password of the service"),
    "template's key": (
        lambda it: it.keys.update({TEMPLATE_KEY: Key(SERVICE, "template", number=9)}),
        "template's key opens",
    ),
    "no marker": (lambda it: it.set_parameter(records.MARKER, "t-2"), "marker"),
    "to install": (lambda it: _module(it, "crm", "to install"), "crm is not installed"),
    "provider off": (lambda it: _providers(it, enabled=False), "ours is not"),
    "all providers on": (lambda it: _providers(it, enabled=True), "another provider"),
    "link elsewhere": (
        lambda it: _providers(it, auth_endpoint="https://evil.test"),
        "sign-in page",
    ),
}


@pytest.mark.parametrize("series", ["16.0", "18.0", "19.0"])
async def test_ready_is_ready_and_leaves_nothing_behind(
    odoo: Odoo, site: Site, template: Template
) -> None:
    odoo.fake.databases[NAME].set_parameter(PROBE, "of a run that was killed")
    for _ in range(2):
        await verify(site, TENANT, PROVIDER, template=template)
    rows = odoo.fake.databases[NAME].records["ir.config_parameter"].values()
    assert PROBE not in {row["key"] for row in rows}


@pytest.mark.parametrize("what", WRONG)
async def test_one_thing_that_is_wrong(
    odoo: Odoo, site: Site, template: Template, what: str
) -> None:
    spoil, said = WRONG[what]
    spoil(odoo.fake.databases[NAME])
    with pytest.raises(errors.NotReady, match=said) as raised:
        await verify(site, TENANT, PROVIDER, template=template)
    assert raised.value.problems
    for secret in (ADMIN_PASSWORD, SERVICE_PASSWORD, TEMPLATE_KEY):
        assert secret not in str(raised.value)


async def test_what_the_founder_chose_is_not_ours_to_know(
    odoo: Odoo, site: Site, template: Template
) -> None:
    _password(ADMIN, "Founder-Chose-This-1")(odoo.fake.databases[NAME])
    await verify(site, TENANT, PROVIDER, template=template)


async def test_passwords_are_hashed_twice(
    odoo: Odoo, site: Site, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each user of ours: Odoo takes half a second for each."""
    hashed: list[str] = []
    tried = odoo.fake.databases[NAME].records["res.users"]
    logins = {row["login"] for row in tried.values()}
    authenticate = type(site.databases).authenticate

    async def counting(self: Databases, name: str, login: str, word: str) -> int | None:
        if login in logins:
            hashed.append(login)
        return await authenticate(self, name, login, word)

    monkeypatch.setattr(type(site.databases), "authenticate", counting)
    await verify(site, TENANT, PROVIDER, template=template)
    assert sorted(hashed) == sorted([FOUNDER.email, "bff-service"])


async def test_all_that_is_wrong_is_told(
    odoo: Odoo, site: Site, template: Template
) -> None:
    database = odoo.fake.databases[NAME]
    _module(database, "crm", "to install")
    _uuid(database, template)
    with pytest.raises(errors.NotReady) as raised:
        await verify(site, TENANT, PROVIDER, template=template)
    assert len(raised.value.problems) == 2


async def test_nothing_was_made_yet(odoo: Odoo) -> None:
    bare = site_of(odoo.server, NAME, MemorySafe())
    with pytest.raises(errors.NotReady, match="our key"):
        await verify(bare, TENANT, PROVIDER)


LIGHT = ("no key", "no marker")
MOST_CALLS = 6


@pytest.mark.parametrize("series", ["17.0", "19.0"])
async def test_light_check_takes_few_calls_and_leaves_nothing_behind(
    odoo: Odoo, site: Site
) -> None:
    held = site.safe
    assert isinstance(held, MemorySafe)
    database = odoo.fake.databases[NAME]
    for left in (False, True):
        if left:
            database.set_parameter(PROBE, "of a run that was killed")
        before = odoo.fake.asked("authenticate")
        steps = Death()
        counted = site_of(odoo.server, NAME, held, series=odoo.fake.series, death=steps)
        await smoke(counted, TENANT)
        assert steps.steps <= MOST_CALLS
        assert odoo.fake.asked("authenticate") == before  # hashes a password
        rows = database.records["ir.config_parameter"].values()
        assert PROBE not in {row["key"] for row in rows}


@pytest.mark.parametrize("what", LIGHT)
async def test_light_check_finds_what_is_wrong(
    odoo: Odoo, site: Site, what: str
) -> None:
    spoil, said = WRONG[what]
    spoil(odoo.fake.databases[NAME])
    with pytest.raises(errors.NotReady, match=said):
        await smoke(site, TENANT)


async def test_nothing_is_written_for_another_tenant(odoo: Odoo, site: Site) -> None:
    odoo.fake.fail("ir.config_parameter/create", cut=True)
    with pytest.raises(errors.NotReady, match="marker"):
        await smoke(site, "t-2002")


@pytest.mark.parametrize(
    ("method", "answer", "said"),
    [("create", [99], "cannot be read"), ("unlink", True, "still there")],
)
async def test_odoo_that_only_says_so(
    odoo: Odoo, site: Site, method: str, answer: object, said: str
) -> None:
    odoo.fake.fail(f"ir.config_parameter/{method}", answers=(answer,))
    with pytest.raises(errors.NotReady, match=said):
        await smoke(site, TENANT)


async def test_light_check_that_was_killed_is_cleaned_up(
    odoo: Odoo, site: Site
) -> None:
    held = site.safe
    assert isinstance(held, MemorySafe)
    for at in range(1, MOST_CALLS):
        dying = site_of(odoo.server, NAME, held, death=Death(at=at))
        with pytest.raises(Killed):
            await smoke(dying, TENANT)
        held.death = Death()
        await smoke(site, TENANT)
    rows = odoo.fake.databases[NAME].records["ir.config_parameter"].values()
    assert PROBE not in {row["key"] for row in rows}
