"""Read a dataset as the one file that data.gov.sg makes of it.

Two or three calls for a dataset, against hundreds of pages; a file is of one moment.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from bff.acra.csv_file import CsvFile
from bff.acra.folders import a_folder
from bff.acra.source import MarkerStale, SourceError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from bff.acra.download import Download
    from bff.acra.source import Marker, Page

WAY = "bulk"


class BulkDataset:
    """A dataset of data.gov.sg; *version* is when it was last updated, if known.

    *fewest* records are to be in its file, or it is taken for broken.
    """

    def __init__(
        self, name: str, download: Download, *, version: str = "", fewest: int = 1
    ) -> None:
        self.name = name
        self._download = download
        self.version = version
        self.fewest = fewest

    async def pages(self, marker: Marker | None) -> AsyncIterator[Page]:
        """Give the pages behind *marker*, or all of them for None.

        The file is fetched for it, and gone afterwards. A dataset of the same version
        that was read to its end gives nothing, and is not fetched.

        Raises:
            MarkerStale: when the dataset is another since, or was read another way.
            SourceError: when there is no going on.
        """
        if marker is not None:
            if marker.get("way") != WAY or marker.get("version") != self.version:
                raise MarkerStale(f"dataset {self.name} is another since")
            if marker.get("done") and self.version:
                return
        read = 0 if marker is None else int(marker.get("read", 0))
        with a_folder() as folder:
            path = folder / "dataset.csv"
            state = await self._download.fetch(path)
            # Of one version there may be a broken file first, and a good one later.
            size = (await asyncio.to_thread(path.stat)).st_size
            known = self.version or state
            version = f"{known} {size}" if known else None
            file = CsvFile(path, name=self.name, version=version)
            inner = None if marker is None else marker.get("file")
            async with aclosing(_with_last(file.pages(inner))) as pages:
                async for page, done in pages:
                    read += page.read
                    # Before the last page: without it the dataset is not read whole.
                    if done and read < self.fewest:
                        raise SourceError(
                            f"dataset {self.name}: its file has {read} records only, "
                            f"where at least {self.fewest} are expected"
                        )
                    page.marker = {
                        "way": WAY,
                        "version": self.version,
                        "done": done,
                        "read": read,
                        "file": page.marker,
                    }
                    yield page


async def _with_last(
    pages: AsyncIterator[Page],
) -> AsyncGenerator[tuple[Page, bool]]:
    """Give each page, and whether it is the last."""
    before: Page | None = None
    async for page in pages:
        if before is not None:
            yield before, False
        before = page
    if before is not None:
        yield before, True
