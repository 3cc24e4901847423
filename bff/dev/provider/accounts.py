"""The people of the realm and what Keycloak remembers about each; no I/O here."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from bff.dev.provider.model import Person

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(kw_only=True)
class Account:
    """A person under an id that stays when everything else changes."""

    id: str
    person: Person
    created_at: float = 0.0
    failures: int = 0
    last_failure: float = 0.0
    locked_until: float = 0.0
    used_codes: dict[str, float] = field(default_factory=dict)


class Accounts:
    """Every account, found by id or by e-mail address."""

    def __init__(self, people: Iterable[Person]) -> None:
        self._by_id = {one.sub: Account(id=one.sub, person=one) for one in people}
        self._named = set(self._by_id)
        self._original = {id_: one.person for id_, one in self._by_id.items()}

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_id.values())

    def get(self, id_: str) -> Account | None:
        """Return the account of this id."""
        return self._by_id.get(id_)

    def find(self, email: str) -> Account | None:
        """Return the account of this e-mail address, whatever its case."""
        wanted = email.strip().lower()
        matching = (one for one in self if one.person.email.lower() == wanted)
        return next(matching, None)

    def add(self, person: Person, now: float) -> Account:
        """Open an account; the caller has made sure that the address is free."""
        # A name given once is not given to somebody else.
        id_ = str(uuid.uuid4()) if person.sub in self._named else person.sub
        self._named.add(id_)
        account = Account(id=id_, person=person, created_at=now)
        self._by_id[account.id] = account
        return account

    def change(self, account: Account, **values: Any) -> None:  # noqa: ANN401 -- the fields of Person, whatever their type
        """Replace some of what is known about the person."""
        account.person = replace(account.person, **values)

    def remove(self, account: Account) -> None:
        """Close an account for good."""
        del self._by_id[account.id]

    def dump(self) -> dict[str, Any]:
        """Export only what differs from the people we started with."""
        changed = {
            one.id: {**asdict(one.person), "created_at": one.created_at}
            for one in self
            if one.person != self._original.get(one.id)
        }
        gone = [id_ for id_ in self._original if id_ not in self._by_id]
        return {"changed": changed, "gone": gone}

    def load(self, saved: dict[str, Any]) -> None:
        """Apply exported differences."""
        for id_, values in saved["changed"].items():
            self._named.add(id_)
            created_at = values.pop("created_at")
            person = _person(values)
            self._by_id[id_] = Account(id=id_, person=person, created_at=created_at)
        for id_ in saved["gone"]:
            self._by_id.pop(id_, None)


def _person(values: dict[str, Any]) -> Person:
    known = {one.name for one in fields(Person)}
    # JSON has no tuples.
    kept: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name in known
    }
    return Person(**kept)
