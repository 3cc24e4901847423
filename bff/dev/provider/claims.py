"""What each kind of token says, in Keycloak's words; no I/O here."""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bff.dev.provider.model import stable_id

if TYPE_CHECKING:
    from bff.dev.provider.accounts import Account
    from bff.dev.provider.model import Client, Person, Realm
    from bff.dev.provider.sessions import SsoSession

Claims = dict[str, Any]

# A logout token is good for two minutes.
_LOGOUT_TTL = 120
# What a refresh token says of its scope besides what the access token shows.
_SILENT = ("acr", "roles", "basic")
_BACKCHANNEL_EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, kw_only=True)
class Occasion:
    """Everything the tokens of one answer have in common."""

    realm: Realm
    account: Account
    client: Client
    session: SsoSession
    scope: str
    now: int
    # What Keycloak puts before an access token's id: the grant it came from.
    kind: str = "onrtro"
    acr: str = "1"
    nonce: str | None = None

    @property
    def access_expires(self) -> int:
        """Return when the access token ends: never after the session."""
        end = self.session.ends_at(self.realm)
        return min(self.now + self.realm.access_ttl, end)

    @property
    def refresh_expires(self) -> int:
        """Return when the refresh token ends: never after the session."""
        end = self.session.ends_at(self.realm)
        return min(self.now + self.realm.idle_ttl, end)


def access(occasion: Occasion) -> Claims:
    """Build the access token of a person."""
    person = occasion.account.person
    roles = {"realm_access": {"roles": list(person.roles)}} if person.roles else {}
    return {
        "exp": occasion.access_expires,
        "iat": occasion.now,
        **_auth_time(occasion.session),
        "jti": f"{occasion.kind}:{uuid.uuid4()}",
        "iss": occasion.session.issuer,
        "aud": occasion.realm.audience,
        "sub": occasion.account.id,
        "typ": "Bearer",
        "azp": occasion.client.client_id,
        "sid": occasion.session.id,
        "acr": occasion.acr,
        **roles,
        "scope": occasion.scope,
        **profile(person),
    }


def identity(occasion: Occasion, access_token: str) -> Claims:
    """Build the ID token that goes with an access token."""
    nonce = {} if occasion.nonce is None else {"nonce": occasion.nonce}
    half = hashlib.sha256(access_token.encode()).digest()[:16]
    return {
        "exp": occasion.access_expires,
        "iat": occasion.now,
        **_auth_time(occasion.session),
        "jti": str(uuid.uuid4()),
        "iss": occasion.session.issuer,
        "aud": occasion.client.client_id,
        "sub": occasion.account.id,
        "typ": "ID",
        "azp": occasion.client.client_id,
        **nonce,
        "sid": occasion.session.id,
        "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
        "acr": occasion.acr,
        **profile(occasion.account.person),
    }


def refresh(occasion: Occasion, chain: str | None) -> Claims:
    """Build the refresh token; *chain* ties it to its sign-in under rotation."""
    return {
        "exp": occasion.refresh_expires,
        "iat": occasion.now,
        "jti": str(uuid.uuid4()),
        "iss": occasion.session.issuer,
        "aud": occasion.session.issuer,
        "sub": occasion.account.id,
        "typ": "Refresh",
        "azp": occasion.client.client_id,
        "sid": occasion.session.id,
        "scope": " ".join((occasion.scope, *_SILENT)),
        "aud_x": occasion.realm.audience,
        "prov": "default",
        **({} if chain is None else {"reuse_id": chain}),
    }


def service(realm: Realm, client: Client, issuer: str, now: int) -> Claims:
    """Build the access token of a client acting for itself."""
    return {
        "exp": now + realm.access_ttl,
        "iat": now,
        "jti": f"trrtcc:{uuid.uuid4()}",
        "iss": issuer,
        "aud": "realm-management",
        "sub": stable_id(f"service-account-{client.client_id}"),
        "typ": "Bearer",
        "azp": client.client_id,
        "resource_access": {"realm-management": {"roles": ["manage-users"]}},
        "scope": "",
    }


def logout(session: SsoSession, client: Client, now: int) -> Claims:
    """Build a back-channel logout token."""
    return {
        "exp": now + _LOGOUT_TTL,
        "iat": now,
        "jti": str(uuid.uuid4()),
        "iss": session.issuer,
        "aud": client.client_id,
        "sub": session.sub,
        "typ": "Logout",
        "sid": session.id,
        "events": {_BACKCHANNEL_EVENT: {}},
    }


def profile(person: Person) -> Claims:
    """Describe the person as the scopes `profile` and `email` do."""
    known = {
        "email_verified": person.email_verified,
        "name": person.name,
        "preferred_username": person.email.lower(),
        "given_name": person.first_name,
        "family_name": person.last_name,
        "email": person.email,
        "tenant_id": None if person.tenant_id is None else str(person.tenant_id),
    }
    # Keycloak leaves out what it does not know, rather than saying null.
    return {name: value for name, value in known.items() if value not in (None, "")}


def _auth_time(session: SsoSession) -> Claims:
    return {} if session.auth_time is None else {"auth_time": session.auth_time}
