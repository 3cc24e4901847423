"""T29: what is opened for developers opens nothing for others.

The origin of a UI under development is compared whole, and the bypass of the sign-in
stays on this machine: a page that rebinds its name to it (seen as CVE-2018-5702 and
CVE-2024-28224) is answered 421.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.attacks.hostile_urls import CORPUS, leaves
from tests.attacks.outside import ask, hostile
from tests.attacks.processes import environment, run, settings_of
from tests.attacks.test_t01_open_redirect import returned
from tests.attacks.test_t20_host_confusion import FOREIGN, is_refused, said
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

UI = "http://localhost:3000"
OPEN: dict[str, dict[str, Any]] = {
    "split_origin": {"origins": [UI]},
    "dev": {"bypass": True},
}
NAMED = ("X-User-Email: eve@acme.test", "X-Tenant-ID: 1001", "X-User-Roles: admin")


@pytest.fixture
async def opened(databases: Databases) -> AsyncGenerator[World]:
    async with World(databases, settings=dict(OPEN)).running() as running:
        yield running


async def test_a_sign_in_returns_here_or_to_the_ui_and_nowhere_else(
    opened: World,
) -> None:
    sample = CORPUS[::9]
    kept = 0
    async with opened.browser() as browser:
        assert await returned(opened, browser, f"{UI}/chat") == f"{UI}/chat"
        for value in (*sample, *(f"{UI}{one}" for one in sample)):
            location = await returned(opened, browser, value)
            assert not leaves(location, opened.url) or not leaves(location, UI), value
            kept += location.startswith(UI)
    assert kept


@hostile(60)
@given(
    st.sampled_from([UI, UI.upper(), "http://localhost", "null", "http://evil.test"]),
    st.text(string.printable.strip() + " ", max_size=12),
)
@example(UI, "")
@example(UI, "0")
@example(UI, ", " + UI)
async def test_no_made_up_origin_reads_or_acts(
    opened: World, before: str, after: str
) -> None:
    origin = before + after
    is_ui = origin.strip() == UI
    asked = (f"Origin: {origin}", "Sec-Fetch-Site: same-site")
    answer = await ask(opened, "GET /whoami", *asked)
    assert answer.headers.get("access-control-allow-origin") == (UI if is_ui else None)
    answer = await ask(opened, "POST /auth/logout", *asked, body=b"{}")
    assert answer.status == (204 if is_ui else 403)
    leave = (*asked, "Access-Control-Request-Method: DELETE")
    answer = await ask(opened, "OPTIONS /whoami", *leave)
    assert answer.status == (204 if is_ui else 405)
    answer = await ask(opened, "GET /whoami", *asked, *NAMED)
    assert answer.status == (200 if is_ui else 403)


async def test_a_name_that_is_not_ours_reaches_nobody(opened: World) -> None:
    name, _, port = opened.url.removeprefix("http://").partition(":")
    assert (await ask(opened, "GET /whoami", *NAMED)).status == 200
    for form in FOREIGN:
        host = form.format(host=name, port=port)
        for start in ("GET /whoami", "OPTIONS /whoami", "GET /graph/threads/x"):
            is_refused(await said(opened, f"Host: {host}", *NAMED, start=start))
    assert opened.graph.seen == []


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"server": {"admin_listen": "0.0.0.0:9"}}, "server.admin_listen"),
        ({"server": {"listen": "0.0.0.0:9"}}, "server.listen"),
        ({"server": {"trusted_proxies": ["10.0.0.1"]}}, "server.trusted_proxies"),
        ({"split_origin": {"origins": ["*"]}}, "split_origin.origins.0"),
        ({"split_origin": {"origins": ["null"]}}, "split_origin.origins.0"),
    ],
    ids=str,
)
async def test_what_opens_more_than_this_machine_does_not_start(
    world: World, changes: dict[str, dict[str, Any]], key: str
) -> None:
    told = settings_of(world, {"dev": {"bypass": True}, **changes})

    ended = await run(environment(told), "serve", seconds=30)

    assert ended.status == 1, ended.said
    assert f"- {key}: " in ended.said
    assert "Traceback" not in ended.said
