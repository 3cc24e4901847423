"""T15: the policy holds in the release, not only where tests run (CVE-2021-21411).

The wheel is built, unpacked and served by ``python -O``, which drops every assert.
Beside it: an e-mail address proves nothing, however it is spelt (CVE-2026-40574).
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from bff.dev.provider import Person
from tests.attacks.outside import ask
from tests.attacks.processes import ROOT, served
from tests.bff.auth.test_backchannel import claims, signed
from tests.world import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from tests.world import Browser, World

PACKAGES = {
    "bff": "bff",
    "graph_proxy": "graph_proxy",
    "odoo": "odoo",
    "migrations": "bff/migrations",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package as a release does and unpack it."""
    folder = tmp_path_factory.mktemp("release")
    subprocess.run(  # noqa: S603 - our own build, no input
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (built,) = folder.glob("*.whl")
    unpacked = folder / "unpacked"
    with zipfile.ZipFile(built) as archive:
        archive.extractall(unpacked)
    return unpacked


def files_below(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix() for path in found}
    return {name for name in names if "__pycache__" not in name}


def test_the_package_holds_all_that_is_served_and_nothing_else(wheel: Path) -> None:
    wanted = {
        f"{inside}/{name}"
        for source, inside in PACKAGES.items()
        for name in files_below(ROOT / source)
    }
    held = files_below(wheel)

    about = {name for name in held if ".dist-info/" in name.partition("/")[0] + "/"}
    assert held - about == wanted
    assert "bff/pages/static/index.html" in held
    assert any(name.startswith("bff/migrations/") for name in held)
    words = ("test", "conftest", ".env", "config.toml", ".pem", ".key")
    assert not [name for name in held if any(word in name for word in words)]


REFUSED_TO_STRANGERS: tuple[tuple[str, dict[str, str], int, str], ...] = (
    ("GET /whoami", {}, 401, "not_signed_in"),
    ("GET /graph/threads/x", {}, 401, "not_signed_in"),
    ("GET /export/latest_scores.json", {}, 401, "not_signed_in"),
    ("GET /tenants/1001", {}, 401, "not_signed_in"),
    ("POST /onboarding/first_login", {}, 401, "not_signed_in"),
    ("DELETE /auth/sessions/x", {}, 401, "not_signed_in"),
    ("POST /auth/login", {"Sec-Fetch-Site": "cross-site"}, 403, "cross_site_refused"),
    ("POST /auth/logout", {"Origin": "https://evil.test"}, 403, "cross_site_refused"),
    ("GET /whoami", {"Host": "evil.test"}, 421, "unknown_host"),
    ("TRACE /whoami", {}, 405, "method_not_allowed"),
)
REFUSED_TO_ALICE: tuple[tuple[str, dict[str, str], int, str], ...] = (
    ("GET /tenants/1002", {}, 404, "not_found"),
    ("GET /graph/internal/x", {}, 404, "not_found"),
    ("PUT /graph/threads/x", {}, 405, "method_not_allowed"),
    ("GET /graph/threads/x", {"Origin": "null"}, 403, "cross_site_refused"),
)


async def refusal(
    browser: Browser, line: str, headers: dict[str, str]
) -> tuple[int, str]:
    method, _, path = line.partition(" ")
    sent = {"Origin": browser.world.url, **headers}
    if "Origin" in headers:
        sent["Sec-Fetch-Site"] = "same-site"
    answer = await browser.request(method, path, headers=sent)
    return answer.status, (await answer.json(content_type=None))["code"]


async def test_the_release_refuses_without_its_asserts(
    world: World, wheel: Path
) -> None:
    release = {"PYTHONPATH": str(wheel)}
    where = subprocess.run(  # noqa: ASYNC221 - at once, before anything runs
        [sys.executable, "-O", "-c", "import bff; assert False; print(bff.__file__)"],
        env={"PATH": os.environ["PATH"], **release},
        cwd=wheel,
        check=True,
        capture_output=True,
        timeout=20,
    )
    assert str(wheel) in where.stdout.decode(), "the release is what runs"
    world.provider.accounts.add(
        Person(email="new@acme.test", password=PASSWORD, email_verified=False), 0
    )
    async with (
        served(world, "-O", environ=release, onboarding={"open_to": "verified"}) as it,
        world.browser(it.url) as stranger,
        world.browser(it.url) as alice,
        world.browser(it.url) as carol,
        world.browser(it.url) as new,
    ):
        for line, headers, status, code in REFUSED_TO_STRANGERS:
            assert await refusal(stranger, line, headers) == (status, code), line
        assert (await stranger.login("alice@acme.test", "Wrong-1")).status == 401

        assert (await alice.login("alice@acme.test")).status == 200
        for line, headers, status, code in REFUSED_TO_ALICE:
            assert await refusal(alice, line, headers) == (status, code), line

        assert (await carol.login("carol@initech.test")).status == 200
        for line in ("GET /graph/threads/x", "GET /export/latest_scores.csv"):
            assert await refusal(carol, line, {}) == (403, "tenant_missing")
        assert (await new.login("new@acme.test")).status == 200
        told = await refusal(new, "POST /onboarding/first_login", {})
        assert told == (403, "onboarding_closed")

        jar = alice.cookies
        spoilt = {name: f"{one[:-9]}AAAAAAAAA" for name, one in jar.items()}
        alice.set_cookies(spoilt)
        assert await refusal(alice, "GET /whoami", {}) == (401, "not_signed_in")
        alice.set_cookies(jar)
        for said in ({"aud": "another"}, {"nonce": "n"}, {"exp": 1}):
            token = signed(world, claims(world, **said))
            form = {"logout_token": token}
            path = "/auth/backchannel-logout"
            assert (await stranger.post(path, data=form)).status == 400
        assert (await alice.get("/whoami")).status == 200, "and so it still lets in"

        for name in files_below(ROOT / "bff/pages/static"):
            assert (await stranger.get(f"/static/{name}")).status == 200, name
    assert world.graph.seen == []


SPELLINGS = (
    "alice@acme.test@evil.test",
    "evil@evil.test@acme.test",
    '"alice@acme.test"@evil.test',
    "alice@acme.test,evil@evil.test",
    "alice@acme.test evil@evil.test",
    "alice@acme.test\u200b",
    "\u0430lice@acme.test",  # its first letter is Cyrillic
    "alice@acme.test.",
    "alice+1@acme.test",
    "a" * 300 + "@acme.test",
)


@pytest.mark.parametrize("verified", [True, False])
async def test_an_address_that_looks_like_somebody_elses_opens_nothing(
    world: World, *, verified: bool
) -> None:
    carol = world.provider.accounts.find("carol@initech.test")
    assert carol is not None
    for spelling in SPELLINGS:
        # The provider lets carol have it; what does it make of her here?
        world.provider.accounts.change(
            carol, email="carol@initech.test", email_verified=verified
        )
        async with world.browser() as browser:
            await said_to_be(world, spelling)
            answer = await browser.login("carol@initech.test")
            body: dict[str, Any] = await answer.json(content_type=None)
            assert (answer.status, body["tenant_id"]) == (200, None), spelling
            assert body["roles"] == []
            for path in ("/tenants/1001", "/export/latest_scores.json"):
                assert (await browser.get(path)).status in {403, 404}
            gone = await ask(world, "GET /graph/threads/x", jar=browser.cookies)
            assert gone.status == 403
    assert world.graph.seen == []


async def said_to_be(world: World, email: str) -> None:
    """Let every token from now on carry this address."""
    sign = type(world.provider.keys).sign
    world.provider.keys.sign = lambda claims, **more: sign(  # type: ignore[method-assign] # another address
        world.provider.keys, {**claims, "email": email}, **more
    )
