"""T11: a token from anywhere but our own exchange with the provider is no sign-in.

Seen as CVE-2022-29226 (any bearer was taken), CVE-2024-47616, GHSA-wcvh (iss, aud).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.attacks.forgeries import ACCESS, Impostor, fields
from tests.attacks.outside import ask, claims_of, set_cookies
from tests.attacks.test_t10_refresh_unverified import ALICE, BOB, token_of
from tests.bff.auth.redirects import begin, come_back, prove, query_of

if TYPE_CHECKING:
    from tests.attacks.outside import Tap
    from tests.world import World

PATHS = ("/whoami", "/auth/sessions", "/export/latest_scores.json", "/graph/threads/x")


def ways(token: str) -> list[tuple[str, list[str]]]:
    """Name every place where a gateway might look for a token: query and headers."""
    fields = [
        f"Authorization: Bearer {token}",
        f"Authorization: bearer {token}",
        f"Authorization: Token {token}",
        f"Authorization: {token}",
        f"Proxy-Authorization: Bearer {token}",
        f"X-Authorization: Bearer {token}",
        f"X-Api-Key: {token}",
        f"X-Access-Token: {token}",
        f"X-Forwarded-Access-Token: {token}",
        f"X-Auth-Request-Access-Token: {token}",
        f"Sec-WebSocket-Protocol: bearer, {token}",
        f"Cookie: nx_access={token}",
        f"Cookie: nx_access=1{token}",
        f"Cookie: access_token={token}; id_token={token}; nx_refresh={token}",
    ]
    queries = (f"?access_token={token}", f"?token={token}", f"?id_token={token}")
    return [("", [one]) for one in fields] + [(query, []) for query in queries]


async def test_no_token_of_the_browsers_signs_anybody_in(world: World) -> None:
    async with world.signed_in(ALICE) as alice:
        good = await token_of(world, alice.cookies)
    claims = claims_of(good)
    world.graph.seen.clear()
    sealed = world.provider.keys.seal({**claims, "typ": "Refresh"})
    kinds = {
        "a living access token": good,
        "an ID token": fields(typ="ID", aud="nexius-bff")(world, claims),
        "a refresh token": sealed,
        "another client's": fields(azp="other", aud="account")(world, claims),
        "unsigned": ACCESS["alg none"](world, claims),
    }
    for kind, token in kinds.items():
        for query, sent in ways(str(token)):
            for path in PATHS:
                answer = await ask(world, f"GET {path}{query}", *sent)
                assert answer.status == 401, (kind, path, sent)
            for path in ("/auth/refresh", "/onboarding/first_login"):
                answer = await ask(world, f"POST {path}{query}", *sent)
                assert answer.status == 401, (kind, path, sent)
    assert world.graph.seen == []


async def test_a_bearer_beside_a_session_changes_nothing(tap: Tap) -> None:
    """Bob's cookies with Alice's token are Bob, here and at the graph server."""
    world = tap.world
    async with world.signed_in(ALICE) as alice:
        tap.jar, bobs = alice.cookies, tap.jar
        _, (one,) = await tap.ask("GET /graph/threads/x")
        hers = (one.one("authorization") or "").removeprefix("Bearer ")
    tap.jar = bobs
    for query, sent in ways(hers):
        if not sent or not sent[0].startswith("Cookie"):
            answer, seen = await tap.ask(f"GET /graph/threads/x{query}", *sent)
            assert answer.status == 200
            for one in seen:
                assert claims_of(one.one("authorization") or "")["email"] == BOB
                assert hers not in str(one.headers)
            who, _ = await tap.ask(f"GET /whoami{query}", *sent)
            assert who.json["email"] == BOB


async def test_no_forged_token_signs_in_by_password(world: World) -> None:
    async with world.signed_in(ALICE) as alice:
        claims = claims_of(await token_of(world, alice.cookies))
    for name, forge in ACCESS.items():
        impostor = Impostor(world, forge(world, claims))
        async with world.browser() as browser:
            answer = await browser.login(ALICE)
            assert answer.status == 503, name
            assert browser.cookies == {}, name
            assert (await browser.get("/whoami")).status == 401, name
        assert impostor.asked == 1


# What the ID token of a sign-in may not be; the access token beside it is good.
ID_FORGERIES = {
    **{
        name: ACCESS[name]
        for name in (
            "alg none",
            "no signature",
            "HS256 with the public key",
            "HS256 with the client's secret",
            "a strange key under a known id",
            "a key brought along",
            "no key id",
            "other claims under a good signature",
            "an old token",
            "a token made tomorrow",
            "another issuer",
            "no subject",
            "words",
            "nothing",
            "null",
        )
    },
    "an access token": fields(typ="Bearer"),
    "for another client": fields(aud="other-client"),
    "made for another client": fields(aud=["nexius-bff", "other"], azp="other-client"),
    "for an audience": fields(aud="nexius-api"),
    "another person's": fields(sub="somebody-else"),
    "another try's": fields(nonce="another"),
    "of no try": fields(nonce=None),
}


async def test_no_forged_id_token_signs_in_by_redirect(world: World) -> None:
    async with world.signed_in(ALICE) as alice:
        access = await token_of(world, alice.cookies)
    claims = {**claims_of(access), "typ": "ID", "aud": "nexius-bff"}
    async with world.browser() as browser:
        for name, forge in ID_FORGERIES.items():
            attempt = await begin(browser)
            said = {**claims, "nonce": attempt.query["nonce"]}
            back = await prove(browser, attempt)
            Impostor(world, access, id_token=forge(world, said))
            answer = await come_back(browser, back)
            world.provider.intercept = None
            assert answer.status == 400, name
            assert "nx_access" not in browser.cookies, name
        attempt = await begin(browser)
        good = fields(nonce=attempt.query["nonce"])(world, claims)
        back = await prove(browser, attempt)
        Impostor(world, access, id_token=good)
        assert (await come_back(browser, back)).status == 303, "that was the real thing"


async def test_no_forged_access_token_signs_in_by_redirect(tap: Tap) -> None:
    world = tap.world
    _, (one,) = await tap.ask("GET /graph/threads/x")
    claims = claims_of(one.one("authorization") or "")
    async with world.browser() as browser:
        for name, forge in ACCESS.items():
            attempt = await begin(browser)
            id_claims = {"nonce": attempt.query["nonce"], "typ": "ID"}
            id_token = fields(**id_claims, aud="nexius-bff")(world, claims)
            back = await prove(browser, attempt, BOB)
            Impostor(world, forge(world, claims), id_token=id_token)
            answer = await come_back(browser, back)
            world.provider.intercept = None

            assert answer.status in {400, 503}, name
            assert "nx_access" not in browser.cookies, name


async def test_tokens_in_the_callbacks_address_or_body_are_nothing(
    world: World,
) -> None:
    """The implicit way: what comes along with the redirect is not read."""
    async with world.signed_in(ALICE) as alice:
        good = await token_of(world, alice.cookies)
    async with world.browser() as browser:
        back = query_of(await prove(browser, await begin(browser)))
        del back["code"]
        for more in ({"access_token": good}, {"id_token": good}, {"token": good}):
            path = f"/auth/callback?{urlencode({**back, **more})}"
            answer = await ask(world, f"GET {path}", jar=browser.cookies)
            assert answer.status == 400
            assert all("Max-Age=0" in one for one in set_cookies(answer))
        posted = await ask(world, "POST /auth/callback", body=b"{}")
        assert posted.status == 405
