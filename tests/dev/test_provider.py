"""The provider as a whole: where it serves, what it keeps, how it is disturbed."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from bff.dev.provider import Client, Person, Provider, Realm, serving
from tests.dev.test_provider_driver import PASSWORD, claims, header, running

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.test_utils import TestClient
    from pytest_aiohttp.plugin import AiohttpClient


async def test_discovery_names_every_endpoint() -> None:
    async with running() as world:
        url = f"{world.issuer}/.well-known/openid-configuration"
        found = (await world.ask("GET", url)).json

    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["backchannel_logout_supported"] is True
    assert "S256" in found["code_challenge_methods_supported"]
    assert "create" in found["prompt_values_supported"]
    endpoints = {name: url for name, url in found.items() if name.endswith("_endpoint")}
    assert endpoints == {
        "authorization_endpoint": f"{world.oidc}/auth",
        "token_endpoint": f"{world.oidc}/token",
        "userinfo_endpoint": f"{world.oidc}/userinfo",
        "end_session_endpoint": f"{world.oidc}/logout",
        "revocation_endpoint": f"{world.oidc}/revoke",
    }
    assert found["jwks_uri"] == f"{world.oidc}/certs"


async def test_other_realms_methods_and_paths_are_refused_as_json() -> None:
    async with running() as world:
        other = await world.ask("GET", "/realms/other/protocol/openid-connect/certs")
        assert (other.status, other.json) == (404, {"error": "Realm does not exist"})
        nothing = await world.ask("GET", "/nothing")
        assert (nothing.status, nothing.json) == (404, {"error": "HTTP 404 Not Found"})
        method = await world.ask("GET", f"{world.oidc}/token")
        assert (method.status, method.headers["Allow"]) == (405, "POST")


async def test_only_names_of_this_machine_are_answered() -> None:
    async with running() as world:
        url = f"{world.oidc}/certs"
        for host, status in (
            ("evil.test", 421),
            ("localhost", 200),
            ("auth.localhost:1", 200),
            ("[::1]:80", 200),
        ):
            answer = await world.ask("GET", url, headers={"Host": host})
            assert answer.status == status


@pytest.mark.parametrize("host", ["192.0.2.1", "example.test"])
async def test_serving_refuses_the_network(host: str) -> None:
    provider = Provider(Realm(), (), ())
    with pytest.raises(ValueError, match="loopback only"):
        async with serving(provider, host=host):
            pass
    with pytest.raises(ValueError, match="loopback only"):
        async with serving(provider, public_host=host):
            pass


async def test_public_host_is_in_the_issuer() -> None:
    async with running(public_host="auth.localhost") as world:
        assert world.issuer.startswith("http://auth.localhost:")


async def test_without_a_fixed_address_the_issuer_follows_the_request(
    aiohttp_client: AiohttpClient,
) -> None:
    person = Person(email="a@b.test", password=PASSWORD)
    provider = Provider(Realm(), (person,), (Client(client_id="app", secret="s"),))
    client: TestClient[web.Request, web.Application] = await aiohttp_client(
        provider.app()
    )

    answer = await client.post(
        "/realms/nexius/protocol/openid-connect/token",
        data={
            "grant_type": "password",
            "client_id": "app",
            "client_secret": "s",
            "username": person.email,
            "password": PASSWORD,
        },
    )
    said = claims((await answer.json())["access_token"])
    assert said["iss"] == str(client.make_url("/realms/nexius"))


async def test_tests_can_answer_instead() -> None:
    async with running() as world:

        async def broken(request: web.Request) -> web.StreamResponse | None:
            if request.path.endswith("/token"):
                return web.Response(status=503)
            return None

        world.provider.intercept = broken

        assert (await world.password()).status == 503
        assert (await world.ask("GET", f"{world.oidc}/certs")).status == 200


async def test_slow_answers_do_not_hold_up_the_end() -> None:
    async with running() as world:
        entered = asyncio.Event()

        async def slow(request: web.Request) -> None:
            entered.set()
            await asyncio.sleep(60)

        world.provider.intercept = slow
        waiting = asyncio.create_task(world.password())
        await entered.wait()
        waiting.cancel()


async def test_restart_keeps_everybody_signed_in(tmp_path: Path) -> None:
    state_file = tmp_path / "new" / "provider.json"
    async with running(state_file=state_file) as world:
        page = await world.authorize(prompt="create")
        form = {
            "firstName": "Nora",
            "lastName": "New",
            "email": "nora@new.test",
            "password": "A-fresh-Password",
            "password-confirm": "A-fresh-Password",
        }
        back = await world.ask("POST", page.action, data=form)
        tokens = (await world.exchange(back.query["code"])).json
        cookies = world.http.cookie_jar
        world.provider.disable("bob@globex.test")
        kid = header(tokens["access_token"])["kid"]

    assert stat.S_IMODE(state_file.stat().st_mode) == 0o600
    assert list(state_file.parent.iterdir()) == [state_file]
    async with running(state_file=state_file) as world:
        again = await world.refresh(tokens["refresh_token"])
        assert again.status == 200
        assert header(again.json["access_token"])["kid"] == kid
        assert (await world.password("bob@globex.test")).status == 400
        signed_in = await world.password("nora@new.test", "A-fresh-Password")
        assert signed_in.status == 200
        for one in cookies:
            world.http.cookie_jar.update_cookies({one.key: one.value})
        silent = await world.authorize(prompt="none")
        assert silent.query["session_state"] == tokens["session_state"]


async def test_restart_keeps_what_rotation_has_used_up(tmp_path: Path) -> None:
    state_file = tmp_path / "provider.json"
    realm = Realm(rotate=True)
    async with running(realm, state_file=state_file) as world:
        first = (await world.password()).json["refresh_token"]
        second = (await world.refresh(first)).json["refresh_token"]

    async with running(realm, state_file=state_file) as world:
        assert (await world.refresh(second)).status == 200
        assert (await world.refresh(first)).refusal[2] == "Stale token"


async def test_restart_forgets_what_was_ended_and_deleted(tmp_path: Path) -> None:
    state_file = tmp_path / "provider.json"
    async with running(state_file=state_file) as world:
        token = (await world.password()).json["refresh_token"]
        await world.post("logout", refresh_token=token)
        bob = world.provider.accounts.find("bob@globex.test")
        assert bob
        world.provider.accounts.remove(bob)
        world.provider.save()

    async with running(state_file=state_file) as world:
        assert (await world.refresh(token)).refusal[2] == "Session not active"
        assert world.provider.accounts.find("bob@globex.test") is None


@pytest.mark.parametrize("text", ["{", "{}", '{"version": 0, "state": {}}'])
async def test_unusable_state_file_is_replaced(tmp_path: Path, text: str) -> None:
    state_file = tmp_path / "provider.json"
    state_file.write_text(text)
    async with running(state_file=state_file) as world:
        assert (await world.password()).status == 200

    assert '"version": 1' in state_file.read_text()


def test_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    state_file = tmp_path / "provider.json"
    (state_file / "taken").mkdir(parents=True)
    provider = Provider(Realm(), (), (), state_file=state_file)

    with pytest.raises(OSError, match=r"provider\.json"):
        provider.save()
    assert list(tmp_path.iterdir()) == [state_file]
