"""A real Keycloak is gone, half-open, stopped or slow: an outage signs nobody out.

Broken answers, renewals held and lost, clocks two minutes wrong:
`tests/real/test_provider_trouble_keycloak.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.own_keycloak import shimmed_realm
from tests.faults.shim import Weather
from tests.faults.stage import goes_on, heals, in_time, refuses, stage
from tests.real.deployment import until_near_the_end
from tests.real.keycloak_realms import BFF, PASSWORD, secret
from tests.replicas import open_stream, ticket

if TYPE_CHECKING:
    from pathlib import Path

    from tests.databases import Databases
    from tests.real.keycloak import Keycloak

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
# An answer to a renewal is waited for three times as long.
AUTH = {"auth": {"timeout": 2}}
ACCESS_TTL = 25


@pytest.mark.parametrize("fault", ["gone", "half-open", "stopped"])
async def test_a_keycloak_that_is_away_signs_nobody_out(
    own_keycloak: Keycloak, databases: Databases, tmp_path: Path, fault: str
) -> None:
    async with shimmed_realm(own_keycloak, ACCESS_TTL) as here:
        user, late = await here.realm.person(), await here.realm.person(1002)
        async with (
            stage(
                databases,
                tmp_path,
                issuer=here.issuer,
                secret=secret(BFF),
                sections=AUTH,
            ) as on,
            on.signed_in(user["email"], PASSWORD) as person,
            on.replicas.browser(on.gateway) as stranger,
        ):
            stream, jar = await open_stream(person), person.cookies
            await here.breaks(fault)
            try:
                sign_in = stranger.login(late["email"], PASSWORD)
                await refuses(sign_in, 503, "auth_unavailable")
                await goes_on(person, "/whoami", "/graph/threads/x", "/auth/sessions")
                renewal = person.post("/auth/refresh")
                await refuses(renewal, 503, "auth_unavailable")
                # Its token expires meanwhile: no answer, and no end either.
                await until_near_the_end(person, past=0.2)
                await refuses(person.get("/whoami"), 503, "auth_unavailable")
                assert person.cookies == jar
                assert await stream.content.readany()
            finally:
                await here.recovers(fault)

            await heals(person, "/whoami")
            assert ticket(person.cookies).gen == 2
            await goes_on(person)
            assert (await stranger.login(late["email"], PASSWORD)).status == 200
            assert await stream.content.readany()
            stream.close()
            on.ran_well()
        assert await here.realm.refusals() == 0


async def test_a_slow_keycloak_is_only_slow(
    own_keycloak: Keycloak, databases: Databases, tmp_path: Path
) -> None:
    async with shimmed_realm(own_keycloak, ACCESS_TTL) as here:
        user = await here.realm.person()
        async with stage(
            databases, tmp_path, issuer=here.issuer, secret=secret(BFF)
        ) as on:
            here.shim.weather = Weather(latency=0.1, jitter=0.2, loss=0.1, rate=50_000)
            async with on.signed_in(user["email"], PASSWORD) as person:
                assert (await in_time(person.post("/auth/refresh"))).status == 200
                await goes_on(person)
                assert (await in_time(person.post("/auth/logout"))).status == 204
            on.ran_well()
