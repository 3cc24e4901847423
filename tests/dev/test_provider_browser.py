"""The code flow, driven by plain HTTP as a browser would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from bff.dev.provider import Realm
from bff.dev.provider.otp import code_at
from tests.dev.test_provider_driver import (
    CALLBACK,
    CHALLENGE,
    PASSWORD,
    Answer,
    World,
    claims,
    running,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    async with running() as one:
        yield one


async def test_code_flow_ends_in_tokens_with_nonce_and_auth_time(world: World) -> None:
    back = await world.sign_in()

    assert back.status == 302
    assert back.headers["Location"].startswith(f"{CALLBACK}?")
    assert set(back.query) == {"state", "session_state", "iss", "code"}
    assert (back.query["state"], back.query["iss"]) == ("s1", world.issuer)
    tokens = (await world.exchange(back.query["code"])).json
    said = claims(tokens["id_token"])
    assert said["nonce"] == "n1"
    assert said["auth_time"] == int(world.clock.time)
    assert (said["typ"], said["aud"], said["azp"]) == ("ID", "app", "app")
    assert claims(tokens["access_token"])["auth_time"] == said["auth_time"]
    assert tokens["session_state"] == back.query["session_state"]
    again = (await world.refresh(tokens["refresh_token"])).json
    assert "nonce" not in claims(again["id_token"])


async def test_second_request_is_answered_silently(world: World) -> None:
    first = await world.sign_in()
    second = await world.authorize("erp")

    assert second.status == 302
    assert second.query["session_state"] == first.query["session_state"]
    tokens = (await world.exchange(second.query["code"], "erp")).json
    assert claims(tokens["access_token"])["acr"] == "0"


async def test_prompt_none_needs_a_session(world: World) -> None:
    refused = await world.authorize(prompt="none")
    assert refused.query == {
        "error": "login_required",
        "state": "s1",
        "iss": world.issuer,
    }

    await world.sign_in()
    assert "code" in (await world.authorize(prompt="none")).query


async def test_prompt_login_and_max_age_show_the_form(world: World) -> None:
    first = await world.sign_in()
    assert "kc-form-login" in (await world.authorize(prompt="login")).text
    world.clock.time += 100
    assert "code" in (await world.authorize(max_age="100")).query
    assert "kc-form-login" in (await world.authorize(max_age="99")).text

    again = await world.sign_in(prompt="login")
    assert again.query["session_state"] == first.query["session_state"]
    other = await world.sign_in("bob@globex.test", prompt="login")
    assert other.query["session_state"] != first.query["session_state"]


async def test_session_of_a_disabled_person_is_none(world: World) -> None:
    await world.sign_in()
    world.provider.disable("alice@acme.test")

    assert (await world.authorize(prompt="none")).query["error"] == "login_required"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"redirect_uri": "http://evil.test/"}, "Invalid parameter: redirect_uri"),
        ({"redirect_uri": CALLBACK + "/x"}, "Invalid parameter: redirect_uri"),
        (
            {"redirect_uri": "http://127.0.0.1:9999/app/../x"},
            "Invalid parameter: redirect_uri",
        ),
        ({"redirect_uri": None}, "Invalid parameter: redirect_uri"),
        ({"client_id": "nobody"}, "Client not found."),
        ({"client_id": None}, "Invalid Request"),
        ({"max_age": "soon"}, "Invalid Request"),
    ],
)
async def test_untrusted_redirects_end_on_a_page(
    world: World, changes: dict[str, str | None], message: str
) -> None:
    answer = await world.authorize(**changes)  # type: ignore[arg-type] # a change of client_id shadows `client` harmlessly

    assert answer.status == 400
    assert "Location" not in answer.headers
    assert answer.headers["Content-Type"].startswith("text/html")
    assert message in answer.text


async def test_wildcard_continues_a_path(world: World) -> None:
    back = await world.sign_in(redirect_uri="http://127.0.0.1:9999/app/cb?x=1")

    assert back.headers["Location"].startswith("http://127.0.0.1:9999/app/cb?x=1&")


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        (
            {"response_type": None},
            "invalid_request",
            "Missing parameter: response_type",
        ),
        ({"response_type": "token"}, "unsupported_response_type", None),
        (
            {"response_mode": "fragment"},
            "invalid_request",
            "Invalid parameter: response_mode",
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
async def test_other_problems_are_sent_back(
    world: World,
    changes: dict[str, str | None],
    error: str,
    description: str | None,
) -> None:
    answer = await world.authorize(**changes)  # type: ignore[arg-type] # none of these is `client`

    assert answer.status == 302
    assert answer.query["error"] == error
    assert answer.query.get("error_description") == description
    assert (answer.query["state"], answer.query["iss"]) == ("s1", world.issuer)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"code_verifier": None}, "PKCE code verifier not specified"),
        ({"code_verifier": "w" * 43}, "PKCE verification failed: Code mismatch"),
        ({"code_verifier": "short"}, "PKCE verification failed: Invalid code verifier"),
        ({"redirect_uri": "http://127.0.0.1:8080/"}, "Incorrect redirect_uri"),
        ({"redirect_uri": None}, "Incorrect redirect_uri"),
    ],
)
async def test_failed_exchange_spends_the_code(
    world: World, changes: dict[str, str | None], refusal: str
) -> None:
    code = (await world.sign_in()).query["code"]

    failed = await world.exchange(code, **changes)  # type: ignore[arg-type] # none of these is `client`
    assert failed.refusal == (400, "invalid_grant", refusal)
    assert (await world.exchange(code)).refusal[2] == "Code not valid"


async def test_failed_client_authentication_leaves_the_code(world: World) -> None:
    code = (await world.sign_in()).query["code"]

    assert (await world.exchange(code, client_secret="wrong")).status == 401
    assert (await world.exchange(code)).status == 200


async def test_unknown_code_is_refused(world: World) -> None:
    for code in ("garbage", "a.b.c"):
        assert (await world.exchange(code)).refusal[2] == "Code not valid"


async def test_code_of_another_client_is_refused(world: World) -> None:
    code = (await world.sign_in()).query["code"]

    assert (await world.exchange(code, "erp")).refusal[2] == (
        "Auth error: Found different client_id in clientSession"
    )


async def test_code_expires(world: World) -> None:
    code = (await world.sign_in()).query["code"]
    world.clock.time += 60

    assert (await world.exchange(code)).refusal == (
        400,
        "invalid_grant",
        "Code not valid",
    )


async def test_replayed_code_kills_the_tokens_of_its_first_use(world: World) -> None:
    code = (await world.sign_in()).query["code"]
    tokens = (await world.exchange(code)).json

    assert (await world.exchange(code)).refusal[2] == "Code not valid"
    after = await world.refresh(tokens["refresh_token"])
    assert after.refusal[2] == "Session doesn't have required client"


@pytest.mark.parametrize("happening", ["ended", "disabled", "detached"])
async def test_code_dies_with_its_session(world: World, happening: str) -> None:
    back = await world.sign_in()
    alice = world.provider.people[0]
    session = world.provider.sessions.live(back.query["session_state"], 0)
    assert session
    expected = {
        "ended": "Session not active",
        "disabled": "User disabled",
        "detached": "Code not valid",
    }
    if happening == "ended":
        await world.provider.end_sessions(alice.sub)
    elif happening == "disabled":
        world.provider.disable(alice.email)
    else:
        session.clients.clear()

    refused = await world.exchange(back.query["code"])
    assert refused.refusal[2] == expected[happening]


async def _submit(world: World, page: Answer, **form: str) -> Answer:
    return await world.ask("POST", page.action, data=form)


@pytest.mark.parametrize(
    ("email", "password", "message"),
    [
        ("alice@acme.test", "nope", "Invalid username or password."),
        ("nobody@acme.test", PASSWORD, "Invalid username or password."),
        (
            "disabled@acme.test",
            PASSWORD,
            "Account is disabled, contact your administrator.",
        ),
        ("totp@acme.test", PASSWORD, "Enter the code of your authenticator app"),
    ],
)
async def test_form_says_what_is_wrong_and_lets_one_try_again(
    world: World, email: str, password: str, message: str
) -> None:
    page = await world.authorize()

    again = await _submit(world, page, username=email, password=password)
    assert again.status == 200
    assert message in again.text
    assert f'value="{email}"' in again.text
    right = await _submit(world, again, username="alice@acme.test", password=PASSWORD)
    assert "code" in right.query


async def test_form_takes_a_one_time_code(world: World) -> None:
    page = await world.authorize()
    who = {"username": "totp@acme.test", "password": PASSWORD}

    wrong = await _submit(world, page, **who, otp="1")
    assert "Invalid authenticator code." in wrong.text
    code = code_at("NEXIUSTOTPSECRET0001", world.clock.time)
    assert "code" in (await _submit(world, page, **who, otp=code)).query


async def test_form_is_prefilled_and_escapes_what_it_shows(world: World) -> None:
    page = await world.authorize(login_hint='"><script>alert(1)</script>')

    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    reloaded = await world.ask("GET", page.action)
    assert "kc-form-login" in reloaded.text


async def test_form_belongs_to_its_browser_and_to_its_time(world: World) -> None:
    page = await world.authorize()
    who = {"username": "alice@acme.test", "password": PASSWORD}
    base = world.issuer.split("/realms")[0]
    async with (
        aiohttp.ClientSession() as stranger,
        stranger.post(base + page.action, data=who) as answer,
    ):
        assert answer.status == 400
        assert "cookie not found" in await answer.text()
    forged = page.action.replace("session_code=", "session_code=x")
    assert (await world.ask("POST", forged, data=who)).status == 400
    world.clock.time += 1800
    late = await _submit(world, page, **who)
    assert "Your login attempt timed out" in late.text
    assert "code" in (await _submit(world, late, **who)).query


async def test_required_action_comes_between_password_and_client(world: World) -> None:
    update = await world.sign_in("pending@acme.test")
    assert "kc-passwd-update-form" in update.text

    for new, repeated, message in (
        ("short", "short", "minimum length 12"),
        ("pending@acme.test", "pending@acme.test", "equal to the username"),
        ("A-new-Password-1", "another", "Passwords don&#x27;t match"),
    ):
        form = {"password-new": new, "password-confirm": repeated}
        again = await world.ask("POST", update.action, data=form)
        assert message in again.text
    form = dict.fromkeys(("password-new", "password-confirm"), "A-new-Password-1")
    done = await world.ask("POST", update.action, data=form)
    assert "code" in done.query
    signed_in = await world.password("pending@acme.test", "A-new-Password-1")
    assert signed_in.status == 200
    # The form is used up; posting it again just signs in again.
    assert "code" in (await world.ask("POST", update.action, data=form)).query


async def test_required_action_needs_the_password_first(world: World) -> None:
    page = await world.authorize()
    skipped = page.action.replace("/authenticate", "/required-action")

    assert (await world.ask("POST", skipped)).status == 400
    update = await world.sign_in("pending@acme.test")
    world.clock.time += 1800
    assert (await world.ask("POST", update.action)).status == 400


NEW = {
    "firstName": "Nora",
    "lastName": "New",
    "email": "Nora@new.test",
    "password": "A-fresh-Password",
    "password-confirm": "A-fresh-Password",
}


async def test_registration_creates_a_person_without_tenant(world: World) -> None:
    page = await world.authorize(prompt="create")
    assert "kc-register-form" in page.text

    back = await world.ask("POST", page.action, data=NEW)
    tokens = (await world.exchange(back.query["code"])).json
    said = claims(tokens["access_token"])
    assert (said["email"], said["email_verified"]) == ("nora@new.test", False)
    assert said["name"] == "Nora New"
    assert "tenant_id" not in said
    assert "realm_access" not in said
    assert world.reasons("REGISTER") == [None]
    again = await world.password("nora@new.test", "A-fresh-Password")
    assert again.status == 200


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lastName": "x" * 300}, "at most 255"),
        ({"email": "nora"}, "Invalid email address."),
        ({"email": "alice@acme.test"}, "Email already exists."),
        ({"password": "short"}, "minimum length 12"),
        ({"password-confirm": "other"}, "Passwords don&#x27;t match"),
    ],
)
async def test_registration_explains_what_is_wrong(
    world: World, changes: dict[str, str], message: str
) -> None:
    page = await world.authorize(prompt="create")

    again = await world.ask("POST", page.action, data={**NEW, **changes})
    assert again.status == 200
    assert message in again.text
    assert "A-fresh-Password" not in again.text


async def test_registration_is_linked_from_the_form_unless_off(world: World) -> None:
    page = await world.authorize()
    link = page.action.replace("/authenticate", "/registration")
    assert "kc-register-form" in (await world.ask("GET", link)).text
    async with running(Realm(registration=False)) as closed:
        shown = await closed.authorize()
        assert "Register" not in shown.text
        refused = await closed.authorize(prompt="create")
        assert (refused.status, "Registration not allowed" in refused.text) == (
            400,
            True,
        )
        path = shown.action.replace("/authenticate", "/registration")
        assert (await closed.ask("GET", path)).status == 400


async def test_registration_may_ask_for_a_proven_address() -> None:
    async with running(Realm(verify_email=True)) as world:
        page = await world.authorize(prompt="create")
        proof = await world.ask("POST", page.action, data=NEW)
        assert "verify your email" in proof.text
        unproven = await world.password("nora@new.test", "A-fresh-Password")
        assert unproven.refusal[2] == "Account is not fully set up"

        back = await world.ask("POST", proof.action)
        tokens = (await world.exchange(back.query["code"])).json
        assert claims(tokens["access_token"])["email_verified"] is True


async def test_request_may_be_posted_but_not_repeated(world: World) -> None:
    asked = [
        ("client_id", "app"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
    posted = await world.ask("POST", f"{world.oidc}/auth", data=aiohttp.FormData(asked))
    assert "kc-form-login" in posted.text

    doubled = await world.ask("GET", f"{world.oidc}/auth", params=[*asked, asked[0]])
    assert doubled.query["error_description"] == "duplicated parameter"
    assert "state" not in doubled.query
