"""How long a refusal takes does not tell who has an account."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.auth.limits import seconds_to_step
from tests.world import World

if TYPE_CHECKING:
    from aiohttp import web

    from tests.databases import Databases

STEP = 1.0
# What a loaded machine may add; far less than the step.
NOISE = 0.5


@given(
    elapsed=st.floats(0, 30, allow_nan=False),
    step=st.floats(0.05, 5, allow_nan=False),
)
def test_an_answer_comes_after_a_multiple_of_the_step(
    elapsed: float, step: float
) -> None:
    wait = seconds_to_step(elapsed, step)

    assert 0 < wait <= step
    assert (elapsed + wait) / step == pytest.approx(round((elapsed + wait) / step))


def test_without_a_step_nothing_waits() -> None:
    assert seconds_to_step(0.2, 0) == 0


async def test_known_and_unknown_are_refused_after_the_same_time(
    databases: Databases,
) -> None:
    """The provider answers at once for the one, and slowly for the other."""
    world = World(databases, {"auth": {"refusal_step": STEP}})
    async with world.running(), world.browser() as browser:

        async def slow_for_alice(request: web.Request) -> None:
            if "alice" in await request.text():
                await asyncio.sleep(0.3)

        world.provider.intercept = slow_for_alice
        took: dict[str, float] = {}
        for email in ("alice@acme.test", "nobody@acme.test", "disabled@acme.test"):
            began = time.monotonic()
            answer = await browser.login(email, "Wrong-Horse-1")
            took[email] = time.monotonic() - began
            assert answer.status == 401

    # Late ones are a whole number of steps late, so only the rest of it can tell.
    assert all(seconds >= STEP for seconds in took.values()), took
    assert all(seconds % STEP < NOISE for seconds in took.values()), took


async def test_a_person_who_signs_in_does_not_wait(databases: Databases) -> None:
    world = World(databases, {"auth": {"refusal_step": 5}})
    async with world.running(), world.browser() as browser:
        began = time.monotonic()
        assert (await browser.login("alice@acme.test")).status == 200

    assert time.monotonic() - began < 5
