"""Find free ports on loopback."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

# Below what systems give to outgoing connections, of which one would take the port
# before whoever asked for it listens (Linux: net.ipv4.ip_local_port_range).
FIRST, LAST = 10_000, 32_767
TRIES = 1_000


def free_port(host: str = "127.0.0.1", *, following: int = 0) -> int:
    """Return a port that is free now, as are *following* ones after it.

    Raises:
        OSError: None was found.
    """
    for _ in range(TRIES):
        port = FIRST + secrets.randbelow(LAST - following - FIRST + 1)
        with suppress(OSError):
            for each in range(port, port + following + 1):
                with socket.socket() as probe:
                    probe.bind((host, each))
            return port
    raise OSError(f"no free port between {FIRST} and {LAST} on {host}")
