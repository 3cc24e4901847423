"""Write the Content-Security-Policy of a user interface that others made. No I/O here.

Such pages may only talk to our own origin, whatever their address tells them, and no
other site may frame them. What they need beside is what Next.js and Vite builds need:
styles in the page, pictures and fonts in data: URLs.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

INLINE = "'unsafe-inline'"
# More would make a head that proxies in front refuse.
MOST_HASHES = 100
DIRECTIVES: Mapping[str, tuple[str, ...]] = {
    "default-src": ("'self'",),
    "script-src": ("'self'",),
    "style-src": ("'self'", INLINE),
    "img-src": ("'self'", "data:", "blob:"),
    "font-src": ("'self'", "data:"),
    "connect-src": ("'self'",),
    "object-src": ("'none'",),
    "base-uri": ("'self'",),
    "form-action": ("'self'",),
    "frame-ancestors": ("'none'",),
}
_SCRIPT = re.compile(
    r"<script(?=[\s/>])((?:[^>\"']|\"[^\"]*+\"|'[^']*+')*+)>(.*?)</script(?=[\s/>])",
    re.IGNORECASE | re.DOTALL,
)
_SOURCE = re.compile(r"(?:^|[\s/\"'])src\s*=", re.IGNORECASE)


def policy(
    extra: Mapping[str, Iterable[str]],
    *,
    scripts: Sequence[str] = (),
    connect: Sequence[str] = (),
) -> str:
    """Return the policy with *extra* sources by directive.

    *scripts* are further sources for scripts, *connect* further ones for connections.
    """
    wanted = {name: list(sources) for name, sources in DIRECTIVES.items()}
    for name, sources in extra.items():
        wanted.setdefault(name, ["'self'"]).extend(sources)
    if INLINE not in wanted["script-src"]:
        wanted["script-src"] += scripts  # beside a hash 'unsafe-inline' means nothing
    wanted["connect-src"] += connect
    return "; ".join(
        f"{name} {' '.join(dict.fromkeys(sources))}" for name, sources in wanted.items()
    )


def inline_hashes(page: bytes) -> tuple[str, ...]:
    """Return what allows the scripts that stand in *page*, and only these.

    Beyond a hundred of them, all: `'unsafe-inline'`.
    """
    # As browsers read a page before they hash what is in it (HTML, 13.2.3.5).
    text = page.decode("utf-8-sig", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    found = dict.fromkeys(
        _hash(script) for said, script in _SCRIPT.findall(text) if not _loads(said)
    )
    return tuple(found) if len(found) <= MOST_HASHES else (INLINE,)


def _loads(attributes: str) -> bool:
    """Tell whether a script is loaded from elsewhere; what stands in it is nothing."""
    bare = re.sub(r"=\s*(?:\"[^\"]*\"|'[^']*')", "= ", attributes)
    return _SOURCE.search(bare) is not None


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8", "surrogatepass")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
