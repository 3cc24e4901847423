"""Tenants' Odoo in the configuration: the section, and what may be wrong with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, SecretStr

from bff.config_base import Origin, Secret, Section, postgres_trouble
from odoo.errors import BadName
from odoo.keys import KEY_DAYS
from odoo.names import checked

if TYPE_CHECKING:
    from bff.config import Config

LARGEST_PORT = 65535
_PLACE = re.compile(
    r"https?://[a-z0-9][a-z0-9._-]*(:(?P<port>[0-9]{1,5}))?", re.ASCII | re.IGNORECASE
)
_APP = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


class Odoo(Section):
    """The Odoo server on which every tenant gets a database of its own."""

    server_url: Origin = Field(
        "",
        description="Its address, as the gateway reaches it; without it tenants "
        "get no Odoo.",
    )
    master_password: Secret = Field(
        SecretStr(""), description="The database manager's (`admin_passwd`)."
    )
    timeout: float = Field(5.0, gt=0, description="Seconds for a short call.")
    db_name_template: str = Field(
        "odoo_t{tenant_id}", description="What a tenant's database is called."
    )
    base_url_template: str = Field(
        "",
        description="Where a tenant's people reach their Odoo, with `{tenant_id}` or "
        "`{db_name}` in the host; `server_url` by default. https in production, and "
        "never the gateway's host. Where `dbfilter` goes by the host, use `{db_name}`: "
        "templates are called by it, too.",
    )
    apps: tuple[str, ...] = Field(
        ("contacts", "crm", "auth_oidc"), description="What every database gets."
    )
    template: str = Field(
        "",
        description="Name of the database that is copied; by default by version and "
        "content. `bff odoo template build` makes it.",
    )
    clone: Literal["auto", "sql", "rpc", "form", "command"] = Field(
        "auto",
        description="How it is copied: the first of SQL, command and RPC that is set "
        "up; the manager's form from Odoo 20 on.",
    )
    warm: int = Field(
        0,
        ge=0,
        le=100,
        description="Copies kept ready in advance, to be renamed (Odoo 16 to 19).",
    )
    postgres_url: Secret = Field(
        SecretStr(""),
        description="Odoo's PostgreSQL, by a role that may copy databases for Odoo's: "
        "the fastest way.",
    )
    postgres_owner: str = Field("odoo", description="Odoo's own role there.")
    filestore: Path | None = Field(
        None,
        description="Odoo's folder `filestore`, where the gateway can write to it; "
        "unset where attachments live in the database.",
    )
    bin_path: Path | None = Field(None, description="Odoo's own command, `odoo-bin`.")
    conf: Path | None = Field(None, description="Odoo's configuration file, for it.")
    provider_name: str = Field(
        "Single sign-on", description="What the button on Odoo's sign-in page says."
    )
    sso_client_id: str = Field(
        "",
        description="One client of the identity provider for every tenant's Odoo; by "
        "default the provisioner makes one for each tenant.",
    )
    sso_client_secret: Secret = Field(SecretStr(""), description="That client's.")
    rotate_before: int = Field(
        14,
        ge=1,
        lt=KEY_DAYS,
        description="Days before its end that an API key of ours is replaced.",
    )


def problems_of(config: Config) -> list[str]:
    """Return one sentence for each problem, each beginning with its key."""
    odoo = config.odoo
    if not odoo.server_url:
        return []
    found = []
    if not _is_place(odoo.server_url):
        found.append("odoo.server_url: give http(s)://HOST, without a path")
    if not odoo.master_password.get_secret_value():
        found.append("odoo.master_password: missing; set ODOO_MASTER_PASSWORD")
    has_keys = config.session.keys.get_secret_value() or config.session.key_file
    # In production they are demanded for the cookies already.
    if not has_keys and config.environment != "production":
        found.append(
            "session.keys: missing; what opens tenants' Odoo is sealed with the key "
            "ring, and lost with it; `bff keys new` makes a key"
        )
    return [
        *found,
        *_names(odoo),
        *_where_people_go(config),
        *_copying(odoo),
        *_signing_in(config),
    ]


def _names(odoo: Odoo) -> list[str]:
    found = []
    if _stray(odoo.db_name_template, "tenant_id"):
        found.append("odoo.db_name_template: only {tenant_id} may stand in braces")
    elif "{tenant_id}" not in odoo.db_name_template:
        found.append("odoo.db_name_template: needs {tenant_id}, or tenants would share")
    else:
        name = odoo.db_name_template.replace("{tenant_id}", "9" * 10)
        found += _bad_name("db_name_template", name)
        if "_" in name and "{db_name}" in _parted(odoo.base_url_template)[1]:
            # Odoo would tell the identity provider to send people to "http:///…".
            found.append(
                "odoo.db_name_template: no host has `_` in its name; with {db_name} "
                "in odoo.base_url_template, give odoot{tenant_id} or the like"
            )
    if odoo.template:
        found += _bad_name("template", odoo.template)
    for index, app in enumerate(odoo.apps):
        if _APP.fullmatch(app) is None:
            found.append(f"odoo.apps.{index}: give a module's name, such as crm")
    return found


def _bad_name(key: str, name: str) -> list[str]:
    try:
        checked(name)
    except BadName as error:
        return [f"odoo.{key}: {error}"]
    return []


def _stray(template: str, *allowed: str) -> bool:
    for name in allowed:
        template = template.replace(f"{{{name}}}", "x")
    return "{" in template or "}" in template


def _where_people_go(config: Config) -> list[str]:
    """Look at Odoo's hosts, none of which may be the gateway's."""
    template = config.odoo.base_url_template
    key = "odoo.base_url_template" if template else "odoo.server_url"
    if template:
        if _stray(template, "tenant_id", "db_name"):
            return [f"{key}: only {{tenant_id}} and {{db_name}} may stand in braces"]
        template = re.sub(r"{\w+}", "x", template).rstrip("/")
        if not _is_place(template):
            return [f"{key}: give http(s)://HOST, without a path"]
    found = []
    scheme, place = _parted(template or config.odoo.server_url)
    ours = {_parted(origin)[1] for origin in config.server.public_origins}
    if config.environment == "production":
        # Cookies know no ports: another one would still get the gateway's.
        place = place.partition(":")[0]
        ours = {one.partition(":")[0] for one in ours}
        if scheme != "https":
            found.append(
                f"{key}: people would sign in over plain http; set "
                "odoo.base_url_template to https://HOST"
            )
    if place in ours:
        found.append(f"{key}: is the gateway's own; Odoo needs another host")
    return found


def _parted(url: str) -> tuple[str, str]:
    """Return scheme and place of what may be no URL at all."""
    scheme, _, rest = url.lower().partition("://")
    return scheme, rest.partition("/")[0]


def _copying(odoo: Odoo) -> list[str]:
    found = []
    url = odoo.postgres_url.get_secret_value()
    if odoo.clone == "sql" and not url:
        found.append('odoo.postgres_url: missing; odoo.clone = "sql" needs it')
    trouble = postgres_trouble(url, "postgresql://ROLE:PASSWORD@HOST")
    if url and trouble:
        found.append(f"odoo.postgres_url: {trouble}")
    if (odoo.clone == "command" or odoo.conf) and odoo.bin_path is None:
        found.append("odoo.bin_path: missing; it is the path of odoo-bin")
    if odoo.bin_path is not None and odoo.conf is None:
        found.append("odoo.conf: missing; odoo-bin needs Odoo's configuration file")
    return found


def _signing_in(config: Config) -> list[str]:
    odoo, found = config.odoo, []
    if odoo.sso_client_id and not odoo.sso_client_secret.get_secret_value():
        found.append("odoo.sso_client_secret: missing; odoo.sso_client_id needs it")
    if not odoo.sso_client_id and not config.auth.provisioner_client_id:
        found.append(
            "odoo.sso_client_id: missing; name one client of the identity provider for "
            "all, or set NEXIUS_ADMIN_CLIENT_ID, whose client makes one for each tenant"
        )
    return found


def _is_place(url: str) -> bool:
    match = _PLACE.fullmatch(url)
    return match is not None and int(match["port"] or 80) <= LARGEST_PORT
