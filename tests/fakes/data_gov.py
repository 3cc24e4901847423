"""data.gov.sg as far as we use it, answering with its shapes, and failing on demand.

Shapes: guide.data.gov.sg (datastore_search, initiate-download, poll-download,
collection metadata). Values are text, as there; what is not known is ``na``.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import web

from bff.acra.records import COLUMNS
from bff.dev.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

LETTERS = (*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "Others")
UPDATED = "2026-09-16T10:04:13+08:00"
HTML = b"<!DOCTYPE html><html><body><h1>503 Service Unavailable</h1></body></html>"


def record(number: int, **values: str) -> dict[str, str]:
    """Return a company of the register; *values* differ from a plain live one."""
    plain = {
        "uen": f"2015{number:05d}K",
        "issuance_agency_id": "ACRA",
        "entity_name": f"ALPHA {number} PTE. LTD.",
        "entity_type_description": "Local Company",
        "company_type_description": "Exempt Private Company Limited by Shares",
        "entity_status_description": "Live Company",
        "registration_incorporation_date": "2015-03-04",
        "uen_issue_date": "2015-03-04",
        "postal_code": "018956",
        "primary_ssic_code": "62011",
        "primary_ssic_description": "DEVELOPMENT OF SOFTWARE AND APPLICATIONS",
        "no_of_officers": "3",
    }
    return dict.fromkeys(COLUMNS, "na") | plain | values


def dataset_id(number: int) -> str:
    """Return an id as data.gov.sg's are."""
    return f"d_{number:032x}"


# None lets the call pass.
Fault: TypeAlias = "Callable[[web.Request, Any], Awaitable[web.StreamResponse | None]]"


@dataclass
class FakeDataGov:
    """Datasets by id; *faults* are used up first, one for each call."""

    # Records, or whatever a test puts in place of one.
    datasets: dict[str, list[Any]] = field(default_factory=dict)
    updated: dict[str, str] = field(default_factory=dict)
    # Numbers of records that were deleted: those of the others stay as they were.
    removed: dict[str, set[int]] = field(default_factory=dict)
    columns: tuple[str, ...] = COLUMNS
    # The most that one page holds, whatever is asked for.
    largest: int = 32000
    # How often poll-download says that it is still at it.
    slow_downloads: int = 0
    faults: deque[Fault] = field(default_factory=deque)
    file_faults: deque[Fault] = field(default_factory=deque)
    # What poll-download gives out in place of our own address.
    download_url: str | None = None
    # Ranges and tags are as S3 has them, unless it is told to have none.
    ranges: bool = True
    calls: list[tuple[str, dict[str, str], dict[str, str]]] = field(
        default_factory=list
    )
    url: str = ""
    _polled: dict[str, int] = field(default_factory=dict)

    def fill(self, *counts: int) -> list[str]:
        """Make datasets of so many records each, and return their ids."""
        made = []
        for place, count in enumerate(counts):
            name = dataset_id(place + 1)
            first = place * 1000
            self.datasets[name] = [record(first + n) for n in range(count)]
            made.append(name)
        return made

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/action/datastore_search"

    @property
    def collection_url(self) -> str:
        return f"{self.url}/v2/public/api/collections/2/metadata"

    @property
    def download_api(self) -> str:
        return f"{self.url}/v1/public/api/datasets"

    @property
    def files(self) -> str:
        return f"{self.url}/table-downloads-ingest.data.gov.sg/"

    def settings(self) -> dict[str, Any]:
        """Return the `[acra]` settings that lead here."""
        return {
            "api_url": self.api_url,
            "collection_url": self.collection_url,
            "download_url": self.download_api,
            "download_from": [self.files],
        }

    async def search(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        name = request.query["resource_id"]
        rows = self.datasets.get(name)
        if rows is None:
            return web.json_response({"success": False, "error": "gone"}, status=404)
        limit = min(int(request.query.get("limit", "100")), self.largest)
        offset = int(request.query.get("offset", "0"))
        numbered = [
            {"_id": place, **row} if isinstance(row, dict) else row
            for place, row in enumerate(rows, start=1)
            if place not in self.removed.get(name, ())
        ]
        path = f"/api/action/datastore_search?limit={limit}&resource_id={name}"
        document = {
            "help": f"{self.url}/api/3/action/help_show?name=datastore_search",
            "success": True,
            "result": {
                "resource_id": name,
                "fields": [{"type": "text", "id": column} for column in self.columns]
                + [{"type": "int4", "id": "_id"}],
                "records": numbered[offset : offset + limit],
                "_links": {
                    "start": path,
                    "next": f"{path}&offset={offset + limit}",
                },
                "total": len(numbered),
                "limit": limit,
            },
        }
        return await self._answer(request, document)

    async def collection(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        names = list(self.datasets)
        listed = [
            {
                "datasetId": name,
                "name": f"ACRA Information on Corporate Entities ('{letter}')",
                "status": "active",
                "format": "CSV",
                "lastUpdatedAt": self.updated.get(name, UPDATED),
                "managedBy": "Accounting and Corporate Regulatory Authority",
            }
            for name, letter in zip(names, LETTERS, strict=False)
        ]
        meta = {
            "collectionId": "2",
            "name": "ACRA Information on Corporate Entities",
            "lastUpdatedAt": UPDATED,
            "frequency": "monthly",
            "childDatasets": names,
        }
        data: dict[str, Any] = {"collectionMetadata": meta}
        if request.query.get("withDatasetMetadata") == "true":
            data["datasetMetadata"] = listed
        return await self._answer(request, {"code": 0, "data": data, "errorMsg": ""})

    async def initiate(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        said = "Download successfully initiated. Proceed to poll download"
        document = {"code": 0, "data": {"message": said}, "errorMsg": ""}
        return await self._answer(request, document, status=201)

    async def poll(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        name = request.match_info["name"]
        self._polled[name] = self._polled.get(name, 0) + 1
        if self._polled[name] <= self.slow_downloads:
            data = {"status": "DOWNLOAD_PROCESSING"}
        else:
            signed = "?AWSAccessKeyId=TEST&Expires=1770695064&Signature=test%3D"
            where = self.download_url or f"{self.files}{name}/file.csv{signed}"
            data = {"status": "DOWNLOAD_SUCCESS", "url": where}
        document = {"code": 0, "data": data, "errorMsg": ""}
        return await self._answer(request, document, status=201)

    async def file(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        if self.file_faults:
            fault: Fault = self.file_faults.popleft()
            answer = await fault(request, None)
            if answer is not None:
                return answer
        whole = self.csv(request.match_info["name"])
        headers = {"Content-Type": "text/csv"}
        if self.ranges:
            headers |= {"Accept-Ranges": "bytes", "ETag": '"test-etag"'}
        wanted = request.headers.get("Range")
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
            return web.Response(status=206, body=whole[start:], headers=headers)
        return web.Response(body=whole, headers=headers)

    def csv(self, name: str) -> bytes:
        """Return a dataset as its file."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(self.datasets[name])
        return text.getvalue().encode()

    def _note(self, request: web.Request) -> None:
        kept = ("x-api-key", "Range", "If-Range", "Accept-Encoding", "Authorization")
        headers = {
            name: request.headers[name] for name in kept if name in request.headers
        }
        self.calls.append((request.path, dict(request.query), headers))

    async def _answer(
        self, request: web.Request, document: dict[str, Any], status: int = 200
    ) -> web.StreamResponse:
        if self.faults:
            fault: Fault = self.faults.popleft()
            answer = await fault(request, document)
            if answer is not None:
                return answer
        return web.json_response(document, status=status)


FAKE = web.AppKey("fake", FakeDataGov)

# Faults: each answers for one call, or changes the document and lets it pass.


def status(number: int, **headers: str) -> Fault:
    """Refuse with a status; headers' underscores are hyphens."""

    async def fault(request: web.Request, document: object) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = {"code": 1, "errorMsg": "no", "name": "TOO_MANY_REQUESTS"}
        return web.json_response(body, status=number, headers=named)

    return fault


def raw(body: bytes, content_type: str = "application/json", code: int = 200) -> Fault:
    """Answer with these bytes."""

    async def fault(request: web.Request, document: object) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type, status=code)

    return fault


def changed(change: Callable[[dict[str, Any]], None]) -> Fault:
    """Answer with the document after *change* has been at its `result`."""

    async def fault(request: web.Request, document: Any) -> web.StreamResponse:
        change(document["result"])
        return web.json_response(document)

    return fault


def cut(keep: float = 0.5) -> Fault:
    """Break the connection in the middle of the answer."""

    async def fault(request: web.Request, document: Any) -> web.StreamResponse:
        whole = json.dumps(document).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(whole)),
        }
        answer = web.StreamResponse(headers=headers)
        await answer.prepare(request)
        await answer.write(whole[: int(len(whole) * keep)])
        assert request.transport is not None
        request.transport.close()
        return answer

    return fault


def slow(seconds: float) -> Fault:
    """Answer late."""

    async def fault(request: web.Request, document: object) -> None:
        await asyncio.sleep(seconds)

    return fault


def good() -> Fault:
    """Let one call pass."""

    async def fault(request: web.Request, document: object) -> None:
        return None

    return fault


def cut_file(keep: int) -> Fault:
    """Break off a file after so many bytes."""

    async def fault(request: web.Request, document: object) -> web.StreamResponse:
        fake = request.app[FAKE]
        whole = fake.csv(request.match_info["name"])
        headers = {"Content-Type": "text/csv", "Content-Length": str(len(whole))}
        if fake.ranges:
            headers |= {"Accept-Ranges": "bytes", "ETag": '"test-etag"'}
        answer = web.StreamResponse(headers=headers)
        await answer.prepare(request)
        await answer.write(whole[:keep])
        # Let it arrive before the door closes.
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.close()
        return answer

    return fault


def unasked_part(keep: int) -> Fault:
    """Answer with a part of a file that was asked for whole."""

    async def fault(request: web.Request, document: object) -> web.StreamResponse:
        whole = request.app[FAKE].csv(request.match_info["name"])
        said = f"bytes 0-{keep - 1}/{len(whole)}"
        headers = {"Content-Range": said, "ETag": '"test-etag"'}
        return web.Response(status=206, body=whole[:keep], headers=headers)

    return fault


def short_part(upto: int) -> Fault:
    """Answer with less than the rest that was asked for, and say so."""

    async def fault(request: web.Request, document: object) -> web.StreamResponse:
        whole = request.app[FAKE].csv(request.match_info["name"])
        start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        said = f"bytes {start}-{upto - 1}/{len(whole)}"
        headers = {"Content-Range": said, "ETag": '"test-etag"'}
        return web.Response(status=206, body=whole[start:upto], headers=headers)

    return fault


def endless_file(keep: int) -> Fault:
    """Answer with a part of a file, and let the end of the connection end it."""

    async def fault(request: web.Request, document: object) -> web.StreamResponse:
        whole = request.app[FAKE].csv(request.match_info["name"])
        assert request.transport is not None
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nConnection: close\r\n\r\n"
        request.transport.write(head + whole[:keep])
        await asyncio.sleep(0.05)
        request.transport.close()
        return web.Response()

    return fault


@asynccontextmanager
async def data_gov(fake: FakeDataGov | None = None) -> AsyncGenerator[FakeDataGov]:
    """Serve *fake* on a loopback port."""
    made = fake or FakeDataGov()
    app = web.Application()
    app[FAKE] = made
    app.router.add_get("/api/action/datastore_search", made.search)
    app.router.add_get("/v2/public/api/collections/2/metadata", made.collection)
    base = "/v1/public/api/datasets/{name}"
    app.router.add_get(f"{base}/initiate-download", made.initiate)
    app.router.add_get(f"{base}/poll-download", made.poll)
    app.router.add_get("/table-downloads-ingest.data.gov.sg/{name}/file.csv", made.file)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        made.url = f"http://127.0.0.1:{port}"
        yield made
    finally:
        await runner.cleanup()
