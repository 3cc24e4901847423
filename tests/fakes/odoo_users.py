"""A fake Odoo's users: who is archived, and what may not be written to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.odoo_raised import Raised

if TYPE_CHECKING:
    from tests.fakes.odoo_data import Asked, Row

USERS, SYSTEM = "res.users", 1
# By external id: users that nobody signs in as.
TECHNICAL = {"user_root": (SYSTEM, "__system__"), "public_user": (3, "public")}
LAST_BUT_NOT_LEAST = "You cannot deactivate the user you're currently logged in as."


@dataclass
class Users:
    """The users of a database."""

    records: dict[str, dict[int, Row]] = field(default_factory=dict)

    if TYPE_CHECKING:

        def insert(self, model: str, values: Row, *, at: int | None = None) -> int: ...
        def name_record(self, external: str, model: str, number: int) -> None: ...

    def bring_technical_users(self) -> None:
        for name, (number, login) in TECHNICAL.items():
            values = {"login": login, "name": name, "password": "", "active": False}
            self.insert(USERS, values, at=number)
            self.name_record(f"base.{name}", USERS, number)

    def check_users(self, asked: Asked, values: Row) -> None:
        """Refuse what odoo/addons/base/models/res_users.py and auth_oauth refuse."""
        if "active" in values:
            if values["active"] and SYSTEM in asked.ids:
                said = "You cannot activate the superuser."
                raise Raised("odoo.exceptions.UserError", said)
            if not values["active"] and asked.user in asked.ids:
                raise Raised("odoo.exceptions.UserError", LAST_BUT_NOT_LEAST)
        for number in asked.ids:
            held = self.records[USERS].get(number, {}) | values
            link = held.get("oauth_uid"), _id(held.get("oauth_provider_id"))
            others = [
                (one.get("oauth_uid"), _id(one.get("oauth_provider_id")))
                for at, one in self.records[USERS].items()
                if at != number
            ]
            if all(link) and link in others:
                said = "OAuth UID must be unique per provider"
                raise Raised(
                    "odoo.exceptions.ValidationError",
                    f"The operation cannot be completed: {said}",
                )

    def token_of(self, user: int) -> Any:
        """Return the access token of the user's last sign-in through a provider."""
        return self.records[USERS].get(user, {}).get("oauth_access_token") or None

    def _orm_remove_oauth_access_token(self, asked: Asked) -> None:
        for number in asked.ids:
            self.records[USERS][number]["oauth_access_token"] = False


def _id(held: Any) -> Any:
    return held[0] if isinstance(held, list) else held
