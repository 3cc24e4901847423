"""Find out which datasets the register is made of.

data.gov.sg lists them: one for each first letter, and one for the rest. The list is
asked for at each run; where it cannot be had the run fails, for a list of our own
would be right until the day it is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from bff.acra.api import ApiDataset
from bff.acra.bulk import BulkDataset
from bff.acra.calls import Calls, Unusable
from bff.acra.download import Download
from bff.acra.pace import Pace
from bff.acra.source import SourceError

if TYPE_CHECKING:
    import aiohttp

    from bff.acra.calls import Surroundings
    from bff.config_acra import Acra

# They become part of addresses.
ID = re.compile(r"d_[0-9a-f]{32}", re.ASCII)
# A to Z and Others: fewer would be a part of the register only.
FEWEST = 27
MOST = 1000


@dataclass(frozen=True, slots=True)
class Listed:
    """A dataset of the collection, and when it was last updated, if that is said."""

    name: str
    version: str = ""


VersionedDataset: TypeAlias = ApiDataset | BulkDataset


async def datasets(
    settings: Acra, http: aiohttp.ClientSession, surroundings: Surroundings
) -> list[VersionedDataset]:
    """Return the datasets to read: the one configured, or all of the collection.

    Raises:
        SourceError: when they cannot be found out.
    """
    calls = Calls(
        http,
        surroundings,
        key=settings.api_key.get_secret_value(),
        timeout=settings.timeout,
    )
    searches, downloads = Pace(settings.rate), Pace(settings.rate // 2)

    async def ask() -> list[Listed]:
        return await calls.json(
            "list of the register's datasets",
            settings.collection_url,
            searches,
            _listed,
            {"withDatasetMetadata": "true"},
        )

    async def latest(name: str) -> str:
        return next((one.version for one in await ask() if one.name == name), "")

    if settings.resource_id:
        if not ID.fullmatch(settings.resource_id):
            raise SourceError("acra.resource_id is no dataset's ID")
        # It need not be of the collection; nobody says when it was updated.
        listed = [Listed(settings.resource_id)]
    else:
        listed = await ask()
        if len(listed) < FEWEST:
            raise SourceError(
                f"list of the register's datasets: {len(listed)} of at least {FEWEST} "
                "are there; set acra.resource_id to read only one"
            )
    found: list[VersionedDataset] = []
    for one in listed:
        if settings.method == "bulk":
            download = Download(one.name, calls, settings, downloads)
            found.append(BulkDataset(one.name, download, version=one.version))
        else:
            found.append(
                ApiDataset(
                    one.name,
                    calls,
                    settings.api_url,
                    searches,
                    page_size=settings.page_size,
                    version=one.version,
                    latest=partial(latest, one.name),
                )
            )
    return found


def _listed(document: Any) -> list[Listed]:  # noqa: ANN401 - a stranger's JSON
    data = document.get("data") if isinstance(document, dict) else None
    about = data.get("collectionMetadata") if isinstance(data, dict) else None
    names = about.get("childDatasets") if isinstance(about, dict) else None
    if not isinstance(data, dict) or not isinstance(names, list) or len(names) > MOST:
        raise Unusable("an answer without datasets")
    good = [name for name in names if isinstance(name, str) and ID.fullmatch(name)]
    if len(good) != len(names) or len(set(good)) != len(good):
        raise Unusable("an answer with datasets that are none")
    described = data.get("datasetMetadata")
    versions = {
        one.get("datasetId"): one.get("lastUpdatedAt")
        for one in (described if isinstance(described, list) else ())
        if isinstance(one, dict) and isinstance(one.get("datasetId"), str)
    }
    return [Listed(name, _version(versions.get(name))) for name in good]


def _version(value: object) -> str:
    """Return when a dataset was updated, as it is written; empty if nobody says."""
    return value if isinstance(value, str) and len(value) < 100 else ""  # noqa: PLR2004 - a time with its zone has 25
