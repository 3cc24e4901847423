"""The company register in the configuration: the section, and what may be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from croniter import croniter
from pydantic import Field, SecretStr

from bff.config_base import Secret, Section, is_http_address, is_loopback

if TYPE_CHECKING:
    from bff.config import Config

_SECRET_LENGTH = 32


class Acra(Section):
    """The Singapore company register."""

    collection_url: str = Field(
        "https://api-production.data.gov.sg/v2/public/api/collections/2/metadata",
        description="Where the datasets of the register are listed.",
    )
    api_url: str = Field(
        "https://data.gov.sg/api/action/datastore_search",
        description="Where a dataset is read, page by page.",
    )
    resource_id: str = Field(
        "", description="The one dataset to read; all of the collection by default."
    )
    method: Literal["bulk", "pages"] = Field(
        "bulk",
        description="How a whole dataset is read: as one file, or by `api_url`.",
    )
    page_size: int = Field(
        5000,
        ge=1,
        le=32000,
        description="Records asked for in one call, where `method` is `pages`.",
    )
    download_url: str = Field(
        "https://api-open.data.gov.sg/v1/public/api/datasets",
        description="Where a dataset's file is asked for.",
    )
    download_from: tuple[str, ...] = Field(
        (
            "https://s3.ap-southeast-1.amazonaws.com/table-downloads-ingest.data.gov.sg/",
            "https://s3.ap-southeast-1.amazonaws.com/blobs.data.gov.sg/",
        ),
        description="What the address of a file may begin with; no other is called.",
    )
    download_limit: int = Field(
        2**30, ge=2**20, description="Largest file of a dataset, bytes."
    )
    rate: int = Field(
        4,
        ge=2,
        description="Calls in ten seconds at most; half as many for files. Without a "
        "key 4, with one 8 (development) or 20 (production).",
    )
    api_key: Secret = Field(
        SecretStr(""), description="Key for data.gov.sg, which allows more calls."
    )
    timeout: float = Field(30.0, gt=0, description="Seconds for one call.")
    webhook_secret: Secret = Field(
        SecretStr(""),
        description="Signs POST /acra/ingest, at least 32 characters; several, divided "
        "by commas, while one replaces the other. Without it the route is closed.",
    )
    scheduled: bool = Field(
        default=False, description="Read the register at the times of `schedule`."
    )
    schedule: str = Field("22 1 * * *", description="When: a cron expression.")
    timezone: str = Field("Asia/Singapore", description="Whose time `schedule` is.")
    at_start: bool = Field(
        default=False, description="Queue a run when a worker starts, too."
    )
    page_by_page: bool = Field(
        default=False,
        description="`bff acra ingest` writes a page every `interval`; the worker "
        "knows nothing of it.",
    )
    interval: float = Field(10.0, gt=0, description="Seconds between two such pages.")
    refused_folder: Path | None = Field(
        None,
        description="Where the file of refused records is written; by default only "
        "`bff acra ingest` writes one, into the folder it is called in.",
    )


def problems_of(config: Config) -> list[str]:
    """Return one sentence for each problem, each beginning with its key."""
    acra = config.acra
    found = []
    if acra.scheduled and not croniter.is_valid(acra.schedule):
        found.append(
            "acra.schedule: give five fields of cron, for example 22 1 * * * for 01:22"
        )
    try:
        ZoneInfo(acra.timezone)
    except (KeyError, ValueError, OSError):
        found.append("acra.timezone: give a name like Asia/Singapore")
    secrets = acra.webhook_secret.get_secret_value()
    if secrets and any(len(s.strip()) < _SECRET_LENGTH for s in secrets.split(",")):
        found.append(
            f"acra.webhook_secret: give at least {_SECRET_LENGTH} characters, made by "
            "chance"
        )
    places = {
        "collection_url": acra.collection_url,
        "api_url": acra.api_url,
        "download_url": acra.download_url,
    } | {f"download_from.{n}": url for n, url in enumerate(acra.download_from)}
    for key, url in places.items():
        if not is_http_address(url):
            found.append(f"acra.{key}: give https://HOST/PATH")
        elif not url.startswith("https://") and not (
            config.environment == "dev" and is_loopback(url)
        ):
            found.append(f"acra.{key}: must be https")
        elif key.startswith("download_from") and not url.endswith("/"):
            found.append(f"acra.{key}: must end in /, or others' names begin alike")
    return found
