"""Clients for tenants' Odoo: what is asked of the provider, and what may go wrong.

What the client is like in the end is in `tests/real/test_clients_conformance.py`.
"""

from __future__ import annotations

import json
import logging
import traceback
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from bff.config_identity import Auth
from bff.identity.admin_api import CallRefused, NotAsked
from bff.identity.clients import (
    ClientMissing,
    ClientNotKept,
    ClientNotOurs,
    Clients,
    MayNotManageClients,
    OdooClient,
)
from bff.identity.messages import ProviderUnavailable
from bff.outbound import client_session
from tests.fakes.keycloak_clients import KeycloakClients, serving
from tests.world import PROVISIONED, Clock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    Attempt = Callable[[Clients], Awaitable[object]]

BASE = "https://acme.odoo.test"
CALLBACK = f"{BASE}/auth_oauth/signin"
NAME = "odoo-t7"
ODOO = OdooClient(
    client_id=NAME, name="Odoo of Acme", redirect_uris=(CALLBACK,), base_url=BASE
)
LOOK = ["GET clients"]
ADDRESS = r"HOST|255"


def named(request: web.Request) -> str:
    return f"{request.method} {request.path.rpartition('/')[2]}"


@dataclass
class Bench:
    """A realm, our client there, and what it was asked."""

    fake: KeycloakClients
    clients: Clients

    def answer(self, call: str, status: int, body: str = "<html>") -> None:
        """Have this call answered so, once."""

        async def once(request: web.Request) -> web.Response | None:
            if named(request) != call:
                return None
            self.fake.before = None
            return web.Response(status=status, text=body)

        self.fake.before = once

    @property
    def asked(self) -> list[str]:
        """What was asked since the last look, tokens apart."""
        asked = [one for one in self.fake.asked if one != "POST token"]
        self.fake.asked.clear()
        return asked


@asynccontextmanager
async def running(*roles: str) -> AsyncGenerator[Bench]:
    fake = KeycloakClients()
    who = PROVISIONED["provisioner_client_id"]
    fake.add(who, *roles, secret=PROVISIONED["provisioner_client_secret"])
    async with serving(fake), client_session() as http:
        given = {"issuer": fake.issuer, "timeout": 3, **PROVISIONED}
        yield Bench(fake, Clients(Auth.model_validate(given), http, Clock()))


@pytest.fixture
async def bench() -> AsyncGenerator[Bench]:
    async with running("manage-clients") as one:
        yield one


def only(bench: Bench) -> dict[str, Any]:
    (one,) = bench.fake.find(NAME)
    return one


async def test_what_is_right_is_not_written_again(bench: Bench) -> None:
    await bench.clients.ensure(ODOO)
    assert bench.asked == [*LOOK, "POST clients", *LOOK, "GET client-secret"]
    await bench.clients.ensure(ODOO)
    assert bench.asked == [*LOOK, "GET client-secret"]


async def test_only_what_differs_is_written(bench: Bench) -> None:
    await bench.clients.ensure(ODOO)
    one = only(bench)
    one["attributes"]["pkce.code.challenge.method"] = "plain"
    one["fullScopeAllowed"] = True
    bench.fake.written.clear()
    await bench.clients.ensure(ODOO)

    attributes = {"pkce.code.challenge.method": "S256"}
    # Web origins too: Keycloak would fill them.
    changes = {"fullScopeAllowed": False, "attributes": attributes, "webOrigins": []}
    assert bench.fake.written == [changes]


async def test_the_order_of_redirects_does_not_count(bench: Bench) -> None:
    uris = (CALLBACK, f"{BASE}/b", f"{BASE}/a")
    several = OdooClient(client_id=NAME, name="x", redirect_uris=uris, base_url=BASE)
    await bench.clients.ensure(several)
    only(bench)["redirectUris"].sort()
    bench.fake.written.clear()
    await bench.clients.ensure(several)

    assert bench.fake.written == []


async def test_no_secret_is_ever_written(bench: Bench) -> None:
    await bench.clients.ensure(ODOO)
    only(bench)["redirectUris"] = []
    await bench.clients.ensure(ODOO)
    await bench.clients.ensure_redirect(NAME, f"{BASE}/other")

    assert len(bench.fake.written) == 3
    assert not any("secret" in body for body in bench.fake.written)


async def test_who_wrote_at_the_same_instant_is_looked_at_again(bench: Bench) -> None:
    secret = await bench.clients.ensure(ODOO)
    only(bench)["webOrigins"] = ["*"]
    bench.answer(f"PUT {only(bench)['id']}", 409, '{"error": "conflict"}')

    assert await bench.clients.ensure(ODOO) == secret
    assert only(bench)["webOrigins"] == []


@pytest.mark.parametrize("at", ["PUT", "GET client-secret"])
async def test_what_is_deleted_meanwhile_is_made_again(bench: Bench, at: str) -> None:
    await bench.clients.ensure(ODOO)
    only(bench)["webOrigins"] = ["*"]
    ours = dict(only(bench))

    async def meanwhile(request: web.Request) -> None:
        if named(request).startswith(at):
            bench.fake.clients.pop(ours["id"], None)

    bench.fake.before = meanwhile
    try:
        await bench.clients.ensure(ODOO)
    except ProviderUnavailable:
        await bench.clients.ensure(ODOO)

    assert only(bench)["id"] != ours["id"]


async def test_what_somebody_deletes_first_was_gone(bench: Bench) -> None:
    await bench.clients.ensure(ODOO)

    async def meanwhile(request: web.Request) -> None:
        if request.method == "DELETE":
            bench.fake.clients.pop(request.match_info["id"], None)

    bench.fake.before = meanwhile
    assert not await bench.clients.delete(NAME)


async def test_an_answer_that_was_lost_leaves_one_client(bench: Bench) -> None:
    async def lost(request: web.Request) -> web.Response | None:
        if request.method == "POST" and request.path.endswith("/clients"):
            assert request.transport is not None
            request.transport.abort()
        return None

    bench.fake.after = lost
    with pytest.raises(ProviderUnavailable) as caught:
        await bench.clients.ensure(ODOO)
    assert not isinstance(caught.value, NotAsked)
    assert bench.asked.count("POST clients") == 1
    bench.fake.after = None

    assert await bench.clients.ensure(ODOO) == only(bench)["secret"]
    assert bench.asked.count("POST clients") == 0


ATTEMPTS: dict[str, Attempt] = {
    "check": lambda clients: clients.check(),
    "ensure": lambda clients: clients.ensure(ODOO),
    "redirect": lambda clients: clients.ensure_redirect(NAME, CALLBACK),
    "delete": lambda clients: clients.delete(NAME),
}


@pytest.fixture(params=ATTEMPTS)
def attempt(request: pytest.FixtureRequest) -> Attempt:
    return ATTEMPTS[request.param]


async def test_a_provider_that_is_gone_was_not_asked(
    unused_tcp_port: int, attempt: Attempt
) -> None:
    issuer = f"http://127.0.0.1:{unused_tcp_port}/realms/x"
    auth = Auth.model_validate({"issuer": issuer, "timeout": 3, **PROVISIONED})
    async with client_session() as http:
        with pytest.raises(NotAsked):
            await attempt(Clients(auth, http, Clock()))


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_trouble_over_there_passes(
    bench: Bench, attempt: Attempt, status: int
) -> None:
    bench.answer("GET clients", status)
    with pytest.raises(ProviderUnavailable):
        await attempt(bench.clients)

    assert bench.fake.written == []


@pytest.mark.parametrize("body", ["{}", "null", "<html>", '{"clientId": "odoo-t7"}'])
async def test_an_answer_of_another_shape_makes_nothing(
    bench: Bench, attempt: Attempt, body: str
) -> None:
    bench.answer("GET clients", 200, body)
    with pytest.raises(ProviderUnavailable):
        await attempt(bench.clients)

    assert bench.fake.written == []


@pytest.mark.parametrize("shown", ["{}", '{"redirectUris": []}', '{"webOrigins": []}'])
async def test_half_a_client_is_changed_by_nobody(bench: Bench, shown: str) -> None:
    await bench.clients.ensure(ODOO)
    bench.fake.written.clear()
    one = {"clientId": NAME, "id": only(bench)["id"], **json.loads(shown)}
    half = json.dumps([one])
    bench.answer("GET clients", 200, half)
    with pytest.raises(ProviderUnavailable, match="not show all"):
        await bench.clients.ensure_redirect(NAME, f"{BASE}/other")
    bench.answer("GET clients", 200, half)
    with pytest.raises(ClientNotOurs):
        await bench.clients.delete(NAME)

    assert bench.fake.written == []
    assert only(bench)["redirectUris"] == [CALLBACK]


@pytest.mark.parametrize("name", [NAME.upper(), f"{NAME}0"])
async def test_another_client_than_was_asked_for_is_not_taken(
    bench: Bench, name: str
) -> None:
    # A database may compare without regard to case.
    body = f'[{{"clientId": "{name}", "id": "1"}}, null, 1]'
    bench.answer("GET clients", 200, body)
    with pytest.raises(ClientMissing):
        await bench.clients.ensure_redirect(NAME, CALLBACK)
    bench.answer("GET clients", 200, body)

    assert not await bench.clients.delete(NAME)


@pytest.mark.parametrize("call", ["POST clients", "GET client-secret"])
async def test_a_lasting_refusal_says_its_status(bench: Bench, call: str) -> None:
    bench.answer(call, 400, '{"error": "invalid_input"}')
    with pytest.raises(CallRefused, match="refused with 400"):
        await bench.clients.ensure(ODOO)


async def test_what_a_policy_keeps_otherwise_is_named(bench: Bench) -> None:
    await bench.clients.ensure(ODOO)
    ours = only(bench)

    async def policy(request: web.Request) -> None:
        ours["consentRequired"] = True

    ours["consentRequired"] = True
    bench.fake.after = policy
    bench.fake.asked.clear()
    with pytest.raises(ClientNotKept, match="'odoo-t7' was not kept: consentRequired"):
        await bench.clients.ensure(ODOO)

    assert bench.asked.count(f"PUT {ours['id']}") <= 5


async def test_a_client_that_is_made_and_never_there_is_given_up(bench: Bench) -> None:
    async def forgetful(request: web.Request) -> None:
        bench.fake.clients = {
            key: one
            for key, one in bench.fake.clients.items()
            if one["clientId"] != NAME
        }

    bench.fake.after = forgetful
    with pytest.raises(ClientNotKept, match="the client itself"):
        await bench.clients.ensure(ODOO)

    assert bench.asked.count("POST clients") <= 5


async def test_a_masked_secret_is_none() -> None:
    async with running("view-clients") as bench:
        fake, who = bench.fake, PROVISIONED["provisioner_client_id"]
        fake.roles[who] = {"manage-clients"}
        await bench.clients.ensure(ODOO)
        # Nothing is to be written, so that nothing else would tell.
        fake.roles[who], fake.masking = {"view-clients"}, True
        with pytest.raises(MayNotManageClients, match="manage-clients"):
            await bench.clients.ensure(ODOO)


@pytest.mark.parametrize(
    "uri",
    [
        "https://acme.odoo.test/*",
        "https://*.odoo.test/auth_oauth/signin",
        "/auth_oauth/signin",
        "javascript:alert(1)",
        "https:///auth_oauth/signin",
        "https://acme.odoo.test/#top",
        "https://a.test/##https://b.test/",
        "https://acme.odoo.test@evil.test/",
        "https://evil.test\\.odoo.test/",
        "ftp://acme.odoo.test/",
        "https://acme.odoo.test/a b",
        "https://acme.odoo.test/\n",
        f"https://acme.odoo.test/{'x' * 255}",
        "",
    ],
)
async def test_nothing_but_one_exact_address_is_taken(bench: Bench, uri: str) -> None:
    given = {"client_id": NAME, "name": "x"}
    with pytest.raises(ValueError, match=ADDRESS):
        OdooClient(**given, redirect_uris=(uri,), base_url=BASE)
    with pytest.raises(ValueError, match=ADDRESS):
        OdooClient(**given, redirect_uris=(CALLBACK,), base_url=uri)
    with pytest.raises(ValueError, match=ADDRESS):
        await bench.clients.ensure_redirect(NAME, uri)

    assert bench.asked == []


@pytest.mark.parametrize(
    "values",
    [{"client_id": ""}, {"client_id": "x" * 256}, {"redirect_uris": ()}],
)
def test_what_keycloak_would_not_take_is_not_asked_for(values: dict[str, Any]) -> None:
    given = {
        "client_id": NAME,
        "name": "x",
        "redirect_uris": (CALLBACK,),
        "base_url": BASE,
    }
    with pytest.raises(ValueError, match="client"):
        OdooClient(**given | values)


async def test_a_long_name_is_cut(bench: Bench) -> None:
    long = OdooClient(
        client_id=NAME, name="n" * 300, redirect_uris=(CALLBACK,), base_url=f"{BASE}/"
    )
    await bench.clients.ensure(long)
    bench.fake.asked.clear()
    await bench.clients.ensure(long)

    assert only(bench)["name"] == "n" * 255
    assert only(bench)["baseUrl"] == BASE
    assert bench.asked == [*LOOK, "GET client-secret"]


async def test_no_secret_shows_anywhere(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = await bench.clients.ensure(ODOO)
    shown = [repr(bench.clients), repr(ODOO)]
    only(bench)["attributes"]["bff.client"] = "odoo-t8"
    for attempt in (bench.clients.ensure(ODOO), bench.clients.delete(NAME)):
        with pytest.raises(ClientNotOurs) as caught:
            await attempt
        shown += traceback.format_exception(caught.value)
    only(bench)["attributes"]["bff.client"] = NAME
    bench.answer("GET client-secret", 500, f'{{"value": "{secret}"}}')
    with pytest.raises(ProviderUnavailable) as lost:
        await bench.clients.ensure(ODOO)
    shown += traceback.format_exception(lost.value)

    assert len(secret) >= 32
    assert secret not in "".join(shown) + caplog.text
