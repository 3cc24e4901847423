"""Tell browsers at once which modules a page will import. No I/O here.

Without that they learn of each only from the one that imports it: a round trip for
every step of the way.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCRIPT = re.compile(r'^( *)<script type="module" src="/static/([^"]+)">', re.MULTILINE)
_IMPORT = re.compile(r'^(?:import|export) [^"\n]*"(\.{1,2}/[^"]+)";$', re.MULTILINE)


def hinted(page: str, modules: Mapping[str, str]) -> str:
    """Return *page* with a hint before its script for each module that this imports.

    *modules* are the texts by name, as /static has them.
    """

    def hints(script: re.Match[str]) -> str:
        indent, entry = script[1], script[2]
        links = [
            f'{indent}<link rel="modulepreload" href="/static/{name}">\n'
            for name in needed(entry, modules)
            if name != entry
        ]
        return "".join(links) + script[0]

    return _SCRIPT.sub(hints, page)


def needed(entry: str, modules: Mapping[str, str]) -> list[str]:
    """Return the modules that *entry* cannot run without, itself the first.

    Raises:
        KeyError: when one of them does not exist.
    """
    found = [entry]
    for name in found:
        folder = posixpath.dirname(name)
        for target in _IMPORT.findall(modules[name]):
            imported = posixpath.normpath(posixpath.join(folder, target))
            if imported not in found:
                found.append(imported)
    return found
