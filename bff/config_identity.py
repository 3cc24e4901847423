"""The identity provider in the configuration, and who may open an account there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, SecretStr

from bff.config_base import Secret, Section

if TYPE_CHECKING:
    from bff.config import Config


class Auth(Section):
    """The identity provider (Keycloak)."""

    issuer: str = Field(
        "", description="Issuer URL, compared exactly with every token."
    )
    client_id: str = Field("nexius-bff", description="The gateway's client.")
    client_secret: Secret = Field(
        SecretStr(""), description="Its secret; or give client_key_file."
    )
    client_key_file: Path | None = Field(
        None,
        description="File with its private key (PEM, RSA or P-256), instead of a "
        "secret: private_key_jwt. `bff keys client` makes one.",
    )
    client_key_id: str | None = Field(
        None,
        description="Key id that is sent; by default the key's thumbprint (RFC 7638), "
        'as in the JWKS of `bff keys client`. "" sends none.',
    )
    audience: str = Field("nexius-api", description="Required in `aud` of every token.")
    scope: str = Field("openid email profile", description="Scopes asked for.")
    direct_grant: bool = Field(
        default=True,
        description="POST /auth/login with a password; off removes the route.",
    )
    prompts: tuple[str, ...] = Field(
        ("login", "create"), description="Values of `prompt` that /auth/sso passes on."
    )
    timeout: float = Field(10.0, gt=0, description="Seconds for one provider call.")
    refusal_step: float = Field(
        0.5,
        ge=0,
        le=5,
        description="A refused password is answered after a multiple of these "
        "seconds, so that the time does not tell who has an account; 0 for at once.",
    )
    provisioner_client_id: str = Field(
        "",
        description="Another client, with a service account that may manage users.",
    )
    provisioner_client_secret: Secret = Field(
        SecretStr(""), description="Its secret; a leak of client_secret makes no users."
    )


class Register(Section):
    """Who may open an account."""

    mode: Literal["self_service", "admin_api", "off"] = Field(
        "self_service",
        description="`self_service`: the provider's own page; `admin_api`: the gateway "
        "asks the provider, with the provisioner client; `off`: there is no way here.",
    )
    per_address_daily: int = Field(20, ge=1, description="Tries from one network.")
    per_email_daily: int = Field(3, ge=1, description="Tries for one e-mail address.")


def problems_of(config: Config) -> list[str]:
    """Return one sentence for each problem, each beginning with its key."""
    found = []
    auth = config.auth
    secret = auth.provisioner_client_secret.get_secret_value()
    if auth.provisioner_client_id and not secret:
        found.append(
            "auth.provisioner_client_secret: missing; set NEXIUS_ADMIN_CLIENT_SECRET"
        )
    if secret and not auth.provisioner_client_id:
        found.append("auth.provisioner_client_id: missing; set NEXIUS_ADMIN_CLIENT_ID")
    if auth.provisioner_client_id and "/realms/" not in auth.issuer:
        found.append(
            "auth.provisioner_client_id: is for Keycloak, whose issuer ends in "
            "/realms/REALM"
        )
    if auth.provisioner_client_id == auth.client_id:
        found.append(
            "auth.provisioner_client_id: must be another client than auth.client_id, "
            "so that a leaked secret of the one cannot make users"
        )
    if config.registration.mode == "admin_api" and not auth.provisioner_client_id:
        found.append(
            "register.mode: admin_api needs a client that may manage users; set "
            "NEXIUS_ADMIN_CLIENT_ID and NEXIUS_ADMIN_CLIENT_SECRET"
        )
    if config.registration.mode == "self_service" and "create" not in auth.prompts:
        found.append(
            'register.mode: self_service needs "create" in auth.prompts; add it, or '
            'set register.mode = "off"'
        )
    return found
