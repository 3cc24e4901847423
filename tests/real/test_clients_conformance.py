"""Clients for tenants' Odoo: ours through the Admin API, the fake's and Keycloak's."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from bff.identity.admin_api import AdminApi, Answer
from bff.identity.clients import (
    ClientMissing,
    ClientNotOurs,
    MayNotManageClients,
    OdooClient,
)
from tests.real import clients_conformance as both
from tests.real.clients_conformance import BASE, CALLBACK, MANAGES, ClientsSide, wanted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

FORBIDDEN = (403, {"error": "HTTP 403 Forbidden"})
MUST = {
    "name": "Odoo of Acme",
    "baseUrl": BASE,
    "redirectUris": [CALLBACK],
    "webOrigins": [],
    "protocol": "openid-connect",
    "publicClient": False,
    "bearerOnly": False,
    "clientAuthenticatorType": "client-secret",
    "standardFlowEnabled": True,
    "implicitFlowEnabled": False,
    "directAccessGrantsEnabled": False,
    "serviceAccountsEnabled": False,
    "consentRequired": False,
    "fullScopeAllowed": False,
    "frontchannelLogout": False,
}
ATTRIBUTES = {
    "pkce.code.challenge.method": "S256",
    "id.token.signed.response.alg": "RS256",
    "post.logout.redirect.uris": f"{BASE}/web/login",
}


@pytest.fixture(params=both.KINDS)
async def side(request: pytest.FixtureRequest) -> AsyncGenerator[ClientsSide]:
    real = request.getfixturevalue("keycloak") if request.param == "keycloak" else None
    async with both.running(request.param, real) as one:
        yield one


def is_right(one: dict[str, Any]) -> bool:
    attributes = one["attributes"]
    return {name: one.get(name) for name in MUST} == MUST and {
        name: attributes.get(name) for name in ATTRIBUTES
    } == ATTRIBUTES


async def said(side: ClientsSide, path: str, body: object, method: str = "PUT") -> Any:
    answer = await side.manage(method, path, body)
    return answer.status, answer.json if answer.text else None


# What both answer.


async def test_refusals(side: ClientsSide) -> None:
    name = wanted().client_id
    await side.make(name)
    one = await side.one(name)
    taken = (409, {"errorMessage": f"Client {name} already exists"})
    assert await said(side, "/clients", {"clientId": name}, "POST") == taken

    path = f"/clients/{one['id']}"
    for body, why in (
        (
            {"redirectUris": ["https://a.test/#b"]},
            "A redirect URI must not contain an URL fragment",
        ),
        ({"baseUrl": "nonsense"}, "Base URL is not a valid URL"),
    ):
        refusal = {"error": "invalid_input", "error_description": why}
        assert await said(side, path, body) == (400, refusal)
    status, refusal = await said(side, path, {"nonsense": 1})
    start = "Invalid json representation for ClientRepresentation. Unrecognized field"
    assert (status, refusal["error"].startswith(start)) == (400, True)
    assert await side.one(name) == one

    missing = (404, {"error": "Could not find client"})
    gone = f"/clients/{uuid.uuid4()}"
    assert await said(side, gone, {}) == missing
    assert await said(side, gone, None, "DELETE") == missing
    assert await said(side, f"{gone}/client-secret", None, "GET") == missing


@pytest.mark.parametrize("uri", ["/relative", "https://*.a.test/", "https://a.test/*"])
async def test_patterns_are_taken(side: ClientsSide, uri: str) -> None:
    name = wanted().client_id
    await side.make(name, redirectUris=[uri], webOrigins=[])

    assert (await side.one(name))["redirectUris"] == [uri]


@pytest.mark.parametrize(
    "values",
    [
        {"name": "n" * 256},
        {"clientId": "c" * 256},
        {"redirectUris": [f"https://a.test/{'x' * 255}"]},
    ],
)
async def test_what_is_too_long_breaks_it(
    side: ClientsSide, values: dict[str, Any]
) -> None:
    body = {"clientId": wanted().client_id, **values}
    status, refusal = await said(side, "/clients", body, "POST")

    assert (status, refusal["error"]) == (500, "unknown_error")


async def test_ids_are_compared_whole(side: ClientsSide) -> None:
    name = wanted().client_id
    await side.make(name)

    assert len(await side.found(name)) == 1
    assert await side.found(name.upper()) == []
    assert await side.found(name[:-1]) == []


async def test_a_write_keeps_what_it_leaves_out(side: ClientsSide) -> None:
    name = wanted().client_id
    await side.make(name, redirectUris=[CALLBACK], attributes={"a": "1", "b": "2"})
    before = await side.one(name)
    await side.change(name)
    assert await side.one(name) == before

    await side.change(name, attributes={"b": "3", "c": "4"}, consentRequired=True)
    after = await side.one(name)
    expected = {**before["attributes"], "b": "3", "c": "4"}
    assert after == {**before, "attributes": expected, "consentRequired": True}
    await side.change(name, attributes={"a": ""})
    assert "a" not in (await side.one(name))["attributes"]


async def test_empty_web_origins_are_filled_unless_they_are_named(
    side: ClientsSide,
) -> None:
    async def origins() -> Any:
        return (await side.one(name))["webOrigins"]

    name = wanted().client_id
    await side.make(name, redirectUris=[CALLBACK], webOrigins=[])
    assert await origins() == []
    await side.change(name, redirectUris=["https://b.test/x"], webOrigins=[])
    assert await origins() == []
    await side.change(name, redirectUris=["https://c.test/x"])
    assert await origins() == ["https://c.test"]
    await side.change(name, redirectUris=["https://d.test/x"])
    assert await origins() == ["https://c.test"]
    await side.change(name, webOrigins=[])
    await side.change(name, consentRequired=True)
    assert await origins() == ["https://d.test"]

    other = wanted().client_id
    await side.make(other, redirectUris=[CALLBACK])
    assert (await side.one(other))["webOrigins"] == [BASE]


async def test_authorization_services_end_unless_they_are_named(
    side: ClientsSide,
) -> None:
    async def are_on() -> bool:
        one = await side.one(name)
        return bool(one.get("authorizationServicesEnabled"))

    name = wanted().client_id
    on = {"authorizationServicesEnabled": True, "serviceAccountsEnabled": True}
    await side.make(name, **on)
    assert await are_on()
    await side.change(name, name="x", authorizationServicesEnabled=True)
    assert await are_on()
    await side.change(name, name="y")
    assert not await are_on()


async def test_secrets_come_and_go(side: ClientsSide) -> None:
    name = wanted().client_id
    await side.make(name)
    path = f"/clients/{(await side.one(name))['id']}/client-secret"

    async def present() -> Any:
        answer = await side.manage("GET", path)
        assert (answer.status, answer.json["type"]) == (200, "secret")
        return answer.json.get("value")

    first = await present()
    assert len(first) >= 32
    assert (await side.one(name))["secret"] == first
    renewed = (await side.manage("POST", path)).json["value"]
    assert first != renewed == await present()
    await side.change(name, publicClient=True)
    assert await present() is None
    await side.change(name, publicClient=False)
    assert await present() not in {None, first, renewed}
    await side.change(name, secret="")
    assert await present() == ""


async def test_who_may_do_what(side: ClientsSide) -> None:
    name = wanted().client_id
    await side.make(name)
    path = f"/clients/{(await side.one(name))['id']}"

    async def answers(*roles: str) -> list[int]:
        calls: tuple[tuple[str, str, object], ...] = (
            ("GET", f"/clients?clientId={name}", None),
            ("GET", f"{path}/client-secret", None),
            ("PUT", path, {}),
            ("POST", "/clients", {"clientId": wanted().client_id}),
        )
        given = [await side.manage(*call, roles=roles) for call in calls]
        for one in given:
            assert one.status != 403 or (one.status, one.json) == FORBIDDEN
        return [one.status for one in given]

    async def seen(*roles: str) -> Any:
        listed = await side.manage("GET", f"/clients?clientId={name}", roles=roles)
        return [one["access"]["manage"] for one in listed.json]

    assert await answers("") == [403, 403, 403, 403]
    assert await answers("query-clients") == [200, 403, 403, 403]
    assert await answers("view-clients") == [200, 200, 403, 403]
    assert await answers(MANAGES) == [200, 200, 204, 201]
    assert await seen("query-clients") == []
    assert await seen("view-clients") == [False]
    assert await seen(MANAGES) == [True]


# What we do with it.


async def test_a_client_is_made_as_it_must_be(side: ClientsSide) -> None:
    clients, one = await side.clients(MANAGES), wanted()
    secret = await clients.ensure(one)

    made = await side.one(one.client_id)
    assert is_right(made)
    assert made["enabled"] is True
    assert made["secret"] == secret
    assert made["defaultClientScopes"] == ["basic", "email", "profile"]
    assert made["optionalClientScopes"] == []
    assert not made["attributes"].get("backchannel.logout.url")
    assert await clients.ensure(one) == secret
    assert await side.one(one.client_id) == made


async def test_several_at_once_make_one_client(side: ClientsSide) -> None:
    one = wanted()
    clients = [await side.clients(MANAGES) for _ in range(3)]
    secrets = await asyncio.gather(*(each.ensure(one) for each in clients * 2))

    assert len(set(secrets)) == 1
    assert is_right(await side.one(one.client_id))


async def test_several_at_once_repair_one_client(side: ClientsSide) -> None:
    one = wanted()
    clients = [await side.clients(MANAGES) for _ in range(3)]
    secret = await clients[0].ensure(one)
    await side.change(
        one.client_id,
        redirectUris=["https://evil.test/"],
        attributes={"pkce.code.challenge.method": ""},
    )
    secrets = await asyncio.gather(*(each.ensure(one) for each in clients * 2))

    assert set(secrets) == {secret}
    assert is_right(await side.one(one.client_id))


class Killed(BaseException):
    """What a crash is to the code that was running."""


@pytest.mark.parametrize("calls", [1, 2, 3, 4])
async def test_a_crash_after_any_call_is_made_good_by_the_next_run(
    side: ClientsSide, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    clients, one, made = await side.clients(MANAGES), wanted(), 0
    ask = AdminApi.ask

    async def dying(
        self: AdminApi, method: str, url: str, body: object = None
    ) -> Answer:
        nonlocal made
        answer = await ask(self, method, url, body)
        made += 1
        if made == calls:
            raise Killed
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(AdminApi, "ask", dying)
        with pytest.raises(Killed):
            await clients.ensure(one)
    secret = await clients.ensure(one)

    assert (await side.one(one.client_id))["secret"] == secret
    assert is_right(await side.one(one.client_id))


@pytest.mark.parametrize(
    "changes",
    [
        {"redirectUris": ["https://evil.test/*"]},
        {"redirectUris": [CALLBACK, f"{CALLBACK}2"]},
        {"redirectUris": [], "baseUrl": "https://evil.test"},
        {"webOrigins": ["*"]},
        {"publicClient": True, "directAccessGrantsEnabled": True},
        {"bearerOnly": True, "protocol": "saml"},
        {"implicitFlowEnabled": True, "standardFlowEnabled": False},
        {"serviceAccountsEnabled": True, "authorizationServicesEnabled": True},
        {"consentRequired": True, "fullScopeAllowed": True, "frontchannelLogout": True},
        {"clientAuthenticatorType": "client-jwt", "name": "other"},
        {"attributes": {"pkce.code.challenge.method": ""}},
        {"attributes": {"id.token.signed.response.alg": "ES256"}},
        {"attributes": {"post.logout.redirect.uris": "https://evil.test/*"}},
    ],
)
async def test_what_was_changed_by_hand_is_restored(
    side: ClientsSide, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    asked: list[str] = []
    ask = AdminApi.ask

    async def noting(self: AdminApi, method: str, *rest: Any) -> Answer:
        asked.append(method)
        return await ask(self, method, *rest)

    clients, one = await side.clients(MANAGES), wanted()
    await clients.ensure(one)
    await side.change(one.client_id, **changes)
    assert not is_right(await side.one(one.client_id))
    monkeypatch.setattr(AdminApi, "ask", noting)
    secret = await clients.ensure(one)
    assert asked == ["GET", "PUT", "GET", "GET"]

    after = await side.one(one.client_id)
    assert is_right(after)
    assert after["secret"] == secret
    assert not after.get("authorizationServicesEnabled")


async def test_a_tenant_s_new_address_replaces_the_old_one(side: ClientsSide) -> None:
    clients, one = await side.clients(MANAGES), wanted()
    secret = await clients.ensure(one)
    base = "https://renamed.odoo.test"
    moved = OdooClient(
        client_id=one.client_id,
        name=one.name,
        redirect_uris=(f"{base}/auth_oauth/signin",),
        base_url=base,
    )
    assert await clients.ensure(moved) == secret

    found = await side.one(one.client_id)
    assert found["redirectUris"] == [f"{base}/auth_oauth/signin"]
    assert found["attributes"]["post.logout.redirect.uris"] == f"{base}/web/login"
    assert found["webOrigins"] == []


async def test_what_an_operator_decided_stays(side: ClientsSide) -> None:
    clients, one = await side.clients(MANAGES), wanted()
    await clients.ensure(one)
    own = {"backchannel.logout.url": "https://acme.odoo.test/logout", "theirs": "1"}
    await side.change(
        one.client_id, enabled=False, attributes=own, webOrigins=["https://x.test"]
    )
    await clients.ensure(one)

    after = await side.one(one.client_id)
    assert is_right(after)
    assert after["enabled"] is False
    assert own.items() <= after["attributes"].items()


async def test_a_secret_that_was_renewed_there_is_returned(side: ClientsSide) -> None:
    clients, one = await side.clients(MANAGES), wanted()
    first = await clients.ensure(one)
    path = f"/clients/{(await side.one(one.client_id))['id']}/client-secret"
    renewed = (await side.manage("POST", path)).json["value"]

    assert first != renewed == await clients.ensure(one)


async def test_a_client_without_a_secret_gets_one(side: ClientsSide) -> None:
    clients, one = await side.clients(MANAGES), wanted()
    first = await clients.ensure(one)
    await side.change(one.client_id, secret="")
    secret = await clients.ensure(one)

    assert secret not in {"", first}
    assert await clients.ensure(one) == secret


@pytest.mark.parametrize("marked", ["", "odoo-of-another"])
async def test_somebody_else_s_client_is_left_as_it_is(
    side: ClientsSide, marked: str
) -> None:
    clients, one = await side.clients(MANAGES), wanted()
    await side.make(one.client_id, attributes={"bff.client": marked})
    before = await side.one(one.client_id)
    with pytest.raises(ClientNotOurs, match=one.client_id):
        await clients.ensure(one)
    with pytest.raises(ClientNotOurs, match=one.client_id):
        await clients.delete(one.client_id)

    assert await side.one(one.client_id) == before


@pytest.mark.parametrize(
    "values",
    [
        {"webOrigins": []},
        {"webOrigins": ["https://ui.test"], "publicClient": True},
        {"serviceAccountsEnabled": True, "authorizationServicesEnabled": True},
        {"directAccessGrantsEnabled": True, "attributes": {"theirs": "1"}},
        {"redirectUris": []},
    ],
)
async def test_a_shared_client_gets_a_redirect_and_no_other_change(
    side: ClientsSide, values: dict[str, Any]
) -> None:
    clients, name = await side.clients(MANAGES), wanted().client_id
    await side.make(name, **{"redirectUris": ["https://one.test/*"], **values})
    before = await side.one(name)
    await clients.ensure_redirect(name, CALLBACK)

    expected = sorted([*before["redirectUris"], CALLBACK])
    after = await side.one(name)
    assert after == {**before, "redirectUris": expected}
    await clients.ensure_redirect(name, CALLBACK)
    assert await side.one(name) == after


async def test_of_many_redirects_none_is_lost(side: ClientsSide) -> None:
    clients, name = await side.clients(MANAGES), wanted().client_id
    await side.make(name)
    uris = [f"https://t{number}.odoo.test/auth_oauth/signin" for number in range(8)]
    await asyncio.gather(*(clients.ensure_redirect(name, uri) for uri in uris))

    assert (await side.one(name))["redirectUris"] == uris


async def test_a_shared_client_that_is_not_there_is_said_so(side: ClientsSide) -> None:
    clients, name = await side.clients(MANAGES), wanted().client_id
    with pytest.raises(ClientMissing, match=name):
        await clients.ensure_redirect(name, CALLBACK)

    assert await side.found(name) == []


async def test_a_client_of_ours_is_deleted_once(side: ClientsSide) -> None:
    clients, one = await side.clients(MANAGES), wanted()
    await clients.ensure(one)

    assert await clients.delete(one.client_id)
    assert not await clients.delete(one.client_id)
    assert await side.found(one.client_id) == []


async def test_one_role_is_enough(side: ClientsSide) -> None:
    await (await side.clients(MANAGES)).check()


@pytest.mark.parametrize("roles", [(), ("query-clients",), ("view-clients",)])
async def test_without_the_role_it_is_named(
    side: ClientsSide, roles: tuple[str, ...]
) -> None:
    may_not, one = await side.clients(*roles), wanted()
    for attempt in (may_not.check(), may_not.ensure(one)):
        with pytest.raises(MayNotManageClients, match="role manage-clients"):
            await attempt

    assert await side.found(one.client_id) == []


@pytest.mark.parametrize("roles", [(), ("view-clients",)])
async def test_without_the_role_nothing_is_changed_or_gone(
    side: ClientsSide, roles: tuple[str, ...]
) -> None:
    one = wanted()
    await (await side.clients(MANAGES)).ensure(one)
    await side.change(one.client_id, webOrigins=["https://x.test"])
    before = await side.one(one.client_id)
    may_not = await side.clients(*roles)
    for attempt in (
        may_not.ensure(one),
        may_not.ensure_redirect(one.client_id, f"{BASE}/other"),
        may_not.delete(one.client_id),
    ):
        with pytest.raises(MayNotManageClients, match="role manage-clients"):
            await attempt

    assert await side.one(one.client_id) == before
