"""Claims that are ours, and those of everybody else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.identity.messages import (
    MAX_TENANT,
    ClaimsRefused,
    Person,
    check_claims,
    read_person,
    read_tenant,
)
from tests.bff.identity.minting import AUDIENCE, CLIENT, ISSUER, NOW, SUB, claims

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(claims())), inner, max_size=6)
    ),
    max_leaves=12,
)


def person(**changes: Any) -> Person:
    return read_person(
        claims(**changes), issuer=ISSUER, client_id=CLIENT, audience=AUDIENCE, now=NOW
    )


def test_a_person_is_read() -> None:
    found = person(tenant_id="1001", realm_access={"roles": ["admin", "other"]})

    assert found == Person(
        iss=ISSUER,
        sub=SUB,
        email="alice@acme.test",
        email_verified=True,
        provider_sid="provider-session",
        claimed_tenant=1001,
        claimed_roles=("admin",),
    )
    assert found.user_id == f"{ISSUER} {SUB}"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"iss": None}, "iss"),
        ({"iss": ISSUER + "/"}, "iss"),
        ({"iss": [ISSUER]}, "iss"),
        ({"aud": None}, "aud"),
        ({"aud": "account"}, "aud"),
        ({"aud": AUDIENCE + "2"}, "aud"),
        ({"aud": ["account", CLIENT]}, "aud"),
        ({"aud": {AUDIENCE: 1}}, "aud"),
        ({"azp": "another-client"}, "azp"),
        ({"azp": [CLIENT]}, "azp"),
        ({"typ": None}, "typ"),
        ({"typ": "ID"}, "typ"),
        ({"typ": "Refresh"}, "typ"),
        ({"typ": "bearer"}, "typ"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": 5}, "sub"),
        ({"exp": None}, "exp"),
        ({"exp": "1"}, "exp"),
        ({"exp": NOW - 150}, "exp"),
        ({"iat": NOW + 151}, "iat"),
        ({"iat": "soon"}, "iat"),
        ({"nbf": NOW + 151}, "nbf"),
    ],
)
def test_a_claim_that_is_not_ours_is_refused_by_name(
    changes: dict[str, object], named: str
) -> None:
    with pytest.raises(ClaimsRefused, match=f"^{named}$"):
        person(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": AUDIENCE},
        {"aud": ["account", AUDIENCE]},
        {"exp": NOW - 149},
        {"iat": NOW + 149},
        {"nbf": NOW + 149},
        {"iat": None},
    ],
)
def test_clocks_and_audiences_have_their_room(changes: dict[str, object]) -> None:
    assert person(**changes).sub == SUB


def test_an_id_token_is_no_access_token_even_for_our_audience() -> None:
    said = claims(typ="ID", aud=[AUDIENCE, CLIENT])

    check_claims(said, issuer=ISSUER, audience=CLIENT, now=NOW, typ="ID")
    with pytest.raises(ClaimsRefused, match="typ"):
        person(**said)


@pytest.mark.parametrize("value", ["yes", 1, None, "true"])
def test_only_true_verifies_an_address(value: object) -> None:
    assert person(email_verified=value).email_verified is False


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (1001, 1001),
        ("1001", 1001),
        ("007", 7),
        (MAX_TENANT, MAX_TENANT),
        (str(MAX_TENANT), MAX_TENANT),
        (MAX_TENANT + 1, None),
        (str(MAX_TENANT + 1), None),
        ("9" * 5000, None),
        (0, None),
        (-1, None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        (1.0, None),
        (True, None),
        ("", None),
        (" 1", None),
        ("\u0661\u0660", None),
        ("²", None),
        (["1001"], None),
        ({"1001": 1}, None),
        (None, None),
        ("1001; DROP TABLE tenants", None),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_tenant_claim_is_a_number_or_nothing(
    claim: object, expected: int | None
) -> None:
    assert read_tenant(claim) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"roles": ["ops", "viewer", "root"]}, ("viewer", "ops")),
        ({"roles": [], "realm_access": {"roles": ["admin"]}}, ()),
        ({"roles": "admin", "realm_access": {"roles": ["ops"]}}, ("ops",)),
        ({"realm_access": {"roles": "admin"}}, ()),
        ({"realm_access": ["admin"]}, ()),
        ({"roles": [["admin"], {"admin": 1}, None]}, ()),
    ],
)
def test_roles_are_ours_only_and_come_from_one_claim(
    said: dict[str, object], expected: tuple[str, ...]
) -> None:
    assert person(**said).claimed_roles == expected


@given(st.dictionaries(st.sampled_from(sorted(claims())), JSON))
def test_any_claims_make_a_person_or_are_refused(changes: dict[str, Any]) -> None:
    try:
        found = person(**changes)
    except ClaimsRefused:
        return
    assert isinstance(found.sub, str)
    assert found.iss == ISSUER
