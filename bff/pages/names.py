"""Judge files of a user interface by their names: type, page or not, kept for how long.

No I/O here. What the machine's own list of types says does not count: answers would
differ from one machine to the next, and with `nosniff` a wrong type breaks a page.
"""

from __future__ import annotations

import re
from itertools import pairwise
from mimetypes import MimeTypes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN = "application/octet-stream"
# The newer ones, and those that Python's own list has otherwise.
TYPES = {
    ".avif": "image/avif",
    ".br": UNKNOWN,
    ".bz2": UNKNOWN,
    ".gz": "application/gzip",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".otf": "font/otf",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
PAGES = frozenset({"text/html", "application/xhtml+xml"})
_PACKED = re.compile(r"(?:\.(?:br|gz))+\Z", re.IGNORECASE)
_WRITTEN = frozenset({"application/json", "application/manifest+json"})
_KNOWN = MimeTypes()
# Below these nothing is a page of an application that finds its own way.
_BUILT = ("/_next/", "/assets/")
_HASHED = re.compile(r"/assets/(?:[^/]+/)*[^/]*-([A-Za-z0-9_-]{8})\.[A-Za-z0-9.]+")


def type_of(name: str) -> str:
    """Return the media type of a file by its *name*."""
    dot = name.rfind(".")
    suffix = name[dot:].lower() if dot > 0 else ""
    return TYPES.get(suffix) or _KNOWN.types_map[True].get(suffix) or UNKNOWN


def is_packed_page(name: str) -> bool:
    """Tell whether a file is a page that was packed, as `index.html.gz` is."""
    plain = _PACKED.sub("", name)
    return plain != name and type_of(plain) in PAGES


def is_text(media_type: str) -> bool:
    """Tell whether the type needs to say that the file is UTF-8."""
    return media_type.startswith("text/") or media_type in _WRITTEN


def covers(listed: Iterable[str], path: str) -> bool:
    """Tell whether *path* is one of *listed*, or below one that ends in a slash."""
    return any(
        path.startswith(one) if one.endswith("/") else path == one for one in listed
    )


def is_lasting(path: str, folders: Iterable[str]) -> bool:
    """Tell whether what is at *path* never changes under this name.

    So it is below one of *folders*, and with Vite's hash at the end of its name. Eight
    letters may be a word, a name or a date, too: those change between small letters,
    capitals and the rest once at most, hashes (nearly all) more often.
    """
    if covers(folders, path):
        return True
    match = _HASHED.fullmatch(path)
    return match is not None and _changes(match[1]) > 1


def may_be_page(path: str) -> bool:
    """Tell whether *path* may be an address that an application in a page handles."""
    return "." not in path.rpartition("/")[2] and not path.startswith(_BUILT)


def _changes(text: str) -> int:
    kinds = [(sign.islower(), sign.isupper()) for sign in text]
    return sum(one != other for one, other in pairwise(kinds))
