"""The Admin API, as our provider plays Keycloak's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from bff.config_identity import Auth
from bff.dev.provider import Client, Person, Provider, Realm, serving
from bff.identity.accounts import (
    AccountExists,
    Accounts,
    NewAccount,
    TenantNotKept,
)
from bff.identity.admin_api import CallRefused, NotAsked
from bff.identity.messages import ProviderUnavailable
from bff.outbound import client_session
from tests.world import PASSWORD, PROVISIONED, PROVISIONER, Clock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

NORA = NewAccount("nora@new.test", "Nora", "New")
OLD = Person(
    email="old@acme.test",
    password=PASSWORD,
    first_name="Olga",
    last_name="Old",
    required_actions=("UPDATE_PASSWORD",),
)


@dataclass
class Bench:
    """A provider, our client there, and what it was asked."""

    provider: Provider
    accounts: Accounts
    clock: Clock
    asked: list[str] = field(default_factory=list)
    instead: dict[str, int] = field(default_factory=dict)

    async def intercept(self, request: web.Request) -> web.Response | None:
        what = f"{request.method} {request.path.rpartition('/')[2]}"
        self.asked.append(what)
        status = self.instead.get(what)
        return None if status is None else web.Response(status=status, text="<html>")

    def person(self, email: str) -> Person | None:
        found = self.provider.accounts.find(email)
        return found.person if found else None


@asynccontextmanager
async def running(client: Client = PROVISIONER) -> AsyncGenerator[Bench]:
    clock = Clock()
    provider = Provider(Realm(), [OLD], [client], clock=clock)
    async with serving(provider) as issuer, client_session() as http:
        auth = Auth.model_validate({"issuer": issuer, "timeout": 3, **PROVISIONED})
        bench = Bench(provider, Accounts(auth, http, clock), clock)
        provider.intercept = bench.intercept
        yield bench


@pytest.fixture
async def bench() -> AsyncGenerator[Bench]:
    async with running() as one:
        yield one


async def test_whether_the_client_may_do_this_can_be_asked(bench: Bench) -> None:
    await bench.accounts.check()

    bench.instead["GET users"] = 403
    with pytest.raises(CallRefused):
        await bench.accounts.check()


async def test_an_account_is_made_and_its_owner_hears_of_it(bench: Bench) -> None:
    user_id = await bench.accounts.create(NORA)
    await bench.accounts.mail_actions(user_id)

    account = bench.provider.accounts.find("nora@new.test")
    assert account is not None
    assert account.id == user_id
    assert account.person == Person(
        email="nora@new.test",
        password="",
        first_name="Nora",
        last_name="New",
        email_verified=False,
        required_actions=("VERIFY_EMAIL", "UPDATE_PASSWORD"),
    )
    (mail,) = bench.provider.mails
    assert mail.actions == ("VERIFY_EMAIL", "UPDATE_PASSWORD")


async def test_an_address_that_is_taken_stays_as_it_is(bench: Bench) -> None:
    with pytest.raises(AccountExists):
        await bench.accounts.create(NewAccount("OLD@acme.test"))

    assert bench.person("old@acme.test") == OLD


async def test_what_is_no_address_is_refused_for_good(bench: Bench) -> None:
    with pytest.raises(CallRefused, match="refused with 400"):
        await bench.accounts.create(NewAccount("no address"))


@pytest.mark.parametrize(
    ("values", "is_unfinished"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"required_actions": ()}, False),
        ({"required_actions": ("VERIFY_EMAIL",)}, False),
        # Opening the link leaves this; then people leave.
        ({"email_verified": True, "required_actions": ("UPDATE_PASSWORD",)}, True),
    ],
)
async def test_an_account_that_nobody_has_opened_is_found_again(
    bench: Bench, values: dict[str, Any], *, is_unfinished: bool
) -> None:
    email = "nora+one@new.test"
    await bench.accounts.create(NewAccount(f"other-{email}"))
    assert await bench.accounts.unfinished(email) is None
    user_id = await bench.accounts.create(NewAccount(email))
    account = bench.provider.accounts.find(email)
    assert account is not None
    bench.provider.accounts.change(account, **values)

    expected = user_id if is_unfinished else None
    assert await bench.accounts.unfinished(email) == expected


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"{}", b"[1, null]", b"<html>", b'[{"email": "old@acme.test"}]'],
)
async def test_an_answer_of_another_shape_finds_nobody(
    bench: Bench, body: bytes
) -> None:
    async def other(request: web.Request) -> web.Response | None:
        return web.Response(body=body) if request.path.endswith("/users") else None

    bench.provider.intercept = other
    assert await bench.accounts.unfinished("old@acme.test") is None


async def test_those_who_wait_for_a_token_share_one_failure(bench: Bench) -> None:
    bench.instead["POST token"] = 503
    wanted = [NewAccount(f"p{number}@new.test") for number in range(5)]
    came = await asyncio.gather(
        *(bench.accounts.create(one) for one in wanted), return_exceptions=True
    )
    assert [type(one) for one in came] == [NotAsked] * 5
    assert bench.asked == ["POST token"]

    del bench.instead["POST token"]
    assert await bench.accounts.create(NORA)


@pytest.mark.parametrize("life", [10**400, float("nan"), -1, True, "300", None])
async def test_a_token_of_whatever_life_is_used(bench: Bench, life: object) -> None:
    async def answer(request: web.Request) -> web.Response | None:
        if not request.path.endswith("/token"):
            return None
        return web.json_response({"access_token": "x", "expires_in": life})

    bench.provider.intercept = answer
    with pytest.raises(NotAsked, match="token was refused"):
        await bench.accounts.check()


async def test_who_cannot_be_reached_has_not_been_asked(unused_tcp_port: int) -> None:
    issuer = f"http://127.0.0.1:{unused_tcp_port}/realms/x"
    auth = Auth.model_validate({"issuer": issuer, "timeout": 3, **PROVISIONED})
    async with client_session() as http:
        with pytest.raises(NotAsked):
            await Accounts(auth, http, Clock()).create(NORA)


async def test_one_token_serves_until_near_its_end(bench: Bench) -> None:
    for number in range(3):
        await bench.accounts.create(NewAccount(f"p{number}@new.test"))
    assert bench.asked.count("POST token") == 1

    bench.clock.ahead += 0.79 * bench.provider.realm.access_ttl
    await bench.accounts.create(NewAccount("p4@new.test"))
    assert bench.asked.count("POST token") == 1
    bench.clock.ahead += 0.02 * bench.provider.realm.access_ttl
    await bench.accounts.create(NewAccount("p5@new.test"))
    assert bench.asked.count("POST token") == 2


@pytest.mark.parametrize("status", [401, 403, 409, 500, 503])
async def test_a_post_is_sent_once_whatever_comes_back(
    bench: Bench, status: int
) -> None:
    bench.instead["POST users"] = status
    with pytest.raises((AccountExists, CallRefused, ProviderUnavailable)):
        await bench.accounts.create(NORA)

    assert bench.asked == ["POST token", "POST users"]


async def test_after_a_refused_token_the_next_call_gets_another(bench: Bench) -> None:
    bench.instead["POST users"] = 401
    with pytest.raises(ProviderUnavailable, match="token was refused"):
        await bench.accounts.create(NORA)
    del bench.instead["POST users"]

    assert await bench.accounts.create(NORA)
    assert bench.asked.count("POST token") == 2


async def test_a_wrong_secret_is_a_provider_that_cannot_be_asked() -> None:
    other = Client(client_id=PROVISIONER.client_id, secret="other-test-secret")
    async with running(other) as bench:
        with pytest.raises(ProviderUnavailable, match="401"):
            await bench.accounts.create(NORA)


async def test_no_mail_is_a_definite_answer(bench: Bench) -> None:
    user_id = await bench.accounts.create(NORA)
    bench.instead["PUT execute-actions-email"] = 500
    with pytest.raises(CallRefused):
        await bench.accounts.mail_actions(user_id)
    await bench.accounts.delete(user_id)

    assert bench.person("nora@new.test") is None


async def test_a_tenant_is_written_and_nothing_else_is_lost(bench: Bench) -> None:
    account = bench.provider.accounts.find("old@acme.test")
    assert account is not None

    assert await bench.accounts.set_tenant(account.id, 4711)
    assert account.person == Person(**{**vars(OLD), "tenant_id": 4711})
    assert await bench.accounts.set_tenant(account.id, 4711)
    assert not await bench.accounts.set_tenant(account.id, 4712)

    assert account.person.tenant_id == 4711
    assert bench.asked.count(f"PUT {account.id}") == 1


async def test_a_tenant_that_the_provider_drops_is_noticed(bench: Bench) -> None:
    account = bench.provider.accounts.find("old@acme.test")
    assert account is not None
    # As Keycloak does with an attribute that the realm does not declare.
    bench.instead[f"PUT {account.id}"] = 204
    with pytest.raises(TenantNotKept):
        await bench.accounts.set_tenant(account.id, 4711)


async def test_what_an_administrator_changes_meanwhile_stays(bench: Bench) -> None:
    account = bench.provider.accounts.find("old@acme.test")
    assert account is not None

    async def meanwhile(request: web.Request) -> None:
        if request.method == "PUT":
            bench.provider.accounts.change(
                account, enabled=False, email_verified=False, required_actions=()
            )

    bench.provider.intercept = meanwhile
    await bench.accounts.set_tenant(account.id, 4711)

    person = account.person
    assert (person.tenant_id, person.enabled, person.email_verified) == (
        4711, False, False,
    )  # fmt: skip
    assert person.required_actions == ()


async def test_nobody_s_tenant_cannot_be_written(bench: Bench) -> None:
    with pytest.raises(CallRefused, match="404"):
        await bench.accounts.set_tenant("../../clients", 1)


def test_what_is_wanted_shows_in_no_log() -> None:
    shown = repr(NORA)

    assert "new" not in shown.removeprefix("NewAccount").lower()
    assert "nora" not in shown.lower()
