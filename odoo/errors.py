"""What can go wrong between us and an Odoo server.

No HTTP status here, and never Odoo's `debug`: that is a traceback with server paths.
"""

from __future__ import annotations

from typing import ClassVar


class OdooError(Exception):
    """A call to Odoo that brought no value; `passes` if time alone may cure it."""

    passes: ClassVar[bool] = False


class BadName(OdooError):
    """The name is none we give to a database; nothing was sent."""


class Unreachable(OdooError):
    """No server could be reached: not one byte was sent, repeating is safe."""

    passes = True


class OutcomeUnknown(OdooError):
    """The call was sent and not answered in time, or the connection broke.

    What it asks for may have happened, or may still happen: PostgreSQL finishes a
    copy after Odoo has died. Look before doing it again.
    """

    passes = True


class BadAnswer(OutcomeUnknown):
    """Something answered, but not as Odoo does: a proxy's page, half a body.

    `status` is the HTTP status. A gateway that gave up waiting looks like this, so
    the outcome is as unknown as without an answer.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the answer, HTTP {status}, is not Odoo's")
        self.status = status


class Refused(OdooError):
    """Odoo answered with an error.

    `name` is the Python class that Odoo names, or "" for a page of its own; `detail`
    the first line of its message, for the log and not for people: it may tell of
    hosts and records. Secrets that were sent are cut out of it.
    """

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}" if name else detail)
        self.name = name
        self.detail = detail


class AccessDenied(Refused):
    """The master password, the login or the key is wrong; or the manager is off.

    Odoo answers a disabled database manager with the very same bytes;
    `databases.Databases.preflight` tells them apart.
    """


class ManagerDisabled(Refused):
    """The server's database manager is switched off (`list_db = False`)."""


class AccessRefused(Refused):
    """We are known and may not do this: a right is missing, or a method is private."""


class SessionExpired(Refused):
    """The web session is over; changing one's own password ends it too."""


class NoDatabase(Refused):
    """No database was selected: it is missing, filtered out by Host, or not named."""


class DatabaseUnreachable(Refused):
    """Odoo cannot connect to the database: missing, closed, or PostgreSQL is away."""

    passes = True


class NoSuchDatabase(DatabaseUnreachable):
    """PostgreSQL itself says that there is no such database, or that it is closed."""


class DatabaseExists(Refused):
    """The name is taken already, by us a moment ago or by somebody else."""


class DatabaseBusy(Refused):
    """Somebody uses the database to copy, or Odoo has no connection to spare."""

    passes = True


class TemplateMissing(Refused):
    """The database to copy does not exist."""


class NoRoom(Refused):
    """The disk of Odoo or of its PostgreSQL is full; somebody must make room."""


class DatabaseBroken(Refused):
    """The database exists without Odoo's tables: its creation broke off."""


class RecordMissing(Refused):
    """A record does not exist, or no longer."""


class Invalid(Refused):
    """Odoo refused the values, with a sentence of its own."""


class NotOffered(Refused):
    """This server has no such model, method or route: another version, or a module."""


class CommandFailed(Refused):
    """Odoo's command line ended with an error; what it did until then is unknown."""


class NotDropped(OdooError):
    """Odoo says that there is nothing to drop, and the database is still there."""


class NotOurs(OdooError):
    """A database by this name is there, and nothing shows that it is ours.

    Nothing was changed in it. A person must look.
    """


class NotReady(OdooError):
    """A database is not what it should be by now; `problems` says in what."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class ServerFault(Refused):
    """Odoo failed in a way we know nothing better about."""
