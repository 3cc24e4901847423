"""Find the key ring of a configuration."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from aiohttp import web

from bff.sessions.sealing import KEY_BYTES, KeyRing, KeyRingError, parse_keys

if TYPE_CHECKING:
    from bff.config import Config

log = logging.getLogger(__name__)


def load_ring(config: Config) -> KeyRing:
    """Return the ring from the environment or the key file; in dev one for now.

    Raises:
        KeyRingError: when it cannot be read, or is missing in production.
    """
    if text := _written(config):
        return KeyRing(parse_keys(text))
    if config.environment == "production":
        raise KeyRingError("a key ring is required in production")
    log.warning("no key ring: sessions end with this process (`bff keys new`)")
    return KeyRing([(1, secrets.token_bytes(KEY_BYTES))])


def renew_ring(ring: KeyRing, config: Config) -> bool:
    """Put the keys of *config* into *ring*, and tell whether they are others.

    Where none are written, in development, the ring stays as it is.

    Raises:
        KeyRingError: when they cannot be used; *ring* is as before.
    """
    text = _written(config)
    return bool(text) and ring.renew(parse_keys(text))


def _written(config: Config) -> str:
    """Return the ring's written form, empty where there is none."""
    text = config.session.keys.get_secret_value()
    file = config.session.key_file
    if not text and file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            # Not "from": the words of the latter hold a part of the file.
            raise KeyRingError(f"session.key_file cannot be read: {file}") from None
        if not text.strip():
            raise KeyRingError(f"session.key_file is empty: {file}")
    return text


RING = web.AppKey("ring", KeyRing)
