"""Note at the provider which tenant its founder has, once that is ready.

From their next token on, the claim says so to every other client of the realm. The
gateway does not depend on it: the membership is the truth here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bff.identity.accounts import TenantNotKept
from bff.identity.admin_api import CallRefused

if TYPE_CHECKING:
    from bff.identity.accounts import Accounts
    from bff.onboarding.store import OnboardingStore

log = logging.getLogger(__name__)


class WriteBack:
    """Write tenant_id to the founder's account at *issuer*."""

    def __init__(self, store: OnboardingStore, accounts: Accounts, issuer: str) -> None:
        self._store = store
        self._accounts = accounts
        self._issuer = issuer

    async def __call__(self, tenant_id: int) -> None:
        """Write it, unless the account has a tenant already.

        Raises:
            ProviderUnavailable: when it is worth another try.
        """
        founder = await self._store.founder(tenant_id)
        iss, _, sub = (founder or "").partition(" ")
        if iss != self._issuer:
            return  # nobody's, or of a provider of before
        try:
            if not await self._accounts.set_tenant(sub, tenant_id):
                # Its roles at the provider would come to count for another tenant.
                log.warning("the founder of tenant %d has another there", tenant_id)
        except TenantNotKept:
            log.error(  # noqa: TRY400 - there is nothing to trace
                "the provider dropped the tenant_id of tenant %d's founder: declare "
                "the attribute in the realm's user profile",
                tenant_id,
            )
        except CallRefused as error:
            # Gone, or our client may not: another try would hear the same.
            log.error("tenant %d was not noted at the provider: %s", tenant_id, error)  # noqa: TRY400 - the status is all there is
