"""The part of the Admin API that creating and changing users needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bff.dev.provider import Mail
from tests.dev.test_provider_driver import Answer, World, claims, running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

NEW: dict[str, Any] = {
    "username": "nora@new.test",
    "email": "nora@new.test",
    "firstName": "Nora",
    "lastName": "New",
    "enabled": True,
    "emailVerified": True,
    "attributes": {"tenant_id": ["5"], "undeclared": ["x"]},
    "credentials": [
        {"type": "password", "value": "A-fresh-Password", "temporary": False}
    ],
}


class Administrator:
    """The service account at work."""

    def __init__(self, world: World, token: str) -> None:
        self.world = world
        self._headers = {"Authorization": f"Bearer {token}"}

    async def __call__(self, method: str, path: str, **options: Any) -> Answer:
        url = f"{self.world.admin}{path}"
        return await self.world.ask(method, url, headers=self._headers, **options)

    async def create(self, **changes: Any) -> Answer:
        return await self("POST", "/users", json={**NEW, **changes})


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    async with running() as one:
        yield one


@pytest.fixture
async def admin(world: World) -> Administrator:
    answer = await world.token("client_credentials", "provisioner")
    return Administrator(world, answer.json["access_token"])


async def test_created_user_signs_in_with_the_tenant(
    world: World, admin: Administrator
) -> None:
    created = await admin.create()

    assert (created.status, created.text) == (201, "")
    id_ = created.headers["Location"].removeprefix(f"{world.admin}/users/")
    tokens = await world.password("nora@new.test", "A-fresh-Password")
    said = claims(tokens.json["access_token"])
    assert (said["sub"], said["tenant_id"]) == (id_, "5")
    shown = (await admin("GET", f"/users/{id_}")).json
    assert shown["attributes"] == {"tenant_id": ["5"]}
    query = {"email": "nora@new.test", "exact": "true"}
    assert (await admin("GET", "/users", params=query)).json == [shown]


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        (
            {"email": "ALICE@acme.test"},
            409,
            "User exists with same email",
        ),
        ({"email": None, "username": None}, 400, "User name is missing"),
        ({"email": "nora"}, 400, "error-invalid-email"),
        ({"attributes": {"tenant_id": ["x"]}}, 400, "tenant_id must be a number"),
        (
            {"attributes": {"tenant_id": {}, "a": 1}, "email": "x"},
            400,
            "error-invalid-email",
        ),
    ],
)
async def test_creation_refusals(
    admin: Administrator, changes: dict[str, Any], status: int, message: str
) -> None:
    answer = await admin.create(**changes)

    assert (answer.status, answer.json["errorMessage"]) == (status, message)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        (
            {"credentials": [{"type": "password", "value": "short"}]},
            (
                400,
                "invalidPasswordMinLengthMessage",
                "Invalid password: minimum length 12.",
            ),
        ),
        (
            {"credentials": {"value": "x"}},
            (400, "unknown_error", "Cannot parse the JSON"),
        ),
        ({"requiredActions": [{}]}, (400, "unknown_error", "Cannot parse the JSON")),
    ],
)
async def test_creation_refusals_of_another_shape(
    admin: Administrator, changes: dict[str, Any], refusal: tuple[int, str, str]
) -> None:
    assert (await admin.create(**changes)).refusal == refusal


async def test_unknown_required_actions_are_dropped(
    world: World, admin: Administrator
) -> None:
    await admin.create(requiredActions=["NONSENSE"])

    assert (await world.password("nora@new.test", "A-fresh-Password")).status == 200


async def test_user_without_password_cannot_sign_in_with_an_empty_one(
    world: World, admin: Administrator
) -> None:
    await admin.create(credentials=[])

    refused = await world.password("nora@new.test", "")
    assert refused.refusal[2] == "Invalid user credentials"


async def test_attributes_of_the_wrong_shape_count_as_absent(
    world: World, admin: Administrator
) -> None:
    created = await admin.create(attributes=["x"])

    assert created.status == 201
    assert world.provider.people[-1].tenant_id is None


async def test_temporary_password_must_be_changed(
    world: World, admin: Administrator
) -> None:
    value = {"type": "password", "value": "A-fresh-Password", "temporary": True}
    await admin.create(credentials=[value])

    refused = await world.password("nora@new.test", "A-fresh-Password")
    assert refused.refusal[2] == "Account is not fully set up"


async def test_search_finds_parts_unless_exact(admin: Administrator) -> None:
    for params, count in (
        ({"search": "acme"}, 4),
        ({"email": "acme", "exact": "true"}, 0),
        ({}, 5),
        ({"first": "1", "max": "2"}, 2),
    ):
        assert len((await admin("GET", "/users", params=params)).json) == count


async def test_update_with_attributes_replaces_the_profile(
    world: World, admin: Administrator
) -> None:
    id_ = world.provider.people[0].sub
    shown = (await admin("GET", f"/users/{id_}")).json

    changed = {**shown, "attributes": {"tenant_id": ["7"]}}
    assert (await admin("PUT", f"/users/{id_}", json=changed)).status == 204
    said = claims((await world.password()).json["access_token"])
    assert (said["tenant_id"], said["given_name"]) == ("7", "Alice")
    assert (await admin("PUT", f"/users/{id_}", json={})).status == 204
    said = claims((await world.password()).json["access_token"])
    assert (said["tenant_id"], said["given_name"]) == ("7", "Alice")
    emptied = await admin("PUT", f"/users/{id_}", json={"attributes": {}})
    assert emptied.status == 204
    said = claims((await world.password()).json["access_token"])
    assert not {"tenant_id", "given_name", "name"} & set(said)
    taken = await admin("PUT", f"/users/{id_}", json={"email": "bob@globex.test"})
    assert (taken.status, taken.json["errorMessage"]) == (
        409,
        "User exists with same email",
    )


async def test_changed_address_keeps_the_id(world: World, admin: Administrator) -> None:
    id_ = world.provider.people[0].sub
    await admin("PUT", f"/users/{id_}", json={"email": "alice@new.test"})

    said = claims((await world.password("alice@new.test")).json["access_token"])
    assert said["sub"] == id_
    newcomer = await admin.create(email="alice@acme.test", username="alice@acme.test")
    assert not newcomer.headers["Location"].endswith(id_)


async def test_password_is_reset(world: World, admin: Administrator) -> None:
    path = f"/users/{world.provider.people[0].sub}/reset-password"

    short = await admin("PUT", path, json={"type": "password", "value": "short"})
    assert short.refusal == (
        400,
        "invalidPasswordMinLengthMessage",
        "Invalid password: minimum length 12.",
    )
    assert (await admin("PUT", path, json={})).status == 400
    new = {"type": "password", "value": "A-fresh-Password", "temporary": False}
    assert (await admin("PUT", path, json=new)).status == 204
    answer = await world.password(password="A-fresh-Password")
    assert answer.status == 200
    await admin("PUT", path, json={**new, "temporary": True})
    assert (await world.password(password="A-fresh-Password")).status == 400


async def test_mails_are_kept_for_reading(world: World, admin: Administrator) -> None:
    alice, disabled = world.provider.people[0], world.provider.people[3]
    path = f"/users/{alice.sub}/execute-actions-email"

    assert (await admin("PUT", path, json=["UPDATE_PASSWORD"])).status == 204
    verify = await admin("PUT", f"/users/{alice.sub}/send-verify-email")
    assert verify.status == 204
    assert world.provider.mails == [
        Mail(to=alice.email, actions=("UPDATE_PASSWORD",)),
        Mail(to=alice.email, actions=("VERIFY_EMAIL",)),
    ]
    assert (await admin("PUT", path, json=["NONSENSE"])).status == 400
    off = await admin("PUT", f"/users/{disabled.sub}/send-verify-email")
    assert off.json == {"errorMessage": "User is disabled"}


async def test_ended_sessions_are_announced(world: World, admin: Administrator) -> None:
    alice = world.provider.people[0]
    first = (await world.password()).json

    assert (await admin("DELETE", f"/sessions/{first['session_state']}")).status == 204
    assert (await admin("DELETE", f"/sessions/{first['session_state']}")).status == 404
    assert len(world.logout_tokens) == 1
    await world.password()
    assert (await admin("POST", f"/users/{alice.sub}/logout")).status == 204
    assert len(world.logout_tokens) == 2
    assert (await world.refresh(first["refresh_token"])).status == 400


async def test_deleted_user_is_gone_unannounced(
    world: World, admin: Administrator
) -> None:
    alice = world.provider.people[0]
    token = (await world.password()).json["refresh_token"]

    assert (await admin("DELETE", f"/users/{alice.sub}")).status == 204
    assert (await world.refresh(token)).refusal[2] == "Session not active"
    assert (await world.password()).refusal[2] == "Invalid user credentials"
    assert (await admin("GET", f"/users/{alice.sub}")).json == {
        "error": "User not found"
    }
    assert world.logout_tokens == []


async def test_strangers_are_refused(world: World, admin: Administrator) -> None:
    person = (await world.password(scope="openid")).json

    async def status(token: str | None, path: str = "/users") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await world.ask("GET", f"{world.admin}{path}", headers=headers)
        return answer.status, answer.json

    unauthorized = (401, {"error": "HTTP 401 Unauthorized"})
    forbidden = (403, {"error": "HTTP 403 Forbidden"})
    assert await status(None) == unauthorized
    assert await status("garbage") == unauthorized
    assert await status(person["id_token"]) == unauthorized
    assert await status(person["access_token"]) == forbidden
    assert (await admin("GET", "/events")).status == 403
    assert (await admin("GET", "")).json == {"realm": "nexius"}
    world.clock.time += 300
    assert (await admin("GET", "/users")).status == 401


async def test_broken_bodies_are_refused(world: World, admin: Administrator) -> None:
    for body, error in (("{", "invalid_request"), ("[]", "unknown_error")):
        answer = await admin("POST", "/users", data=body)
        assert answer.refusal == (400, error, "Cannot parse the JSON")
    path = f"/users/{world.provider.people[0].sub}/execute-actions-email"
    assert (await admin("PUT", path, json={"a": 1})).status == 400
    assert (await admin("PUT", path, json=[{}])).status == 400
    elsewhere = await world.ask("GET", world.admin + "-other/users")
    assert (elsewhere.status, elsewhere.json) == (404, {"error": "Realm not found."})
