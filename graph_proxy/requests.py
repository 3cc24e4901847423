"""The head of a request, as bytes. No I/O here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph_proxy.errors import BadPath, BodyTooLarge
from graph_proxy.headers import crosses

if TYPE_CHECKING:
    from graph_proxy.headers import Header
    from graph_proxy.incoming import Block

_UNSAFE_TARGET = re.compile(r"[\x00-\x20\x7f]")
# Strangers invent names.
_MOST_NAMES = 1000
_LONG_NAME = 64
_UNSAFE_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def request_head(method: str, target: str, headers: list[Header]) -> bytes:
    """Serialise a request line and header fields (RFC 9112, 3 and 5).

    Bytes that were no UTF-8 leave as they came (surrogateescape).

    Raises:
        BadPath: The target holds a blank or a control character.
        ValueError: A field does.
    """
    if _UNSAFE_TARGET.search(target):
        raise BadPath("the request target holds a blank or a control character")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers:
        if _UNSAFE_VALUE.search(value) or _UNSAFE_TARGET.search(name):
            raise ValueError(f"the header {name!r} holds a control character")
        lines.append(f"{name}: {value}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


class HeadWriter:
    """Write the field lines of requests that go the direct way.

    `extra` names fields that may cross beside the built-in list.
    """

    def __init__(self, extra: frozenset[str], max_body: int) -> None:
        self._extra = extra
        self._max_body = max_body
        self._known: dict[str, bytes] = {}

    def fields(self, block: Block) -> bytes:
        """Return the field lines of a browser's that may reach an upstream.

        Raises:
            BodyTooLarge: The body they announce exceeds `max_body`.
        """
        if block.length > self._max_body:
            raise BodyTooLarge(self._max_body)
        parts: list[bytes] = []
        known = self._known
        if "content-length" in block.fields:
            parts.append(b"Content-Length: %d\r\n" % block.length)
        for key, value in block.fields.items():
            line = known.get(key)
            if line is None:
                line = self._learn(key)
            if line:
                parts += (line, value, b"\r\n")
        return b"".join(parts)

    def _learn(self, key: str) -> bytes:
        line = b""
        if crosses(key, self._extra):
            line = f"{key}: ".encode("latin-1")
        if len(key) < _LONG_NAME and len(self._known) < _MOST_NAMES:
            self._known[key] = line
        return line
