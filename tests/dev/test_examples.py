"""The examples name what the gateway has."""

from __future__ import annotations

import re
from pathlib import Path

from bff.routes import reserved
from tests.bff.configs import DEV, load

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_vite_leaves_to_the_gateway_exactly_what_is_its_own() -> None:
    text = (EXAMPLES / "vite" / "vite.config.js").read_text(encoding="utf-8")
    listed = re.search(r'"\^/\(([a-z|]+)\)', text)

    assert listed
    assert [f"/{one}" for one in listed[1].split("|")] == list(reserved(load(DEV)))
