"""Ask Keycloak's Admin API as the provisioner: its token, one request, one answer.

A client of its own asks (a service account with the roles it needs), so that a leak of
the sign-in client's secret makes no users. A POST is sent once and never again.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from bff.identity.messages import ProviderUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bff.config_identity import Auth

MAX_ANSWER = 256 * 1024
# A token is not used in the last part of its life: a call takes time too.
USED_SHARE = 0.8
LONGEST_LIFE = 86400
# How aiohttp says that no connection was made.
NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class NotAsked(ProviderUnavailable):
    """Tell that the request was not sent, or not taken: it may be made again."""


class CallRefused(Exception):
    """Carry the status with which the provider refused for good."""

    def __init__(self, status: int, said: str = "") -> None:
        self.status = status
        super().__init__(said or f"the provider refused with {status}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider said."""

    status: int
    location: str
    body: object

    def member(self, name: str) -> object:
        """Return one member of a JSON object, None of anything else."""
        return self.body.get(name) if isinstance(self.body, dict) else None

    def expect(self, status: int) -> None:
        """Take no other status.

        Raises:
            CallRefused: when another try would hear the same.
            ProviderUnavailable: when the provider is in trouble.
        """
        if self.status == status:
            return
        if self.status >= 500 or self.status == 429:  # noqa: PLR2004 - HTTP's own
            raise ProviderUnavailable(f"the provider answered {self.status}")
        raise CallRefused(self.status)


class AdminApi:
    """Send requests with the provisioner's token."""

    def __init__(
        self, auth: Auth, http: aiohttp.ClientSession, clock: Callable[[], float]
    ) -> None:
        self._token_endpoint = f"{auth.issuer}/protocol/openid-connect/token"
        self._auth = auth
        self._http = http
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=auth.timeout, sock_connect=5)
        self._token = ""
        self._token_until = float("-inf")
        self._asking: asyncio.Future[str] | None = None

    async def ask(self, method: str, url: str, body: object = None) -> Answer:
        """Send one request, with *body* as JSON.

        Raises:
            NotAsked: when there is no token or no connection for it.
            ProviderUnavailable: when no answer came; it may have been carried out.
        """
        headers = {"Authorization": f"Bearer {await self._bearer()}"}
        answer = await self._send(method, url, content=body, headers=headers)
        if answer.status == 401:  # noqa: PLR2004 - Unauthorized
            # Ended before its time (not-before was pushed): the next call gets another.
            self._token_until = float("-inf")
            raise NotAsked("the provisioner's token was refused")
        return answer

    async def _bearer(self) -> str:
        if self._clock() < self._token_until:
            return self._token
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._new_token())
            self._asking.add_done_callback(_seen)
        # All who wait share one answer, a failure too: one after the other they would
        # each wait for a provider that is away.
        return await asyncio.shield(self._asking)

    async def _new_token(self) -> str:
        auth = self._auth
        form = {
            "grant_type": "client_credentials",
            "client_id": auth.provisioner_client_id,
            "client_secret": auth.provisioner_client_secret.get_secret_value(),
        }
        asked_at = self._clock()
        try:
            answer = await self._send("POST", self._token_endpoint, data=form)
        except ProviderUnavailable as error:
            raise NotAsked(str(error)) from error
        token, life = answer.member("access_token"), answer.member("expires_in")
        if answer.status != 200 or not isinstance(token, str):  # noqa: PLR2004 - OK
            said = f"the provider answered the provisioner with {answer.status}"
            raise NotAsked(said)
        seconds = min(life, LONGEST_LIFE) if isinstance(life, (int, float)) else 0
        self._token, self._token_until = token, asked_at + seconds * USED_SHARE
        return token

    async def _send(
        self,
        method: str,
        url: str,
        *,
        content: object = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        try:
            async with self._http.request(
                method,
                url,
                json=content,
                data=data,
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
            ) as answer:
                raw = await answer.content.read(MAX_ANSWER + 1)
                while len(raw) <= MAX_ANSWER and not answer.content.at_eof():
                    raw += await answer.content.read(MAX_ANSWER + 1 - len(raw))
                location = answer.headers.get("Location", "")
                status = answer.status
        except NOT_CONNECTED as error:
            raise NotAsked("the provider cannot be reached") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ProviderUnavailable("the provider does not answer") from error
        if len(raw) > MAX_ANSWER:
            raise ProviderUnavailable("the provider's answer is too long")
        return Answer(status, location, _read(raw))


def _read(raw: bytes) -> object:
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError):  # no JSON, or nested without end
        return None


def _seen(task: asyncio.Task[str]) -> None:
    # Whoever waited may have been cancelled meanwhile; its failure is no news then.
    if not task.cancelled():
        task.exception()
