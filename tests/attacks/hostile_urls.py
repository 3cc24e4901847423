"""Several hundred addresses that must not lead a browser away, and how it reads them.

The forms are those that once passed somebody's check: scheme-relative, backslashes,
characters that browsers leave out, user names before the host, look-alike dots.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

LEADS = (
    "//",
    "///",
    "////",
    "/\\",
    "\\/",
    "\\\\",
    "/\\/",
    "//\\",
    "/\t/",
    "/\n/",
    "/\r/",
    "\t//",
    "/\x0b/",
    "/\x00/",
    " //",
    "\u00a0//",
    "/\u2028/",
    "/\uff0f",
    "/%09/",
    "/%2f",
    "/%5c",
    "/%2F/",
    "%2f%2f",
    "/%252f",
    "/.//",
    "/..//",
    "/a/..//",
    "/;//",
    "/?//",
    "http://",
    "https://",
    "HtTp://",
    "http:",
    "https:/",
    "https:\\\\",
    "ht\ttp://",
    "\x01http://",
    "ftp://",
    "javascript://",
    "data:text/html,",
    "@",
    ".",
)
PLACES = (
    "evil.test",
    "evil.test/path",
    "localhost@evil.test",
    "localhost:80@evil.test",
    "localhost.evil.test",
    "localhost%00.evil.test",
    "localhost\\.evil.test",
    "evil\u3002test",
    "\u24d4vil.test",
    "xn--evl-wla.test",
    "2130706434",
    "0x7f.2",
    "[::ffff:7f00:2]",
    "evil.test\r\nSet-Cookie: a=b",
)
CORPUS = tuple(f"{lead}{place}" for lead in LEADS for place in PLACES)


def written(value: str) -> str:
    """Write *value* as one query value, whatever is in it."""
    return quote(value.encode("utf-8", "surrogatepass"), safe="")


def leaves(location: str, home: str) -> bool:
    """Tell whether a browser at *home* would go elsewhere (WHATWG URL parsing).

    Anything but a plain path or an address of *home* counts as elsewhere.
    """
    read = "".join(one for one in location if one not in "\t\r\n").strip(
        "".join(map(chr, range(0x21)))
    )
    read = read.replace("\\", "/")
    if not read.isascii() or not read.isprintable():
        return True
    if read.startswith("/"):
        return read.startswith("//")
    parts = urlsplit(read)
    return f"{parts.scheme}://{parts.netloc}" != home
