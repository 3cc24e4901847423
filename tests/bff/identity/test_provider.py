"""The provider over a socket: asked once, believed only as far as it proves itself."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from bff.config_identity import Auth
from bff.dev import demo
from bff.dev.provider import Client, Person, Realm, serving
from bff.dev.provider import Provider as Fake
from bff.identity.messages import (
    ClaimsRefused,
    ProviderUnavailable,
    Refusal,
    TokenRefused,
)
from bff.identity.provider import MAX_ANSWER, Provider
from bff.outbound import client_session
from tests.dev.test_provider_driver import claims
from tests.world import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

SECRET = "CANARY-client-secret"
EMAIL, PASSWORD = "alice@acme.test", "CANARY-password"
ALICE = Person(email=EMAIL, password=PASSWORD, tenant_id=1001)


@dataclass
class Pair:
    """Our side and theirs, and what was asked of theirs."""

    ours: Provider
    theirs: Fake
    clock: Clock
    asked: list[tuple[str, str]]

    def answer(self, path: str, reply: Callable[[], Awaitable[Any]]) -> None:
        """Let theirs answer everything that ends on *path* with *reply*."""

        async def intercept(request: web.Request) -> web.StreamResponse | None:
            self.asked.append((request.method, request.path))
            if not request.path.endswith(path):
                return None
            answer: web.StreamResponse | None = await reply()
            return answer

        self.theirs.intercept = intercept

    def count(self, path: str) -> int:
        return sum(one.endswith(path) for _, one in self.asked)


@asynccontextmanager
async def meeting(
    timeout: float = 5.0,  # noqa: ASYNC109 - a setting, not a limit of this function
    **settings: Any,
) -> AsyncGenerator[Pair]:
    clock = Clock()
    clients = [
        demo.client(SECRET, ("http://localhost:8080",)),
        Client(client_id="other", secret="other"),
    ]
    fake = Fake(Realm(), [ALICE], clients, clock=clock)
    async with serving(fake) as issuer, client_session() as http:
        auth = Auth(
            issuer=issuer, client_secret=SecretStr(SECRET), timeout=timeout, **settings
        )
        pair = Pair(Provider(auth, http, clock), fake, clock, [])
        pair.answer("/nothing", asyncio.Event().wait)
        yield pair


@pytest.fixture
async def pair() -> AsyncGenerator[Pair]:
    async with meeting() as one:
        yield one


async def text(body: str | bytes = "", status: int = 200) -> web.Response:
    kind = "text/html" if isinstance(body, str) else "application/json"
    raw = body.encode() if isinstance(body, str) else body
    return web.Response(status=status, body=raw, content_type=kind)


async def test_a_password_becomes_tokens_that_prove_themselves(pair: Pair) -> None:
    tokens = await pair.ours.grant(EMAIL, PASSWORD, None)

    person = await pair.ours.verify_access(tokens.access_token)
    assert (person.email, person.claimed_tenant) == (EMAIL, 1001)
    renewed = await pair.ours.refresh(tokens.refresh_token)
    assert (await pair.ours.verify_access(renewed.access_token)).sub == person.sub
    await pair.ours.end_session(renewed.refresh_token)
    with pytest.raises(TokenRefused) as caught:
        await pair.ours.refresh(renewed.refresh_token)
    assert caught.value.refusal is Refusal.SESSION_OVER


async def test_a_wrong_password_is_refused_and_sent_once(pair: Pair) -> None:
    with pytest.raises(TokenRefused) as caught:
        await pair.ours.grant(EMAIL, "wrong", None)

    assert caught.value.refusal is Refusal.CREDENTIALS
    assert pair.count("/token") == 1


async def test_an_id_token_and_another_clients_token_are_refused(pair: Pair) -> None:
    tokens = await pair.ours.grant(EMAIL, PASSWORD, None)
    assert tokens.id_token is not None

    with pytest.raises(ClaimsRefused):
        await pair.ours.verify_access(tokens.id_token)
    said = claims(tokens.access_token)
    foreign = pair.theirs.keys.sign({**said, "azp": "other"})
    with pytest.raises(ClaimsRefused, match="azp"):
        await pair.ours.verify_access(foreign)


async def test_an_id_token_must_be_of_this_sign_in_and_person(pair: Pair) -> None:
    tokens = await pair.ours.grant(EMAIL, PASSWORD, None)
    assert tokens.id_token is not None
    said = {**claims(tokens.id_token), "nonce": "n1"}
    sign = pair.theirs.keys.sign

    await pair.ours.verify_id(sign(said), nonce="n1", sub=ALICE.sub)
    for changed, named in (
        ({**said, "nonce": "n2"}, "nonce"),
        ({name: said[name] for name in said if name != "nonce"}, "nonce"),
        ({**said, "sub": "somebody"}, "sub"),
        ({**said, "aud": "nexius-api"}, "aud"),
        ({**said, "typ": "Bearer"}, "typ"),
        ({**said, "exp": 1}, "exp"),
    ):
        with pytest.raises(ClaimsRefused, match=named):
            await pair.ours.verify_id(sign(changed), nonce="n1", sub=ALICE.sub)


async def test_a_rotated_key_is_noticed(pair: Pair) -> None:
    first = await pair.ours.grant(EMAIL, PASSWORD, None)
    await pair.ours.verify_access(first.access_token)
    pair.theirs.rotate_keys()
    pair.clock.ahead += 31

    second = await pair.ours.grant(EMAIL, PASSWORD, None)

    assert (await pair.ours.verify_access(second.access_token)).email == EMAIL
    assert (await pair.ours.verify_access(first.access_token)).email == EMAIL
    assert pair.count("/certs") == 2


BROKEN: dict[str, Callable[[], Awaitable[web.Response]]] = {
    "html": lambda: text("<html>maintenance</html>"),
    "html 502": lambda: text("<html>Bad Gateway</html>", 502),
    "json 503": lambda: text(b'{"error":"invalid_grant"}', 503),
    "empty": text,
    "not json": lambda: text(b'{"error":'),
    "a list": lambda: text(b"[]"),
    "a redirect": lambda: text(b"", 302),
    "huge": lambda: text(b'"' + b"x" * MAX_ANSWER + b'"'),
    "not utf-8": lambda: text(b'{"error":"\xff"}'),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_broken_token_answer_is_an_outage_and_is_not_asked_again(
    pair: Pair, kind: str
) -> None:
    await pair.ours.discovery()
    pair.answer("/token", BROKEN[kind])

    for asked, question in enumerate(
        (pair.ours.grant(EMAIL, PASSWORD, None), pair.ours.refresh("r")), start=1
    ):
        with pytest.raises((ProviderUnavailable, TokenRefused)) as caught:
            await question
        if isinstance(caught.value, TokenRefused):
            assert caught.value.refusal in {
                Refusal.UNAVAILABLE,
                Refusal.MISCONFIGURED,
            }
        assert pair.count("/token") == asked


async def test_a_slow_provider_is_given_up_and_not_asked_again() -> None:
    async with meeting(timeout=0.5) as pair:
        await pair.ours.discovery()
        pair.answer("/token", asyncio.Event().wait)

        with pytest.raises(ProviderUnavailable):
            await pair.ours.refresh("r")
        assert pair.count("/token") == 1


async def test_a_connection_lost_after_the_post_is_not_tried_again(pair: Pair) -> None:
    await pair.ours.discovery()

    async def intercept(request: web.Request) -> web.StreamResponse | None:
        pair.asked.append((request.method, request.path))
        assert request.transport is not None
        request.transport.close()
        return None

    # Over a connection kept alive: the one that a client library likes to retry.
    pair.theirs.intercept = intercept
    for asked in (1, 2):
        with pytest.raises(ProviderUnavailable):
            await pair.ours.refresh("r")
        assert pair.count("/token") == asked


async def test_an_endless_answer_is_not_read_to_its_end(pair: Pair) -> None:
    await pair.ours.discovery()
    sent = 0

    async def intercept(request: web.Request) -> web.StreamResponse | None:
        nonlocal sent
        stream = web.StreamResponse()
        await stream.prepare(request)
        while True:
            await stream.write(b"x" * 65536)
            sent += 65536

    pair.theirs.intercept = intercept
    with pytest.raises(ProviderUnavailable, match="too long"):
        await pair.ours.refresh("r")
    assert sent < 20 * MAX_ANSWER


async def test_a_provider_that_is_away_is_unavailable() -> None:
    async with meeting() as pair:
        theirs = pair.ours
    async with client_session() as http:
        with pytest.raises(ProviderUnavailable):
            await Provider(theirs.auth, http, pair.clock).discovery()


@pytest.mark.parametrize("change", ["issuer", "token_endpoint", "jwks_uri", "missing"])
async def test_a_discovery_document_of_someone_else_is_refused(
    pair: Pair, change: str
) -> None:
    issuer = pair.ours.auth.issuer
    found = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/auth",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/certs",
    }
    if change == "missing":
        del found["authorization_endpoint"]
    elif change == "issuer":
        found["issuer"] = issuer + "/"
    else:
        found[change] = 5  # type: ignore[assignment] # nonsense on purpose
    import json  # noqa: PLC0415 - only here

    pair.answer("/openid-configuration", lambda: text(json.dumps(found).encode()))

    with pytest.raises(ProviderUnavailable):
        await pair.ours.discovery()


async def test_discovery_is_asked_once_an_hour_and_survives_an_outage(
    pair: Pair,
) -> None:
    for _ in range(5):
        await pair.ours.discovery()
    assert pair.count("/openid-configuration") == 1
    found = await pair.ours.discovery()

    pair.answer("/openid-configuration", lambda: text("down", 503))
    pair.clock.ahead += 3601

    assert await pair.ours.discovery() == found
    assert pair.count("/openid-configuration") == 2


async def test_no_secret_reaches_the_log(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = await pair.ours.grant(EMAIL, PASSWORD, "CANARY-otp")
    await pair.ours.refresh(tokens.refresh_token)
    for wrong in (
        pair.ours.grant(EMAIL, PASSWORD + "x", "CANARY-otp"),
        pair.ours.refresh("CANARY-refresh"),
        pair.ours.exchange("CANARY-code", "CANARY-verifier", "http://localhost:8080/"),
    ):
        with pytest.raises(TokenRefused):
            await wrong

    assert "refused" in caplog.text
    assert "CANARY" not in caplog.text
    assert tokens.refresh_token not in caplog.text
    assert tokens.access_token not in caplog.text
