"""Say what a client for a tenant's Odoo is like at Keycloak, and what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bff.identity.messages import ProviderUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    Representation = dict[str, object]

# Names its own client, so that a copy under another id is nobody's of ours.
MARKER = "bff.client"
# Columns of Keycloak's database; what is longer is a 500 there.
LONGEST = 255
# What holds whatever somebody changed by hand. `enabled` is not among it: who switches
# a client off means it.
SETTINGS: Mapping[str, object] = {
    "protocol": "openid-connect",
    "publicClient": False,
    "bearerOnly": False,
    "clientAuthenticatorType": "client-secret",
    "standardFlowEnabled": True,
    "implicitFlowEnabled": False,
    "directAccessGrantsEnabled": False,
    "serviceAccountsEnabled": False,
    "consentRequired": False,
    "fullScopeAllowed": False,
    "frontchannelLogout": False,
    "webOrigins": [],
}
ATTRIBUTES: Mapping[str, str] = {
    "pkce.code.challenge.method": "S256",
    # OCA's auth_oidc verifies no other.
    "id.token.signed.response.alg": "RS256",
}
# Given once and the operator's from then on. By default Keycloak would add roles, and
# `offline_access` for whoever asks.
AT_FIRST: Mapping[str, object] = {
    "defaultClientScopes": ["basic", "profile", "email"],
    "optionalClientScopes": [],
}


def check_exact(uri: str) -> None:
    """Take an absolute http(s) address in which Keycloak sees neither pattern nor list.

    Raises:
        ValueError: when it is anything else.
    """
    parts = urlsplit(uri)
    odd = any(one in "*#\\@ " or not one.isprintable() for one in uri)
    if parts.scheme not in {"http", "https"} or not parts.hostname or odd:
        raise ValueError("give http(s)://HOST[/PATH] without patterns")
    if len(uri) > LONGEST:
        raise ValueError("an address has at most 255 characters")


def differing(found: Representation, expected: Representation) -> Representation:
    """Return what of *expected* is otherwise in *found*, fit to be written.

    Keycloak keeps what a write leaves out, but for web origins: empty ones that are not
    named it fills from the redirect URIs (measured, 26.7).
    """
    changes = {
        name: value
        for name, value in expected.items()
        if name != "attributes" and not _same(found.get(name), value)
    }
    held, wanted = attributes_of(found), attributes_of(expected)
    attributes = {name: one for name, one in wanted.items() if held.get(name) != one}
    if attributes:
        changes["attributes"] = attributes
    if changes:
        changes["webOrigins"] = expected["webOrigins"]
    return changes


def with_redirect(found: Representation, uri: str) -> Representation:
    """Return what adds a redirect URI to *found*, nothing where it is there already.

    What Keycloak would change along with it is named too: it would fill empty web
    origins, and end authorization services.

    Raises:
        ProviderUnavailable: when *found* does not say what would be lost.
    """
    present, origins = found.get("redirectUris"), found.get("webOrigins")
    if not isinstance(present, list) or not isinstance(origins, list):
        raise ProviderUnavailable("the provider does not show all of the client")
    if uri in present:
        return {}
    changes: Representation = {"redirectUris": [*present, uri], "webOrigins": origins}
    if found.get("authorizationServicesEnabled") is True:
        changes["authorizationServicesEnabled"] = True
    return changes


def attributes_of(client: Representation) -> dict[str, object]:
    """Return its attributes, none where they have another shape."""
    attributes = client.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _same(held: object, wanted: object) -> bool:
    if isinstance(held, list) and isinstance(wanted, list):
        return sorted(map(str, held)) == sorted(map(str, wanted))  # sets, over there
    return held == wanted
