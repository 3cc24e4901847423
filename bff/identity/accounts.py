"""Open accounts at Keycloak and note a person's tenant there, by its Admin API.

No call here sends a password or changes an account that somebody uses, the note of its
tenant apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from bff.identity.admin_api import AdminApi, CallRefused
from bff.identity.messages import ProviderUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from bff.config_identity import Auth

TENANT = "tenant_id"
# What stands between a new account and its first sign-in. The password is chosen by
# whoever reads the mailbox: one that a stranger chose would open the account to them,
# and signing in with it would tell whether the address was free.
OPEN_ACTIONS = ("VERIFY_EMAIL", "UPDATE_PASSWORD")
# Left out of what is written back: absent they stay as they are, even when somebody
# changes them between our reading and our writing.
VOLATILE = frozenset({"enabled", "emailVerified", "requiredActions"})


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What somebody wants an account with; none of it may reach a log."""

    email: str = field(repr=False)
    first_name: str = field(default="", repr=False)
    last_name: str = field(default="", repr=False)


class AccountExists(Exception):
    """Tell that the address has an account already; nothing was changed."""


class TenantNotKept(Exception):
    """Tell that the provider took the tenant and did not keep it."""


class Accounts:
    """Call the Admin API of the realm that the issuer names."""

    def __init__(
        self, auth: Auth, http: aiohttp.ClientSession, clock: Callable[[], float]
    ) -> None:
        base, _, realm = auth.issuer.rpartition("/realms/")
        self._users = f"{base}/admin/realms/{realm}/users"
        self._api = AdminApi(auth, http, clock)

    async def check(self) -> None:
        """Make sure that our client may do all this; changes nothing.

        Raises:
            CallRefused: when it may not manage users.
            ProviderUnavailable: when it cannot be asked, or refuses our secret.
        """
        (await self._api.ask("GET", f"{self._users}?max=1")).expect(200)

    async def create(self, account: NewAccount) -> str:
        """Make an account that opens by a mail's link; return its id.

        Raises:
            AccountExists: when the address has one; it is left as it is.
            CallRefused, ProviderUnavailable: when it cannot be made.
        """
        body = {
            "username": account.email,
            "email": account.email,
            "firstName": account.first_name,
            "lastName": account.last_name,
            "enabled": True,
            "emailVerified": False,
            "requiredActions": list(OPEN_ACTIONS),
        }
        answer = await self._api.ask("POST", self._users, body)
        if answer.status == 409:  # noqa: PLR2004 - Conflict
            raise AccountExists
        answer.expect(201)
        # Only Location says the id.
        return answer.location.rpartition("/")[2]

    async def unfinished(self, email: str) -> str | None:
        """Return the id of the account of *email* that still waits for a password.

        None when there is none, or somebody uses it, or it is disabled.

        Raises:
            CallRefused, ProviderUnavailable: when nobody can say.
        """
        query = urlencode({"email": email, "exact": "true"})
        answer = await self._api.ask("GET", f"{self._users}?{query}")
        answer.expect(200)
        found = answer.body if isinstance(answer.body, list) else []
        return next(
            (str(one["id"]) for one in found if _is_unfinished(one, email)), None
        )

    async def mail_actions(self, user_id: str) -> None:
        """Have the provider mail a link that proves the address and sets a password.

        Raises:
            CallRefused: when no mail left.
            NotAsked: when the provider was not asked for one.
            ProviderUnavailable: when nobody knows.
        """
        url = f"{self._user(user_id)}/execute-actions-email"
        answer = await self._api.ask("PUT", url, list(OPEN_ACTIONS))
        if answer.status != 204:  # noqa: PLR2004 - a 500 is a definite no here
            raise CallRefused(answer.status)

    async def delete(self, user_id: str) -> None:
        """Take back an account that `create` has just made.

        Raises:
            CallRefused, ProviderUnavailable: when it cannot.
        """
        (await self._api.ask("DELETE", self._user(user_id))).expect(204)

    async def set_tenant(self, user_id: str, tenant_id: int) -> bool:
        """Write the attribute tenant_id; False when the person has another already.

        Keycloak replaces all attributes and names with those it is sent, so they are
        read first; and says 204 of an attribute that the realm does not declare, so it
        is read again.

        Raises:
            TenantNotKept: when it was dropped.
            CallRefused, ProviderUnavailable: when it cannot be done.
        """
        user = await self._read_user(user_id)
        attributes = user.get("attributes")
        attributes = attributes if isinstance(attributes, dict) else {}
        if present := attributes.get(TENANT):
            return bool(present == [str(tenant_id)])
        kept = {key: one for key, one in user.items() if key not in VOLATILE}
        changed = {**kept, "attributes": {**attributes, TENANT: [str(tenant_id)]}}
        (await self._api.ask("PUT", self._user(user_id), changed)).expect(204)
        after = (await self._read_user(user_id)).get("attributes")
        found = after.get(TENANT) if isinstance(after, dict) else None
        if not found:
            raise TenantNotKept
        return bool(found == [str(tenant_id)])

    async def _read_user(self, user_id: str) -> dict[str, object]:
        answer = await self._api.ask("GET", self._user(user_id))
        answer.expect(200)
        if not isinstance(answer.body, dict):
            raise ProviderUnavailable("the provider's answer is no JSON object")
        return answer.body

    def _user(self, user_id: str) -> str:
        return f"{self._users}/{quote(user_id, safe='')}"


def _is_unfinished(user: object, email: str) -> bool:
    if not isinstance(user, dict) or str(user.get("email")).lower() != email:
        return False
    actions = user.get("requiredActions")
    return (
        bool(user.get("id"))
        and user.get("enabled") is True
        and isinstance(actions, list)
        # Opening the mail's link proves the address and ends that action, even when
        # the person leaves before choosing a password: only this one tells.
        and "UPDATE_PASSWORD" in actions
    )
