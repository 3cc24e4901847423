"""Each error has a code for programs, a sentence for people, and says if time helps."""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bff.database import DatabaseUnavailable
from bff.identity.admin_api import CallRefused, NotAsked
from bff.identity.clients import ClientMissing, ClientNotOurs, MayNotManageClients
from bff.identity.messages import ProviderUnavailable
from bff.sessions.sealing import Unopenable
from bff.sites.failures import PASSING, UNKNOWN, Failure, failure_of, passes
from bff.sites.holding import NoOdoo, StillHeld
from odoo import errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

HOST = "odoo-db-1.internal.test"


def made(kind: type[Exception]) -> Exception:
    if issubclass(kind, errors.BadAnswer):
        return kind(502)
    if issubclass(kind, errors.Refused):
        return kind("odoo.X", f"could not reach {HOST}")
    if issubclass(kind, errors.NotReady):
        return kind((f"{HOST} is not ready",))
    return kind(HOST)


KINDS = [
    one
    for _, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, errors.OdooError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_of_odoo_has_a_code_and_a_sentence_without_its_own_words(
    kind: type[Exception],
) -> None:
    code, sentence = failure_of(made(kind))

    assert code.startswith("odoo_")
    assert sentence.endswith(".")
    assert HOST not in sentence
    assert sentence != UNKNOWN


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Unreachable("x"), "odoo_unreachable"),
        (errors.OutcomeUnknown("x"), "odoo_silent"),
        (errors.BadAnswer(502), "odoo_silent"),
        (errors.ManagerDisabled("", ""), "odoo_manager_disabled"),
        (errors.AccessDenied("", ""), "odoo_access_denied"),
        (errors.TemplateMissing("", ""), "odoo_template_missing"),
        (errors.NoRoom("", ""), "odoo_no_room"),
        (errors.NoDatabase("", ""), "odoo_no_database"),
        (errors.NotOurs("x"), "odoo_not_ours"),
        (errors.Invalid("", ""), "odoo_refused"),
        (Unopenable(), "odoo_secrets_unreadable"),
        (StillHeld("x"), "odoo_in_hand"),
        (NoOdoo("x"), "odoo_missing"),
        (ProviderUnavailable("x"), "provider_unavailable"),
        (NotAsked("x"), "provider_unavailable"),
        (ClientNotOurs("x"), "provider_client"),
        (ClientMissing("x"), "provider_client"),
        (CallRefused(500), "provider_refused"),
        (MayNotManageClients(), "provider_refused"),
        (RuntimeError(HOST), "internal"),
        (DatabaseUnavailable(HOST), "internal"),
        (Failure("mine", "My words."), "mine"),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_which_code_is_which(error: Exception, code: str) -> None:
    found, sentence = failure_of(error)

    assert found == code
    assert HOST not in sentence


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (errors.Unreachable("x"), True),
        (errors.OutcomeUnknown("x"), True),
        (errors.BadAnswer(502), True),
        (errors.DatabaseBusy("", ""), True),
        (errors.DatabaseUnreachable("", ""), True),
        (errors.ServerFault("", ""), True),
        (errors.AccessDenied("", ""), False),
        (errors.ManagerDisabled("", ""), False),
        (errors.NotOurs("x"), False),
        (errors.NoRoom("", ""), False),
        (errors.NotReady(("x",)), False),
        (StillHeld("x"), True),
        (ProviderUnavailable("x"), True),
        (CallRefused(500), False),
        (NoOdoo("x"), False),
        (Unopenable(), False),
        (RuntimeError("x"), False),
        (Failure("x", "x."), False),
    ],
    ids=lambda one: str(one) if isinstance(one, bool) else type(one).__name__,
)
def test_whether_time_alone_may_help(error: Exception, *, helps: bool) -> None:
    assert passes(error) is helps


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_odoo_s_own_errors_say_of_time_holds(kind: type[Exception]) -> None:
    error = made(kind)
    assert isinstance(error, errors.OdooError)

    # A fault is one of any kind: the library does not know, and trying again is cheap.
    helps = error.passes or isinstance(error, errors.ServerFault)
    assert passes(error) is helps


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_code_passes_as_its_error_does(kind: type[Exception]) -> None:
    error = made(kind)
    assert (failure_of(error)[0] in PASSING) is passes(error)


async def test_a_failure_of_ours_goes_through_context_managers() -> None:
    @asynccontextmanager
    async def around() -> AsyncGenerator[None]:
        yield

    with pytest.raises(Failure, match="My words"):
        async with around():
            raise Failure("mine", "My words.")
