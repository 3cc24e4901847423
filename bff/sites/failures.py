"""Say in a person's words what went wrong with their Odoo, and whether time helps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bff.errors_odoo import OdooMissing
from bff.identity.admin_api import CallRefused
from bff.identity.clients import ClientTrouble
from bff.identity.messages import ProviderUnavailable
from bff.sessions.sealing import Unopenable
from bff.sites.holding import NoOdoo, StillHeld
from odoo import errors

if TYPE_CHECKING:
    from collections.abc import Mapping


class Failure(Exception):
    """A code for programs and a sentence for people; time alone does not help.

    The cause is for the log: Odoo's own words may tell of hosts and records.
    """

    # No dataclass: a frozen one breaks on its way through a context manager.
    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Words(NamedTuple):
    """What is said of a failure, and whether time alone may help."""

    code: str
    sentence: str
    passes: bool = False


UNKNOWN = "Something went wrong on our side. Try again in a moment."
_SUPPORT = "Ask the people who run this service."
# The first that fits counts.
_WORDS: Mapping[type[Exception], Words] = {
    errors.Unreachable: Words(
        "odoo_unreachable",
        "Odoo does not answer right now. Try again in a few minutes.",
        passes=True,
    ),
    errors.OutcomeUnknown: Words(
        "odoo_silent",
        "Odoo did not answer in time. Try again in a few minutes.",
        passes=True,
    ),
    errors.ManagerDisabled: Words(
        "odoo_manager_disabled",
        f"Odoo's database manager is switched off. {_SUPPORT}",
    ),
    errors.AccessDenied: Words(
        "odoo_access_denied",
        f"Odoo does not accept our password. {_SUPPORT}",
    ),
    errors.TemplateMissing: Words(
        "odoo_template_missing",
        f"What new databases are copied from is missing in Odoo. {_SUPPORT}",
    ),
    errors.DatabaseBusy: Words(
        "odoo_busy",
        "Odoo is busy with another copy. Try again in a few minutes.",
        passes=True,
    ),
    errors.DatabaseUnreachable: Words(
        "odoo_database_unreachable",
        "Odoo cannot reach its database right now. Try again in a few minutes.",
        passes=True,
    ),
    errors.NoRoom: Words(
        "odoo_no_room",
        f"There is no room left for your database. {_SUPPORT}",
    ),
    errors.DatabaseBroken: Words(
        "odoo_database_broken",
        f"Your database was not made completely. Try again; if it stays so: {_SUPPORT}",
    ),
    errors.NotOurs: Words(
        "odoo_not_ours",
        f"A database has the name of yours, and is not known to be yours. {_SUPPORT}",
    ),
    errors.BadName: Words(
        "odoo_bad_name",
        f"Your database would get a name that Odoo does not take. {_SUPPORT}",
    ),
    errors.NoDatabase: Words(
        "odoo_no_database",
        f"Odoo does not know your database. {_SUPPORT}",
    ),
    errors.NotReady: Words(
        "odoo_not_ready",
        "Your Odoo was made, and did not pass its last check. Try again.",
    ),
    errors.NotOffered: Words(
        "odoo_version",
        f"This Odoo lacks something that we need. {_SUPPORT}",
    ),
    errors.ServerFault: Words(
        "odoo_fault",
        "Odoo failed at something. Try again in a few minutes.",
        passes=True,
    ),
    errors.OdooError: Words("odoo_refused", f"Odoo refused something. {_SUPPORT}"),
    Unopenable: Words(
        "odoo_secrets_unreadable",
        f"What opens your Odoo cannot be read any more. {_SUPPORT}",
    ),
    NoOdoo: Words("odoo_missing", OdooMissing.detail),
    ProviderUnavailable: Words(
        "provider_unavailable",
        "Single sign-on cannot be set up right now. Try again in a few minutes.",
        passes=True,
    ),
    ClientTrouble: Words(
        "provider_client",
        f"Single sign-on could not be set up for your Odoo. {_SUPPORT}",
    ),
    CallRefused: Words(
        "provider_refused",
        f"Single sign-on could not be set up for your Odoo. {_SUPPORT}",
    ),
    StillHeld: Words(
        "odoo_in_hand",
        "Your Odoo is being worked on already. Try again in a moment.",
        passes=True,
    ),
}
CODES = frozenset(words.code for words in _WORDS.values())
# The codes of what may go well a little later.
PASSING = frozenset(words.code for words in _WORDS.values() if words.passes)


def failure_of(error: Exception) -> tuple[str, str]:
    """Return a code and a sentence."""
    found = _words_of(error)
    return found.code, found.sentence


def passes(error: Exception) -> bool:
    """Tell whether the same may go well a little later."""
    return _words_of(error).passes


def _words_of(error: Exception) -> Words:
    if isinstance(error, Failure):
        return Words(error.code, error.sentence)
    for kind, words in _WORDS.items():
        if isinstance(error, kind):
            return words
    return Words("internal", UNKNOWN)
