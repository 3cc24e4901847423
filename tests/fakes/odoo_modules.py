"""A fake Odoo's modules, external ids, and what `load` does with them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.odoo_raised import Raised

if TYPE_CHECKING:
    from tests.fakes.odoo_data import Asked, Row

PROVIDERS, ATTACHMENTS, NAMES = "auth.oauth.provider", "ir.attachment", "ir.model.data"
MODULES = "ir.module.module"
AVAILABLE = ("auth_oauth", "auth_oidc", "contacts", "crm", "sales_team")
NEEDS = {"crm": ("sales_team",), "auth_oidc": ("auth_oauth",)}
GROUPS = {
    "base": ("group_user", "group_system", "group_partner_manager"),
    "sales_team": ("group_sale_manager",),
}
OIDC = {"flow", "client_secret", "code_verifier", "token_endpoint", "jwks_uri"}
STOCK = "https://accounts.odoo.test/oauth2/auth"


@dataclass
class Modules:
    """What installing changes, and records by their external ids."""

    major: int = 19
    records: dict[str, dict[int, Row]] = field(default_factory=dict)
    extra_fields: dict[str, set[str]] = field(default_factory=dict)

    if TYPE_CHECKING:

        def insert(self, model: str, values: Row) -> int: ...
        def set_parameter(self, key: str, value: str) -> None: ...
        def fields(self, model: str) -> set[str]: ...
        def _check(self, model: str, values: Row, ids: Any = ()) -> None: ...

    def fill(self) -> None:
        """Put in what `base` brings."""
        self.insert(MODULES, {"name": "base", "state": "installed"})
        for name in AVAILABLE:
            self.insert(MODULES, {"name": name, "state": "uninstalled"})
        self.extra_fields["res.users"] = {self.groups}
        if self.major >= 18:
            self.extra_fields["res.users.apikeys"] = {"expiration_date"}
        self.name_record("base.main_company", "res.company", 1)
        self.name_record("base.main_partner", "res.partner", 1)
        self.name_record("base.user_admin", "res.users", 2)
        self._bring_groups("base")
        file = {
            "name": "a.css",
            "store_fname": "54/54",
            "file_size": 3,
            "datas": "YWJj",
        }
        self.insert(ATTACHMENTS, file)

    @property
    def groups(self) -> str:
        return "group_ids" if self.major >= 19 else "groups_id"

    def install(self, *names: str) -> None:
        for name in names:
            self.install(*NEEDS.get(name, ()))
            (row,) = [
                one for one in self.records[MODULES].values() if one["name"] == name
            ]
            if row["state"] != "installed":
                row["state"] = "installed"
                self._bring_groups(name)
                getattr(self, f"_install_{name}", lambda: None)()

    def name_record(self, external: str, model: str, number: int) -> None:
        module, _, name = external.partition(".")
        row = {"module": module, "name": name, "model": model, "res_id": number}
        self.insert(NAMES, row)

    def forget_names(self, model: str, ids: list[int]) -> None:
        """Delete the external ids of records, as Odoo does with the records."""
        names = self.records.get(NAMES, {})
        for number, row in list(names.items()):
            if row["model"] == model and row["res_id"] in ids:
                del names[number]

    def named(self, external: str) -> int | None:
        for row in self.records.get(NAMES, {}).values():
            if f"{row['module']}.{row['name']}" == external:
                return int(row["res_id"])
        return None

    def _install_auth_oauth(self) -> None:
        self.extra_fields["res.users"] |= {"oauth_uid", "oauth_provider_id"}
        self.set_parameter("auth_signup.invitation_scope", "b2c")
        self.set_parameter("auth_signup.reset_password", "True")
        stock = {"name": "Odoo.com Accounts", "enabled": True, "auth_endpoint": STOCK}
        self.insert(PROVIDERS, {**stock, "body": "Sign in with Odoo.com"})

    def _install_auth_oidc(self) -> None:
        self.extra_fields[PROVIDERS] = set(OIDC)

    def _bring_groups(self, module: str) -> None:
        for name in GROUPS.get(module, ()):
            number = self.insert("res.groups", {"name": name})
            self.name_record(f"{module}.{name}", "res.groups", number)

    def _orm_update_list(self, _: Asked) -> list[int]:
        return [0, 0]

    def _orm_button_immediate_install(self, asked: Asked) -> Row:
        self.install(*(self.records[MODULES][one]["name"] for one in asked.ids))
        return {"type": "ir.actions.act_url", "target": "self", "url": "/odoo"}

    def _orm_load(
        self, asked: Asked, *, fields: list[str], data: list[list[str]]
    ) -> Row:
        """Import rows by their external ids: all of them, or none."""
        before = copy.deepcopy(self.records)
        ids = []
        for row in data:
            loaded = self._load_one(asked, fields, row)
            if isinstance(loaded, str):
                self.records = before
                return _refused(loaded)
            ids.append(loaded)
        return {"ids": ids, "messages": [], "nextrow": 0}

    def _load_one(self, asked: Asked, fields: list[str], row: list[str]) -> int | str:
        """Return the record's id, or why it cannot be."""
        values: Row = {}
        for column, text in zip(fields[1:], row[1:], strict=True):
            name, _, kind = column.partition("/")
            ids = [self.named(one) for one in text.split(",")] if kind else []
            if None in ids:
                return f"No matching record found for external id {text!r}"
            if "\0" in text:
                return "A string literal cannot contain NUL (0x00) characters."
            many = name == self.groups
            values[name] = (ids if many else ids[0]) if kind else text
        number = self.named(row[0])
        if not values.get("name", number):
            return "Contacts require a name"
        try:
            self._check(asked.model, values, [number])
        except Raised as error:
            return error.message
        if number is None:
            number = self.insert(asked.model, {**_defaults(asked), **values})
            self.name_record(row[0], asked.model, number)
        self.records[asked.model][number].update(values)
        return number


def _defaults(asked: Asked) -> Row:
    if asked.model == "res.users":
        return {"password": ""}
    if asked.model != "crm.lead":
        return {}
    given = {
        name.removeprefix("default_"): value
        for name, value in asked.context.items()
        if name.startswith("default_")
    }
    return {"type": "opportunity", "user_id": asked.user, **given}


def _refused(why: str) -> Row:
    message = {"rows": {"from": 0, "to": 0}, "record": 0, "type": "error"}
    return {"ids": False, "messages": [{**message, "message": why}], "nextrow": 0}
