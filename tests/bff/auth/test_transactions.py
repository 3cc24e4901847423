"""A sign-in in progress is sealed under its own state, and short-lived."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from aiohttp_session import Session

from bff.auth.transactions import LIFETIME, MAX_LIVE, Transactions
from bff.sessions.browser import CHANGES, CLOCK
from bff.sessions.cookies import CookieRules
from tests.bff.sessions.tickets import NOW, PLAIN, browse, ring

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def moment() -> list[float]:
    return [NOW]


@pytest.fixture
def ask(moment: list[float]) -> Callable[..., web.Request]:
    app = web.Application()
    app[CLOCK] = lambda: moment[0]

    def request(jar: dict[str, str], state: str = "") -> web.Request:
        header = "; ".join(f"{name}={value}" for name, value in jar.items())
        return make_mocked_request(
            "GET", f"/auth/callback?state={state}", {"Cookie": header}, app=app
        )

    return request


async def saved(
    storage: Transactions,
    request: web.Request,
    state: str,
    jar: dict[str, str],
    at: float = NOW,
) -> dict[str, str]:
    attempt = Session(state, data=None, new=True, max_age=LIFETIME)
    attempt["nonce"] = f"nonce of {state}"
    attempt._created = int(at)
    await storage.save_session(request, web.Response(), attempt)
    return browse(jar, request[CHANGES])


async def test_a_try_is_found_by_its_state_only(
    ask: Callable[..., web.Request],
) -> None:
    storage = Transactions(ring(), PLAIN)
    jar = await saved(storage, ask({}), "one", {})

    found = await storage.load_session(ask(jar, "one"))
    assert (found.new, found["nonce"]) == (False, "nonce of one")
    for state in ("two", "", "on", "one2", "One"):
        assert (await storage.load_session(ask(jar, state))).new
    pasted = {"nx_signin.two": jar["nx_signin.one"]}
    assert (await storage.load_session(ask(pasted, "two"))).new


async def test_a_try_lasts_ten_minutes(
    ask: Callable[..., web.Request], moment: list[float]
) -> None:
    storage = Transactions(ring(), PLAIN)
    jar = await saved(storage, ask({}), "one", {})

    moment[0] = NOW + LIFETIME
    assert not (await storage.load_session(ask(jar, "one"))).new
    moment[0] = NOW + LIFETIME + 1
    assert (await storage.load_session(ask(jar, "one"))).new


async def test_the_sixth_try_removes_the_oldest_and_what_cannot_be_read(
    ask: Callable[..., web.Request],
) -> None:
    storage = Transactions(ring(), PLAIN)
    jar = {"nx_signin.damaged": "x", "nx_access": "1kept", "other": "kept"}
    for number in range(MAX_LIVE + 1):
        jar = await saved(storage, ask(jar), str(number), jar, NOW + number)

    assert set(jar) == {
        "nx_access",
        "other",
        *(f"nx_signin.{number}" for number in range(1, MAX_LIVE + 1)),
    }


async def test_the_try_is_lax_however_strict_the_session_is(
    ask: Callable[..., web.Request],
) -> None:
    storage = Transactions(ring(), CookieRules(samesite="Strict"))
    request = ask({})
    jar = await saved(storage, request, "one", {})

    assert request[CHANGES][0].split("; ")[1:] == [
        "Path=/",
        "Max-Age=600",
        "HttpOnly",
        "SameSite=Lax",
        "Secure",
    ]
    assert set(jar) == {"__Host-nx_signin.one"}


async def test_a_used_try_and_a_sign_out_delete(
    ask: Callable[..., web.Request],
) -> None:
    storage = Transactions(ring(), PLAIN)
    jar = await saved(storage, ask({}), "one", {})
    jar = await saved(storage, ask(jar), "two", jar)

    used = ask(jar, "one")
    attempt = await storage.load_session(used)
    attempt.invalidate()
    await storage.save_session(used, web.Response(), attempt)
    assert set(browse(jar, used[CHANGES])) == {"nx_signin.two"}

    out = ask(jar)
    storage.clear(out)
    assert browse(jar, out[CHANGES]) == {}


async def test_a_retired_key_forgets_tries(ask: Callable[..., web.Request]) -> None:
    jar = await saved(Transactions(ring(1), PLAIN), ask({}), "one", {})

    renewed = Transactions(ring(2, 1), PLAIN)
    assert not (await renewed.load_session(ask(jar, "one"))).new
    retired = Transactions(ring(2), PLAIN)
    assert (await retired.load_session(ask(jar, "one"))).new
