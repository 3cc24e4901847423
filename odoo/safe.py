"""What opens one database of ours, and the seam through which it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

# The user whose key we hold, and the administrator of a database that is new.
SERVICE_LOGIN, ADMIN_LOGIN = "bff-service", "admin"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What opens one database, to be sealed as a whole.

    `begun`: we have asked for the database, so that one by its name may be ours.
    `user` is the service user's id, `key` its API key, `key_name` what Odoo lists that
    key as, `previous` a key that is not revoked yet. `uuid` is that of a finished
    template. `proven`: Odoo has asked for the service user's password and taken ours.
    A template without `admin_password` has one that nobody knows, nor do its copies.
    Nothing kept may be lost: each password is kept before Odoo hears it.
    """

    begun: bool = False
    proven: bool = False
    user: int = 0
    uuid: str = ""
    key_name: str = ""
    key: str = field(default="", repr=False)
    previous: str = field(default="", repr=False)
    service_password: str = field(default="", repr=False)
    admin_password: str = field(default="", repr=False)
    code_verifier: str = field(default="", repr=False)

    def for_new(self, user: int) -> Credentials:
        """Return them for a database yet to come: no key opens that."""
        return replace(self, user=user, key="", key_name="", previous="", proven=False)


@dataclass(frozen=True, kw_only=True)
class Template:
    """A database to copy, and what opens its copies until they are taken over."""

    name: str
    credentials: Credentials


class Safe(Protocol):
    """Keeps the credentials of one database; what a call raises comes through."""

    async def kept(self) -> Credentials | None:
        """Return what was kept last, None if nothing was."""

    async def keep(self, credentials: Credentials) -> None:
        """Keep them, and return when a crash can no longer lose them."""

    async def still_ours(self) -> None:
        """Return if nobody has taken the database over, and raise otherwise.

        Asked right before each change in Odoo, so that a worker that was paused and
        replaced changes nothing when it wakes up.
        """
