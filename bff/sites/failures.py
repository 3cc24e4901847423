"""Say in a person's words what went wrong with their Odoo, and whether time helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff.identity.admin_api import CallRefused
from bff.identity.clients import ClientTrouble
from bff.identity.messages import ProviderUnavailable
from bff.sessions.sealing import Unopenable
from bff.sites.holding import NoOdoo, StillHeld
from odoo import errors

if TYPE_CHECKING:
    from collections.abc import Mapping


class Failure(Exception):
    """A code for programs and a sentence for people; `passes` if time alone may help.

    The cause is for the log: Odoo's own words may tell of hosts and records.
    """

    # No dataclass: a frozen one breaks on its way through a context manager.
    def __init__(self, code: str, sentence: str, *, passes: bool = False) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.passes = passes


UNKNOWN = "Something went wrong on our side. Try again in a moment."
_SUPPORT = "Ask the people who run this service."
# The first that fits counts.
_WORDS: Mapping[type[Exception], tuple[str, str]] = {
    errors.Unreachable: (
        "odoo_unreachable",
        "Odoo does not answer right now. Try again in a few minutes.",
    ),
    errors.OutcomeUnknown: (
        "odoo_silent",
        "Odoo did not answer in time. Try again in a few minutes.",
    ),
    errors.ManagerDisabled: (
        "odoo_manager_disabled",
        f"Odoo's database manager is switched off. {_SUPPORT}",
    ),
    errors.AccessDenied: (
        "odoo_access_denied",
        f"Odoo does not accept our password. {_SUPPORT}",
    ),
    errors.TemplateMissing: (
        "odoo_template_missing",
        f"What new databases are copied from is missing in Odoo. {_SUPPORT}",
    ),
    errors.DatabaseBusy: (
        "odoo_busy",
        "Odoo is busy with another copy. Try again in a few minutes.",
    ),
    errors.DatabaseUnreachable: (
        "odoo_database_unreachable",
        "Odoo cannot reach its database right now. Try again in a few minutes.",
    ),
    errors.NoRoom: (
        "odoo_no_room",
        f"There is no room left for your database. {_SUPPORT}",
    ),
    errors.DatabaseBroken: (
        "odoo_database_broken",
        f"Your database was not made completely. Try again; if it stays so: {_SUPPORT}",
    ),
    errors.NotOurs: (
        "odoo_not_ours",
        f"A database has the name of yours, and is not known to be yours. {_SUPPORT}",
    ),
    errors.BadName: (
        "odoo_bad_name",
        f"Your database would get a name that Odoo does not take. {_SUPPORT}",
    ),
    errors.NoDatabase: (
        "odoo_no_database",
        f"Odoo does not know your database. {_SUPPORT}",
    ),
    errors.NotReady: (
        "odoo_not_ready",
        "Your Odoo was made, and did not pass its last check. Try again.",
    ),
    errors.NotOffered: (
        "odoo_version",
        f"This Odoo lacks something that we need. {_SUPPORT}",
    ),
    errors.ServerFault: (
        "odoo_fault",
        "Odoo failed at something. Try again in a few minutes.",
    ),
    errors.OdooError: ("odoo_refused", f"Odoo refused something. {_SUPPORT}"),
    Unopenable: (
        "odoo_secrets_unreadable",
        f"What opens your Odoo cannot be read any more. {_SUPPORT}",
    ),
    NoOdoo: ("odoo_missing", "Your workspace has no Odoo of its own yet."),
    ProviderUnavailable: (
        "provider_unavailable",
        "Single sign-on cannot be set up right now. Try again in a few minutes.",
    ),
    ClientTrouble: (
        "provider_client",
        f"Single sign-on could not be set up for your Odoo. {_SUPPORT}",
    ),
    CallRefused: (
        "provider_refused",
        f"Single sign-on could not be set up for your Odoo. {_SUPPORT}",
    ),
    StillHeld: (
        "odoo_in_hand",
        "Your Odoo is being worked on already. Try again in a moment.",
    ),
}


def failure_of(error: Exception) -> tuple[str, str]:
    """Return a code and a sentence."""
    if isinstance(error, Failure):
        return error.code, error.sentence
    for kind, words in _WORDS.items():
        if isinstance(error, kind):
            return words
    return "internal", UNKNOWN


def passes(error: Exception) -> bool:
    """Tell whether the same may go well a little later."""
    if isinstance(error, Failure):
        return error.passes
    if isinstance(error, errors.OdooError):
        return error.passes or isinstance(error, errors.ServerFault)
    return isinstance(error, (StillHeld, ProviderUnavailable))
