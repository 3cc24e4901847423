"""A fake Odoo with our template, and workshops that work on it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bff.config_odoo import Odoo as Settings
from bff.outbound import client_session
from bff.sites.safe import TemplateSafe
from bff.sites.server import OdooServer
from bff.sites.store import Templates
from bff.sites.workshop import Workshop
from tests.bff.sites.scene import RING
from tests.fakes.odoo import FakeOdoo, odoo_server
from tests.fakes.odoo_services import MASTER, TEMPLATE
from tests.odoo.provisioning import fake_template

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from odoo.safe import Template
    from tests.bff.sites.scene import Scene


@dataclass(frozen=True)
class Estate:
    """The scene with an Odoo."""

    scene: Scene
    fake: FakeOdoo
    http: aiohttp.ClientSession

    @property
    def template(self) -> Template:
        return fake_template(self.fake)

    def settings(self, **changes: Any) -> Settings:
        values = {
            "server_url": self.fake.url,
            "master_password": MASTER,
            "template": TEMPLATE,
            "timeout": 20.0,
            **changes,
        }
        return Settings.model_validate(values)

    def workshop(self, **changes: Any) -> Workshop:
        server = OdooServer(settings=self.settings(**changes), http=self.http)
        return Workshop(database=self.scene.worker, ring=RING, server=server)

    async def keep_template(self, name: str = TEMPLATE) -> None:
        """Let the gateway know the fake's template, as if it had built it."""
        database = self.scene.worker
        safe = TemplateSafe(database, RING, name, self.fake.series)
        await safe.keep(self.template.credentials)
        await Templates(database, RING).finish(name)


@asynccontextmanager
async def opened_estate(scene: Scene, series: str = "19.0") -> AsyncGenerator[Estate]:
    """Serve a fake Odoo whose template the gateway knows."""
    async with odoo_server(series) as fake, client_session() as http:
        estate = Estate(scene, fake, http)
        await estate.keep_template()
        yield estate
