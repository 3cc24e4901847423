"""Check what no single setting can know: settings against each other.

Production is the default, and it is strict: what would be unsafe stops the start.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from croniter import croniter

from bff.config_base import postgres_trouble
from bff.config_odoo import problems_of as odoo_problems
from bff.config_ui import problems_of as ui_problems

if TYPE_CHECKING:
    from pydantic import SecretStr

    from bff.config import Config

ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[\w.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII | re.IGNORECASE,
)
DEFAULT_PORTS = {"http": 80, "https": 443}
LARGEST_PORT = 65535
SECRET_LENGTH = 32
# Of the one the person is in or chooses; of all they are in.
ORGANIZATION_SCOPES = {"organization", "organization:*"}


def problems_of(config: Config) -> list[str]:
    """Return one sentence for each problem, each beginning with its key."""
    found = [
        *_required(config),
        *_registration(config),
        *_database(config),
        *_addresses(config),
        *_tenancy(config),
        *_cookies(config),
        *_proxies(config),
        *_acra(config),
        *odoo_problems(config),
        *ui_problems(config),
    ]
    if config.environment == "production":
        found += _production(config)
    else:
        found += _dev(config)
    return found


def hosts(config: Config) -> frozenset[str]:
    """Return the Host values answered to, lower-cased, with and without a port."""
    known = {host.lower() for host in config.server.allowed_hosts}
    for origin in config.server.public_origins:
        parts = urlsplit(origin)
        known.add(parts.netloc.lower())
        default = DEFAULT_PORTS.get(parts.scheme)
        if parts.port in (None, default):
            known.add((parts.hostname or "").lower())
            known.add(f"{(parts.hostname or '').lower()}:{default}")
    return frozenset(known)


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
    elif not _is_address(config.auth.issuer):
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


def _registration(config: Config) -> list[str]:
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


def _database(config: Config) -> list[str]:
    """Look at scheme and hosts: the rest is the driver's to judge, and secret."""
    form = "postgresql://ROLE:PASSWORD@HOST/DATABASE"
    urls: dict[str, SecretStr] = {
        "url": config.database.url,
        "owner_url": config.database.owner_url,
        "worker_url": config.database.worker_url,
        "listen_url": config.database.listen_url,
    }
    return [
        f"database.{name}: {trouble}"
        for name, url in urls.items()
        if url.get_secret_value()
        and (trouble := postgres_trouble(url.get_secret_value(), form))
    ]


def _addresses(config: Config) -> list[str]:
    found = []
    for key in ("listen", "admin_listen"):
        host, colon, port = getattr(config.server, key).rpartition(":")
        if not (colon and host and _is_port(port)):
            found.append(f"server.{key}: give HOST:PORT, for example 127.0.0.1:8080")
    for index, origin in enumerate(config.server.public_origins):
        written = _as_browsers_write(origin)
        if written is None:
            found.append(
                f"server.public_origins.{index}: give scheme://host[:port], no path "
                "and no wildcard"
            )
        elif written != origin:
            found.append(
                f"server.public_origins.{index}: browsers write this origin {written}"
            )
    for index, value in enumerate(config.server.trusted_proxies):
        try:
            everybody = not ipaddress.ip_network(value, strict=False).prefixlen
        except ValueError:
            found.append(
                f"server.trusted_proxies.{index}: give an address or a CIDR block, "
                "for example 10.0.0.0/8"
            )
            continue
        if everybody:
            found.append(
                f"server.trusted_proxies.{index}: trusts everybody's word about where "
                "they are; name the proxies"
            )
    return found


def _as_browsers_write(origin: str) -> str | None:
    """Return *origin* in lower case and without a default port, None if it is none."""
    match = ORIGIN.fullmatch(origin)
    if match is None or not _is_port(match["port"] or "80"):
        return None
    scheme, host = match["scheme"].lower(), match["host"].lower()
    port = int(match["port"] or DEFAULT_PORTS[scheme])
    return f"{scheme}://{host}" + ("" if port == DEFAULT_PORTS[scheme] else f":{port}")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text[:6]) <= LARGEST_PORT


def _is_address(url: str) -> bool:
    """Tell whether *url* is a usable http(s) address, with a path or without."""
    scheme, _, rest = url.partition("://")
    place, _, path = rest.partition("/")
    return _as_browsers_write(f"{scheme}://{place}") is not None and not (
        set(path) & set("?#") or any(sign.isspace() for sign in path)
    )


def _tenancy(config: Config) -> list[str]:
    found = []
    asked = set(config.auth.scope.split())
    if config.tenancy.source == "organization" and not asked & ORGANIZATION_SCOPES:
        found.append(
            "tenancy.source: add organization or organization:* to auth.scope, or no "
            "token names an organization"
        )
    return found


def _cookies(config: Config) -> list[str]:
    found = []
    if config.session.access_cookie == config.session.refresh_cookie:
        found.append("session.refresh_cookie: must differ from session.access_cookie")
    if config.session.host_prefix and not config.secure_cookies:
        found.append("session.host_prefix: `__Host-` names need Secure cookies (https)")
    return found


def _proxies(config: Config) -> list[str]:
    found = []
    prefixes: dict[str, str] = {}
    for name, target in config.proxy.items():
        if "//" in target.prefix:
            found.append(f"proxy.{name}.prefix: has an empty segment")
        if other := prefixes.get(target.prefix):
            found.append(
                f"proxy.{name}.prefix: {target.prefix} is taken by proxy.{other}"
            )
        prefixes[target.prefix] = name
        for index, upstream in enumerate(target.upstreams):
            unix = upstream.startswith("unix:/")
            if not unix and not _is_address(upstream):
                found.append(
                    f"proxy.{name}.upstreams.{index}: give http://HOST:PORT, "
                    "https://HOST or unix:/path"
                )
    return found


def _acra(config: Config) -> list[str]:
    acra = config.acra
    found = []
    if acra.scheduled and not croniter.is_valid(acra.schedule):
        found.append(
            "acra.schedule: give five fields of cron, for example 22 1 * * * for 01:22"
        )
    try:
        ZoneInfo(acra.timezone)
    except (KeyError, ValueError, OSError):
        found.append("acra.timezone: give a name like Asia/Singapore")
    secrets = acra.webhook_secret.get_secret_value()
    if secrets and any(len(s.strip()) < SECRET_LENGTH for s in secrets.split(",")):
        found.append(
            f"acra.webhook_secret: give at least {SECRET_LENGTH} characters, made by "
            "chance"
        )
    places = {
        "collection_url": acra.collection_url,
        "api_url": acra.api_url,
        "download_url": acra.download_url,
    } | {f"download_from.{n}": url for n, url in enumerate(acra.download_from)}
    for key, url in places.items():
        if not _is_address(url):
            found.append(f"acra.{key}: give https://HOST/PATH")
        elif not url.startswith("https://") and not (
            config.environment == "dev" and _is_loopback(url)
        ):
            found.append(f"acra.{key}: must be https")
        elif key.startswith("download_from") and not url.endswith("/"):
            found.append(f"acra.{key}: must end in /, or others' names begin alike")
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
        if url.lower().startswith("http://") and not _is_loopback(url)
    ]


def _is_loopback(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return True  # no address at all, which is said elsewhere
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
