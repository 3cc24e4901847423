"""The test realms in the form that Keycloak imports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.real.keycloak_realms import (
    BFF,
    MAY,
    ODOO,
    ORGANIZATIONS,
    PEOPLE,
    PROVISIONER,
    ROLES,
    clients,
)

if TYPE_CHECKING:
    from bff.dev.provider import Client, Person, Realm

# What the tests count; Keycloak keeps no refreshes unless told.
EVENTS = ("LOGIN", "LOGIN_ERROR", "REFRESH_TOKEN", "REFRESH_TOKEN_ERROR", "LOGOUT")


def representation(
    realm: Realm, backchannel: str, *, smtp_port: int | None = None
) -> dict[str, Any]:
    """Build what `--import-realm` reads; organizations and mail come with a port."""
    built = clients(backchannel)
    more: dict[str, Any] = {}
    if smtp_port is not None:
        more = {
            "smtpServer": {
                "host": "127.0.0.1",
                "port": str(smtp_port),
                "from": "no-reply@nexius.test",
            },
            "organizationsEnabled": True,
            "organizations": [_organization(*one) for one in ORGANIZATIONS.items()],
        }
    return {
        "realm": realm.name,
        "enabled": True,
        "sslRequired": "none",
        "registrationAllowed": realm.registration,
        "registrationEmailAsUsername": True,
        "verifyEmail": realm.verify_email,
        "resetPasswordAllowed": True,
        # Hashing at full strength would take most of the tests' time.
        "passwordPolicy": f"length({realm.password_length}) and"
        " notUsername(undefined) and notEmail(undefined) and"
        " hashAlgorithm(pbkdf2-sha256) and hashIterations(1000)",
        "accessTokenLifespan": realm.access_ttl,
        "ssoSessionIdleTimeout": realm.idle_ttl,
        "ssoSessionMaxLifespan": realm.max_ttl,
        "accessCodeLifespan": realm.code_ttl,
        "accessCodeLifespanLogin": realm.login_ttl,
        "revokeRefreshToken": realm.rotate,
        "refreshTokenMaxReuse": 0,
        "bruteForceProtected": True,
        "failureFactor": realm.failure_factor,
        "waitIncrementSeconds": realm.wait_increment,
        "maxFailureWaitSeconds": realm.max_failure_wait,
        "minimumQuickLoginWaitSeconds": 1,
        "quickLoginCheckMilliSeconds": 0,
        # All of it: with a policy given in part, direct grant refuses every code.
        "otpPolicyType": "totp",
        "otpPolicyAlgorithm": "HmacSHA1",
        "otpPolicyDigits": 6,
        "otpPolicyPeriod": 30,
        "otpPolicyLookAheadWindow": 1,
        "otpPolicyCodeReusable": realm.otp_reusable,
        "eventsEnabled": True,
        "enabledEventTypes": list(EVENTS),
        "roles": {"realm": [{"name": name} for name in ROLES]},
        "scopeMappings": [
            {"client": name, "roles": list(ROLES)} for name in (BFF, ODOO)
        ],
        "clientScopeMappings": {
            "realm-management": [{"client": PROVISIONER, "roles": list(MAY)}]
        },
        "components": {"org.keycloak.userprofile.UserProfileProvider": [_profile()]},
        "clients": [_client(one, realm) for one in built],
        "users": [
            *(_user(one, realm) for one in PEOPLE),
            _service_account(built[-1], realm),
        ],
        **more,
    }


def _client(client: Client, realm: Realm) -> dict[str, Any]:
    return {
        "clientId": client.client_id,
        "secret": client.secret,
        "standardFlowEnabled": not client.service_account,
        "directAccessGrantsEnabled": client.direct_grant,
        "serviceAccountsEnabled": client.service_account,
        # Off, so that tokens list only the roles that mean something to us.
        "fullScopeAllowed": False,
        "frontchannelLogout": False,
        "redirectUris": list(client.redirect_uris),
        "webOrigins": [],
        "attributes": {
            "pkce.code.challenge.method": "S256",
            # Without this a logout token names no session.
            "backchannel.logout.session.required": "true",
            "backchannel.logout.url": client.backchannel_logout_url or "",
            "post.logout.redirect.uris": "##".join(client.post_logout_redirect_uris),
        },
        "defaultClientScopes": ["basic", "roles"]
        if client.service_account
        else ["basic", "email", "profile", "roles", "acr"],
        "optionalClientScopes": [] if client.service_account else ["organization"],
        "protocolMappers": [] if client.service_account else _mappers(realm),
    }


def _mappers(realm: Realm) -> list[dict[str, Any]]:
    kinds: dict[str, dict[str, str]] = {
        "oidc-audience-mapper": {
            "included.custom.audience": realm.audience,
            "access.token.claim": "true",
        },
        "oidc-usermodel-attribute-mapper": {
            "user.attribute": "tenant_id",
            "claim.name": "tenant_id",
            "jsonType.label": "String",
            "access.token.claim": "true",
            "id.token.claim": "true",
            "userinfo.token.claim": "true",
        },
    }
    return [
        {
            "name": kind,
            "protocol": "openid-connect",
            "protocolMapper": kind,
            "config": config,
        }
        for kind, config in kinds.items()
    ]


def _user(person: Person, realm: Realm) -> dict[str, Any]:
    tenant = {} if person.tenant_id is None else {"tenant_id": [str(person.tenant_id)]}
    names = {"firstName": person.first_name, "lastName": person.last_name}
    credentials: list[dict[str, Any]] = [{"type": "password", "value": person.password}]
    if person.totp_secret is not None:
        how = {"subType": "totp", "digits": 6, "counter": 0, "period": 30}
        how["algorithm"] = "HmacSHA1"
        credentials.append(
            {
                "type": "otp",
                "userLabel": "test",
                "secretData": json.dumps({"value": person.totp_secret}),
                "credentialData": json.dumps(how),
            }
        )
    return {
        "username": person.email,
        "email": person.email,
        "emailVerified": person.email_verified,
        "enabled": person.enabled,
        **{key: name for key, name in names.items() if name},
        "credentials": credentials,
        "realmRoles": [f"default-roles-{realm.name}", *person.roles],
        "requiredActions": list(person.required_actions),
        "attributes": tenant,
    }


def _service_account(client: Client, realm: Realm) -> dict[str, Any]:
    return {
        "username": f"service-account-{client.client_id}",
        "enabled": True,
        "serviceAccountClientId": client.client_id,
        "realmRoles": [f"default-roles-{realm.name}"],
        "clientRoles": {"realm-management": list(MAY)},
    }


def _organization(alias: str, members: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": alias.capitalize(),
        "alias": alias,
        "enabled": True,
        "domains": [{"name": f"{alias}.test", "verified": True}],
        "members": [
            {"username": one, "membershipType": "UNMANAGED"} for one in members
        ],
    }


def _profile() -> dict[str, Any]:
    # Names are not required, or a person without one could not sign in by password;
    # nobody may choose the own tenant.
    everybody, admin = ["admin", "user"], ["admin"]
    attributes: list[dict[str, Any]] = [
        {"name": name, "permissions": {"view": everybody, "edit": everybody}, **rules}
        for name, rules in (
            ("username", {"validations": {"length": {"min": 3, "max": 255}}}),
            ("email", {"validations": {"email": {}, "length": {"max": 255}}}),
            ("firstName", {"validations": {"length": {"max": 255}}}),
            ("lastName", {"validations": {"length": {"max": 255}}}),
        )
    ]
    digits = {"pattern": "^[0-9]{1,18}$", "error-message": "tenant_id must be a number"}
    attributes.append(
        {
            "name": "tenant_id",
            "permissions": {"view": admin, "edit": admin},
            "validations": {"pattern": digits},
        }
    )
    return {
        "providerId": "declarative-user-profile",
        "config": {"kc.user.profile.config": [json.dumps({"attributes": attributes})]},
    }
