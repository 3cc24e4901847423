"""PostgreSQL in the configuration: the section, and what may be wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, SecretStr

from bff.config_base import Secret, Section, postgres_trouble

if TYPE_CHECKING:
    from bff.config import Config


class Database(Section):
    """PostgreSQL, once for each role."""

    url: Secret = Field(SecretStr(""), description="URL of the serving role (bff_app).")
    owner_url: Secret = Field(
        SecretStr(""), description="URL of the owning role, for `bff migrate`."
    )
    worker_url: Secret = Field(
        SecretStr(""), description="URL of the worker role (bff_worker)."
    )
    listen_url: Secret = Field(
        SecretStr(""),
        description="Direct URL for LISTEN where url goes through PgBouncer.",
    )
    pooled: bool | None = Field(
        None,
        description="Whether url goes through a pooler in transaction mode, such as "
        "PgBouncer: then nothing is kept prepared. By default where listen_url is set.",
    )
    pool_size: int = Field(10, ge=2, description="Connections for serving.")
    command_timeout: float = Field(10.0, gt=0, description="Seconds for one statement.")

    @property
    def is_pooled(self) -> bool:
        """Tell whether transactions of one connection may meet several sessions."""
        if self.pooled is not None:
            return self.pooled
        return bool(self.listen_url.get_secret_value())


def problems_of(config: Config) -> list[str]:
    """Return one sentence for each problem, each beginning with its key.

    Looked at are scheme and hosts: the rest is the driver's to judge, and secret.
    """
    form = "postgresql://ROLE:PASSWORD@HOST/DATABASE"
    urls: dict[str, SecretStr] = {
        "url": config.database.url,
        "owner_url": config.database.owner_url,
        "worker_url": config.database.worker_url,
        "listen_url": config.database.listen_url,
    }
    found = [
        f"database.{name}: {trouble}"
        for name, url in urls.items()
        if url.get_secret_value()
        and (trouble := postgres_trouble(url.get_secret_value(), form))
    ]
    if config.database.pooled and not config.database.listen_url.get_secret_value():
        found.append(
            "database.listen_url: missing; a pooler passes no LISTEN on: give a URL of "
            "the serving role that goes to PostgreSQL itself"
        )
    return found
