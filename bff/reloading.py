"""Take up a changed configuration on SIGHUP, as far as that is safe while serving.

The key ring and how much is logged; the rest needs a new process, and is named. What
cannot be used changes nothing: the process goes on as it was, and says why.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from bff import access_log
from bff.config import Config, ConfigError
from bff.sessions.keyring import renew_ring
from bff.sessions.sealing import KeyRing, KeyRingError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

# What changes while the process goes on, by section.
LOGGING = ("log_level", "log_format", "access_log")
RELOADED = frozenset({
    *(f"telemetry.{name}" for name in LOGGING),
    "session.keys",
    "session.key_file",
})  # fmt: skip


class Reloading:
    """Read the configuration again and apply what may change."""

    def __init__(
        self, config: Config, reread: Callable[[], Config], ring: KeyRing
    ) -> None:
        self._config = config
        self._reread = reread
        self._ring = ring

    def __call__(self) -> bool:
        """Do it, and tell whether the new configuration could be used.

        Blocks for as long as it takes to read two small files.
        """
        try:
            new = self._reread()
            renewed = renew_ring(self._ring, new)
        except (ConfigError, KeyRingError) as error:
            log.log(logging.ERROR, "SIGHUP: nothing is changed. %s", error)
            return False
        wanted = {name: getattr(new.telemetry, name) for name in LOGGING}
        telemetry = self._config.telemetry.model_copy(update=wanted)
        access_log.flush()
        access_log.configure(telemetry)
        changed = _changed(self._config, new)
        self._config = self._config.model_copy(
            update={"telemetry": telemetry, "session": new.session}
        )
        # Not below what is wanted: whoever asked wants to hear of it.
        level = max(logging.INFO, logging.getLogger().level)
        log.log(
            level,
            "SIGHUP: read again; key ring %s (%s), log level %s",
            "renewed" if renewed else "as it was",
            ", ".join(map(str, self._ring.ids)),
            telemetry.log_level,
        )
        if left := sorted(changed - RELOADED):
            log.warning("SIGHUP: only a new start changes %s", ", ".join(left))
        return True


def _changed(old: Config, new: Config) -> set[str]:
    before, after = (dict(_flat(one.model_dump(), "")) for one in (old, new))
    return {
        key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    }


def _flat(values: dict[str, Any], prefix: str) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found
