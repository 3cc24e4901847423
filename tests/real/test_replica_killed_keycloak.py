"""The process that holds the lease dies while it asks a real Keycloak."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from bff.sessions.refresh import LEASE
from tests.real.deployment import deployment, until_near_the_end
from tests.real.relay import Hold
from tests.replicas import ticket

if TYPE_CHECKING:
    from pathlib import Path

    from tests.databases import Databases
    from tests.real.keycloak import Keycloak

pytestmark = pytest.mark.acceptance
# For the dead process's lease to end, and a busy machine.
SECONDS = LEASE + 10
ACCESS_TTL = 4


@pytest.mark.parametrize("rotate", [False, True], ids=["plain", "rotate"])
async def test_a_holder_killed_while_it_asks_is_replaced(
    keycloak: Keycloak, databases: Databases, tmp_path: Path, *, rotate: bool
) -> None:
    """Two sessions: one is killed before Keycloak saw its renewal, one after."""
    async with deployment(
        keycloak, databases, tmp_path, rotate=rotate, access_ttl=ACCESS_TTL
    ) as here:
        relay = here.realm.relay
        early, late = await here.realm.person(), await here.realm.person(1002)
        async with (
            here.signed_in(early["email"]) as unseen,
            here.signed_in(late["email"]) as spent,
            here.replicas.browser(here.second, unseen.cookies) as unseen_there,
            here.replicas.browser(here.second, spent.cookies) as spent_there,
        ):
            await until_near_the_end(spent, past=0.1)
            relay.after = accepted = Hold()
            lost = [asyncio.ensure_future(spent.get("/whoami"))]
            await accepted.came.wait()
            relay.before = asked = Hold()
            lost.append(asyncio.ensure_future(unseen.get("/whoami")))
            await asked.came.wait()
            assert (relay.asked, relay.accepted) == (2, 1)

            here.first.kill()
            accepted.drop()
            asked.drop()
            relay.before = relay.after = None
            began = time.monotonic()
            answers = await asyncio.gather(
                spent_there.get("/whoami"),
                *(unseen_there.get("/whoami") for _ in range(10)),
                *(unseen_there.get("/graph/threads/x") for _ in range(10)),
            )
            took = time.monotonic() - began
            await asyncio.gather(*lost, return_exceptions=True)

            assert took < SECONDS
            # What Keycloak never saw costs nobody anything.
            assert Counter(one.status for one in answers[1:]) == {200: 20}
            assert ticket(unseen_there.cookies).gen == 2
            assert await here.realm.renewals(early) == 1
            assert await here.realm.refusals() == rotate
            if not rotate:
                # The old refresh token counts still.
                assert answers[0].status == 200
                assert await here.realm.renewals(late) == 2
            else:
                # It was spent, and its successor died with the process: signed out.
                assert answers[0].status == 401
                assert spent_there.cookies == {}


async def test_sigterm_in_the_middle_of_a_renewal_loses_nothing(
    keycloak: Keycloak, databases: Databases, tmp_path: Path
) -> None:
    async with deployment(
        keycloak, databases, tmp_path, rotate=True, access_ttl=ACCESS_TTL
    ) as here:
        relay, user = here.realm.relay, await here.realm.person()
        leaver = await here.realm.person(1002)
        async with (
            here.signed_in(user["email"]) as first,
            here.signed_in(leaver["email"]) as leaving,
            here.replicas.browser(here.second, first.cookies) as second,
            here.replicas.browser(here.second, leaving.cookies) as back,
        ):
            await until_near_the_end(leaving, past=0.1)
            relay.after = hold = Hold()
            patient = asyncio.ensure_future(first.get("/whoami"))
            gone = asyncio.ensure_future(leaving.get("/whoami"))
            await relay.has_accepted(2)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

            here.first.terminate()
            await here.first.draining()
            # Longer than handlers get once the sockets are closed.
            await asyncio.sleep(1.5)
            hold.go.set()

            # Who waited is answered; who left finds the tokens at the other process.
            assert (await patient).status == 200
            assert await here.first.ended() == 0, here.first.output()
            assert ticket(first.cookies).gen == 2
            for browser in (second, back):
                assert (await browser.get("/whoami")).status == 200
                assert ticket(browser.cookies).gen >= 2

        assert await here.realm.refusals() == 0
        assert "Traceback" not in here.first.output()
