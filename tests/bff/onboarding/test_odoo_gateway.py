"""A person founds a workspace at a whole gateway, and watches their Odoo come."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bff.onboarding.odoo_steps import COPIED, COPYING, OWNING
from bff.onboarding.phases import NAMES
from tests.bff.onboarding.estate import (
    SECRETS,
    assert_says_nothing,
    dump,
    keep_template,
    odoo_section,
)
from tests.bff.onboarding.gates import gate
from tests.fakes.odoo_services import TEMPLATE
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases
    from tests.fakes.odoo import FakeOdoo
    from tests.world import Browser

CAROL = "carol@initech.test"
# We promise a fifth of a second; a busy machine is no failure.
CEILING = timedelta(seconds=2)


@pytest.fixture
async def served(databases: Databases, fake: FakeOdoo) -> AsyncGenerator[World]:
    """Give a gateway whose worker makes tenants their Odoo."""
    await keep_template(databases, fake)
    settings: dict[str, dict[str, Any]] = {
        "odoo": odoo_section(fake),
        "worker": {"heartbeat": 1, "dequeue": 0.2},
    }
    async with World(databases, settings).running() as world:
        yield world


async def watched(browser: Browser) -> list[tuple[datetime, dict[str, Any]]]:
    """Return each document that came as an event until the end, and when it came."""
    seen: list[tuple[datetime, dict[str, Any]]] = []
    answer = await browser.get("/onboarding/events")
    assert answer.status == 200
    try:
        async with asyncio.timeout(40):
            while not seen or seen[-1][1]["status"] not in {"ready", "error"}:
                block = (await answer.content.readuntil(b"\n\n")).decode()
                at, lines = datetime.now(UTC), block.splitlines()
                said = [line[6:] for line in lines if line.startswith("data: ")]
                seen += [(at, json.loads(one)) for one in said]
    finally:
        answer.close()
    return seen


def moments(document: dict[str, Any]) -> set[datetime]:
    """Return when phases began and ended."""
    found = [
        phase[name]
        for phase in document["phases"]
        for name in ("started_at", "finished_at")
    ]
    return {datetime.fromisoformat(one) for one in found if one}


async def test_each_phase_is_seen_in_its_order_and_at_once(
    served: World, fake: FakeOdoo, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with served.signed_in(CAROL) as carol:
        with gate(fake, "version") as held:
            assert (await carol.post("/onboarding/first_login")).status == 202
            watching = asyncio.ensure_future(watched(carol))
            await held.reached()
            held.open()
            seen = await watching
        answers = [
            await (await carol.get(path)).text()
            for path in ("/onboarding/status", "/whoami")
        ]

    documents = [document for _, document in seen]
    assert (documents[-1]["status"], documents[-1]["error"]) == ("ready", None)
    assert [one["state"] for one in documents[-1]["phases"]] == ["done"] * 5
    statuses = [document["status"] for document in documents]
    assert sorted(statuses, key=NAMES.index) == statuses
    assert set(statuses) == set(NAMES)
    details = [document["phases"][1]["detail"] for document in documents]
    for said in (COPYING.format(TEMPLATE), OWNING, COPIED.format(TEMPLATE)):
        assert said in details
    known = moments(documents[0])
    for at, document in seen[1:]:
        for moment in moments(document) - known:
            assert at - moment < CEILING, document["status"]
        known |= moments(document)
    told = "\n".join([*answers, json.dumps(documents)])
    for text in (told, caplog.text, await dump(served.databases)):
        assert_says_nothing(text, SECRETS)
