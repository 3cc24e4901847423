"""POST /acra/ingest: whoever knows the secret may have the register read now.

The caller signs the time and the body: HMAC-SHA256 of ``TIMESTAMP + "." + BODY`` with
`acra.webhook_secret`, in the header ``X-Acra-Signature: v1=HEX``; the time, in seconds
since 1970, in ``X-Acra-Timestamp``. A signature counts once. The body is the caller's:
it is signed and otherwise not read.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiohttp import web

from bff.acra.waiting import enqueue
from bff.body import read_raw
from bff.client_address import address_of
from bff.current_session import CONFIG
from bff.database import DATABASE
from bff.errors import NotFound
from bff.errors_access import WebhookRefused, WebhookRepeated
from bff.sessions.browser import CLOCK
from bff.telemetry import REQUEST_ID

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

log = logging.getLogger(__name__)

TIMESTAMP, SIGNATURE = "X-Acra-Timestamp", "X-Acra-Signature"
# Seconds by which two clocks may differ, either way.
TOLERANCE = 300
TIME = re.compile(r"[0-9]{1,11}", re.ASCII)
MARK = re.compile(r"v1=([0-9a-f]{64})", re.ASCII)
# A signature is remembered far longer than it counts, whatever the clocks say.
REMEMBERED = 86400


async def ingest(request: web.Request) -> web.Response:
    """Queue a run of the register (202), or tell that one is under way (200)."""
    setting = request.app[CONFIG].acra.webhook_secret.get_secret_value()
    if not setting:
        raise NotFound
    at = _time(request)
    raw = await read_raw(request)
    given = MARK.fullmatch(request.headers.get(SIGNATURE, ""))
    if given is None or not is_signed(setting, at, raw, given[1]):
        log.warning("a webhook of the register was refused: not signed as it must be")
        raise WebhookRefused
    async with request.app[DATABASE].shared_transaction() as connection:
        await _use(connection, given[1], at)
        run = await enqueue(
            connection,
            "webhook",
            address=address_of(request),
            request=request.get(REQUEST_ID, ""),
        )
    return web.json_response(
        {"status": "queued" if run.fresh else "running", "run_id": run.run_id},
        status=202 if run.fresh else 200,
        headers={"Cache-Control": "no-store"},
    )


def is_signed(setting: str, timestamp: str, body: bytes, signature: str) -> bool:
    """Tell whether one of the secrets of *setting* made *signature*.

    All of them are tried, whichever fits: time tells nothing.
    """
    secrets = [one.strip() for one in setting.split(",")]
    fits = [
        hmac.compare_digest(signature, signature_of(secret, timestamp, body))
        for secret in secrets
        if secret
    ]
    return any(fits)


def signature_of(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature of *body* at *timestamp*, in hexadecimal digits."""
    signed = timestamp.encode() + b"." + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _time(request: web.Request) -> str:
    """Return the time that the caller signed, as it is written, if it is now."""
    text = request.headers.get(TIMESTAMP, "")
    if not TIME.fullmatch(text) or abs(request.app[CLOCK]() - int(text)) > TOLERANCE:
        log.warning("a webhook of the register was refused: its time is not now")
        raise WebhookRefused
    return text


async def _use(connection: PoolConnectionProxy, signature: str, at: str) -> None:
    """Remember *signature*, in the transaction of what it causes.

    Raises:
        WebhookRepeated: when it was used before.
    """
    done = await connection.execute(
        "INSERT INTO acra_signature (hash, expires_at) VALUES ($1, $2) "
        "ON CONFLICT DO NOTHING",
        hashlib.sha256(bytes.fromhex(signature)).digest(),
        datetime.fromtimestamp(int(at) + REMEMBERED, UTC),
    )
    if done != "INSERT 0 1":
        raise WebhookRepeated
