"""How the client proves itself: by its secret, or by what it signs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from pydantic import SecretStr

from bff.config_identity import Auth
from bff.identity.client_auth import (
    ASSERTION_TYPE,
    DATED_BACK,
    LIFE,
    ClientKeyError,
    SharedSecret,
    SignedAssertion,
    public_jwk,
    read_key,
)
from bff.identity.provider import proof_of

if TYPE_CHECKING:
    from pathlib import Path

CLIENT, ISSUER, NOW = "nexius-bff", "https://id.test/realms/nexius", 1_700_000_000.9
P256 = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)
KEYS: dict[str, ECKey | RSAKey] = {"ES256": P256, "PS256": RSA}


def pem(key: ECKey | RSAKey, *, private: bool = True) -> str:
    return key.as_pem(private=private).decode()


def test_a_secret_is_sent_as_it_is_and_never_shown() -> None:
    proof = SharedSecret("CANARY-secret")

    assert proof.fields(CLIENT, ISSUER, NOW) == {
        "client_id": CLIENT,
        "client_secret": "CANARY-secret",
    }
    assert "CANARY" not in repr(proof)


@pytest.mark.parametrize("algorithm", KEYS)
def test_an_assertion_says_who_calls_whom_once_and_for_a_minute(algorithm: str) -> None:
    key = KEYS[algorithm]
    ids = iter(("first", "second"))
    proof = SignedAssertion(key=key, key_id="k1", new_id=lambda: next(ids))

    fields, again = (proof.fields(CLIENT, ISSUER, NOW) for _ in range(2))

    assert fields["client_id"] == CLIENT
    assert fields["client_assertion_type"] == ASSERTION_TYPE
    assert fields.keys() == {"client_id", "client_assertion_type", "client_assertion"}
    public = KeySet.import_key_set({"keys": [{**public_jwk(key), "kid": "k1"}]})
    read = jwt.decode(fields["client_assertion"], public, algorithms=[algorithm])
    assert read.header == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
    assert read.claims == {
        "iss": CLIENT,
        "sub": CLIENT,
        "aud": ISSUER,
        "jti": "first",
        "iat": int(NOW) - DATED_BACK,
        "exp": int(NOW) - DATED_BACK + LIFE,
    }
    assert again["client_assertion"] != fields["client_assertion"]
    assert "PRIVATE" not in repr(proof)


def test_no_key_id_is_sent_where_none_is_wanted() -> None:
    proof = SignedAssertion(key=P256, key_id="", new_id=lambda: "x")

    token = proof.fields(CLIENT, ISSUER, NOW)["client_assertion"]

    assert "kid" not in jws.extract_compact(token.encode()).headers()


@pytest.mark.parametrize("algorithm", KEYS)
def test_the_public_half_names_its_thumbprint_and_holds_nothing_private(
    algorithm: str,
) -> None:
    found = public_jwk(KEYS[algorithm])

    assert found["kid"] == KEYS[algorithm].thumbprint()
    assert (found["use"], found["alg"]) == ("sig", algorithm)
    assert not found.keys() & {"d", "p", "q", "dp", "dq", "qi"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no private key"),
        ("garbage", "no private key"),
        (pem(P256, private=False), "public key"),
        (pem(RSA, private=False), "public key"),
        (pem(ECKey.generate_key("P-384")), "another curve"),
        (RSA.as_pem(private=True, password="CANARY").decode(), "without a password"),
    ],
    ids=["empty", "garbage", "public", "public rsa", "curve", "locked"],
)
def test_a_key_that_cannot_be_used_is_said_to_be_so(text: str, said: str) -> None:
    with pytest.raises(ClientKeyError, match=said) as caught:
        read_key(text)

    assert not any(line in str(caught.value) for line in text.splitlines())


@pytest.mark.filterwarnings("ignore:Key size:joserfc.errors.SecurityWarning")
def test_a_short_key_is_refused() -> None:
    with pytest.raises(ClientKeyError, match="less than 2048 bits"):
        read_key(pem(RSAKey.generate_key(1024)))


@given(st.text(max_size=40))
def test_no_text_is_a_key_or_fails(text: str) -> None:
    with pytest.raises(ClientKeyError):
        read_key(text)


def configured(file: Path, key_id: str | None = None) -> Auth:
    return Auth(issuer=ISSUER, client_key_file=file, client_key_id=key_id)


@pytest.mark.parametrize(
    ("key_id", "sent"),
    [(None, RSA.thumbprint()), ("mine", "mine")],
    ids=["its own", "mine"],
)
def test_the_key_file_decides_how_the_client_proves_itself(
    tmp_path: Path, key_id: str | None, sent: str
) -> None:
    file = tmp_path / "client.pem"
    file.write_text(pem(RSA))

    signed = proof_of(configured(file, key_id)).fields(CLIENT, ISSUER, NOW)
    other = proof_of(configured(file, key_id)).fields(CLIENT, ISSUER, NOW)
    secret = proof_of(Auth(client_secret=SecretStr("s"))).fields(CLIENT, ISSUER, NOW)

    header = jws.extract_compact(signed["client_assertion"].encode()).headers()
    assert header["kid"] == sent
    assert secret == {"client_id": CLIENT, "client_secret": "s"}
    ids = [
        json.loads(jws.extract_compact(one["client_assertion"].encode()).payload)["jti"]
        for one in (signed, other)
    ]
    assert ids[0] != ids[1]
    assert min(map(len, ids)) > 20


def test_a_key_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    absent, broken, strange = (tmp_path / name for name in ("a", "b", "c"))
    broken.write_text("garbage")
    strange.write_bytes(b"\xff\xfe")

    for file in (absent, broken, strange, tmp_path):
        with pytest.raises(ClientKeyError, match=f"auth.client_key_file: {file} "):
            proof_of(configured(file))
