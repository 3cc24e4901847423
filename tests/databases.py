"""A test's own database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from bff.dev.postgres import SUPERUSER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping


@dataclass(frozen=True)
class Databases:
    """URLs of one fresh database, by role."""

    urls: Mapping[str, str]

    @property
    def app(self) -> str:
        return self.urls["bff_app"]

    @property
    def owner(self) -> str:
        return self.urls["bff_owner"]

    @property
    def worker(self) -> str:
        return self.urls["bff_worker"]

    @asynccontextmanager
    async def superuser(self) -> AsyncGenerator[asyncpg.Connection]:
        """Connect as one who sees every row, to look at what others did."""
        connection = await asyncpg.connect(self.urls[SUPERUSER])
        try:
            yield connection
        finally:
            await connection.close()
