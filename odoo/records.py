"""The few records we touch, as values, and how they are looked up and written.

Nothing here has a switch by version: parameters are read as plain records, because
Odoo 19.1 dropped `get_param` and `set_param` (odoo/odoo#289957).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odoo.errors import Invalid
from odoo.models import create, search, write

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from odoo.models import Models, Row
    from odoo.rpc import Json

UUID = "database.uuid"
MARKER = "bff.tenant_id"  # whose database it is
BASE_URL = "web.base.url"
PARAMETERS, MODULES = "ir.config_parameter", "ir.module.module"
NAMES = "ir.model.data"
USERS, KEYS, PROVIDERS = "res.users", "res.users.apikeys", "auth.oauth.provider"


@dataclass(frozen=True, kw_only=True)
class User:
    """A user (`res.users`); `subject` is what the identity provider calls them."""

    id: int
    login: str
    name: str
    provider: int | None = None
    subject: str | None = None


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key as Odoo lists it: never the key itself; `expires` is Odoo's UTC text."""

    id: int
    name: str
    expires: str | None


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A provider of OCA's auth_oidc, code flow with PKCE (`auth.oauth.provider`).

    `code_verifier` is one value for each row, so that a cloned row needs a new one.
    """

    name: str
    client_id: str
    client_secret: str = field(repr=False)
    code_verifier: str = field(repr=False)
    auth_endpoint: str
    token_endpoint: str
    jwks_uri: str
    label: str
    scope: str = "openid email profile"
    userinfo_endpoint: str = ""

    def implicit_values(self) -> Row:
        """Return what core auth_oauth takes: implicit flow, no id token, no secret."""
        return {
            "name": self.name,
            "enabled": True,
            "client_id": self.client_id,
            "auth_endpoint": self.auth_endpoint,
            "validation_endpoint": self.userinfo_endpoint,
            "scope": self.scope,
            "body": self.label,
        }

    def values(self) -> Row:
        """Return what `create` and `write` take; auth_oidc 16 to 19 knows all of it."""
        return {
            "name": self.name,
            "enabled": True,
            "flow": "id_token_code",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "code_verifier": self.code_verifier,
            "auth_endpoint": self.auth_endpoint,
            "token_endpoint": self.token_endpoint,
            "jwks_uri": self.jwks_uri,
            "scope": self.scope,
            "body": self.label,
            # auth_oauth requires it; with an id token it is not asked.
            "validation_endpoint": self.auth_endpoint,
        }


async def parameter(models: Models, key: str) -> str | None:
    """Return a system parameter, None if it is not set (needs group_system)."""
    rows = await search(models, PARAMETERS, [["key", "=", key]], ["value"])
    return str(rows[0]["value"]) if rows else None


async def set_parameter(models: Models, key: str, value: str) -> None:
    """Set a system parameter (needs group_system); writes only what differs.

    Raises:
        Invalid: Somebody made it in the meantime; do it again.
    """
    rows = await search(models, PARAMETERS, [["key", "=", key]], ["value"])
    if not rows:
        await create(models, PARAMETERS, {"key": key, "value": value})
    elif rows[0]["value"] != value:
        await write(models, PARAMETERS, [rows[0]["id"]], {"value": value})


async def external(models: Models, name: str) -> int | None:
    """Return the id of the record with this external id, such as `base.user_admin`."""
    module, _, local = name.partition(".")
    domain = [["module", "=", module], ["name", "=", local]]
    rows = await search(models, NAMES, domain, ["res_id"])
    return int(rows[0]["res_id"]) if rows else None


async def load(models: Models, model: str, name: str, values: Mapping[str, str]) -> int:
    """Make or change the one record with this external id, and return its id.

    Record and external id come in one transaction, so that a second run finds what
    the first has made (`load`, odoo/models.py; 16 to 19). Fields that end in `/id`
    take external ids, with commas between. Never for passwords: Odoo's message may
    repeat a value.

    Raises:
        Invalid: Odoo refused the values.
    """
    said = await models.call(
        *(model, "load"),
        fields=["id", *values],
        data=[[name, *values.values()]],
    )
    if not said["ids"]:
        raise Invalid("", refusal(said))
    return int(said["ids"][0])


def refusal(said: Json) -> str:
    """Return why `load` refused, in Odoo's words."""
    why = [str(one.get("message", "")) for one in said["messages"]]
    return " ".join(" ".join(why).split())[:200]


async def module_states(models: Models, names: Collection[str]) -> dict[str, str]:
    """Return the states of modules, such as `installed` and `to install`.

    What the server does not know is left out: it is not on its addons_path.
    """
    domain = [["name", "in", sorted(names)]]
    rows = await search(models, MODULES, domain, ["name", "state"])
    return {row["name"]: row["state"] for row in rows}


async def user_by_login(models: Models, login: str) -> User | None:
    """Return the user with this login, active or not; None if there is none."""
    domain = [["login", "=", login], ["active", "in", [True, False]]]
    known = await has_fields(models, USERS, {"oauth_uid", "oauth_provider_id"})
    rows = await search(models, USERS, domain, ["login", "name", *sorted(known)])
    return _user(rows[0]) if rows else None


async def me(models: Models) -> int:
    """Return the id of the user whose key is used (`context_get`)."""
    return int((await models.call(USERS, "context_get"))["uid"])


async def keys_of(models: Models, user: int) -> list[ApiKey]:
    """List a user's API keys, oldest first (`res.users.apikeys`)."""
    expiring = await has_fields(models, KEYS, {"expiration_date"})  # from 18 on
    rows = await search(
        models, KEYS, [["user_id", "=", user]], ["name", *sorted(expiring)]
    )
    return [
        ApiKey(
            id=row["id"], name=row["name"], expires=row.get("expiration_date") or None
        )
        for row in rows
    ]


async def has_fields(models: Models, model: str, names: Collection[str]) -> set[str]:
    """Return those of *names* that are fields of a model here (`fields_get`)."""
    known: Mapping[str, Any] = await models.call(
        model, "fields_get", allfields=sorted(names), attributes=["type"]
    )
    return set(known) & set(names)


def _user(row: Row) -> User:
    provider = row.get("oauth_provider_id")
    return User(
        id=row["id"],
        login=row["login"],
        name=row["name"],
        provider=provider[0] if provider else None,
        subject=row.get("oauth_uid") or None,
    )
