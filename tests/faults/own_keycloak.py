"""A real Keycloak of the faults' own, to be stopped, silenced and cut off.

Its database is in memory: killed, it would come back without anybody's session.
"""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.shim import Shim
from tests.real.own_realm import OwnRealm, own_realm

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.real.keycloak import Keycloak


def freeze(keycloak: Keycloak) -> None:
    """Let it take connections and never answer."""
    os.killpg(keycloak.process.pid, signal.SIGSTOP)


def thaw(keycloak: Keycloak) -> None:
    """Let it go on."""
    os.killpg(keycloak.process.pid, signal.SIGCONT)


@dataclass
class ShimmedRealm:
    """A realm whose tokens and discovery name the shim in front of Keycloak."""

    keycloak: Keycloak
    realm: OwnRealm
    shim: Shim

    @property
    def issuer(self) -> str:
        return f"{self.shim.url}/realms/{self.realm.side.realm.name}"

    async def breaks(self, fault: str) -> None:
        """Break Keycloak, or the way there."""
        if fault == "gone":
            await self.shim.down()
        elif fault == "stopped":
            freeze(self.keycloak)
        else:
            self.shim.silence()

    async def recovers(self, fault: str) -> None:
        """Take it back, without a word to the gateway."""
        if fault == "stopped":
            thaw(self.keycloak)
        else:
            await self.shim.up()


@asynccontextmanager
async def shimmed_realm(
    keycloak: Keycloak, access_ttl: int
) -> AsyncGenerator[ShimmedRealm]:
    """Give a realm behind a shim of its own."""
    async with (
        own_realm(keycloak, rotate=False, access_ttl=access_ttl) as realm,
        Shim(keycloak.url).running() as shim,
    ):
        attributes = (await realm.administrate("GET", "")).json["attributes"]
        body = {"attributes": {**attributes, "frontendUrl": shim.url}}
        await realm.administrate("PUT", "", json=body)
        yield ShimmedRealm(keycloak, realm, shim)
