"""The head of a request, as bytes. No I/O here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graph_proxy.errors import BadPath

if TYPE_CHECKING:
    from graph_proxy.headers import Header

_UNSAFE_TARGET = re.compile(r"[\x00-\x20\x7f]")
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
