"""Every secret of an estate, and where none of them may be found in clear."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import TYPE_CHECKING

from bff.dev import postgres
from bff.sites.safe import name_of_template, name_of_tenant, unseal
from tests.real.keycloak_realms import BFF, PASSWORD, PROVISIONER, secret
from tests.real.odoo_kept import RING
from tests.world import KEY

if TYPE_CHECKING:
    from odoo.safe import Credentials
    from tests.databases import Databases
    from tests.real.odoo_estate import Estate


async def secrets_of(here: Estate) -> dict[str, str]:
    """Return what opens anything here, by what it is; the sealed are opened."""
    found = {
        "master password": here.odoo.master,
        "people's password": PASSWORD,
        "gateway's client secret": secret(BFF),
        "provisioner's client secret": secret(PROVISIONER),
        "key ring": KEY.partition(":")[2],
    }
    async with here.databases.superuser() as superuser:
        tenants = await superuser.fetch(
            "SELECT tenant_id, sealed FROM odoo_connections"
        )
        templates = await superuser.fetch("SELECT name, sealed FROM odoo_templates")
    for row in tenants:
        tenant_id = row["tenant_id"]
        held = unseal(RING, name_of_tenant(tenant_id), row["sealed"])
        found |= _parts(f"tenant {tenant_id}'s", held)
        query = f"/clients?clientId={here.name(tenant_id)}"
        (client,) = (await here.realm.administrate("GET", query)).json
        found[f"tenant {tenant_id}'s client secret"] = client["secret"]
    for row in templates:
        held = unseal(RING, name_of_template(row["name"]), row["sealed"])
        found |= _parts("the template's", held)
    return found


def _parts(whose: str, held: Credentials | None) -> dict[str, str]:
    assert held is not None
    named = {
        "key": held.key,
        "previous key": held.previous,
        "service password": held.service_password,
        "admin password": held.admin_password,
        "code verifier": held.code_verifier,
    }
    return {f"{whose} {name}": value for name, value in named.items() if value}


def found_in(text: str, secrets: dict[str, str]) -> list[str]:
    """Return which of *secrets* stand in *text*, plain or as a dump writes bytes."""
    return sorted(
        name
        for name, value in secrets.items()
        if value in text
        or value.encode().hex() in text
        or base64.b64encode(value.encode()).decode().rstrip("=") in text
    )


async def dumped(databases: Databases) -> str:
    """Return the gateway's whole database as SQL, by pg_dump."""
    process = await asyncio.create_subprocess_exec(
        *(str(postgres._programs() / "pg_dump"), "--inserts"),
        *("--dbname", databases.urls[postgres.SUPERUSER]),
        env={"PATH": os.defpath},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()
