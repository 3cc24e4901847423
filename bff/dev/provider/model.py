"""What a realm consists of, as frozen values; no I/O here."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Person:
    """Someone who can sign in; the e-mail address is also the user name."""

    email: str
    password: str
    tenant_id: int | None = None
    roles: tuple[str, ...] = ()
    first_name: str = ""
    last_name: str = ""
    totp_secret: str | None = None
    enabled: bool = True
    email_verified: bool = True
    required_actions: tuple[str, ...] = ()

    @property
    def sub(self) -> str:
        """Name this person the same way in every run."""
        return stable_id(f"mailto:{self.email.lower()}")

    @property
    def name(self) -> str:
        """Join first and last name, as the `name` claim does."""
        return f"{self.first_name} {self.last_name}".strip()


@dataclass(frozen=True, kw_only=True)
class Client:
    """A confidential client; a URI may end in `*` to mean every continuation.

    One with *keys*, public and as JWK, signs assertions and needs no secret.
    """

    client_id: str
    secret: str = ""
    keys: tuple[Mapping[str, Any], ...] = ()
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_url: str | None = None
    direct_grant: bool = True
    service_account: bool = False

    def may_redirect_to(self, uri: str) -> bool:
        """Tell whether sign-in may end at this URI."""
        return any(_matches(uri, allowed) for allowed in self.redirect_uris)

    def may_return_to(self, uri: str) -> bool:
        """Tell whether sign-out may end at this URI."""
        # Keycloak falls back to the redirect URIs when none are configured.
        allowed = self.post_logout_redirect_uris or self.redirect_uris
        return any(_matches(uri, one) for one in allowed)


@dataclass(frozen=True, kw_only=True)
class Realm:
    """The settings of one realm; durations are seconds."""

    name: str = "nexius"
    audience: str = "nexius-api"
    access_ttl: int = 300
    idle_ttl: int = 1800
    max_ttl: int = 36000
    rotate: bool = False
    code_ttl: int = 60
    login_ttl: int = 1800
    otp_reusable: bool = False
    verify_email: bool = False
    registration: bool = True
    failure_factor: int = 30
    wait_increment: int = 60
    max_failure_wait: int = 900
    password_length: int = 12


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened, with the reason that the HTTP body hides."""

    type: str
    error: str | None = None
    sub: str | None = None
    client_id: str | None = None
    sid: str | None = None


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A message that Keycloak would have sent; nothing leaves this machine."""

    to: str
    actions: tuple[str, ...]


def stable_id(name: str) -> str:
    """Derive the same UUID from the same name in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def _matches(uri: str, allowed: str) -> bool:
    if allowed.endswith("*"):
        # A wildcard continues a path; dots would let it climb out again.
        return uri.startswith(allowed[:-1]) and ".." not in uri and "#" not in uri
    return uri == allowed
