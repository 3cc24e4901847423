"""Check settings against each other, and what must be set at all.

Each section's own rules stand beside it. Production is the default, and it is strict:
what would be unsafe stops the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff.config_acra import problems_of as acra_problems
from bff.config_base import is_http_address, is_loopback
from bff.config_database import problems_of as database_problems
from bff.config_dev import problems_of as dev_problems
from bff.config_identity import problems_of as identity_problems
from bff.config_odoo import problems_of as odoo_problems
from bff.config_proxy import problems_of as proxy_problems
from bff.config_server import problems_of as server_problems
from bff.config_sessions import problems_of as session_problems
from bff.config_tenancy import problems_of as tenancy_problems
from bff.config_ui import problems_of as ui_problems

if TYPE_CHECKING:
    from bff.config import Config


def problems_of(config: Config) -> list[str]:
    """Return one sentence for each problem, each beginning with its key."""
    found = [
        *_required(config),
        *identity_problems(config),
        *database_problems(config),
        *server_problems(config),
        *tenancy_problems(config),
        *session_problems(config),
        *proxy_problems(config),
        *acra_problems(config),
        *odoo_problems(config),
        *ui_problems(config),
        *dev_problems(config),
    ]
    if config.environment == "production":
        found += _production(config)
    else:
        found += _dev(config)
    return found


def _required(config: Config) -> list[str]:
    found = []
    if not config.database.url.get_secret_value():
        found.append(
            "database.url: missing; set BFF_DATABASE__URL (or DATABASE_URL) to the "
            "URL of the serving role"
        )
    if config.worker.embedded and not config.database.worker_url.get_secret_value():
        found.append(
            "database.worker_url: missing; set BFF_DATABASE__WORKER_URL to the URL of "
            "the worker role, or worker.embedded = false"
        )
    if not config.auth.issuer:
        found.append(
            "auth.issuer: missing; set NEXIUS_ISSUER to https://HOST/realms/REALM"
        )
    elif not is_http_address(config.auth.issuer):
        found.append("auth.issuer: give https://HOST/realms/REALM")
    has_secret = bool(config.auth.client_secret.get_secret_value())
    if not has_secret and config.auth.client_key_file is None:
        found.append(
            "auth.client_secret: missing; set NEXIUS_CLIENT_SECRET or "
            "auth.client_key_file (a gateway is a confidential client)"
        )
    if has_secret and config.auth.client_key_file is not None:
        found.append(
            "auth.client_key_file: there is an auth.client_secret too; leave one out"
        )
    if not config.auth.audience:
        found.append("auth.audience: empty; without it any client's token would pass")
    return found


def _production(config: Config) -> list[str]:
    found = []
    if config.auth.issuer and not config.auth.issuer.startswith("https://"):
        found.append("auth.issuer: must be https in production")
    found += [
        f"server.public_origins.{index}: must be https in production"
        for index, origin in enumerate(config.server.public_origins)
        if not origin.startswith("https://")
    ]
    if not config.secure_cookies:
        found.append("session.secure: cookies must be Secure in production")
    if not (config.session.keys.get_secret_value() or config.session.key_file):
        found.append(
            "session.keys: a key ring is required in production; `bff keys new` makes "
            "a key, keep it in BFF_SESSION__KEYS or session.key_file"
        )
    return found


def _dev(config: Config) -> list[str]:
    """Allow plain http where no network is between the two ends."""
    places = {"auth.issuer": config.auth.issuer}
    for index, origin in enumerate(config.server.public_origins):
        places[f"server.public_origins.{index}"] = origin
    return [
        f"{key}: plain http is for this machine only, in dev too; use https"
        for key, url in places.items()
        if url.lower().startswith("http://") and not is_loopback(url)
    ]
