"""Put the English sentences, which strings.js holds, into the pages. No I/O here."""

from __future__ import annotations

import html
import json
import re
from typing import Any

# What JSON and JavaScript write alike, so that both sides read one file.
_SENTENCES = re.compile(r"^export const pages = (\{.*?^\});$", re.DOTALL | re.MULTILINE)
_PLACE = re.compile(r"\{\{([\w.]+)\}\}")
_PART = re.compile(r"<!-- if ([\w ]+) -->\s*(.*?)<!-- end -->\s*", re.DOTALL)


def sentences(script: str) -> dict[str, Any]:
    """Return the pages' sentences, by page and name, from the text of strings.js.

    Raises:
        ValueError: when they are not where they are looked for.
    """
    found = _SENTENCES.search(script)
    if found is None:
        raise ValueError("strings.js has no sentences for the pages")
    read: dict[str, Any] = json.loads(found[1])
    return read


def filled(page: str, words: dict[str, Any]) -> str:
    """Return *page* with a sentence in each `{{place}}`.

    Raises:
        KeyError: when there is none of that name.
    """

    def sentence(place: re.Match[str]) -> str:
        found: Any = words
        for name in place[1].split("."):
            found = found[name]
        return html.escape(str(found))

    return _PLACE.sub(sentence, page)


def only(page: str, mode: str) -> str:
    """Return *page* without the parts `<!-- if MODE … -->` that are for other modes."""
    return _PART.sub(lambda part: part[2] if mode in part[1].split() else "", page)
