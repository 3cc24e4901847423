"""Find the key ring of a configuration."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from bff.sessions.sealing import KEY_BYTES, KeyRing, KeyRingError, parse_keys

if TYPE_CHECKING:
    from bff.config import Config

log = logging.getLogger(__name__)


def load_ring(config: Config) -> KeyRing:
    """Return the ring from the environment or the key file; in dev one for now.

    Raises:
        KeyRingError: when it cannot be read, or is missing in production.
    """
    text = config.session.keys.get_secret_value()
    file = config.session.key_file
    if not text and file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise KeyRingError(f"session.key_file cannot be read: {file}") from error
    if text:
        return KeyRing(parse_keys(text))
    if config.environment == "production":
        raise KeyRingError("a key ring is required in production")
    log.warning("no key ring: sessions end with this process (`bff keys new`)")
    return KeyRing([(1, secrets.token_bytes(KEY_BYTES))])
