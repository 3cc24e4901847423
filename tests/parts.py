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
from tests.real import agent_chat_ui as agent_chat_uis
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


def nginx() -> str:
    """Return the path of nginx, or skip."""
    try:
        return programs.nginx()
    except programs.Unavailable as error:
        _missing("nginx", str(error))


def caddy() -> str:
    """Return the path of Caddy, or skip."""
    found = shutil.which("caddy")
    if found is None:
        _missing("caddy", "Caddy is not installed (Debian: apt install caddy)")
    return found


def node_sdks() -> Path:
    """Return the folder of LangGraph's JavaScript SDKs, or skip."""
    try:
        return sdks.ready()
    except sdks.Unavailable as error:
        _missing("node", str(error))


def agent_chat_ui() -> agent_chat_uis.Built:
    """Return a built agent-chat-ui, or skip."""
    try:
        return agent_chat_uis.ready()
    except sdks.Unavailable as error:
        _missing("agent-chat-ui", str(error))


def pgbouncer() -> str:
    """Return the path of PgBouncer, or skip."""
    # Debian keeps it where only administrators look.
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        _missing("pgbouncer", "it is not installed (Debian: apt install pgbouncer)")
    return found


def promtool() -> str:
    """Return the path of Prometheus' promtool, or skip."""
    found = shutil.which("promtool")
    if found is None:
        _missing("promtool", "it is not installed (Debian: apt install prometheus)")
    return found


def image_builder() -> str:
    """Return the path of buildah, where an image can be built and entered, or skip."""
    found = shutil.which("buildah")
    if found is None or shutil.which("debootstrap") is None:
        _missing(
            "image",
            "buildah or debootstrap is not installed "
            "(Debian: apt install buildah debootstrap)",
        )
    if os.geteuid() != 0:
        _missing("image", "a chroot and mounts are for root alone")
    return found


def _missing(part: str, why: str) -> NoReturn:
    MISSING[part] = why
    if part in os.environ.get("BFF_TEST_REQUIRE", "").split(","):
        pytest.fail(f"{part} is required here: {why}", pytrace=False)
    pytest.skip(f"{part}: {why}")
