"""The commands of operators, in the environment of a world that is running."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.bff.cli.commands import in_a_thread
from tests.fakes.odoo_services import MASTER
from tests.world import KEY, PROVISIONED, SECRET

if TYPE_CHECKING:
    from typer.testing import Result

    from tests.fakes.odoo import FakeOdoo
    from tests.world import World


def environment(world: World, **more: str) -> dict[str, str]:
    """Return what a command is told that works on the world's database."""
    return {
        "BFF_ENVIRONMENT": "dev",
        "BFF_DATABASE__URL": world.databases.app,
        "BFF_DATABASE__WORKER_URL": world.databases.worker,
        "BFF_AUTH__ISSUER": world.issuer or "http://localhost:1/realms/nexius",
        "BFF_AUTH__CLIENT_SECRET": SECRET,
        "BFF_SESSION__KEYS": KEY,
        "BFF_SERVER__PUBLIC_ORIGINS": json.dumps([world.url or "http://localhost:1"]),
        **more,
    }


def with_odoo(fake: FakeOdoo, **more: str) -> dict[str, str]:
    """Return what a command is told of Odoo; of people's clients, the provisioner."""
    return {
        "BFF_ODOO__SERVER_URL": fake.url,
        "BFF_ODOO__MASTER_PASSWORD": MASTER,
        "BFF_AUTH__PROVISIONER_CLIENT_ID": PROVISIONED["provisioner_client_id"],
        "BFF_AUTH__PROVISIONER_CLIENT_SECRET": PROVISIONED["provisioner_client_secret"],
        **more,
    }


async def command(world: World, *arguments: str, **more: str) -> Result:
    """Run one."""
    return await in_a_thread(*arguments, env=environment(world, **more))
