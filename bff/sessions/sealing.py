"""Seal bytes with AES-256-GCM under a ring of keys: the first seals, all open.

A sealed value is ``key id (1) | nonce (12) | ciphertext and tag``. The purpose picks
the derived key (HKDF) and, with the name, is bound as associated data: what was
sealed as one cookie never opens as another.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KEY_BYTES = 32
NONCE_BYTES = 12
VERSION = b"v1"
MAX_KEY_ID = 255  # it travels as one byte
MAX_DIGITS = 3


class Unopenable(Exception):
    """Tell that a sealed value is damaged, foreign or of a retired key."""


class KeyRingError(ValueError):
    """Say what is wrong with the written form of a key ring."""


class KeyRing:
    """Seal with the first key, open with any."""

    def __init__(
        self,
        keys: Sequence[tuple[int, bytes]],
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        if not keys:
            raise KeyRingError("a key ring needs at least one key")
        self._keys = dict(keys)
        self._first = keys[0][0]
        self._random_bytes = random_bytes
        self._derived: dict[tuple[int, str], AESGCM] = {}

    @property
    def ids(self) -> list[int]:
        """Return the key ids, the sealing one first."""
        return list(self._keys)

    def renew(self, keys: Sequence[tuple[int, bytes]]) -> bool:
        """Use *keys* from now on, and tell whether anything is different.

        Raises:
            KeyRingError: when there is none, or one has the number of another that is
                in use: what that one sealed would not open; all is as before.
        """
        new = dict(keys)
        if not new:
            raise KeyRingError("a key ring needs at least one key")
        for place, (key_id, key) in enumerate(new.items(), start=1):
            if self._keys.get(key_id, key) != key:
                raise KeyRingError(
                    f"key {place}: {key_id} is the number of another key that is in "
                    "use; give a new key a new number"
                )
        if list(new) == list(self._keys):
            return False
        self._keys, self._first = new, next(iter(new))
        self._derived = {
            known: cipher for known, cipher in self._derived.items() if known[0] in new
        }
        return True

    def seal(self, purpose: str, name: str, plain: bytes) -> bytes:
        """Return *plain* sealed for *purpose* under *name*."""
        nonce = self._random_bytes(NONCE_BYTES)
        sealed = self._cipher(self._first, purpose).encrypt(
            nonce, plain, _associated(purpose, name)
        )
        return bytes([self._first]) + nonce + sealed

    def open(self, purpose: str, name: str, sealed: bytes) -> bytes:
        """Return what `seal` was given.

        Raises:
            Unopenable: for damage, another purpose or name, or a retired key.
        """
        if len(sealed) <= 1 + NONCE_BYTES or sealed[0] not in self._keys:
            raise Unopenable
        nonce, rest = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return self._cipher(sealed[0], purpose).decrypt(
                nonce, rest, _associated(purpose, name)
            )
        except InvalidTag as error:
            raise Unopenable from error

    def _cipher(self, key_id: int, purpose: str) -> AESGCM:
        known = self._derived.get((key_id, purpose))
        if known is None:
            derive = HKDF(
                algorithm=SHA256(),
                length=KEY_BYTES,
                salt=None,
                info=b"nexius-bff " + purpose.encode(),
            )
            known = AESGCM(derive.derive(self._keys[key_id]))
            self._derived[key_id, purpose] = known
        return known


def parse_keys(text: str) -> list[tuple[int, bytes]]:
    """Read ``id:base64`` entries divided by commas or lines; ``#`` begins a comment.

    Raises:
        KeyRingError: naming the entry by its place, never by its content.
    """
    keys: list[tuple[int, bytes]] = []
    lines = (line.partition("#")[0] for line in text.splitlines())
    entries = [entry.strip() for line in lines for entry in line.split(",")]
    for place, entry in enumerate(filter(None, entries), start=1):
        label, _, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded.strip(), altchars=b"-_", validate=True)
        except ValueError:
            # Not "from": base64's own words may repeat what it stumbled over.
            raise KeyRingError(f"key {place}: not base64") from None
        number = label.strip()
        is_id = number.isascii() and number.isdigit() and len(number) <= MAX_DIGITS
        if not is_id or not 1 <= int(number) <= MAX_KEY_ID:
            raise KeyRingError(f"key {place}: the id must be a number from 1 to 255")
        if len(key) != KEY_BYTES:
            raise KeyRingError(f"key {place}: must be {KEY_BYTES} bytes of base64")
        if int(label) in dict(keys):
            raise KeyRingError(f"key {place}: id {int(label)} is there twice")
        keys.append((int(label), key))
    if not keys:
        raise KeyRingError("there is no key in it")
    return keys


def format_key(key_id: int, key: bytes) -> str:
    """Write one entry of a key ring."""
    return f"{key_id}:{base64.urlsafe_b64encode(key).decode()}"


def _associated(purpose: str, name: str) -> bytes:
    return b"\0".join((VERSION, purpose.encode(), name.encode()))
