"""What people, and others, get of a client that we made for a tenant's Odoo."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.dev.test_provider_driver import claims
from tests.real import clients_conformance
from tests.real.clients_conformance import BASE, CALLBACK, MANAGES, wanted
from tests.real.keycloak_realms import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.dev.test_provider_driver import Answer
    from tests.real.conformance import Side
    from tests.real.keycloak import Keycloak


@dataclass
class Odoo:
    """A tenant's Odoo, as Keycloak sees it, and a person's browser."""

    side: Side
    client_id: str
    secret: str

    async def authorize(self, **changes: str | None) -> Answer:
        given = {"redirect_uri": CALLBACK, "scope": "openid email profile", **changes}
        return await self.side.authorize(self.client_id, **given)

    async def sign_in(self, user: dict[str, Any]) -> Answer:
        page = await self.authorize()
        return await self.side.fill_in(page, username=user["email"], password=PASSWORD)

    async def exchange(self, code: str, **changes: str | None) -> Answer:
        given = {"redirect_uri": CALLBACK, "client_secret": self.secret, **changes}
        return await self.side.exchange(code, self.client_id, **given)

    async def grant(self, kind: str, **form: str) -> Answer:
        return await self.side.token(
            kind, self.client_id, client_secret=self.secret, **form
        )


@pytest.fixture
async def odoo(keycloak: Keycloak) -> AsyncGenerator[Odoo]:
    async with clients_conformance.running("keycloak", keycloak) as at:
        assert at.real is not None
        one = wanted()
        secret = await (await at.clients(MANAGES)).ensure(one)
        yield Odoo(at.real, one.client_id, secret)


async def test_a_person_signs_in_by_code_with_pkce(odoo: Odoo) -> None:
    user = await odoo.side.somebody(firstName="Nora", lastName="New")
    back = await odoo.sign_in(user)
    assert back.headers["Location"].startswith(f"{CALLBACK}?")
    answer = await odoo.exchange(back.query["code"])

    assert answer.status == 200
    identity = claims(answer.json["id_token"])
    assert (identity["sub"], identity["aud"]) == (user["id"], odoo.client_id)
    assert (identity["email"], identity["name"]) == (user["email"], "Nora New")
    head = answer.json["id_token"].partition(".")[0]
    assert json.loads(base64.urlsafe_b64decode(head + "=="))["alg"] == "RS256"
    # Another client's token: no roles, no tenant, and not for the gateway.
    access = claims(answer.json["access_token"])
    assert not {"realm_access", "resource_access", "tenant_id", "aud"} & set(access)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"code_challenge": None, "code_challenge_method": None},
            "Missing parameter: code_challenge_method",
        ),
        (
            {"code_challenge_method": "plain"},
            "code challenge method is not matching the configured one",
        ),
        (
            {"response_type": "token"},
            "Implicit flow is disabled for the client.",
        ),
    ],
)
async def test_no_other_flow_is_begun(
    odoo: Odoo, changes: dict[str, str | None], why: str
) -> None:
    back = await odoo.authorize(**changes)

    assert back.status == 302
    assert "code=" not in back.headers["Location"]
    assert why in back.headers["Location"].replace("+", " ").replace("%3A", ":")


@pytest.mark.parametrize(
    "uri",
    [
        f"{CALLBACK}/",
        f"{BASE}/",
        "https://evil.test/auth_oauth/signin",
        f"{CALLBACK}?x",
    ],
)
async def test_nobody_is_sent_elsewhere(odoo: Odoo, uri: str) -> None:
    refused = await odoo.authorize(redirect_uri=uri)

    assert refused.status == 400
    assert "Invalid parameter: redirect_uri" in refused.text


@pytest.mark.parametrize("changes", [{"code_verifier": None}, {"client_secret": "no"}])
async def test_a_code_alone_opens_nothing(
    odoo: Odoo, changes: dict[str, str | None]
) -> None:
    user = await odoo.side.somebody()
    back = await odoo.sign_in(user)
    refused = await odoo.exchange(back.query["code"], **changes)

    assert refused.status in {400, 401}
    assert "id_token" not in refused.text


async def test_the_client_has_no_other_grant(odoo: Odoo) -> None:
    user = await odoo.side.somebody()
    who = {"username": user["email"], "password": PASSWORD}

    refused = (400, "unauthorized_client")
    assert (await odoo.grant("password", **who)).refusal[:2] == refused
    alone = await odoo.grant("client_credentials")
    assert alone.refusal[1] == "unauthorized_client"
    offline = await odoo.authorize(scope="openid offline_access")
    assert offline.query["error"] == "invalid_scope"


@pytest.mark.parametrize(
    ("place", "status"), [(f"{BASE}/web/login", 302), (f"{BASE}/other", 400)]
)
async def test_signing_out_ends_at_odoo_s_own_page(
    odoo: Odoo, place: str, status: int
) -> None:
    user = await odoo.side.somebody()
    back = await odoo.sign_in(user)
    tokens = (await odoo.exchange(back.query["code"])).json
    asked = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": place}
    ended = await odoo.side.ask("GET", f"{odoo.side.oidc}/logout", params=asked)

    assert ended.status == status
    assert ended.headers.get("Location") == (place if status == 302 else None)
