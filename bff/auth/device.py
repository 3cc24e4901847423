"""Remember in a browser which account has signed in from it.

A sealed cookie that opens no door: it only keeps a stranger's failures elsewhere from
holding up the owner's own browser.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from aiohttp import web

from bff.sessions.browser import also
from bff.sessions.sealing import KeyRing, Unopenable

if TYPE_CHECKING:
    from bff.sessions.cookies import CookieRules

PURPOSE = "device"
LIFETIME = 180 * 86400


class KnownDevice:
    """Write and read the cookie."""

    def __init__(self, ring: KeyRing, rules: CookieRules) -> None:
        self._ring = ring
        self._rules = rules
        self._name = rules.name("nx_device")

    def knows(self, request: web.Request, account: bytes) -> bool:
        """Tell whether *account* (a hash) has signed in from this browser."""
        text = request.cookies.get(self._name, "")
        try:
            sealed = base64.b64decode(
                text + "=" * (-len(text) % 4), altchars=b"-_", validate=True
            )
            return self._ring.open(PURPOSE, self._name, sealed) == account
        except (binascii.Error, ValueError, Unopenable):
            return False

    def remember(self, request: web.Request, account: bytes) -> None:
        """Let the answer tell the browser that *account* signed in from it."""
        sealed = self._ring.seal(PURPOSE, self._name, account)
        value = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
        also(request, [self._rules.header(self._name, value, LIFETIME)])


DEVICE = web.AppKey("device", KnownDevice)
