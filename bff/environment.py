"""Read settings from the environment: ``BFF_SECTION__KEY`` and the seed's names.

pydantic-settings alone ignores unknown ``BFF_…`` variables and stops at the first
value that is not JSON; this source hands everything to the model, which then reports
all problems at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_settings import PydanticBaseSettingsSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

PREFIX = "BFF_"
# Read by commands and by tests, not settings of the gateway.
FOLDER = "BFF_SECRETS_DIR"
NOT_SETTINGS = frozenset({"BFF_ADMIN_URL", "BFF_CONFIG", "BFF_TEST_REQUIRE", FOLDER})

# The original's names, kept so that its deployments move over; BFF_… wins over them.
ALIASES: dict[str, tuple[str, ...]] = {
    "DATABASE_URL": ("database", "url"),
    "NEXIUS_ISSUER": ("auth", "issuer"),
    "NEXIUS_CLIENT_ID": ("auth", "client_id"),
    "NEXIUS_CLIENT_SECRET": ("auth", "client_secret"),
    "NEXIUS_AUDIENCE": ("auth", "audience"),
    "NEXIUS_ADMIN_CLIENT_ID": ("auth", "provisioner_client_id"),
    "NEXIUS_ADMIN_CLIENT_SECRET": ("auth", "provisioner_client_secret"),
    "LANGGRAPH_BASE_URL": ("proxy", "graph", "upstreams"),
    "LANGGRAPH_REMOTE_URL": ("proxy", "graph", "upstreams"),
    "ODOO_SERVER_URL": ("odoo", "server_url"),
    "ODOO_MASTER_PASSWORD": ("odoo", "master_password"),
    "ODOO_DB_NAME_TEMPLATE": ("odoo", "db_name_template"),
    "ODOO_BASE_URL_TEMPLATE": ("odoo", "base_url_template"),
    "ODOO_TEMPLATE_DB": ("odoo", "template"),
    "ODOO_BIN_PATH": ("odoo", "bin_path"),
    "ODOO_CONF": ("odoo", "conf"),
    "COOKIE_SECURE": ("session", "secure"),
    "DEV_AUTH_BYPASS": ("dev", "bypass"),
    "DEFAULT_TENANT_ID": ("dev", "default_tenant_id"),
}
OFF = ("", "0", "false", "no", "off")
# The original's names for its reader of the register, read by `bff acra` alone: names
# as plain as these mean something else to other programs.
ACRA_ALIASES = {
    "API_URL": "BFF_ACRA__API_URL",
    "RESOURCE_ID": "BFF_ACRA__RESOURCE_ID",
    "PAGE_SIZE": "BFF_ACRA__PAGE_SIZE",
    "TEST_PAGE_BY_PAGE": "BFF_ACRA__PAGE_BY_PAGE",
    "INTERVAL_SECONDS": "BFF_ACRA__INTERVAL",
}
# Those that switch off what ours switches on.
ACRA_OPPOSITES = {
    "DISABLE_STARTUP_INGEST": "BFF_ACRA__AT_START",
    "DISABLE_SCHEDULER": "BFF_ACRA__SCHEDULED",
}
REFUSED = {
    "ODOO_TENANT_ADMIN_PASSWORD_FALLBACK": "one password for all tenants is what this "
    "gateway abolishes; every tenant gets its own random one. Remove the variable",
}


class EnvironmentSource(PydanticBaseSettingsSource):
    """Turn environment variables into the nested shape of the settings."""

    def __init__(
        self, settings_cls: type[BaseSettings], environ: Mapping[str, str]
    ) -> None:
        super().__init__(settings_cls)
        self._environ = environ

    def get_field_value(
        self, field: FieldInfo, field_name: str
    ) -> tuple[Any, str, bool]:
        """Satisfy the base class; `__call__` reads everything in one go."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """Return what the environment sets, unknown names included."""
        found: dict[str, Any] = {}
        for name, path in ALIASES.items():
            if value := self._environ.get(name):
                _put(found, path, [value] if path[-1] == "upstreams" else value)
        for name, value in sorted(self._environ.items()):
            if name.startswith(PREFIX) and name not in NOT_SETTINGS:
                path = tuple(name.removeprefix(PREFIX).lower().split("__"))
                _put(found, path, _value(value))
        return found


def with_files(environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* with what the files of `BFF_SECRETS_DIR` hold, one a variable.

    So Kubernetes and systemd hand secrets over. A variable that is set wins.

    Raises:
        OSError: when the folder or a file cannot be read.
        UnicodeDecodeError: when a file is no text.
    """
    folder = environ.get(FOLDER)
    if not folder:
        return dict(environ)
    found = {
        file.name: file.read_text(encoding="utf-8").removesuffix("\n")
        for file in sorted(Path(folder).iterdir())
        if (file.name.startswith(PREFIX) or file.name in ALIASES) and file.is_file()
    }
    return found | dict(environ)


def with_acra_aliases(environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* with what the original's names for the register set."""
    found = dict(environ)
    for name, ours in ACRA_ALIASES.items():
        if value := environ.get(name):
            found.setdefault(ours, value)
    for name, ours in ACRA_OPPOSITES.items():
        if name in environ:
            found.setdefault(ours, str(environ[name].lower() in OFF).lower())
    return found


def refusals(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for every variable that must not be set."""
    return [
        f"{name}: {why}"
        for name, why in REFUSED.items()
        if environ.get(name, "").lower() not in OFF
    ]


def _put(tree: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for step in path[:-1]:
        below = tree.setdefault(step, {})
        if not isinstance(below, dict):
            return  # a text where a table belongs: the model refuses it
        tree = below
    old = tree.get(path[-1])
    if isinstance(old, dict) and isinstance(value, dict):
        for key, inner in value.items():
            _put(old, (key,), inner)
    else:
        tree[path[-1]] = value


def _value(text: str) -> object:
    """Read JSON lists and tables; leave everything else to the model as text."""
    if text[:1] not in ("[", "{"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # Not JSON after all: the model refuses it under its own key.
        return text
