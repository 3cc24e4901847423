"""Which datasets the register is made of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.acra.api import ApiDataset
from bff.acra.bulk import BulkDataset
from bff.acra.calls import TRIES, Unusable
from bff.acra.datasets import ID, MOST, VersionedDataset, _listed, datasets
from bff.acra.source import SourceError
from bff.config_acra import Acra
from tests.bff.acra.test_api import Bench, a_bench
from tests.fakes import data_gov as fakes
from tests.fakes.data_gov import UPDATED

NEWER = "2026-10-16T10:04:13+08:00"


async def found(bench: Bench, **changes: Any) -> list[VersionedDataset]:
    settings = Acra(**{**bench.fake.settings(), **changes})
    return await datasets(settings, bench.http, bench.slept.surroundings())


async def test_all_of_the_collection_are_found_with_their_versions() -> None:
    async with a_bench(*[1] * 27) as (bench, names):
        bench.fake.updated[names[3]] = NEWER
        listed = await found(bench)

        assert [one.name for one in listed] == names
        assert listed[0].version == UPDATED
        assert listed[3].version == NEWER
        assert all(isinstance(one, BulkDataset) for one in listed)
        assert bench.fake.calls[0][1] == {"withDatasetMetadata": "true"}


async def test_they_may_be_read_page_by_page() -> None:
    async with a_bench(*[12] * 27) as (bench, _):
        listed = await found(bench, method="pages", page_size=5, rate=1000)

        assert all(isinstance(one, ApiDataset) for one in listed)
        pages = [page async for page in listed[0].pages(None)]
        assert [page.read for page in pages] == [5, 5, 2]


async def test_one_may_be_named_and_then_no_list_is_asked_for() -> None:
    async with a_bench(3, 3) as (bench, names):
        (one,) = await found(bench, resource_id=names[1])

        assert (one.name, one.version) == (names[1], "")
        assert bench.fake.calls == []


async def test_a_part_of_the_register_is_not_taken_for_all_of_it() -> None:
    async with a_bench(*[1] * 26) as (bench, _):
        with pytest.raises(SourceError, match="26 of at least 27"):
            await found(bench)


async def test_a_list_that_cannot_be_had_is_not_made_up() -> None:
    async with a_bench(*[1] * 27) as (bench, _):
        bench.fake.faults.extend([fakes.status(503)] * TRIES)
        with pytest.raises(SourceError, match="list of the register's datasets"):
            await found(bench)

        assert len(await found(bench)) == 27


async def test_calls_for_files_are_half_as_many() -> None:
    async with a_bench(*[1] * 27) as (bench, _):
        listed = await found(bench, rate=8)
        began = bench.slept.now
        for dataset in listed[:4]:
            async for _page in dataset.pages(None):
                pass

        # Initiate, poll, file: twelve calls, four in ten seconds.
        assert bench.slept.now - began == 21


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text() | st.sampled_from([fakes.dataset_id(1)]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["data", "collectionMetadata", "childDatasets", "datasetId"]
            ),
            inner,
        )
    ),
    max_leaves=10,
)


@given(
    JSON
    | st.fixed_dictionaries(
        {
            "data": st.fixed_dictionaries(
                {"collectionMetadata": st.fixed_dictionaries({"childDatasets": JSON})},
                optional={"datasetMetadata": JSON},
            )
        }
    )
)
def test_no_answer_makes_an_address_of_ours(document: Any) -> None:
    try:
        listed = _listed(document)
    except Unusable:
        return
    assert len(listed) <= MOST
    assert all(ID.fullmatch(one.name) for one in listed)


@pytest.mark.parametrize(
    "name", ["", "d_1", "../x", "d_" + "0" * 31 + "/", "d_" + "0" * 33, "D_" + "0" * 32]
)
def test_what_is_no_id_is_refused(name: str) -> None:
    document = {"data": {"collectionMetadata": {"childDatasets": [name]}}}
    with pytest.raises(Unusable):
        _listed(document)


def test_an_id_that_comes_twice_is_refused() -> None:
    name = fakes.dataset_id(1)
    document = {"data": {"collectionMetadata": {"childDatasets": [name, name]}}}
    with pytest.raises(Unusable):
        _listed(document)
