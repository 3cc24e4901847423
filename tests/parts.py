"""Optional parts of the tests: what is missing, and what would enable it.

A suite whose part is absent is skipped with a reason and named at the end. CI lists
the parts it provides in BFF_TEST_REQUIRE; there a missing one is a failure.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NoReturn

import pytest

from bench import programs
from tests.real import keycloak_distribution, odoo_distribution, odoo_warm, sdks

if TYPE_CHECKING:
    from pathlib import Path

MISSING: dict[str, str] = {}
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Return the path of Chromium, or skip."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        _missing("browser", "Chromium is not installed (Debian: apt install chromium)")
    return found


def keycloak_home() -> Path:
    """Return the home of a built Keycloak, or skip."""
    try:
        return keycloak_distribution.ready()
    except keycloak_distribution.Unavailable as error:
        _missing("keycloak", str(error))


def odoo() -> odoo_distribution.Distribution:
    """Return a fetched Odoo with a template database ready to copy, or skip."""
    try:
        fetched = odoo_distribution.ready()
        odoo_warm.ready(fetched)
    except odoo_distribution.Unavailable as error:
        _missing("odoo", str(error))
    return fetched


def load_programs() -> None:
    """Build what `make bench` puts load with and find nginx, or skip."""
    try:
        for name in ("origin", "listen"):
            programs.build(name)
        programs.nginx()
    except programs.Unavailable as error:
        _missing("bench", str(error))


def node_sdks() -> Path:
    """Return the folder of LangGraph's JavaScript SDKs, or skip."""
    try:
        return sdks.ready()
    except sdks.Unavailable as error:
        _missing("node", str(error))


def _missing(part: str, why: str) -> NoReturn:
    MISSING[part] = why
    if part in os.environ.get("BFF_TEST_REQUIRE", "").split(","):
        pytest.fail(f"{part} is required here: {why}", pytrace=False)
    pytest.skip(f"{part}: {why}")
