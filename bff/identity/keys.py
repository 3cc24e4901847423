"""Keep the provider's signing keys, and verify signatures with them.

A key is found by its id among those for signatures. An unknown id causes one fetch,
at most every 30 seconds; in an outage the known keys go on serving.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from bff.identity.messages import ProviderUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

ALGORITHMS = ["RS256", "PS256", "ES256"]
COOL_DOWN = 30.0
# For tokens straight from the token endpoint: nobody can send a storm of those.
SHORT_COOL_DOWN = 1.0
MAX_AGE = 3600.0
# joserfc lets Python's own errors out for headers of a wrong kind (``"crit": 5``).
MALFORMED = (JoseError, ValueError, TypeError, KeyError, AttributeError)


class SignatureRefused(Exception):
    """Say why a token's signature does not count."""


class SigningKeys:
    """Hold the keys of one provider."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[dict[str, Any]]],
        clock: Callable[[], float],
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, KeySet] = {}
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._flight: asyncio.Task[None] | None = None

    async def verify(self, token: str, *, own: bool = False) -> dict[str, Any]:
        """Return the claims of *token* once its signature is proven.

        *own* tells that it came straight from the provider. Only RS256, PS256 and
        ES256 count; keys named inside the token never do.

        Raises:
            SignatureRefused: for anything else.
            ProviderUnavailable: when the key is unknown and none can be fetched.
        """
        try:
            header = jws.extract_compact(token.encode()).headers()
        except MALFORMED as error:
            raise SignatureRefused("not a signed token") from error
        kid = header.get("kid")
        if header.get("alg") not in ALGORITHMS or not isinstance(kid, str):
            raise SignatureRefused("algorithm or key id")
        keys = await self._find(kid, SHORT_COOL_DOWN if own else COOL_DOWN)
        try:
            verified = jwt.decode(token, keys, algorithms=ALGORITHMS)
        except MALFORMED as error:
            raise SignatureRefused("signature") from error
        verified.claims["_typ"] = verified.header.get("typ")
        return verified.claims

    async def _find(self, kid: str, cool_down: float) -> KeySet:
        now = self._clock()
        stale = now - self._fetched > MAX_AGE
        if (kid not in self._keys or stale) and now - self._tried > cool_down:
            self._start_flight(now)
        if kid not in self._keys and self._flight is not None:
            await asyncio.shield(self._flight)
        if kid not in self._keys:
            if self._fetched < self._tried or not self._keys:
                # The last fetch failed: nobody can say that there is no such key.
                raise ProviderUnavailable("the provider's keys cannot be had")
            raise SignatureRefused("unknown key")
        return self._keys[kid]

    def _start_flight(self, now: float) -> None:
        if self._flight is None:
            self._tried = now
            self._flight = asyncio.ensure_future(self._load())
            self._flight.add_done_callback(self._landed)

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flight = None
        if not flight.cancelled() and flight.exception() is not None:
            # A stale key set goes on serving; only an unknown key waits for this.
            log.warning("the provider's keys could not be fetched")

    async def _load(self) -> None:
        listed = (await self._fetch()).get("keys")
        found: dict[str, KeySet] = {}
        for key in listed if isinstance(listed, list) else ():
            if not isinstance(key, dict) or key.get("use") != "sig":
                continue
            try:
                found[str(key["kid"])] = KeySet.import_key_set({"keys": [key]})
            except MALFORMED:
                # One key of a kind we do not know must not hide the others.
                log.info("a key of the provider is of an unknown kind")
        if found:
            self._keys, self._fetched = found, self._clock()
