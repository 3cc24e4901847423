"""Datasets read page by page, from a server that may do anything."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bff.acra.api import ApiDataset, Changed, Place
from bff.acra.calls import LARGEST_ANSWER, TRIES, Calls, Surroundings, Unusable
from bff.acra.pace import Pace
from bff.acra.records import COLUMNS, Cleaner
from bff.acra.source import MarkerStale, SourceError
from bff.outbound import client_session
from tests.bff.acra.register import read_into
from tests.fakes import data_gov as fakes
from tests.fakes.data_gov import HTML, FakeDataGov, data_gov, record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import aiohttp

    from bff.acra.source import Marker, Page

NOW = 1_800_000_000.0
KEY = "test-data-gov-key"


@dataclass
class Slept:
    """Time that passes only where somebody sleeps."""

    now: float = NOW
    pauses: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if seconds:
            self.pauses.append(seconds)

    def surroundings(self) -> Surroundings:
        return Surroundings(
            now=lambda: self.now,
            monotonic=lambda: self.now,
            sleep=self.sleep,
            random=lambda: 1.0,
        )


@dataclass
class Bench:
    fake: FakeDataGov
    http: aiohttp.ClientSession
    slept: Slept = field(default_factory=Slept)
    pace: Pace = field(default_factory=lambda: Pace(10_000))

    def calls(self, **options: Any) -> Calls:
        return Calls(self.http, self.slept.surroundings(), **{"key": KEY} | options)

    def dataset(
        self,
        name: str,
        page_size: int = 10,
        version: str = "v1",
        latest: Callable[[], Awaitable[str]] | None = None,
        fewest: int = 1,
        **options: Any,
    ) -> ApiDataset:
        return ApiDataset(
            name,
            self.calls(**options),
            self.fake.api_url,
            self.pace,
            page_size=page_size,
            version=version,
            latest=latest,
            fewest=fewest,
        )

    async def read(
        self, name: str, marker: Marker | None = None, **options: Any
    ) -> list[Page]:
        return [page async for page in self.dataset(name, **options).pages(marker)]


@asynccontextmanager
async def a_bench(*counts: int) -> AsyncGenerator[tuple[Bench, list[str]]]:
    async with data_gov() as fake, client_session() as http:
        yield Bench(fake, http), fake.fill(*counts)


def uens(pages: list[Page]) -> list[str]:
    return [uen for page in pages for uen in page.rows]


async def test_a_dataset_is_read_to_its_end_in_a_stable_order() -> None:
    async with a_bench(25) as (bench, (name,)):
        pages = await bench.read(name)

        assert [page.read for page in pages] == [10, 10, 5]
        assert uens(pages) == [row["uen"] for row in bench.fake.datasets[name]]
        assert [round(page.part or 0, 2) for page in pages] == [0.4, 0.8, 1.0]
        assert not any(page.refused for page in pages)
        asked = [query for _, query, _ in bench.fake.calls]
        assert [query["offset"] for query in asked] == ["0", "10", "20"]
        assert {query["sort"] for query in asked} == {"_id"}
        assert {headers["x-api-key"] for _, _, headers in bench.fake.calls} == {KEY}
        assert "filters" not in asked[0]


async def test_reading_goes_on_behind_any_page() -> None:
    async with a_bench(25) as (bench, (name,)):
        whole = await bench.read(name)
        for place, page in enumerate(whole):
            marker = json.loads(json.dumps(page.marker))
            rest = await bench.read(name, marker)
            assert uens(rest) == uens(whole[place + 1 :])


async def test_what_was_read_to_its_end_is_not_asked_for_again() -> None:
    async with a_bench(10) as (bench, (name,)):
        (page,) = await bench.read(name)
        bench.fake.calls.clear()

        assert await bench.read(name, page.marker) == []
        assert bench.fake.calls == []


@pytest.mark.parametrize(
    "marker",
    [
        {"way": "pages", "version": "v0", "offset": 10, "total": 25, "last": 10},
        {"way": "bulk", "version": "v1", "offset": 10, "total": 25, "last": 10},
        {"way": "pages", "version": "v1", "offset": "10", "total": 25},
        {"offset": 10},
        {},
        {"way": "pages", "version": "v1", "offset": 10, "total": 26, "last": 10},
    ],
)
async def test_a_marker_of_another_state_is_stale(marker: dict[str, Any]) -> None:
    async with a_bench(25) as (bench, (name,)):
        with pytest.raises(MarkerStale):
            await bench.read(name, marker)


async def test_without_a_version_the_end_of_reading_proves_nothing() -> None:
    async with a_bench(10) as (bench, (name,)):
        (page,) = await bench.read(name, version="")

        with pytest.raises(MarkerStale):
            await bench.read(name, page.marker, version="")


async def test_a_server_that_gives_smaller_pages_and_says_so_is_followed() -> None:
    async with a_bench(25) as (bench, (name,)):
        bench.fake.largest = 4
        pages = await bench.read(name)

        assert [page.read for page in pages] == [4, 4, 4, 4, 4, 4, 1]
        assert len(set(uens(pages))) == 25


def halved(result: dict[str, Any]) -> None:
    result["records"] = result["records"][:5]


def skipping(result: dict[str, Any]) -> None:
    for row in result["records"]:
        row["_id"] += 3


def repeated(result: dict[str, Any]) -> None:
    for number, row in enumerate(result["records"], start=1):
        row["_id"] = number


def shuffled(result: dict[str, Any]) -> None:
    result["records"].reverse()


def without_total(result: dict[str, Any]) -> None:
    del result["total"]


def without_numbers(result: dict[str, Any]) -> None:
    for row in result["records"]:
        del row["_id"]


def emptied(result: dict[str, Any]) -> None:
    result["records"] = []


def too_many(result: dict[str, Any]) -> None:
    result["records"] += result["records"]


def counts_none(result: dict[str, Any]) -> None:
    result |= {"records": [], "total": 0}


FAULTS = {
    "status 429": fakes.status(429),
    "status 500": fakes.status(500),
    "status 502, a page of HTML": fakes.raw(HTML, "text/html", 502),
    "HTML with 200": fakes.raw(HTML, "text/html"),
    "HTML that calls itself JSON": fakes.raw(HTML),
    "success: false": fakes.raw(b'{"help":"","success":false,"error":{"message":"x"}}'),
    "JSON cut in the middle": fakes.raw(
        b'{"success": true, "result": {"records": [{"u'
    ),
    "a connection cut in the middle": fakes.cut(),
    "nothing at all": fakes.raw(b""),
    "no object": fakes.raw(b"[1, 2]"),
    "no number": fakes.raw(b'{"success": true, "result": {"total": NaN}}'),
    "no records": fakes.raw(b'{"success": true, "result": {"total": 25}}'),
    "nested without end": fakes.raw(b'{"result":' + b"[" * 100_000),
    "half a page": fakes.changed(halved),
    "an empty page": fakes.changed(emptied),
    "a page twice as long": fakes.changed(too_many),
    "a page that leaves some out": fakes.changed(skipping),
    "a page that came before": fakes.changed(repeated),
    "a page out of order": fakes.changed(shuffled),
    "no total": fakes.changed(without_total),
    "records without numbers": fakes.changed(without_numbers),
    "a total of none": fakes.changed(counts_none),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_passes_is_waited_for_and_loses_nothing(name: str) -> None:
    async with a_bench(25) as (bench, (dataset,)):
        bench.fake.faults.extend([fakes.good(), FAULTS[name], FAULTS[name]][:2])
        pages = await bench.read(dataset)

        assert uens(pages) == [row["uen"] for row in bench.fake.datasets[dataset]]
        assert bench.slept.pauses == [1.0]


LASTING = [name for name in FAULTS if name != "a page that leaves some out"]


@pytest.mark.parametrize("name", LASTING)
async def test_what_does_not_pass_fails_with_a_sentence_after_growing_pauses(
    name: str,
) -> None:
    async with a_bench(25) as (bench, (dataset,)):
        bench.fake.faults.extend([fakes.good(), *[FAULTS[name]] * TRIES])
        given_pages: list[Page] = []

        with pytest.raises(SourceError, match=f"{TRIES} times over") as failed:
            await read_into(given_pages, bench.dataset(dataset).pages(None))

        assert len(given_pages) == 1, "what came before is good"
        assert "from record 10" in str(failed.value)
        assert "<" not in str(failed.value), "nothing of theirs is in it"
        assert bench.slept.pauses == [1, 2, 4, 8, 16]
        bench.fake.faults.clear()
        rest = await bench.read(dataset, given_pages[0].marker)
        assert len(uens(rest)) == 15


async def test_a_gap_that_stays_is_a_record_that_was_deleted_before() -> None:
    async with a_bench(25) as (bench, (name,)):
        bench.fake.removed[name] = {11, 12, 17}
        pages = await bench.read(name)

        assert [page.read for page in pages] == [10, 10, 2]
        assert len(set(uens(pages))) == 22
        asked = [
            (query["offset"], query["limit"]) for _, query, _ in bench.fake.calls[1:4]
        ]
        assert asked == [("10", "10"), ("10", "10"), ("9", "1")]


async def test_a_record_deleted_meanwhile_hides_no_other() -> None:
    """All records behind it move up; one more at the end keeps the total."""
    async with a_bench(25) as (bench, (name,)):
        rows = bench.fake.datasets[name]

        async def read() -> None:
            async for page in bench.dataset(name).pages(None):
                if page.marker["offset"] == 10:
                    bench.fake.removed[name] = {4}
                    rows.append(record(400))

        with pytest.raises(MarkerStale, match="has changed"):
            await read()


async def test_a_dataset_that_is_replaced_meanwhile_is_to_be_read_anew() -> None:
    async with a_bench(25) as (bench, (name,)):
        got: list[str] = []

        async def read() -> None:
            async for page in bench.dataset(name).pages(None):
                got.extend(page.rows)
                bench.fake.datasets[name] = [record(500 + n) for n in range(12)]

        with pytest.raises(MarkerStale, match="has changed"):
            await read()
        assert len(got) == 10


async def test_one_replaced_by_as_many_records_is_to_be_read_anew() -> None:
    async with a_bench(25) as (bench, (name,)):
        said = ["v2", "v2"]

        async def latest() -> str:
            return said.pop(0)

        dataset = bench.dataset(name, latest=latest)
        got: list[Page] = []

        with pytest.raises(MarkerStale, match="was updated while it was read"):
            await read_into(got, dataset.pages(None))
        assert len(got) == 2, "without its last page nobody takes it for read"
        with pytest.raises(MarkerStale):
            _ = [page async for page in dataset.pages(got[-1].marker)]

        again = [page async for page in dataset.pages(None)]
        assert len(uens(again)) == 25
        assert {page.marker["version"] for page in again} == {"v2"}


async def test_one_that_has_too_few_records_is_broken() -> None:
    async with a_bench(25) as (bench, (name,)):
        with pytest.raises(SourceError, match="25 records only, where at least 26"):
            await bench.read(name, fewest=26)

        assert len(uens(await bench.read(name, fewest=25))) == 25


@pytest.mark.parametrize(
    ("value", "pause"),
    [("7", 7.0), (formatdate(NOW + 40, usegmt=True), 40.0), ("86400", 300.0), ("x", 1)],
)
async def test_retry_after_is_honoured_and_bounded(value: str, pause: float) -> None:
    async with a_bench(5) as (bench, (name,)):
        bench.fake.faults.append(fakes.status(429, Retry_After=value))
        await bench.read(name)

        assert bench.slept.pauses == [pause]


async def test_calls_keep_to_the_pace() -> None:
    async with a_bench(60) as (bench, (name,)):
        bench.pace = Pace(4)
        began = bench.slept.now
        await bench.read(name)

        assert len(bench.fake.calls) == 6
        assert bench.slept.now - began == 10.5


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    async with a_bench(5) as (bench, (name,)):
        away = f"{bench.fake.url}/table-downloads-ingest.data.gov.sg/{name}/file.csv"
        bench.fake.faults.append(fakes.status(status, Location=away))
        with pytest.raises(SourceError, match="not followed"):
            await bench.read(name)

        assert len(bench.fake.calls) == 1


@pytest.mark.parametrize(
    ("status", "said"), [(401, "acra.api_key"), (403, "acra.api_key"), (400, "400")]
)
async def test_a_refusal_is_not_tried_again(status: int, said: str) -> None:
    async with a_bench(5) as (bench, (name,)):
        bench.fake.faults.append(fakes.status(status))
        with pytest.raises(SourceError, match=said) as failed:
            await bench.read(name)

        assert bench.slept.pauses == []
        assert KEY not in str(failed.value)


async def test_an_unknown_dataset_fails_at_once() -> None:
    async with a_bench(5) as (bench, _):
        with pytest.raises(SourceError, match="status 404"):
            await bench.read(fakes.dataset_id(9))


async def test_a_slow_server_is_not_waited_for() -> None:
    async with a_bench(5) as (bench, (name,)):
        bench.fake.faults.append(fakes.slow(30))
        pages = await bench.read(name, timeout=0.3)

        assert len(uens(pages)) == 5
        assert bench.slept.pauses == [1.0]


async def test_a_server_that_is_away_fails_with_a_sentence() -> None:
    async with a_bench(5) as (bench, (name,)):
        bench.fake.url = "http://127.0.0.1:9"
        with pytest.raises(SourceError, match="cannot be reached"):
            await bench.read(name)


async def test_an_answer_without_end_is_cut_off() -> None:
    async with a_bench(5) as (bench, (name,)):
        # A thousand times as long when it is unpacked.
        packed = gzip.compress(b" " * (LARGEST_ANSWER + 1))

        async def bomb(request: web.Request, document: object) -> web.Response:
            headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
            return web.Response(body=packed, headers=headers)

        bench.fake.faults.append(bomb)
        with pytest.raises(SourceError, match="more than"):
            await bench.read(name)


async def test_a_dataset_with_other_columns_is_no_dataset_of_the_register() -> None:
    """The thin list of all UENs would write NULL over nearly everything."""
    async with a_bench(5) as (bench, (name,)):
        bench.fake.columns = ("uen", "entity_name", "reg_postal_code")
        with pytest.raises(SourceError, match="columns are missing"):
            await bench.read(name)

        assert bench.slept.pauses == []


async def test_records_with_wrong_columns_are_refused_and_counted() -> None:
    async with a_bench(6) as (bench, (name,)):
        rows = bench.fake.datasets[name]
        del rows[1]["entity_status_description"]
        rows[2]["entity_name"] = {"text": "ALPHA"}
        rows[3] = ["no", "record"]
        rows[4]["no_of_officers"] = "many"
        (page,) = await bench.read(name)

        assert page.read == 6
        assert len(page.rows) == 2
        assert sorted(one.line for one in page.refused) == [2, 3, 4, 5]


async def test_a_cancelled_reading_stops_at_once() -> None:
    async with a_bench(5) as (bench, (name,)):
        bench.fake.faults.append(fakes.slow(30))
        reading = asyncio.ensure_future(bench.read(name))
        await asyncio.sleep(0.1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(reading, 5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*COLUMNS[:4], "_id", "id", "success", "result", "x"]),
            inner,
        )
    ),
    max_leaves=12,
)
WHOLE = {"success": True}


@given(
    result=st.fixed_dictionaries(
        {},
        optional={
            "records": JSON | st.lists(JSON, max_size=4),
            "fields": JSON | st.just([{"id": name} for name in COLUMNS]),
            "total": JSON | st.integers(0, 5),
            "limit": JSON | st.integers(-1, 5),
        },
    ),
    place=st.builds(
        Place,
        st.integers(0, 5),
        st.none() | st.integers(0, 5),
        st.none() | st.integers(),
    ),
)
@example(result={}, place=Place())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_json_does_anything_but_pass_or_be_refused(
    result: Any, place: Place
) -> None:
    nobody: Any = None
    dataset = ApiDataset("d_0", nobody, "", Pace(1), page_size=5)
    for document in (result, {**WHOLE, "result": result}):
        try:
            found = dataset._read(document, what="it", place=place, gaps=set())
        except (Unusable, SourceError, Changed):
            continue
        page, then = dataset._made(found, place, Cleaner())
        assert page.read == len(found.records) > 0
        assert then.offset == place.offset + page.read <= found.total
        json.dumps(page.marker, allow_nan=False)
