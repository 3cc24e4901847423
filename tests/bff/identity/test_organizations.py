"""The tenant that a person's organizations name, and when they name none."""

from __future__ import annotations

from typing import Any

import pytest

from bff.identity.messages import TenantSource, read_organization, read_person
from tests.bff.identity.minting import AUDIENCE, CLIENT, ISSUER, NOW, claims


def tenant(source: TenantSource, **changes: Any) -> int | None:
    return read_person(
        claims(**changes),
        issuer=ISSUER,
        client_id=CLIENT,
        audience=AUDIENCE,
        now=NOW,
        tenant_source=source,
    ).claimed_tenant


@pytest.mark.parametrize(
    "claim",
    [
        ["1001"],
        {"1001": {"id": "5f0e5a9e-0000-4000-8000-000000000001"}},
        ["acme", "1001", "globex"],
        ["1001", "1001"],  # Keycloak repeats itself at a refresh (its issue 33556)
        {"1001": {"id": "x", "tenant_id": ["1002"]}, "acme": {}},
        ["1001", 1002, None, ["1003"], True],
    ],
)
def test_one_organization_with_a_number_for_an_alias_is_the_tenant(claim: Any) -> None:
    assert read_organization(claim) == 1001


@pytest.mark.parametrize(
    "claim",
    [
        None,
        [],
        {},
        ["acme"],
        ["1001", "1002"],
        {"1001": {}, "1002": {}},
        "1001",  # a claim that somebody maps by hand, not Keycloak's
        1001,
        [1001],
        ["0"],
        ["01001"],  # a second spelling would be a second organization
        ["1001 "],
        ["+1001"],
        ["-1001"],
        ["1e3"],
        ["\u0661\u0660\u0660\u0661"],
        ["9" * 19],
        ["9" * 30],
        [True],
        True,
    ],
    ids=repr,
)
def test_everything_else_names_no_tenant(claim: Any) -> None:
    assert read_organization(claim) is None


def test_only_the_chosen_claim_counts() -> None:
    both = {"tenant_id": "1002", "organization": ["1001"]}

    assert tenant("organization", **both) == 1001
    assert tenant("attribute", **both) == 1002
    assert tenant("organization", tenant_id="1002") is None
    assert tenant("attribute", organization=["1001"]) is None
