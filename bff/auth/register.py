"""Open an account: on the provider's own page, or by the gateway asking for one.

The answer is the same whether the address has an account or not, and nobody is signed
in by it: whoever reads the mailbox goes on from there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, NamedTuple

from aiohttp import web
from pydantic import ConfigDict, Field

from bff import daily_caps
from bff.auth.registrar import REGISTRAR
from bff.body import Body, Email, read_body, read_raw
from bff.client_address import address_of, network_of
from bff.current_session import CONFIG
from bff.database import DATABASE
from bff.identity.accounts import NewAccount

if TYPE_CHECKING:
    from bff.config_identity import Register as Settings

# Keycloak refuses these in a name, and nobody would hear of it.
NAME = r"^[^<>&\"$%!#?§;*~/\\|^=\[\]{}()\x00-\x1f\x7f]*$"
SIGN_UP = "/auth/sso?prompt=create"
ENOUGH = "That is enough for today. Try again tomorrow, or sign in."

PersonName = Annotated[str, Field(max_length=255, pattern=NAME)]


class Register(Body):
    """What /auth/register takes where the gateway opens accounts.

    UIs of the original send more (`password`, `email_verified`, `tenant_id`): none of
    it counts. A mail proves the address and asks for the password, an invitation
    decides the tenant, and a workspace gets its name when it is founded.
    """

    model_config = ConfigDict(extra="ignore")

    email: Email
    full_name: PersonName | None = None
    first_name: PersonName | None = None
    last_name: PersonName | None = None


class Names(NamedTuple):
    """A person's names as Keycloak keeps them."""

    first: str
    last: str


async def register(request: web.Request) -> web.Response:
    """Open an account, or tell where one is opened; signs nobody in."""
    settings = request.app[CONFIG].registration
    if settings.mode == "self_service":
        await read_raw(request)
        return web.json_response(
            {"registration_url": SIGN_UP, "requires_verification": True}
        )
    body = await read_body(request, Register)
    names = _names(body)
    account = NewAccount(body.email, names.first, names.last)
    # What has counted is done, though the browser has left.
    await asyncio.shield(_take(request, account, settings))
    return web.json_response({"requires_verification": True}, status=202)


async def _take(request: web.Request, account: NewAccount, settings: Settings) -> None:
    registrar = request.app[REGISTRAR]
    # Who finds no place has spent no try.
    with registrar.place():
        await _count(request, account.email, settings)
        registrar.offer(account)


async def _count(request: web.Request, email: str, settings: Settings) -> None:
    """Keep a network from filling the realm, and everybody from filling a mailbox."""
    network = network_of(address_of(request))
    async with request.app[DATABASE].shared_transaction() as connection:
        for kind, key, most in (
            ("register_by_address", network, settings.per_address_daily),
            ("register_by_email", email, settings.per_email_daily),
        ):
            await daily_caps.count(connection, kind, key, most=most, refusal=ENOUGH)


def _names(body: Register) -> Names:
    if body.first_name or body.last_name or not body.full_name:
        return Names((body.first_name or "").strip(), (body.last_name or "").strip())
    first, _, last = body.full_name.strip().rpartition(" ")
    return Names(first.strip(), last) if first else Names(last, "")
