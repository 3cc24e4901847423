"""Logout and its back-channel: our provider against Keycloak."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.dev.test_provider_driver import claims, header
from tests.real.keycloak_realms import BFF, HOME, ODOO
from tests.real.listeners import wait_for

if TYPE_CHECKING:
    from tests.dev.test_provider_driver import Answer
    from tests.real.conformance import Side

EVENT = "http://schemas.openid.net/event/backchannel-logout"
OVER = (400, "invalid_grant", "Session not active")


async def _told(side: Side, sid: str, *clients: str) -> dict[str, str]:
    """Wait until exactly these clients have heard of the session's end."""
    expected = sorted(clients)
    await asyncio.to_thread(
        wait_for, lambda: sorted(c for c, _ in side.heard_of(sid)) == expected
    )
    return dict(side.heard_of(sid))


async def _both_clients(side: Side) -> dict[str, Any]:
    user = await side.somebody()
    first = await side.sign_in(user["email"])
    tokens: dict[str, Any] = (await side.exchange(first.query["code"])).json
    second = await side.authorize(ODOO)
    assert (await side.exchange(second.query["code"], ODOO)).status == 200
    return tokens


async def test_client_logout_may_be_repeated(side: Side) -> None:
    user = await side.somebody()
    tokens = (await side.password(user["email"])).json

    for _ in range(2):
        answer = await side.post("logout", refresh_token=tokens["refresh_token"])
        assert (answer.status, answer.text) == (204, "")
    assert (await side.refresh(tokens["refresh_token"])).refusal == OVER
    # The client that asks hears of it as well.
    await _told(side, tokens["session_state"], BFF)


async def test_client_logout_refuses(side: Side) -> None:
    user = await side.somebody()
    token = (await side.password(user["email"])).json["refresh_token"]

    garbage = await side.post("logout", refresh_token="garbage")
    assert garbage.refusal == (400, "invalid_grant", "Invalid refresh token")
    stranger = await side.post("logout", refresh_token=token, client_secret="wrong")
    assert stranger.refusal[:2] == (401, "unauthorized_client")
    foreign = await side.post("logout", ODOO, refresh_token=token)
    why = "Token client and authorized client don't match"
    sentence = f"Invalid refresh token. {why}"
    assert foreign.refusal == (400, "invalid_grant", sentence)
    assert (await side.refresh(token)).status == 200


async def test_every_client_hears(side: Side) -> None:
    tokens = await _both_clients(side)
    await side.post("logout", refresh_token=tokens["refresh_token"])

    heard = await _told(side, tokens["session_state"], BFF, ODOO)
    published = (await side.ask("GET", f"{side.oidc}/certs")).json["keys"]
    keys = KeySet.import_key_set(
        {"keys": [one for one in published if one["use"] == "sig"]}
    )
    for client, token in heard.items():
        assert header(token)["typ"] == "logout+jwt"
        said = jwt.decode(token, keys).claims
        assert said.pop("jti")
        assert said == {
            "exp": said["iat"] + 120,
            "iat": said["iat"],
            "iss": side.issuer,
            "aud": client,
            "sub": claims(tokens["access_token"])["sub"],
            "typ": "Logout",
            "sid": tokens["session_state"],
            "events": {EVENT: {}},
        }
    silent = await side.authorize(prompt="none")
    assert silent.query["error"] == "login_required"


async def test_administrator_ends_a_session(side: Side) -> None:
    user = await side.somebody()
    tokens = (await side.password(user["email"])).json
    path = f"/sessions/{tokens['session_state']}"

    assert (await side.manage("DELETE", path)).status == 204
    again = await side.manage("DELETE", path)
    assert (again.status, again.json) == (404, {"error": "Sesssion not found"})
    assert (await side.refresh(tokens["refresh_token"])).refusal == OVER
    await _told(side, tokens["session_state"], BFF)


async def test_administrator_ends_all_sessions_of_a_person(side: Side) -> None:
    user = await side.somebody()
    both = [(await side.password(user["email"])).json for _ in range(2)]

    for _ in range(2):
        ended = await side.manage("POST", f"/users/{user['id']}/logout")
        assert ended.status == 204
    for tokens in both:
        assert (await side.refresh(tokens["refresh_token"])).refusal == OVER
        await _told(side, tokens["session_state"], BFF)


async def test_deleting_and_disabling_is_not_announced(side: Side) -> None:
    user = await side.somebody()
    tokens = (await side.password(user["email"])).json
    await side.enable(user, enabled=False)
    await side.manage("DELETE", f"/users/{user['id']}")

    await asyncio.sleep(0.5)
    assert side.heard_of(tokens["session_state"]) == []


async def _leave(side: Side, **params: str) -> Answer:
    return await side.ask("GET", f"{side.oidc}/logout", params=params)


async def test_browser_with_a_hint_returns_at_once(side: Side) -> None:
    tokens = await _both_clients(side)
    answer = await _leave(
        side,
        id_token_hint=tokens["id_token"],
        post_logout_redirect_uri=HOME,
        state="x y",
    )

    assert answer.status == 302
    assert answer.headers["Location"] == f"{HOME}?state=x+y"
    await _told(side, tokens["session_state"], BFF, ODOO)
    silent = await side.authorize(prompt="none")
    assert silent.query["error"] == "login_required"


async def test_hint_without_the_browsers_cookie(side: Side) -> None:
    user = await side.somebody()
    tokens = (await side.password(user["email"], scope="openid")).json
    hint = tokens["id_token"]
    answer = await _leave(side, id_token_hint=hint, post_logout_redirect_uri=HOME)

    assert (answer.status, answer.headers["Location"]) == (302, HOME)
    assert (await side.refresh(tokens["refresh_token"])).refusal == OVER
    await _told(side, tokens["session_state"], BFF)


async def test_browser_without_a_hint_is_asked(side: Side) -> None:
    tokens = await _both_clients(side)
    page = await _leave(side, client_id=BFF, post_logout_redirect_uri=HOME)
    assert page.status == 200
    assert "Do you want to log out?" in page.text
    refreshed = await side.refresh(tokens["refresh_token"])
    assert refreshed.status == 200

    done = await side.ask("POST", page.action, data=page.hidden)
    assert (done.status, done.headers["Location"]) == (302, HOME)
    assert (await side.refresh(refreshed.json["refresh_token"])).refusal == OVER


async def test_browser_without_a_session_just_returns(side: Side) -> None:
    answer = await _leave(side, client_id=BFF, post_logout_redirect_uri=HOME)

    assert (answer.status, answer.headers["Location"]) == (302, HOME)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"id_token_hint": "garbage"}, "Invalid parameter: id_token_hint"),
        ({"post_logout_redirect_uri": HOME}, "Missing parameters: id_token_hint"),
        (
            {"client_id": BFF, "post_logout_redirect_uri": "http://evil.test/"},
            "Invalid redirect uri",
        ),
    ],
)
async def test_browser_logout_refusals(
    side: Side, params: dict[str, str], message: str
) -> None:
    answer = await _leave(side, **params)

    assert answer.status == 400
    assert "Location" not in answer.headers
    assert message in answer.text
