"""Only the provider's own signature counts, by its own keys."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jws

from bff.identity.keys import SignatureRefused, SigningKeys
from bff.identity.messages import ProviderUnavailable
from tests.bff.identity.minting import SUB, claims, ec, jwks, rsa, signed, token

# What `crit` may hold in a token that somebody made up; a list of names is right.
CRITICAL: tuple[object, ...] = (5, True, None, "exp", ["exp"], {})


class Endpoint:
    """The provider's certs: what they answer, and how often they were asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0
        self.now = 1000.0
        self.slow = 0.0

    async def fetch(self) -> dict[str, Any]:
        self.asked += 1
        answer = self.answer
        await asyncio.sleep(self.slow)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return] # a test may answer anything

    def keys(self) -> SigningKeys:
        return SigningKeys(self.fetch, lambda: self.now)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint(jwks(rsa(), ec()))


def forged(header: dict[str, Any], said: object, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(said).encode(), signature]
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts
    )


async def test_the_three_algorithms_count(endpoint: Endpoint) -> None:
    keys = endpoint.keys()

    for made in (token(), token(alg="PS256"), token(ec(), "ES256")):
        assert (await keys.verify(made))["sub"] == SUB
    assert endpoint.asked == 1


async def test_a_changed_token_is_refused(endpoint: Endpoint) -> None:
    head, body, signature = token().split(".")
    other = token(sub="mallory").split(".")[1]

    for made in (f"{head}.{other}.{signature}", f"{head}.{body}.", f"{head}.{body}"):
        with pytest.raises(SignatureRefused):
            await endpoint.keys().verify(made)


async def test_no_signature_or_a_shared_secret_never_counts(endpoint: Endpoint) -> None:
    public = rsa().as_pem(private=False)
    confused = forged({"alg": "HS256", "kid": "k1"}, claims())
    head_and_body = confused.rpartition(".")[0].encode()
    confused = forged(
        {"alg": "HS256", "kid": "k1"},
        claims(),
        hmac.digest(public, head_and_body, "sha256"),
    )
    made = [
        confused,
        forged({"alg": "none", "kid": "k1"}, claims()),
        forged({"alg": "None", "kid": "k1"}, claims()),
        forged({"kid": "k1"}, claims()),
        forged({"alg": ["RS256"], "kid": "k1"}, claims()),
        forged({"alg": "RS256"}, claims()),
        forged({"alg": "RS256", "kid": 5}, claims()),
        forged({"alg": "RS256", "kid": ["k1"]}, claims()),
        *(
            forged({"alg": "RS256", "kid": "k1", "crit": crit}, claims())
            for crit in CRITICAL
        ),
        token(rsa(), "RS384"),
        token(rsa(), "RS512"),
    ]

    for one in made:
        with pytest.raises(SignatureRefused):
            await endpoint.keys().verify(one)


@pytest.mark.parametrize("kid", ["k1", "attacker"])
async def test_keys_named_inside_a_token_are_ignored(
    endpoint: Endpoint, kid: str
) -> None:
    attacker = rsa("attacker")
    for named in (
        {"jwk": attacker.as_dict(private=False)},
        {"jku": "http://127.0.0.1:1/certs"},
        {"x5u": "http://127.0.0.1:1/cert"},
    ):
        with pytest.raises(SignatureRefused):
            await endpoint.keys().verify(
                signed({"alg": "RS256", "kid": kid, **named}, claims(), attacker)
            )


@pytest.mark.parametrize("use", ["enc", "", None])
async def test_only_a_key_for_signatures_verifies(use: str | None) -> None:
    key = rsa("other")
    public = {**key.as_dict(private=False), "use": use}
    if use is None:
        del public["use"]
    keys = Endpoint({"keys": [*jwks(rsa())["keys"], public]}).keys()
    await keys.verify(token())

    with pytest.raises(SignatureRefused):
        await keys.verify(token(key))


async def test_a_key_of_an_unknown_kind_hides_no_other() -> None:
    odd: list[object] = [
        None,
        "k",
        {"use": "sig"},
        {"use": "sig", "kid": "x", "kty": "new"},
        {"use": "sig", "kid": "x", "kty": ["RSA"]},
        {"use": "sig", "kid": "x", "kty": "RSA", "n": 5, "e": "AQAB"},
        {"use": "sig", "kid": "x", "kty": "RSA", "n": "", "e": ""},
        {"use": "sig", "kid": "x", "kty": "EC", "crv": "P-0", "x": "AA", "y": "AA"},
        {"use": "sig", "kid": "x", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
    ]
    endpoint = Endpoint({"keys": [*odd, *jwks(rsa())["keys"]]})

    assert (await endpoint.keys().verify(token()))["sub"] == SUB


@pytest.mark.parametrize("answer", [{}, {"keys": None}, {"keys": 5}, {"keys": []}])
async def test_certs_without_keys_are_an_outage(answer: object) -> None:
    with pytest.raises(ProviderUnavailable):
        await Endpoint(answer).keys().verify(token())


async def test_an_unknown_key_is_asked_for_once_in_thirty_seconds(
    endpoint: Endpoint,
) -> None:
    keys = endpoint.keys()
    await keys.verify(token())
    stranger = token(rsa("stranger"))

    for later, asked in ((1, 1), (29, 1), (31, 2), (32, 2), (62, 3)):
        endpoint.now = 1000.0 + later
        with pytest.raises(SignatureRefused):
            await keys.verify(stranger)
        assert endpoint.asked == asked


async def test_fifty_at_once_ask_once(endpoint: Endpoint) -> None:
    endpoint.slow = 0.05
    keys = endpoint.keys()

    found = await asyncio.gather(*(keys.verify(token()) for _ in range(50)))

    assert len(found) == 50
    assert endpoint.asked == 1


async def test_a_caller_that_leaves_does_not_end_the_fetch_for_others(
    endpoint: Endpoint,
) -> None:
    endpoint.slow = 0.1
    keys = endpoint.keys()
    leaving = asyncio.ensure_future(keys.verify(token()))
    staying = asyncio.ensure_future(keys.verify(token()))
    await asyncio.sleep(0.02)

    leaving.cancel()

    assert (await staying)["sub"] == SUB
    assert endpoint.asked == 1


async def test_a_new_key_is_noticed_and_the_old_one_serves_on(
    endpoint: Endpoint,
) -> None:
    keys = endpoint.keys()
    await keys.verify(token())
    endpoint.answer = jwks(rsa("k2"), rsa())
    endpoint.now += 31

    assert (await keys.verify(token(rsa("k2"))))["sub"] == SUB
    assert (await keys.verify(token()))["sub"] == SUB
    assert endpoint.asked == 2


async def test_a_withdrawn_key_stops_counting_after_an_hour(endpoint: Endpoint) -> None:
    keys = endpoint.keys()
    await keys.verify(token())
    endpoint.answer = jwks(rsa("k2"))
    endpoint.now += 3601

    await keys.verify(token())  # served while the new set is fetched
    await asyncio.sleep(0.01)

    with pytest.raises(SignatureRefused):
        await keys.verify(token())


async def test_known_keys_serve_through_an_outage(endpoint: Endpoint) -> None:
    keys = endpoint.keys()
    await keys.verify(token())
    endpoint.answer = ProviderUnavailable("down")
    for _ in range(3):
        endpoint.now += 7200
        assert (await keys.verify(token()))["sub"] == SUB
        await asyncio.sleep(0.01)

    assert endpoint.asked == 4
    endpoint.now += 100
    with pytest.raises(ProviderUnavailable):
        await keys.verify(token(rsa("k2")))


async def test_an_answer_without_keys_does_not_forget_the_known_ones(
    endpoint: Endpoint,
) -> None:
    keys = endpoint.keys()
    await keys.verify(token())
    endpoint.answer = {"keys": []}
    endpoint.now += 7200

    await keys.verify(token())
    await asyncio.sleep(0.01)
    assert (await keys.verify(token()))["sub"] == SUB


async def test_without_any_key_the_provider_is_unavailable() -> None:
    endpoint = Endpoint(ProviderUnavailable("down"))
    keys = endpoint.keys()

    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            await keys.verify(token())
    assert endpoint.asked == 1


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(max_size=60)
    | st.builds(
        forged,
        st.dictionaries(
            st.sampled_from(["alg", "kid", "crit", "b64", "typ", "zip"]),
            st.sampled_from(["RS256", "k1", True, None, 5, ["exp"], {}]),
        ),
        st.none() | st.lists(st.integers()) | st.dictionaries(st.text(), st.integers()),
        st.binary(max_size=8),
    )
)
def test_no_text_is_a_token(text: str) -> None:
    async def verify() -> None:
        with pytest.raises(SignatureRefused):
            await Endpoint(jwks(rsa())).keys().verify(text)

    asyncio.run(verify())


async def test_a_good_signature_over_something_else_is_refused(
    endpoint: Endpoint,
) -> None:
    for said in (b"[]", b"text", b'"text"', b"5", b"\xff"):
        made = jws.serialize_compact({"alg": "RS256", "kid": "k1"}, said, rsa())
        with pytest.raises(SignatureRefused):
            await endpoint.keys().verify(made)
