"""The code flow by plain form posts: our provider against Keycloak."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from bff.dev.provider.otp import code_at
from tests.dev.test_provider_driver import claims
from tests.real.keycloak_realms import BFF, CALLBACK, ODOO, PASSWORD, TOTP_SECRET

if TYPE_CHECKING:
    from tests.real.conformance import Side

DETACHED = "Session doesn't have required client"
SPENT = (400, "invalid_grant", "Code not valid")


async def _code(side: Side) -> str:
    user = await side.somebody()
    return (await side.sign_in(user["email"])).query["code"]


async def test_tokens_of_a_sign_in(side: Side) -> None:
    before = int(time.time())
    back = await side.sign_in()

    assert back.status == 302
    assert back.headers["Location"].startswith(f"{CALLBACK}?")
    assert set(back.query) == {"state", "session_state", "iss", "code"}
    assert (back.query["state"], back.query["iss"]) == ("s1", side.issuer)
    answer = await side.exchange(back.query["code"])
    assert answer.headers["Cache-Control"] == "no-store"
    identity = claims(answer.json["id_token"])
    assert identity["nonce"] == "n1"
    assert before <= identity["auth_time"] <= before + 60
    assert (identity["typ"], identity["aud"], identity["acr"]) == ("ID", BFF, "1")
    access = claims(answer.json["access_token"])
    assert access["jti"].startswith("onrtac:")
    assert (access["auth_time"], access["sid"]) == (
        identity["auth_time"],
        back.query["session_state"],
    )
    assert "nonce" not in access
    again = (await side.refresh(answer.json["refresh_token"])).json
    refreshed = claims(again["id_token"])
    assert refreshed["auth_time"] == identity["auth_time"]
    assert "nonce" not in refreshed


async def test_second_client_is_let_in_silently(side: Side) -> None:
    user = await side.somebody()
    first = await side.sign_in(user["email"])
    second = await side.authorize(ODOO)

    assert second.status == 302
    assert second.query["session_state"] == first.query["session_state"]
    tokens = (await side.exchange(second.query["code"], ODOO)).json
    assert claims(tokens["access_token"])["acr"] == "0"


async def test_prompts(side: Side) -> None:
    refused = await side.authorize(prompt="none")
    expected = {"error": "login_required", "state": "s1", "iss": side.issuer}
    assert refused.query == expected

    user = await side.somebody()
    first = await side.sign_in(user["email"])
    assert "code" in (await side.authorize(prompt="none")).query
    assert "code" in (await side.authorize(max_age="100")).query
    await side.tick()
    await side.tick()
    assert "kc-form-login" in (await side.authorize(max_age="1")).text
    again = await side.sign_in(user["email"], prompt="login")
    assert again.query["session_state"] == first.query["session_state"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"redirect_uri": "http://evil.test/"}, "Invalid parameter: redirect_uri"),
        ({"redirect_uri": CALLBACK + "/x"}, "Invalid parameter: redirect_uri"),
        ({"redirect_uri": None}, "Invalid parameter: redirect_uri"),
        ({"client_id": "nobody"}, "Client not found."),
        ({"client_id": None}, "Invalid Request"),
        ({"max_age": "soon"}, "Invalid Request"),
    ],
)
async def test_refusals_on_a_page(
    side: Side, changes: dict[str, str | None], message: str
) -> None:
    answer = await side.authorize(**changes)  # type: ignore[arg-type] # a change of client_id shadows `client` harmlessly

    assert answer.status == 400
    assert "Location" not in answer.headers
    assert message in answer.text


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        (
            {"response_type": None},
            "invalid_request",
            "Missing parameter: response_type",
        ),
        (
            {"code_challenge_method": None},
            "invalid_request",
            "Missing parameter: code_challenge_method",
        ),
        (
            {"code_challenge_method": "plain"},
            "invalid_request",
            (
                "Invalid parameter: code challenge method is not matching the"
                " configured one"
            ),
        ),
        (
            {"code_challenge": None},
            "invalid_request",
            "Missing parameter: code_challenge",
        ),
        (
            {"code_challenge": "short"},
            "invalid_request",
            "Invalid parameter: code_challenge",
        ),
        ({"scope": "nonsense"}, "invalid_scope", "Invalid scopes: nonsense"),
    ],
)
async def test_refusals_by_redirect(
    side: Side, changes: dict[str, str | None], error: str, description: str
) -> None:
    answer = await side.authorize(**changes)  # type: ignore[arg-type] # none of these is `client`

    assert answer.status == 302
    assert answer.query == {
        "error": error,
        "error_description": description,
        "state": "s1",
        "iss": side.issuer,
    }


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"code_verifier": None}, "PKCE code verifier not specified"),
        ({"code_verifier": "w" * 43}, "PKCE verification failed: Code mismatch"),
        ({"code_verifier": "short"}, "PKCE verification failed: Invalid code verifier"),
        ({"redirect_uri": "http://127.0.0.1:8080/"}, "Incorrect redirect_uri"),
        ({"redirect_uri": None}, "Incorrect redirect_uri"),
    ],
)
async def test_failed_exchange_spends_the_code(
    side: Side, changes: dict[str, str | None], why: str
) -> None:
    code = await _code(side)

    failed = await side.exchange(code, **changes)  # type: ignore[arg-type] # none of these is `client`
    assert failed.refusal == (400, "invalid_grant", why)
    assert (await side.exchange(code)).refusal == SPENT


async def test_failed_client_authentication_leaves_the_code(side: Side) -> None:
    code = await _code(side)

    assert (await side.exchange(code, client_secret="wrong")).status == 401
    assert (await side.exchange(code)).status == 200


async def test_unknown_and_foreign_codes(side: Side) -> None:
    for unknown in ("garbage", "a.b.c"):
        assert (await side.exchange(unknown)).refusal == SPENT
    code = await _code(side)
    why = "Auth error: Found different client_id in clientSession"
    assert (await side.exchange(code, ODOO)).refusal == (400, "invalid_grant", why)
    assert (await side.exchange(code)).refusal == SPENT


async def test_replayed_code_kills_the_tokens_of_its_first_use(side: Side) -> None:
    code = await _code(side)
    tokens = (await side.exchange(code)).json

    assert (await side.exchange(code)).refusal == SPENT
    after = await side.refresh(tokens["refresh_token"])
    assert after.refusal == (400, "invalid_grant", DETACHED)


async def test_wrong_password_may_be_tried_again(side: Side) -> None:
    user = await side.somebody()
    page = await side.authorize()

    who = {"username": user["email"], "password": "nope"}
    again = await side.fill_in(page, **who)
    assert again.status == 200
    assert "Invalid username or password." in again.text
    right = await side.fill_in(again, **{**who, "password": PASSWORD})
    assert "code" in right.query


async def test_unknown_people_look_like_wrong_passwords(side: Side) -> None:
    page = await side.authorize()
    # Not of an organization's domain: there Keycloak says that no account exists.
    who = {"username": "nobody@nowhere.test", "password": PASSWORD}
    answer = await side.fill_in(page, **who)

    assert answer.status == 200
    assert "Invalid username or password." in answer.text


async def test_disabled_people_are_told(side: Side) -> None:
    page = await side.authorize()
    who = {"username": "disabled@acme.test", "password": PASSWORD}
    answer = await side.fill_in(page, **who)

    assert "Account is disabled, contact your administrator." in answer.text


async def test_one_time_code_in_the_browser(side: Side) -> None:
    code = code_at(TOTP_SECRET, time.time())
    page = await side.authorize()
    who = {"username": "totp@acme.test", "password": PASSWORD}
    back = await side.fill_in(page, **who, otp=code)

    assert "code" in back.query


async def test_required_action_comes_before_the_client(side: Side) -> None:
    user = await side.somebody(requiredActions=["UPDATE_PASSWORD"])
    page = await side.authorize()
    form = await side.fill_in(page, username=user["email"], password=PASSWORD)
    assert "kc-passwd-update-form" in form.text

    both = ("password-new", "password-confirm")
    short = await side.fill_in(form, **dict.fromkeys(both, "short"))
    assert "Invalid password: minimum length 12." in short.text
    done = await side.fill_in(short, **dict.fromkeys(both, "Another-Horse-2"))
    assert "code" in done.query
    assert (await side.password(user["email"], "Another-Horse-2")).status == 200


async def test_registration(side: Side) -> None:
    email = f"reg-{time.time_ns()}@new.test"
    page = await side.authorize(prompt="create")
    assert "kc-register-form" in page.text

    form = {"email": email, "firstName": "", "lastName": "", "password": PASSWORD}
    taken = {**form, "email": "alice@acme.test", "password-confirm": PASSWORD}
    again = await side.fill_in(page, **taken)
    assert "Email already exists." in again.text
    back = await side.fill_in(again, **form, **{"password-confirm": PASSWORD})
    tokens = (await side.exchange(back.query["code"])).json
    said = claims(tokens["access_token"])
    assert (said["email"], said["email_verified"]) == (email, False)
    assert not {"tenant_id", "realm_access", "name"} & set(said)


async def test_form_of_another_browser_is_refused(side: Side) -> None:
    page = await side.authorize()
    side.http.cookie_jar.clear()
    who = {"username": "bob@globex.test", "password": PASSWORD}
    answer = await side.ask("POST", page.action, data=who)

    assert answer.status == 400
    assert "cookie not found" in answer.text
