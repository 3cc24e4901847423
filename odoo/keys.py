"""Mint and revoke API keys, behind Odoo's identity check.

The wizard is the one way that every Odoo from 16 on has; `generate` and `revoke` came
to 19 in 2026 (odoo/odoo#246118). It asks for the password of the key's owner, through
`SessionModels` on all versions and through `Json2Models` on 19. A rotation is: mint
with the old key, store the new one, use it, revoke the old one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from odoo.errors import BadAnswer, RecordMissing
from odoo.models import create, search
from odoo.records import KEYS

if TYPE_CHECKING:
    from datetime import datetime

    from odoo.models import Models
    from odoo.rpc import Json

DESCRIPTION, CHECK = "res.users.apikeys.description", "res.users.identitycheck"
# How long a tenant's key lasts, days.
KEY_DAYS = 90


def end_of(now: datetime) -> datetime:
    """Return when a key ends that is minted at *now* or soon after, at the earliest.

    Odoo's own end has a day and no time: its first moment. *now* is in UTC, as Odoo's.
    """
    end = now + timedelta(days=KEY_DAYS)
    return end.replace(hour=0, minute=0, second=0, microsecond=0)


async def mint(models: Models, *, name: str, password: str, days: int | None) -> str:
    """Return a new key of the caller, good for *days*; None is for ever.

    Source: odoo/addons/base/models/res_users.py, `make_key`. Up to 17 keys have no end,
    and *days* must be None. A key that nobody stored stays: find it by its name among
    `records.keys_of`, and revoke it.

    Raises:
        Invalid: The password is wrong, or Odoo allows no key that lasts so long.
        OutcomeUnknown: There may be a key that nobody knows.
        OdooError: Odoo is away, or refused.
    """
    values = {"name": name, "duration": str(days or 0)}
    description = await create(models, DESCRIPTION, values)
    asked = await models.call(DESCRIPTION, "make_key", [description])
    done = await _checked(models, asked, password)
    key = done.get("context", {}).get("default_key")
    if not isinstance(key, str) or not key:
        raise BadAnswer(200)
    return key


async def revoke(models: Models, key: int, *, password: str) -> None:
    """Revoke the key with this id, at once and in every worker; well if it is gone.

    Deleting its row by SQL would not: Odoo's workers remember keys.

    Raises:
        Invalid: The password is wrong.
        OdooError: Odoo is away, or refused.
    """
    if not await search(models, KEYS, [["id", "=", key]], ["name"]):
        return
    try:
        asked = await models.call(KEYS, "remove", [key])
        await _checked(models, asked, password)
    except RecordMissing:
        return  # somebody else was faster


async def _checked(models: Models, asked: Json, password: str) -> dict[str, Json]:
    """Answer Odoo's question for the password, and return what it then did.

    A web session that has answered it is not asked again for ten minutes.
    """
    if not isinstance(asked, dict):
        raise BadAnswer(200)
    if asked.get("res_model") != CHECK:
        return asked
    wizard = [int(asked["res_id"])]
    # 16 to 18 read the field, 19 the context.
    await models.call(CHECK, "write", wizard, vals={"password": password})
    done = await models.call(CHECK, "run_check", wizard, context={"password": password})
    if not isinstance(done, dict):
        raise BadAnswer(200)
    return done
