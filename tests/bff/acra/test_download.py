"""Files of datasets: asked for, waited for, fetched whole from where they may be."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from bff.acra.bulk import BulkDataset
from bff.acra.calls import TRIES
from bff.acra.download import Download, is_permitted
from bff.acra.folders import a_folder
from bff.acra.source import MarkerStale, SourceError
from bff.config_acra import Acra
from tests.bff.acra.test_api import FAULTS, Bench, a_bench, uens
from tests.fakes import data_gov as fakes

if TYPE_CHECKING:
    from bff.acra.source import Marker, Page

# A disk that is always full, where the system has one.
FULL = Path("/dev/full")
LINK = "https://s3.ap-southeast-1.amazonaws.com/table-downloads-ingest.data.gov.sg/"


def download(bench: Bench, name: str, **changes: Any) -> Download:
    settings = Acra(**{**bench.fake.settings(), **changes})
    return Download(name, bench.calls(), settings, bench.pace)


async def fetched(bench: Bench, name: str, folder: Path, **changes: Any) -> bytes:
    path = folder / "file.csv"
    await download(bench, name, **changes).fetch(path)
    return path.read_bytes()


async def test_a_file_is_asked_for_waited_for_and_fetched(tmp_path: Path) -> None:
    async with a_bench(50) as (bench, (name,)):
        bench.fake.slow_downloads = 2
        got = await fetched(bench, name, tmp_path)

        assert got == bench.fake.csv(name)
        paths = [path.rpartition("/")[2] for path, _, _ in bench.fake.calls]
        assert paths == ["initiate-download", *["poll-download"] * 3, "file.csv"]
        assert bench.slept.pauses == [5.0, 5.0]
        *_, (_, query, headers) = bench.fake.calls
        assert query["Signature"] == "test=", "not a character of it is changed"
        assert "x-api-key" not in headers, "the key is for data.gov.sg alone"
        assert headers["Accept-Encoding"] == "identity"


async def test_a_file_that_never_becomes_ready_is_given_up(tmp_path: Path) -> None:
    async with a_bench(5) as (bench, (name,)):
        bench.fake.slow_downloads = 10_000
        with pytest.raises(SourceError, match="does not become ready"):
            await fetched(bench, name, tmp_path)


async def test_what_broke_off_goes_on_where_it_was(tmp_path: Path) -> None:
    async with a_bench(50) as (bench, (name,)):
        bench.fake.file_faults.extend([fakes.cut_file(1000), fakes.cut_file(0)])
        got = await fetched(bench, name, tmp_path)

        assert got == bench.fake.csv(name)
        asked = [
            (headers.get("Range"), headers.get("If-Range"))
            for path, _, headers in bench.fake.calls
            if path.endswith("file.csv")
        ]
        assert asked[0] == (None, None)
        assert asked[1] == ("bytes=1000-", '"test-etag"')


async def test_without_ranges_it_begins_anew(tmp_path: Path) -> None:
    async with a_bench(50) as (bench, (name,)):
        bench.fake.ranges = False
        bench.fake.file_faults.append(fakes.cut_file(1000))

        assert await fetched(bench, name, tmp_path) == bench.fake.csv(name)


@pytest.mark.parametrize("said", ["bytes 7-9/10", "bytes x", "", "bytes 1001-2000/*"])
async def test_another_part_than_was_asked_for_is_thrown_away(
    tmp_path: Path, said: str
) -> None:
    async def other(request: web.Request, document: object) -> web.Response:
        headers = {"Content-Range": said, "ETag": '"test-etag"'}
        return web.Response(status=206, body=b"OTHER", headers=headers)

    async with a_bench(50) as (bench, (name,)):
        bench.fake.file_faults.extend([fakes.cut_file(1000), other])

        assert await fetched(bench, name, tmp_path) == bench.fake.csv(name)


@pytest.mark.parametrize(
    "fault",
    [fakes.unasked_part(1000), fakes.endless_file(1000), fakes.endless_file(0)],
    ids=["a part", "a closed connection", "a connection closed at once"],
)
async def test_a_part_of_a_file_is_never_taken_for_all_of_it(
    tmp_path: Path, fault: fakes.Fault
) -> None:
    async with a_bench(50) as (bench, (name,)):
        bench.fake.file_faults.append(fault)
        assert await fetched(bench, name, tmp_path) == bench.fake.csv(name)

        bench.fake.file_faults.extend([fault] * TRIES)
        with pytest.raises(SourceError, match=f"{TRIES} times over"):
            await fetched(bench, name, tmp_path)


async def test_a_rest_that_is_too_short_is_not_all_of_it(tmp_path: Path) -> None:
    async with a_bench(50) as (bench, (name,)):
        bench.fake.file_faults.extend([fakes.cut_file(1000), fakes.short_part(2000)])

        assert await fetched(bench, name, tmp_path) == bench.fake.csv(name)
        asked = [headers.get("Range") for _, _, headers in bench.fake.calls]
        assert [one for one in asked if one] == ["bytes=1000-", "bytes=2000-"]


async def test_a_file_in_chunks_is_whole_where_its_chunks_end(tmp_path: Path) -> None:
    async def chunked(request: web.Request, document: object) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(bench.fake.csv(name))
        return answer

    async with a_bench(50) as (bench, (name,)):
        bench.fake.file_faults.append(chunked)

        assert await fetched(bench, name, tmp_path) == bench.fake.csv(name)
        assert bench.slept.pauses == []


async def test_an_address_that_is_too_old_is_asked_for_anew(tmp_path: Path) -> None:
    async with a_bench(5) as (bench, (name,)):
        bench.fake.file_faults.append(fakes.status(403))

        assert await fetched(bench, name, tmp_path) == bench.fake.csv(name)
        paths = [path.rpartition("/")[2] for path, _, _ in bench.fake.calls]
        assert paths.count("initiate-download") == 2


OF_JSON = list(FAULTS)[: list(FAULTS).index("no records")]


@pytest.mark.parametrize("name", OF_JSON)
async def test_what_passes_is_waited_for(tmp_path: Path, name: str) -> None:
    async with a_bench(5) as (bench, (dataset,)):
        bench.fake.faults.extend([fakes.good(), FAULTS[name]])

        assert await fetched(bench, dataset, tmp_path) == bench.fake.csv(dataset)
        assert bench.slept.pauses == [1.0]


@pytest.mark.parametrize("name", ["status 500", "HTML with 200"])
async def test_a_file_that_cannot_be_had_fails_with_a_sentence(
    tmp_path: Path, name: str
) -> None:
    async with a_bench(5) as (bench, (dataset,)):
        bench.fake.faults.extend([FAULTS[name]] * TRIES)
        with pytest.raises(SourceError, match=f"download of dataset {dataset}"):
            await fetched(bench, dataset, tmp_path)


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://evil.example/file.csv",
        "file:///etc/passwd",
        "{files}../secret.csv",
        "{files}%2e%2e/secret.csv",
        "{other}/x.csv",
        "//evil.example/x",
    ],
)
async def test_no_other_address_is_called(tmp_path: Path, address: str) -> None:
    async with a_bench(5) as (bench, (name,)):
        bench.fake.download_url = address.format(
            files=bench.fake.files, other=bench.fake.url
        )
        with pytest.raises(SourceError):
            await fetched(bench, name, tmp_path)

        assert not [path for path, _, _ in bench.fake.calls if "api" not in path]
        assert not (tmp_path / "file.csv").exists()


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_no_redirect_of_a_file_is_followed(tmp_path: Path, status: int) -> None:
    async with a_bench(5) as (bench, (name,)):
        bench.fake.file_faults.append(
            fakes.status(status, Location=f"{bench.fake.files}{name}/file.csv")
        )
        with pytest.raises(SourceError, match="not followed"):
            await fetched(bench, name, tmp_path)


async def test_a_file_that_is_too_large_is_not_written(tmp_path: Path) -> None:
    async with a_bench(5000) as (bench, (name,)):
        with pytest.raises(SourceError, match=r"larger than acra\.download_limit"):
            await fetched(bench, name, tmp_path, download_limit=2**20)

        assert not (tmp_path / "file.csv").exists()


async def test_nor_one_that_does_not_say_how_large_it_is(tmp_path: Path) -> None:
    async def endless(request: web.Request, document: object) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(40):
            await answer.write(b"x" * 2**16)
        return answer

    async with a_bench(5) as (bench, (name,)):
        bench.fake.file_faults.append(endless)
        with pytest.raises(SourceError, match=r"larger than acra\.download_limit"):
            await fetched(bench, name, tmp_path, download_limit=2**20)

        assert (tmp_path / "file.csv").stat().st_size <= 2**20


async def test_a_disk_is_not_filled_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=256 * 2**20 + 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    async with a_bench(50) as (bench, (name,)):
        with pytest.raises(SourceError, match="no room for it on this disk"):
            await fetched(bench, name, tmp_path)


async def test_a_disk_that_refuses_is_a_dataset_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_full = await asyncio.to_thread(FULL.exists)
    async with a_bench(50) as (bench, (name,)):
        with pytest.raises(SourceError, match="it cannot be written"):
            await download(bench, name).fetch(tmp_path / "missing" / "file.csv")
        if has_full:
            (tmp_path / "full.csv").symlink_to(FULL)
            with pytest.raises(SourceError, match="No space left"):
                await download(bench, name).fetch(tmp_path / "full.csv")

        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
        with pytest.raises(SourceError, match="TMPDIR"):
            await read(bench, name)


@pytest.mark.parametrize(
    "url",
    [
        f"{LINK}d_1/x.csv?AWSAccessKeyId=A&Signature=a%2Fb%3D",
        "https://s3.ap-southeast-1.amazonaws.com:/table-downloads-ingest.data.gov.sg/x",
    ],
)
def test_the_documented_addresses_are_permitted(url: str) -> None:
    assert is_permitted(url, Acra().download_from)


@pytest.mark.parametrize(
    "url",
    [
        LINK.replace("https", "http"),
        LINK.replace("amazonaws.com", "amazonaws.com.evil.example"),
        LINK.replace("s3.", "me@s3."),
        LINK.replace("https://", "https://s3.ap-southeast-1.amazonaws.com@"),
        LINK.replace(".com/", ".com:8443/"),
        LINK.replace(".com/", ".com:99999/"),
        LINK.replace("table", "TABLE"),
        LINK.removesuffix("/") + ".evil/x",
        LINK + "../other-bucket/x",
        LINK + "%2e%2e/other-bucket/x",
        LINK + "a/..%2f..%2fother-bucket/x",
        LINK + "..\\other",
        LINK + "a b",
        LINK + "a\nHost: evil",
        LINK + "\u2025/x",
        "https://s3.ap-southeast-1.amazonaws.com/other/x",
        "https://[::1/x",
        "https://",
        "",
    ],
)
def test_what_only_looks_like_them_is_not(url: str) -> None:
    assert not is_permitted(url, Acra().download_from)


@given(st.text() | st.text().map(lambda tail: LINK + tail))
def test_whatever_is_permitted_begins_as_it_must(url: str) -> None:
    if is_permitted(url, [LINK]):
        assert url.lower().startswith(("https://s3.ap-southeast-1.amazonaws.com",))
        assert "/table-downloads-ingest.data.gov.sg/" in url


# The dataset of such a file ----------------------------------------------------


async def read(
    bench: Bench,
    name: str,
    marker: Marker | None = None,
    version: str = "v1",
    fewest: int = 1,
) -> list[Page]:
    file = download(bench, name)
    dataset = BulkDataset(name, file, version=version, fewest=fewest)
    return [page async for page in dataset.pages(marker)]


async def test_a_dataset_is_read_from_its_file_and_then_no_more() -> None:
    async with a_bench(50) as (bench, (name,)):
        pages = await read(bench, name)

        assert uens(pages) == [row["uen"] for row in bench.fake.datasets[name]]
        assert [page.marker["done"] for page in pages] == [True]
        bench.fake.calls.clear()
        assert await read(bench, name, pages[-1].marker) == []
        assert bench.fake.calls == []


@pytest.mark.parametrize(
    "marker",
    [
        {"way": "bulk", "version": "v0", "done": True, "file": {}},
        {"way": "pages", "version": "v1", "offset": 5},
        {},
    ],
)
async def test_a_marker_of_another_file_is_stale(marker: dict[str, Any]) -> None:
    async with a_bench(5) as (bench, (name,)):
        with pytest.raises(MarkerStale):
            await read(bench, name, marker)


async def test_without_a_version_the_file_itself_tells_what_it_is() -> None:
    async with a_bench(5) as (bench, (name,)):
        (page,) = await read(bench, name, version="")
        again = await read(bench, name, page.marker, version="")
        assert uens(again) == [], "it is at its end"

        bench.fake.datasets[name].append(fakes.record(900))
        with pytest.raises(MarkerStale):
            await read(bench, name, page.marker, version="")


async def test_nothing_is_left_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with a_bench(50) as (bench, (name,)):
        assert await read(bench, name)
        bench.fake.file_faults.extend([fakes.status(404)])
        with pytest.raises(SourceError):
            await read(bench, name)

    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_a_file_with_too_few_records_is_broken() -> None:
    async with a_bench(0, 50) as (bench, (empty, name)):
        with pytest.raises(SourceError, match="0 records only, where at least 1 are"):
            await read(bench, empty)
        with pytest.raises(SourceError, match="50 records only, where at least 51"):
            await read(bench, name, fewest=51)

        assert len(uens(await read(bench, name, fewest=50))) == 50


def test_what_a_killed_worker_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, young, other = (
        tmp_path / name for name in ("bff-acra-dead", "bff-acra-young", "other")
    )
    for folder in (dead, young, other):
        folder.mkdir()
        (folder / "dataset.csv").touch()
    for folder in (dead, other):
        os.utime(folder, (0, 0))
    with a_folder() as held:
        os.utime(held, (0, 0))
        with a_folder():
            left = sorted(path.name for path in tmp_path.iterdir())

    assert "bff-acra-dead" not in left
    assert {"bff-acra-young", "other", held.name} < set(left)
