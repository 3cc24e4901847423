"""Refreshing, rotation and revocation: our provider against Keycloak."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.dev.test_provider_driver import Answer, claims, header
from tests.real.keycloak_realms import ODOO

if TYPE_CHECKING:
    from tests.real.conformance import Side

DETACHED = "Session doesn't have required client"
REUSED = "Maximum allowed refresh token reuse exceeded"


def refused(why: str) -> tuple[int, str, str]:
    """Expect the refusal that all refusals of a refresh share."""
    return 400, "invalid_grant", why


async def _signed_in(side: Side, **form: str) -> Answer:
    user = await side.somebody()
    return await side.password(user["email"], **form)


async def test_refreshed_answer(side: Side) -> None:
    first = (await _signed_in(side, scope="openid")).json
    answer = await side.refresh(first["refresh_token"])

    assert answer.headers["Cache-Control"] == "no-store"
    assert list(answer.json) == list(first)
    assert answer.json["session_state"] == first["session_state"]
    assert set(answer.json["scope"].split()) == set(first["scope"].split())
    assert answer.json["refresh_token"] != first["refresh_token"]
    said = claims(answer.json["access_token"])
    assert said["jti"].startswith("onrtrt:")
    assert said["sub"] == claims(first["access_token"])["sub"]


async def test_four_at_once(side: Side) -> None:
    token = (await _signed_in(side)).json["refresh_token"]
    answers = await asyncio.gather(*(side.refresh(token) for _ in range(4)))
    winners = [one for one in answers if one.status == 200]
    losers = [one.refusal for one in answers if one.status != 200]

    if side.realm.rotate:
        assert len(winners) == 1
        expected = [REUSED, DETACHED, DETACHED]
        assert sorted(losers) == sorted(map(refused, expected))
    else:
        assert len(winners) == 4
        assert len({one.json["refresh_token"] for one in winners}) == 4
    after = await side.refresh(winners[0].json["refresh_token"])
    again = await side.refresh(token)
    if side.realm.rotate:
        assert after.refusal == again.refusal == refused(DETACHED)
    else:
        assert (after.status, again.status) == (200, 200)


async def _chain(side: Side) -> list[str]:
    # A second apart: before 26.8 Keycloak overlooks some replays within one second.
    tokens = [(await _signed_in(side)).json["refresh_token"]]
    for _ in range(2):
        await side.tick()
        answer = await side.refresh(tokens[-1])
        assert answer.status == 200
        tokens.append(answer.json["refresh_token"])
    return tokens


async def test_an_older_token(side: Side) -> None:
    oldest, _, newest = await _chain(side)
    answers = [await side.refresh(oldest), await side.refresh(newest)]

    if side.realm.rotate:
        expected = [refused("Stale token"), refused(DETACHED)]
        assert [one.refusal for one in answers] == expected
    else:
        assert [one.status for one in answers] == [200, 200]


async def test_the_token_before(side: Side) -> None:
    _, before, newest = await _chain(side)
    answers = [await side.refresh(before), await side.refresh(newest)]

    if side.realm.rotate:
        expected = [refused(REUSED), refused(DETACHED)]
        assert [one.refusal for one in answers] == expected
    else:
        assert [one.status for one in answers] == [200, 200]


async def test_what_is_no_refresh_token_of_this_client(side: Side) -> None:
    tokens = (await _signed_in(side, scope="openid")).json
    token = tokens["refresh_token"]
    garbage = refused("Invalid refresh token")

    for one in ("garbage", tokens["access_token"], tokens["id_token"]):
        assert (await side.refresh(one)).refusal == garbage
    damaged = token[:-6] + ("A" if token[-6] != "A" else "B") + token[-5:]
    assert (await side.refresh(damaged)).refusal == garbage
    why = "Token client and authorized client don't match"
    foreign = await side.refresh(token, ODOO)
    assert foreign.refusal == refused(f"Invalid refresh token. {why}")
    assert (await side.refresh(token)).status == 200


async def test_disabled_enabled_and_deleted_people(side: Side) -> None:
    user = await side.somebody()
    token = (await side.password(user["email"])).json["refresh_token"]

    await side.enable(user, enabled=False)
    assert (await side.refresh(token)).refusal == refused("User disabled")
    await side.enable(user, enabled=True)
    answer = await side.refresh(token)
    assert answer.status == 200
    deleted = await side.manage("DELETE", f"/users/{user['id']}")
    assert deleted.status == 204
    again = await side.refresh(answer.json["refresh_token"])
    assert again.refusal == refused("Session not active")
    gone = await side.password(user["email"])
    assert gone.refusal == refused("Invalid user credentials")


async def test_pushed_not_before(side: Side) -> None:
    token = (await _signed_in(side)).json["refresh_token"]
    await side.tick()
    moment = int(time.time())
    await side.push_not_before(moment)
    try:
        assert (await side.refresh(token)).refusal == refused("Stale token")
        fresh = (await _signed_in(side)).json
        assert fresh["not-before-policy"] == moment
        assert (await side.refresh(fresh["refresh_token"])).status == 200
    finally:
        await side.push_not_before(0)


async def test_revocation(side: Side) -> None:
    tokens = (await _signed_in(side, scope="openid")).json
    token = tokens["refresh_token"]

    unknown = await side.post("revoke", token="garbage")
    invalid = (200, "invalid_token", "Invalid token")
    assert unknown.refusal == invalid
    nothing = await side.post("revoke")
    assert nothing.refusal == (400, "invalid_request", "Token not provided")
    foreign = await side.post("revoke", ODOO, token=token)
    assert foreign.refusal == (400, "invalid_request", "Unmatching clients")
    identity = await side.post("revoke", token=tokens["id_token"])
    unsupported = (400, "unsupported_token_type", "Unsupported token type")
    assert identity.refusal == unsupported
    access = await side.post("revoke", token=tokens["access_token"])
    assert (access.status, access.text) == (200, "")
    token = (await side.refresh(token)).json["refresh_token"]
    revoked = await side.post("revoke", token=token)
    assert (revoked.status, revoked.text) == (200, "")
    assert (await side.refresh(token)).refusal == refused("Session not active")
    assert (await side.post("revoke", token=token)).refusal == invalid
    assert side.heard_of(tokens["session_state"]) == []


async def test_revocation_ends_one_clients_part(side: Side) -> None:
    user = await side.somebody()
    first = await side.sign_in(user["email"])
    ours = (await side.exchange(first.query["code"])).json
    second = await side.authorize(ODOO)
    theirs = (await side.exchange(second.query["code"], ODOO)).json

    await side.post("revoke", token=ours["refresh_token"])
    assert (await side.refresh(ours["refresh_token"])).refusal == refused(DETACHED)
    assert (await side.refresh(theirs["refresh_token"], ODOO)).status == 200
    assert side.heard_of(ours["session_state"]) == []
    assert "code" in (await side.authorize(prompt="none")).query


async def test_key_rotation_leaves_old_tokens_good(side: Side) -> None:
    user = await side.somebody()
    while True:
        began = time.monotonic()
        old = (await side.password(user["email"], scope="openid")).json
        await side.rotate_keys()
        new = (await side.refresh(old["refresh_token"])).json

        url = f"{side.oidc}/userinfo"
        answers = []
        for tokens in (old, new):
            headers = {"Authorization": f"Bearer {tokens['access_token']}"}
            answers.append(await side.ask("GET", url, headers=headers))
        # A new key takes a busy machine longer than a short token lives.
        if time.monotonic() - began < old["expires_in"] - 1:
            break
    assert [answer.status for answer in answers] == [200, 200]
    published = (await side.ask("GET", f"{side.oidc}/certs")).json["keys"]
    kids = {one["kid"] for one in published if one["use"] == "sig"}
    signed_with = [header(one["access_token"])["kid"] for one in (old, new)]
    assert len(set(signed_with)) == 2
    assert set(signed_with) <= kids
