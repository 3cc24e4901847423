"""A gateway under load for minutes grows in nothing and complains of nothing."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.bff.waiting import until
from tests.faults.loads import Load, rests, sample
from tests.faults.stage import stage

if TYPE_CHECKING:
    from pathlib import Path

    from tests.databases import Databases

PEOPLE = 30
EMAILS = ("alice@acme.test", "bob@globex.test", "dave@acme.test")
SECONDS = "BFF_SOAK_SECONDS"
# Less is within what the allocator keeps for later.
MEGABYTES, SHARE = 4.0, 0.03
DESCRIPTORS = 15


def asked_for() -> float:
    """Return how long it shall take: `make soak SECONDS=180`."""
    return float(os.environ.get(SECONDS, "600"))


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_a_gateway_at_load_for_minutes_is_flat_and_silent(
    databases: Databases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Tokens end within the run: some are renewed without being asked to.
    async with stage(databases, tmp_path, access_ttl=60) as here:
        pid = here.gateway.process.pid
        load = Load(here.replicas, time.monotonic() + asked_for())
        async with asyncio.TaskGroup() as group:
            group.create_task(load.watch())
            for number in range(PEOPLE):
                email = EMAILS[number % len(EMAILS)]
                group.create_task(load.person(email, number))
        await until(lambda: rests(here.gateway), seconds=30)
        third, last = load.halves()
        said = (
            f"{asked_for():g} s, {PEOPLE} people: {dict(load.done)}",
            f"first {load.samples[0]}, at rest {sample(pid)}",
            f"third quarter {third}, last quarter {last}",
        )
        with capsys.disabled():
            sys.stdout.write("\n" + "\n".join(said) + "\n")
        grown = last.megabytes - third.megabytes
        assert grown < max(MEGABYTES, SHARE * third.megabytes)
        assert last.descriptors - third.descriptors < DESCRIPTORS
        assert sample(pid).descriptors <= last.descriptors
        assert load.complaints() == []
        here.ran_well()
