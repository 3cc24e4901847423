"""Who is let in and who is described: our provider against Keycloak."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from bff.dev.provider.otp import code_at
from tests.real.keycloak_realms import PASSWORD, PROVISIONER, TOTP_SECRET

if TYPE_CHECKING:
    from tests.real.conformance import Side

WRONG = (400, "invalid_grant", "Invalid user credentials")


@pytest.mark.parametrize(
    ("email", "password", "refusal"),
    [
        ("nobody@acme.test", PASSWORD, WRONG),
        (f"service-account-{PROVISIONER}", PASSWORD, WRONG),
        ("disabled@acme.test", "nope", WRONG),
        (
            "disabled@acme.test",
            PASSWORD,
            (400, "invalid_grant", "Account disabled"),
        ),
        (
            "pending@acme.test",
            PASSWORD,
            (400, "invalid_grant", "Account is not fully set up"),
        ),
    ],
)
async def test_refused_people(
    side: Side, email: str, password: str, refusal: tuple[int, str, str]
) -> None:
    answer = await side.password(email, password)

    assert answer.refusal == refusal
    assert answer.headers["Cache-Control"] == "no-store"


async def test_wrong_empty_and_missing_passwords_look_alike(side: Side) -> None:
    email = (await side.somebody())["email"]

    assert (await side.password(email, "nope")).refusal == WRONG
    assert (await side.password(email, "")).refusal == WRONG
    assert (await side.token("password", username=email)).refusal == WRONG
    assert (await side.password(email.upper())).status == 200


async def test_one_time_codes(side: Side) -> None:
    code = code_at(TOTP_SECRET, time.time())
    other = "000000" if code != "000000" else "111111"

    for name in ("totp", "otp"):
        assert (await side.password("totp@acme.test", **{name: code})).status == 200
    assert (await side.password("totp@acme.test")).refusal == WRONG
    assert (await side.password("totp@acme.test", totp=other)).refusal == WRONG


async def test_lock_out_is_invisible_and_passes(side: Side) -> None:
    email = (await side.somebody())["email"]
    for _ in range(side.realm.failure_factor):
        assert (await side.password(email, "nope")).refusal == WRONG

    assert (await side.password(email)).refusal == WRONG
    await asyncio.sleep(side.realm.wait_increment + 0.5)
    assert (await side.password(email)).status == 200


async def test_userinfo(side: Side) -> None:
    user = await side.somebody()
    tokens = (await side.password(user["email"], scope="openid")).json
    realm = side.realm.name

    async def asked(token: str | None) -> tuple[int, str, str | None]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await side.ask("GET", f"{side.oidc}/userinfo", headers=headers)
        return answer.status, answer.text, answer.headers.get("WWW-Authenticate")

    def refused(status: int, error: str, why: str) -> tuple[int, str, str]:
        challenge = f'Bearer realm="{realm}", error="{error}"'
        return status, "", f'{challenge}, error_description="{why}"'

    assert (await asked(tokens["access_token"]))[0] == 200
    assert await asked(None) == (401, "", f'Bearer realm="{realm}"')
    unproven = refused(401, "invalid_token", "Token verification failed")
    assert await asked("garbage") == unproven
    assert await asked(tokens["id_token"]) == unproven
    narrow = (await side.password("bob@globex.test")).json["access_token"]
    assert await asked(narrow) == refused(
        403, "insufficient_scope", "Missing openid scope"
    )
    await side.enable(user, enabled=False)
    assert await asked(tokens["access_token"]) == refused(
        401, "invalid_token", "User disabled"
    )
    await side.enable(user, enabled=True)
    await side.post("logout", refresh_token=tokens["refresh_token"])
    assert await asked(tokens["access_token"]) == refused(
        401, "invalid_token", "user_session_not_found"
    )
