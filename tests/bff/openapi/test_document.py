"""The OpenAPI document is valid, whole, and of the configuration that is served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from bff.openapi.document import OPERATIONS, document, path_of
from bff.routes import ADMIN, PUBLIC, described, served
from tests.bff.configs import DEV, PRODUCTION, load

if TYPE_CHECKING:
    from tests.world import World


def written(**environ: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(described(load({**DEV, **environ})))
    return found


def test_every_route_is_described_and_nothing_else() -> None:
    routes = {(route.method, path_of(route)) for route in (*PUBLIC, *ADMIN)}

    assert set(OPERATIONS) == routes, "describe a new route in bff/openapi/"


@pytest.mark.parametrize("environ", [DEV, PRODUCTION], ids=["dev", "production"])
def test_it_is_an_openapi_document(environ: dict[str, str]) -> None:
    config = load({**environ, "BFF_PROXY__GRAPH__UPSTREAMS": '["http://graph:2024"]'})

    found = document(served(config), ADMIN, config)

    OpenAPIV31SpecValidator(found).validate()
    assert "/graph/{path}" in found["paths"]


def test_each_operation_has_a_name_and_a_sentence() -> None:
    found = [
        operation
        for item in written()["paths"].values()
        for method, operation in item.items()
        if method != "servers"
    ]

    names = [one["operationId"] for one in found]
    assert len(set(names)) == len(names)
    for one in found:
        assert one["summary"].endswith("."), one["operationId"]


def test_what_a_configuration_does_not_serve_is_not_there() -> None:
    assert "/auth/register" in written()["paths"]
    assert "/auth/register" not in written(BFF_REGISTER__MODE="off")["paths"]


def test_names_are_those_in_force() -> None:
    found = written(
        BFF_SESSION__ACCESS_COOKIE="mine", BFF_CSRF__REQUIRE_HEADER="X-Mine"
    )
    made = json.loads(described(load(PRODUCTION)))

    parts = found["components"]
    assert parts["securitySchemes"]["session"]["name"] == "mine"
    assert parts["parameters"]["Required"]["name"] == "X-Mine"
    schemes = made["components"]["securitySchemes"]
    assert schemes["session"]["name"] == "__Host-nx_access"
    assert made["servers"][0]["url"] == "https://app.example.com"


def test_codes_stand_with_their_status() -> None:
    parts = written()
    answers = parts["paths"]["/auth/login"]["post"]["responses"]
    name = answers["401"]["$ref"].rpartition("/")[2]

    problem = parts["components"]["responses"][name]["content"]
    schema = problem["application/problem+json"]["schema"]
    assert schema["properties"]["code"] == {"enum": ["invalid_credentials"]}


async def test_the_admin_listener_has_it_and_the_public_one_does_not(
    world: World,
) -> None:
    async with world.browser() as browser:
        admin = await browser.session.get(f"{world.admin_url}/openapi.json")
        public = await browser.get("/openapi.json")

        assert admin.content_type == "application/json"
        found = await admin.json()
        assert public.status == 404
    assert found["servers"][0]["url"] == world.url
    assert found["openapi"].startswith("3.1.")
