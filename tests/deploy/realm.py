"""Staging's realm, made from the tests': `python -m tests.deploy.realm` writes it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.real.keycloak_import import representation
from tests.real.keycloak_realms import BFF, PLAIN, PROVISIONER

FILE = Path(__file__).parents[2] / "deploy" / "keycloak" / "nexius-realm.json"
ORIGIN = "${NEXIUS_ORIGIN}"
SECRETS = {BFF: "${NEXIUS_CLIENT_SECRET}", PROVISIONER: "${NEXIUS_ADMIN_CLIENT_SECRET}"}
# Keycloak's own values: those of the tests are for tests, in a hurry.
STAGING = replace(
    PLAIN,
    access_ttl=300,
    idle_ttl=1800,
    max_ttl=36_000,
    login_ttl=1800,
    failure_factor=10,
    wait_increment=60,
    max_failure_wait=900,
    otp_reusable=False,
)
LEFT_OUT = ("minimumQuickLoginWaitSeconds", "quickLoginCheckMilliSeconds")


def staging() -> dict[str, Any]:
    """Build the realm: the two clients of the gateway, no people, nothing secret.

    Keycloak puts variables of its environment where `${…}` stands.
    """
    built = representation(STAGING, "")
    for key in LEFT_OUT:
        del built[key]
    clients = [one for one in built["clients"] if one["clientId"] in SECRETS]
    for client in clients:
        client["secret"] = SECRETS[client["clientId"]]
    gateway = clients[0]
    gateway["redirectUris"] = [f"{ORIGIN}/auth/callback"]
    gateway["attributes"] |= {
        "backchannel.logout.url": f"{ORIGIN}/auth/backchannel-logout",
        "post.logout.redirect.uris": f"{ORIGIN}/",
    }
    return built | {
        "sslRequired": "external",
        "passwordPolicy": "length(12) and notUsername(undefined) "
        "and notEmail(undefined)",
        "clients": clients,
        "scopeMappings": [
            one for one in built["scopeMappings"] if one["client"] in SECRETS
        ],
        "users": [one for one in built["users"] if "serviceAccountClientId" in one],
    }


def text() -> str:
    """Return what stands in the file."""
    return json.dumps(staging(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
