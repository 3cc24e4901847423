"""What the gateway keeps sealed of Odoo, and a template put there by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bff.database import connect
from bff.sessions.sealing import KeyRing, parse_keys
from bff.sites.safe import TemplateSafe
from bff.sites.store import Templates
from tests.odoo.provisioning import template_of
from tests.world import KEY

if TYPE_CHECKING:
    from odoo.safe import Template
    from tests.databases import Databases
    from tests.real.odoo import Odoo

SERIES = "19.0"
RING = KeyRing(parse_keys(KEY))


async def keep_template(databases: Databases, template: Template) -> None:
    """Let the gateway know a template that has been prepared once for all tests."""
    name = template.name
    async with connect(databases.worker, size=2) as database:
        await TemplateSafe(database, RING, name, SERIES).keep(template.credentials)
        await Templates(database, RING).finish(name)


def template_in(odoo: Odoo) -> Template:
    """Return what the real Odoo has to be copied."""
    known = odoo.template
    return template_of(known.name, known.uuid, known.key, known.password)
