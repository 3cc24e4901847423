"""A server that does not answer is left alone, and tried again after a while."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from odoo.breaker import Breaker
from odoo.client import Server
from odoo.errors import AccessDenied, BadAnswer, OutcomeUnknown, Unreachable
from tests.fakes.odoo_raised import access_denied

if TYPE_CHECKING:
    import aiohttp

    from tests.odoo.conftest import Odoo

AWAY = "left alone for a moment"


class _Clock:
    """A clock that stands still until it is moved."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def breaker(clock: _Clock) -> Breaker:
    return Breaker(clock)


def _call(breaker: Breaker, error: BaseException | None = None) -> None:
    with breaker.call():
        if error is not None:
            raise error


def _fail(breaker: Breaker, times: int) -> None:
    for number in range(times):
        error = OutcomeUnknown("late") if number % 2 else Unreachable("away")
        with pytest.raises(type(error)):
            _call(breaker, error)


def _assert_shut(breaker: Breaker) -> None:
    with pytest.raises(Unreachable, match=AWAY):
        _call(breaker)


def test_five_failures_in_a_row_shut_it(breaker: Breaker, clock: _Clock) -> None:
    _fail(breaker, 4)
    _call(breaker)
    _fail(breaker, 4)
    _call(breaker)
    _fail(breaker, 5)
    _assert_shut(breaker)
    clock.seconds += 9.9
    _assert_shut(breaker)


def test_any_answer_counts_as_one(breaker: Breaker) -> None:
    _fail(breaker, 4)
    with pytest.raises(BadAnswer):
        _call(breaker, BadAnswer(502))
    _fail(breaker, 4)
    _call(breaker)


def test_trial_that_succeeds_opens_it(breaker: Breaker, clock: _Clock) -> None:
    _fail(breaker, 5)
    clock.seconds += 10
    _call(breaker)
    _fail(breaker, 4)
    _call(breaker)


def test_trial_that_fails_begins_another_rest(breaker: Breaker, clock: _Clock) -> None:
    _fail(breaker, 5)
    clock.seconds += 10
    _fail(breaker, 1)
    _assert_shut(breaker)
    clock.seconds += 10
    _call(breaker)


def test_look_at_its_health_proves_nothing(breaker: Breaker, clock: _Clock) -> None:
    _fail(breaker, 4)
    with breaker.call(is_look=True):
        pass
    _fail(breaker, 1)
    with pytest.raises(Unreachable, match=AWAY), breaker.call(is_look=True):
        pass
    clock.seconds += 10
    with breaker.call(is_look=True):
        pass
    _fail(breaker, 1)
    _assert_shut(breaker)


def test_only_one_trial_at_once(breaker: Breaker, clock: _Clock) -> None:
    _fail(breaker, 5)
    clock.seconds += 10
    with breaker.call():
        _assert_shut(breaker)
    _call(breaker)


def test_trial_that_is_cancelled_makes_room_for_another(
    breaker: Breaker, clock: _Clock
) -> None:
    _fail(breaker, 5)
    clock.seconds += 10
    with pytest.raises(asyncio.CancelledError):
        _call(breaker, asyncio.CancelledError())
    _call(breaker)
    _call(breaker)


def test_failures_of_older_calls_do_not_prolong_the_rest(
    breaker: Breaker, clock: _Clock
) -> None:
    older = breaker.call()
    older.__enter__()
    _fail(breaker, 5)
    clock.seconds += 9
    error = OutcomeUnknown("late")
    assert not older.__exit__(type(error), error, None)
    clock.seconds += 1
    _call(breaker)


async def test_server_that_is_away_is_asked_five_times(
    http: aiohttp.ClientSession, breaker: Breaker
) -> None:
    server = Server(http=http, url="http://127.0.0.1:9", breaker=breaker)
    for _ in range(5):
        with pytest.raises(Unreachable, match="cannot be reached"):
            await server.version()
    # Whoever calls with other limits shares what is known of it.
    with pytest.raises(Unreachable, match=AWAY):
        await replace(server, seconds=60).health()


async def test_silence_counts_and_refusals_do_not(
    odoo: Odoo, breaker: Breaker, clock: _Clock
) -> None:
    server = replace(odoo.server, breaker=breaker, seconds=0.2)
    for _ in range(5):
        odoo.fake.fail("version", delay=5)
        with pytest.raises((OutcomeUnknown, Unreachable)):
            await server.version()
    with pytest.raises(Unreachable, match=AWAY):
        await server.version()
    clock.seconds += 10
    patient = replace(server, seconds=20)
    assert await patient.version() == "19.0"
    for _ in range(9):
        odoo.fake.fail("version", raises=access_denied())
        with pytest.raises(AccessDenied):
            await patient.version()
    await patient.version()
