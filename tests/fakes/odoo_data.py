"""What a fake Odoo keeps: databases with users, keys and records, and its errors."""

from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.odoo_keys import CHECK, DESCRIPTION, KEYS, Keys
from tests.fakes.odoo_modules import ATTACHMENTS, PROVIDERS, Modules
from tests.fakes.odoo_raised import Raised, not_found
from tests.fakes.odoo_users import Users

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = dict[str, Any]
ADMIN, SERVICE = 2, 5
DEFAULT = "admin"  # what a database has whose initialisation failed
MISSING = "Record does not exist or has been deleted.\n(Record: {}({},), User: {})"
# Fields by model: those that the gateway touches, and what is needed around them.
FIELDS: dict[str, tuple[str, ...]] = {
    "res.users": ("login", "name", "password", "active", "partner_id", "email"),
    "res.partner": (*("name", "email", "is_company", "phone", "website", "parent_id"),),
    "res.company": ("name", "email", "partner_id", "phone", "website"),
    "res.groups": ("name",),
    ATTACHMENTS: ("name", "store_fname", "file_size", "datas"),
    "crm.lead": (
        *("name", "partner_name", "email_from", "type", "description", "active"),
        *("website", "contact_name", "phone", "user_id", "stage_id", "priority"),
    ),
    "ir.config_parameter": ("key", "value"),
    "ir.module.module": ("name", "state"),
    "ir.model.data": ("module", "name", "model", "res_id"),
    DESCRIPTION: ("name", "duration"),
    CHECK: ("password",),
    KEYS: ("name", "scope", "user_id", "create_date"),
    PROVIDERS: (
        *("name", "client_id", "enabled", "auth_endpoint", "validation_endpoint"),
        *("scope", "body", "css_class", "sequence", "data_endpoint"),
    ),
}
MANY2ONE = {"oauth_provider_id", "parent_id", "user_id", "stage_id"}
ARCHIVED = {"res.users", "crm.lead"}  # models whose records can be
PROGRAMMATIC = {"generate", "revoke"}
REQUIRED = {"res.partner": "Contacts require a name"}


@dataclass(frozen=True)
class Asked:
    """A call of a model's method."""

    user: int
    model: str
    method: str
    ids: list[int]
    named: Row
    context: Row = field(default_factory=dict)
    session: str = ""


@dataclass
class FakeDatabase(Modules, Keys, Users):
    """One database: records by model and id, keys, and what is wrong with it."""

    name: str = ""
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    is_broken: bool = False
    allows_connections: bool = True
    has_files: bool = True
    busy: bool = False

    @classmethod
    def initialised(
        cls,
        name: str,
        *,
        login: str = "admin",
        password: str = DEFAULT,
        major: int = 19,
    ) -> FakeDatabase:
        made = cls(name=name, major=major)
        made.insert(
            "res.users", {"login": login, "password": password, "name": "A"}, at=ADMIN
        )
        made.insert("res.partner", {"name": "My Company"}, at=1)
        made.insert("res.company", {"name": "My Company", "partner_id": 1}, at=1)
        made.set_parameter("database.uuid", made.uuid)
        made.fill()
        made.bring_technical_users()
        return made

    def copied(self, name: str, *, half: bool = False) -> FakeDatabase:
        """Copy as PostgreSQL does; what is not half gets a uuid of its own."""
        made = copy.deepcopy(self)
        made.name, made.allows_connections, made.busy = name, True, False
        made.has_files = not half
        if not half:
            made.uuid = str(uuid.uuid4())
            made.set_parameter("database.uuid", made.uuid)
        return made

    def insert(self, model: str, values: Row, *, at: int | None = None) -> int:
        rows = self.records.setdefault(model, {})
        number = at or max([*rows, 6]) + 1
        rows[number] = {"active": True, **values} if model == "res.users" else values
        return number

    def fields(self, model: str) -> set[str]:
        return {"id", *FIELDS[model], *self.extra_fields.get(model, ())}

    def set_parameter(self, key: str, value: str) -> None:
        for row in self.records.get("ir.config_parameter", {}).values():
            if row["key"] == key:
                row["value"] = value
                return
        self.insert("ir.config_parameter", {"key": key, "value": value})

    def signs_in(self, login: str, password: str) -> int | None:
        """Return the id of the user with this password, or with this key."""
        for number, row in self.records.get("res.users", {}).items():
            if row["login"] == login and self.knows(number, password):
                return number
        return None

    def knows(self, user: int, password: str) -> bool:
        row = self.records["res.users"].get(user)
        if row is None or not row["active"]:
            return False
        key = self.keys.get(password)
        return row["password"] == password or (key is not None and key.user == user)

    def orm(self, asked: Asked) -> Any:
        """Do what the few methods that we call would do."""
        model, method = asked.model, asked.method
        if model not in FIELDS:
            raise not_found(f"the model {model!r} does not exist")
        if method.startswith("_"):
            raise Raised(
                "odoo.exceptions.AccessError",
                f"Private methods (such as '{model}.{method}') cannot be called"
                " remotely.",
            )
        act = getattr(self, f"_orm_{method}", None)
        if act is None or (method in PROGRAMMATIC and not self.programmatic):
            raise not_found(f"The method '{model}.{method}' does not exist")
        return act(asked, **asked.named)

    def _orm_context_get(self, asked: Asked) -> Row:
        return {"lang": "en_US", "tz": False, "uid": asked.user}

    def _orm_fields_get(self, asked: Asked, **named: Any) -> Row:
        known = self.fields(asked.model)
        wanted = named.get("allfields") or known
        return {one: {"type": "char"} for one in known if one in wanted}

    def _orm_search_read(
        self, asked: Asked, *, domain: list[Any], fields: list[str], **named: Any
    ) -> list[Row]:
        for name in fields:
            if name not in self.fields(asked.model):
                raise Raised(
                    "builtins.ValueError", f"Invalid field '{name}' on '{asked.model}'"
                )
        found = []
        hidden = asked.model in ARCHIVED and "active" not in {one[0] for one in domain}
        for number, row in sorted(self._rows(asked.model).items()):
            if hidden and not row.get("active", True):
                continue
            if all(_matches({**row, "id": number}, term) for term in domain):
                read = {one: _read(one, row.get(one, False)) for one in fields}
                found.append({"id": number, **read})
        return found[: named.get("limit")]

    def _orm_search_count(self, asked: Asked, *, domain: list[Any]) -> int:
        return len(self._orm_search_read(asked, domain=domain, fields=[]))

    def _orm_create(self, asked: Asked, *, vals_list: list[Row]) -> list[int]:
        for values in vals_list:
            self._check(asked.model, values)
            if asked.model in REQUIRED and not values.get("name"):
                raise _constraint(REQUIRED[asked.model])
        return [self.insert(asked.model, dict(values)) for values in vals_list]

    def _orm_write(self, asked: Asked, *, vals: Row) -> bool:
        self._check(asked.model, vals, asked.ids)
        if asked.model == "res.users":
            self.check_users(asked, vals)
        for number in asked.ids:
            row = self.records.get(asked.model, {}).get(number)
            if row is None:
                said = MISSING.format(asked.model, number, asked.user)
                raise Raised("odoo.exceptions.MissingError", said)
            row.update(vals)
        return True

    def _orm_unlink(self, asked: Asked) -> bool:
        if asked.model == "res.users.apikeys":
            said = "You are not allowed to delete keys"
            raise Raised("odoo.exceptions.AccessError", said)
        for number in asked.ids:
            self.records.get(asked.model, {}).pop(number, None)
        self.forget_names(asked.model, asked.ids)
        return True

    def _rows(self, model: str) -> dict[int, Row]:
        if model == ATTACHMENTS and not self.has_files:
            rows = self.records.get(model, {}).items()
            return {number: {**row, "datas": ""} for number, row in rows}
        return self.key_rows() if model == KEYS else self.records.get(model, {})

    def _check(self, model: str, values: Row, ids: Sequence[int] = ()) -> None:
        for name in values:
            if name not in self.fields(model):
                raise Raised(
                    "builtins.ValueError", f"Invalid field '{name}' in '{model}'"
                )
        if model == "res.users" and "login" in values:
            users = self.records[model].items()
            if values["login"] in [one["login"] for at, one in users if at not in ids]:
                raise _constraint("You can not have two users with the same login!")


def _constraint(sentence: str) -> Raised:
    return Raised(
        "odoo.exceptions.ValidationError",
        f"The operation cannot be completed: {sentence}",
    )


def _matches(row: Row, term: Any) -> bool:
    name, operator, value = term
    held = row.get(name, False)
    if isinstance(held, list):  # a many2one, as it is read: id and name
        held = held[0]
    if operator == "in":
        return bool(held in value)
    if operator == ">":
        return bool(held > value)
    return bool(held == value) is (operator == "=")


def _read(name: str, held: Any) -> Any:
    return [held, "…"] if name in MANY2ONE and isinstance(held, int) and held else held
