"""A fake Odoo's API keys, and its question for the password before it touches them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.fakes.odoo_raised import Raised

if TYPE_CHECKING:
    from tests.fakes.odoo_data import Asked, Row

KEYS, DESCRIPTION = "res.users.apikeys", "res.users.apikeys.description"
CHECK = "res.users.identitycheck"
INCORRECT = (
    "Incorrect Password, try again or click on Forgot Password to reset your password."
)
LIMIT = 10
WINDOW = "ir.actions.act_window"


@dataclass
class Key:
    """An API key: who it belongs to, and what Odoo lists of it."""

    user: int
    name: str
    expires: str | None = None
    number: int = 1


@dataclass
class Keys:
    """The keys of a database, and what waits for a password."""

    keys: dict[str, Key] = field(default_factory=dict)
    records: dict[str, dict[int, Row]] = field(default_factory=dict)
    waiting: dict[int, tuple[str, int]] = field(default_factory=dict)
    trusted: set[str] = field(default_factory=set)  # sessions that were asked lately
    programmatic: bool = False  # generate and revoke, in builds of 2026

    def key_rows(self) -> dict[int, Row]:
        """Return what Odoo lists of keys."""
        users = self.records["res.users"]
        return {
            key.number: {
                "name": key.name,
                "scope": "rpc",
                "user_id": [key.user, users[key.user]["name"]],
                "expiration_date": key.expires or False,
            }
            for key in self.keys.values()
        }

    def _orm_generate(
        self, asked: Asked, *, key: str, scope: str, name: str, expiration_date: Any
    ) -> str:
        self._own(asked, key)
        assert scope == "rpc"
        if sum(one.user == asked.user for one in self.keys.values()) >= LIMIT:
            said = f"Limit of {LIMIT} API keys is reached"
            raise Raised("odoo.exceptions.UserError", said)
        end = f"{expiration_date} 00:00:00" if expiration_date else None
        return self._new_key(asked.user, name, end)

    def _orm_revoke(self, asked: Asked, *, key: str) -> None:
        self._own(asked, key)
        del self.keys[key]

    def _own(self, asked: Asked, key: str) -> None:
        if key not in self.keys or self.keys[key].user != asked.user:
            raise Raised("odoo.exceptions.UserError", "The API key is not valid")

    def _new_key(self, user: int, name: str, expires: str | None) -> str:
        value = uuid.uuid4().hex + "00000000"
        number = max([0, *self.key_rows()]) + 1
        self.keys[value] = Key(user, name, expires=expires, number=number)
        return value

    def _orm_make_key(self, asked: Asked) -> Row:
        return self._question("make", asked)

    def _orm_remove(self, asked: Asked) -> Row:
        return self._question("remove", asked)

    def _orm_run_check(self, asked: Asked) -> Any:
        wizard = asked.ids[0]
        typed = self.records.get(CHECK, {}).get(wizard, {}).get("password")
        password = asked.context.get("password", typed)
        if password != self.records["res.users"][asked.user]["password"]:
            raise Raised("odoo.exceptions.UserError", INCORRECT)
        if asked.session:
            self.trusted.add(asked.session)
        return self._done(asked, *self.waiting.pop(wizard))

    def _done(self, asked: Asked, act: str, number: int) -> Row:
        if act == "remove":
            for value, key in list(self.keys.items()):
                if key.number == number:
                    del self.keys[value]
            return {"type": "ir.actions.act_window_close"}
        row = self.records[DESCRIPTION].pop(number)
        expires = None
        if days := int(row.get("duration", 0)):
            end = datetime.now(UTC) + timedelta(days=days)
            expires = f"{end:%Y-%m-%d} 00:00:00"
        value = self._new_key(asked.user, row["name"], expires)
        return {
            "type": WINDOW,
            "res_model": "res.users.apikeys.show",
            "name": "API Key Ready",
            "views": [[False, "form"]],
            "target": "new",
            "context": {"default_key": value},
        }

    def _question(self, act: str, asked: Asked) -> Row:
        number = asked.ids[0]
        if asked.session in self.trusted:
            return self._done(asked, act, number)
        wizard = max([0, *self.waiting]) + 1
        self.waiting[wizard] = act, number
        self.records.setdefault(CHECK, {})[wizard] = {}
        return {
            "type": WINDOW,
            "res_model": CHECK,
            "res_id": wizard,
            "name": "Access Control",
            "target": "new",
            "views": [[False, "form"]],
            "context": {"dialog_size": "medium"},
        }
