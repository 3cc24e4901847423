"""Open accounts at Keycloak and note a person's tenant there, by its Admin API.

A client of its own does it (a service account with `manage-users`), so that a leak of
the sign-in client's secret makes no users. No call here changes the password of an
account that exists, and a POST is sent once and never again.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp

from bff.identity.messages import ProviderUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bff.config import Auth

MAX_ANSWER = 256 * 1024
# A token is not used in the last part of its life: a call takes time too.
USED_SHARE = 0.8
TENANT = "tenant_id"
# Left out of what is written back: absent they stay as they are, even when somebody
# changes them between our reading and our writing.
VOLATILE = frozenset({"enabled", "emailVerified", "requiredActions"})


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What somebody wants an account with; none of it may reach a log."""

    email: str = field(repr=False)
    first_name: str = field(default="", repr=False)
    last_name: str = field(default="", repr=False)
    password: str | None = field(default=None, repr=False)


class AccountExists(Exception):
    """Tell that the address has an account already; nothing was changed."""


class PasswordRefused(Exception):
    """Tell that the password breaks the realm's policy; nothing was made."""


class AccountRefused(Exception):
    """Carry the status with which the provider refused for good."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the provider refused with {status}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider said."""

    status: int
    location: str
    body: object

    def member(self, name: str) -> object:
        """Return one member of a JSON object, None of anything else."""
        return self.body.get(name) if isinstance(self.body, dict) else None


class Accounts:
    """Call the Admin API of the realm that the issuer names."""

    def __init__(
        self, auth: Auth, http: aiohttp.ClientSession, clock: Callable[[], float]
    ) -> None:
        base, _, realm = auth.issuer.rpartition("/realms/")
        self._users = f"{base}/admin/realms/{realm}/users"
        self._token_endpoint = f"{auth.issuer}/protocol/openid-connect/token"
        self._auth = auth
        self._http = http
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=auth.timeout, sock_connect=5)
        self._token = ""
        self._token_until = float("-inf")
        self._asking = asyncio.Lock()

    async def check(self) -> None:
        """Make sure that our client may do all this; changes nothing.

        Raises:
            AccountRefused: when it may not manage users.
            ProviderUnavailable: when it cannot be asked, or refuses our secret.
        """
        _check(await self._ask("GET", f"{self._users}?max=1"), 200)

    async def create(self, account: NewAccount) -> str:
        """Make an account that opens once its address is proven; return its id.

        Without a password its owner chooses one on the way.

        Raises:
            AccountExists: when the address has one; it is left as it is.
            PasswordRefused: when the realm's policy does not take the password.
            AccountRefused, ProviderUnavailable: when it cannot be made.
        """
        body: dict[str, Any] = {
            "username": account.email,
            "email": account.email,
            "firstName": account.first_name,
            "lastName": account.last_name,
            "enabled": True,
            "emailVerified": False,
            "requiredActions": list(open_actions(account)),
        }
        if account.password is not None:
            body["credentials"] = [
                {"type": "password", "value": account.password, "temporary": False}
            ]
        answer = await self._ask("POST", self._users, body)
        if answer.status == 409:  # noqa: PLR2004 - Conflict
            raise AccountExists
        if str(answer.member("error")).startswith("invalidPassword"):
            raise PasswordRefused
        _check(answer, 201)
        # Only Location says the id.
        return answer.location.rpartition("/")[2]

    async def mail_actions(self, user_id: str, account: NewAccount) -> None:
        """Have the provider mail a link that proves the address.

        Raises:
            AccountRefused: when no mail left.
            ProviderUnavailable: when nobody knows.
        """
        url = f"{self._user(user_id)}/execute-actions-email"
        answer = await self._ask("PUT", url, list(open_actions(account)))
        if answer.status != 204:  # noqa: PLR2004 - a 500 is a definite no here
            raise AccountRefused(answer.status)

    async def delete(self, user_id: str) -> None:
        """Take back an account that `create` has just made.

        Raises:
            AccountRefused, ProviderUnavailable: when it cannot.
        """
        _check(await self._ask("DELETE", self._user(user_id)), 204)

    async def set_tenant(self, user_id: str, tenant_id: int) -> bool:
        """Write the attribute tenant_id; False when the person has another already.

        Keycloak replaces all attributes and names with those it is sent, so they are
        read first.

        Raises:
            AccountRefused, ProviderUnavailable: when it cannot be done.
        """
        answer = await self._ask("GET", self._user(user_id))
        _check(answer, 200)
        if not isinstance(answer.body, dict):
            raise ProviderUnavailable("the provider's answer is no JSON object")
        attributes = answer.body.get("attributes") or {}
        present = attributes.get(TENANT)
        if present:
            return bool(present == [str(tenant_id)])
        kept = {key: one for key, one in answer.body.items() if key not in VOLATILE}
        changed = {**kept, "attributes": {**attributes, TENANT: [str(tenant_id)]}}
        _check(await self._ask("PUT", self._user(user_id), changed), 204)
        return True

    def _user(self, user_id: str) -> str:
        return f"{self._users}/{quote(user_id, safe='')}"

    async def _ask(self, method: str, url: str, body: object = None) -> Answer:
        headers = {"Authorization": f"Bearer {await self._bearer()}"}
        answer = await self._send(method, url, content=body, headers=headers)
        if answer.status == 401:  # noqa: PLR2004 - Unauthorized
            # Ended before its time (not-before was pushed): the next call gets another.
            self._token_until = float("-inf")
            raise ProviderUnavailable("the provisioner's token was refused")
        return answer

    async def _bearer(self) -> str:
        async with self._asking:
            if self._clock() < self._token_until:
                return self._token
            auth = self._auth
            form = {
                "grant_type": "client_credentials",
                "client_id": auth.provisioner_client_id,
                "client_secret": auth.provisioner_client_secret.get_secret_value(),
            }
            asked_at = self._clock()
            answer = await self._send("POST", self._token_endpoint, data=form)
            token, life = answer.member("access_token"), answer.member("expires_in")
            if answer.status != 200 or not isinstance(token, str):  # noqa: PLR2004 - OK
                said = f"the provider answered the provisioner with {answer.status}"
                raise ProviderUnavailable(said)
            seconds = float(life) if isinstance(life, (int, float)) else 0.0
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
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ProviderUnavailable("the provider cannot be reached") from error
        if len(raw) > MAX_ANSWER:
            raise ProviderUnavailable("the provider's answer is too long")
        return Answer(status, location, _read(raw))


def open_actions(account: NewAccount) -> tuple[str, ...]:
    """Return what stands between a new account and its first sign-in."""
    choose = () if account.password is not None else ("UPDATE_PASSWORD",)
    return ("VERIFY_EMAIL", *choose)


def _check(answer: Answer, expected: int) -> None:
    if answer.status == expected:
        return
    if answer.status >= 500 or answer.status == 429:  # noqa: PLR2004 - HTTP's own
        raise ProviderUnavailable(f"the provider answered {answer.status}")
    raise AccountRefused(answer.status)


def _read(raw: bytes) -> object:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None
