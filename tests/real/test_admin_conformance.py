"""The Admin API's users: our provider against Keycloak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dev.test_provider_driver import claims
from tests.real.keycloak_realms import PASSWORD

if TYPE_CHECKING:
    from tests.real.conformance import Side

Refusal = tuple[int, dict[str, str]]

UNREADABLE = {"error": "unknown_error", "error_description": "Cannot parse the JSON"}
TOO_SHORT = {
    "error": "invalidPasswordMinLengthMessage",
    "error_description": "Invalid password: minimum length 12.",
}
TAKEN = {"errorMessage": "User exists with same email"}
NO_TENANT = {"field": "tenant_id", "errorMessage": "tenant_id must be a number"}


def _without_params(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "params"}


async def test_created_user_is_shown_and_signs_in(side: Side) -> None:
    user = await side.somebody(
        firstName="Nora",
        lastName="New",
        attributes={"tenant_id": ["5"], "undeclared": ["x"]},
    )

    assert user.pop("createdTimestamp") > 0
    assert user.pop("access")["manage"] is True
    assert user == {
        "id": user["id"],
        "username": user["email"],
        "firstName": "Nora",
        "lastName": "New",
        "email": user["email"],
        "emailVerified": True,
        "attributes": {"tenant_id": ["5"]},
        "enabled": True,
        "totp": False,
        "disableableCredentialTypes": [],
        "requiredActions": [],
        "notBefore": 0,
    }
    said = claims((await side.password(user["email"])).json["access_token"])
    assert (said["sub"], said["tenant_id"]) == (user["id"], "5")
    assert said["name"] == "Nora New"


async def test_what_is_not_given_is_not_shown(side: Side) -> None:
    user = await side.somebody()

    assert not {"firstName", "lastName", "attributes"} & set(user)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"username": "alice@acme.test", "email": "ALICE@acme.test"}, (409, TAKEN)),
        (
            {"username": None, "email": None},
            (400, {"errorMessage": "User name is missing"}),
        ),
        (
            {"username": "nora", "email": "nora"},
            (400, {"field": "email", "errorMessage": "error-invalid-email"}),
        ),
        (
            {"credentials": [{"type": "password", "value": "short"}]},
            (400, TOO_SHORT),
        ),
        ({"credentials": {"value": "x"}}, (400, UNREADABLE)),
        ({"requiredActions": [{}]}, (400, UNREADABLE)),
        ({"attributes": {"tenant_id": ["x"]}}, (400, NO_TENANT)),
    ],
)
async def test_creation_refusals(
    side: Side, changes: dict[str, Any], refusal: Refusal
) -> None:
    answer = await side.create(**changes)

    assert (answer.status, _without_params(answer.json)) == refusal


async def test_nothing_is_left_of_a_refused_creation(side: Side) -> None:
    email = "refused@new.test"
    weak = [{"type": "password", "value": "short"}]
    await side.create(username=email, email=email, credentials=weak)

    query = {"email": email, "exact": "true"}
    assert (await side.manage("GET", "/users", params=query)).json == []


async def test_passwords_at_creation(side: Side) -> None:
    none = await side.somebody(credentials=[])
    wrong = (400, "invalid_grant", "Invalid user credentials")
    assert (await side.password(none["email"], "")).refusal == wrong

    value = {"type": "password", "value": PASSWORD, "temporary": True}
    temporary = await side.somebody(credentials=[value])
    assert temporary["requiredActions"] == ["UPDATE_PASSWORD"]
    unfinished = (400, "invalid_grant", "Account is not fully set up")
    assert (await side.password(temporary["email"])).refusal == unfinished


async def test_unknown_required_actions_are_dropped(side: Side) -> None:
    user = await side.somebody(requiredActions=["NONSENSE"])

    assert user["requiredActions"] == []
    assert (await side.password(user["email"])).status == 200


async def test_search(side: Side) -> None:
    user = await side.somebody()

    async def found(**query: str) -> list[str]:
        answer = await side.manage("GET", "/users", params=query)
        return [one["email"] for one in answer.json]

    assert await found(email=user["email"], exact="true") == [user["email"]]
    assert await found(username=user["email"].upper(), exact="true") == [user["email"]]
    assert await found(email=user["email"][2:20]) == [user["email"]]
    assert await found(email=user["email"][2:20], exact="true") == []
    assert len(await found(first="1", max="2")) == 2


async def test_update_keeps_or_replaces(side: Side) -> None:
    user = await side.somebody(
        firstName="Nora", lastName="New", attributes={"tenant_id": ["5"]}
    )
    path = f"/users/{user['id']}"

    async def changed(body: dict[str, Any]) -> dict[str, Any]:
        answer = await side.manage("PUT", path, json=body)
        assert (answer.status, answer.text) == (204, "")
        return dict((await side.manage("GET", path)).json)

    moved = {**user, "attributes": {"tenant_id": ["7"]}}
    assert (await changed(moved))["attributes"] == {"tenant_id": ["7"]}
    untouched = await changed({})
    assert untouched["attributes"] == {"tenant_id": ["7"]}
    assert (await changed({"firstName": "Ann"}))["lastName"] == "New"
    emptied = await changed({"email": user["email"], "attributes": {}})
    assert not {"firstName", "lastName", "attributes"} & set(emptied)
    email = f"moved-{user['email']}"
    assert (await changed({"email": email}))["username"] == email


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"email": "alice@acme.test"}, (409, TAKEN)),
        ({"attributes": {"tenant_id": ["x"]}}, (400, NO_TENANT)),
    ],
)
async def test_update_refusals(
    side: Side, body: dict[str, Any], refusal: Refusal
) -> None:
    user = await side.somebody()
    body = {"email": user["email"], **body}
    answer = await side.manage("PUT", f"/users/{user['id']}", json=body)

    assert (answer.status, _without_params(answer.json)) == refusal


async def test_password_reset(side: Side) -> None:
    user = await side.somebody()
    path = f"/users/{user['id']}/reset-password"

    async def reset(**body: Any) -> tuple[int, Any]:
        answer = await side.manage("PUT", path, json=body)
        return answer.status, answer.json if answer.text else None

    assert await reset(type="password", value="short") == (400, TOO_SHORT)
    assert await reset() == (400, {"error": "No password provided"})
    same = await reset(type="password", value=user["email"])
    assert same[1]["error"] == "invalidPasswordNotUsernameMessage"
    other = "Another-Horse-2"
    assert await reset(type="password", value=other, temporary=False) == (204, None)
    assert (await side.password(user["email"], other)).status == 200


async def test_mails(side: Side) -> None:
    user = await side.somebody()
    path = f"/users/{user['id']}"

    async def mailed(what: str, body: Any = None) -> tuple[int, Any]:
        answer = await side.manage("PUT", f"{path}/{what}", json=body)
        return answer.status, answer.json if answer.text else None

    actions = "execute-actions-email"
    unknown = (400, {"errorMessage": "Provided invalid required actions"})
    assert await mailed(actions, ["NONSENSE"]) == unknown
    assert await mailed(actions, {"a": 1}) == (400, UNREADABLE)
    assert await mailed(actions, [{}]) == (400, UNREADABLE)
    if side.real is None or not side.realm.rotate:
        assert await mailed(actions, ["UPDATE_PASSWORD"]) == (204, None)
    else:
        # This realm has no mail server.
        status, body = await mailed(actions, ["UPDATE_PASSWORD"])
        sentence = "Failed to send execute actions email"
        assert (status, body["errorMessage"][: len(sentence)]) == (500, sentence)
    await side.enable(user, enabled=False)
    off = (400, {"errorMessage": "User is disabled"})
    assert await mailed("send-verify-email") == off


async def test_strangers(side: Side) -> None:
    person = (await side.password("bob@globex.test", scope="openid")).json

    async def status(token: str | None, path: str = "/users") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await side.ask("GET", side.admin + path, headers=headers)
        return answer.status, answer.json

    unauthorized = (401, {"error": "HTTP 401 Unauthorized"})
    forbidden = (403, {"error": "HTTP 403 Forbidden"})
    assert await status(None) == unauthorized
    assert await status("garbage") == unauthorized
    assert await status(person["refresh_token"]) == unauthorized
    assert await status(person["access_token"]) == forbidden
    assert (await side.manage("GET", "/events")).refusal[:2] == (
        403,
        "HTTP 403 Forbidden",
    )
    realm = await side.manage("GET", "")
    assert (realm.status, realm.json["realm"]) == (200, side.realm.name)
    nobody = await side.manage("GET", "/users/nobody")
    assert (nobody.status, nobody.json) == (404, {"error": "User not found"})


async def test_broken_bodies(side: Side) -> None:
    headers = {"Authorization": f"Bearer {await side.provisioner()}"}
    headers["Content-Type"] = "application/json"
    for body, error in (("{", "invalid_request"), ("[]", "unknown_error")):
        url = f"{side.admin}/users"
        answer = await side.ask("POST", url, data=body, headers=headers)
        assert answer.refusal == (400, error, "Cannot parse the JSON")
