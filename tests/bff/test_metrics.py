"""What happens is counted, and operators see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bff import config
from bff.database import connect
from bff.dev.ports import free_port
from bff.gauges import Standing
from bff.graph import make_proxy
from bff.survey import QUERIES, survey
from bff.telemetry import METRICS, Metrics
from bff.worker_listener import watched
from graph_proxy.errors import UpstreamUnavailable
from tests.bff.configs import DEV, load
from tests.bff.waiting import until

if TYPE_CHECKING:
    from tests.databases import Databases
    from tests.world import World


def sample(world: World, name: str, **labels: str) -> float:
    return world.app[METRICS].registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("way", ["direct", "aiohttp"])
async def test_the_first_byte_of_a_stream_is_timed_on_both_ways(
    world: World, way: str
) -> None:
    # Not plain enough for the direct way.
    headers = {"Expect": "100-continue"} if way == "aiohttp" else {}
    name = "bff_stream_first_byte_seconds_count"
    async with world.signed_in() as browser:
        before = sample(world, name, route="/graph/{path}")
        answer = await browser.post(
            "/graph/threads/t/runs/stream", json={}, headers=headers
        )
        assert await answer.read()

    async def timed() -> bool:
        return sample(world, name, route="/graph/{path}") == before + 1

    await until(timed)


async def test_an_answer_in_one_piece_is_no_stream(world: World) -> None:
    async with world.signed_in() as browser:
        answer = await browser.get("/graph/ok")
        await answer.read()
        assert answer.status == 200

    name = "bff_stream_first_byte_seconds_count"
    assert sample(world, name, route="/graph/{path}") == 0
    assert sample(world, "bff_requests_total", route="/graph/{path}", status="2xx")


async def test_sessions_that_end_are_counted_by_reason(world: World) -> None:
    async with world.signed_in() as browser:
        await browser.post("/auth/logout")

    assert sample(world, "bff_sessions_ended_total", reason="signed_out") == 1


async def test_an_upstream_that_is_away_is_seen() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    settings = load({**DEV, "BFF_PROXY__GRAPH__UPSTREAMS": f'["{address}"]'}, None)
    proxy = make_proxy(settings.proxy["graph"])
    metrics = Metrics()
    metrics.upstreams.watch("graph", proxy)
    labels = {"proxy": "graph", "upstream": address}

    assert metrics.registry.get_sample_value("bff_upstream_ejected", labels) == 0
    with pytest.raises(UpstreamUnavailable):
        await proxy.pool.acquire()
    assert metrics.registry.get_sample_value("bff_upstream_ejected", labels) == 1


async def test_a_worker_tells_of_queue_tenants_and_phases(world: World) -> None:
    async with world.signed_in("carol@initech.test") as browser:
        answer = await browser.post("/onboarding/first_login")
        assert answer.status in {200, 202}, await answer.text()

        async def done() -> bool:
            labels = {"phase": "ready", "outcome": "done"}
            return bool(sample(world, "bff_onboarding_phase_seconds_count", **labels))

        await until(done)
    metrics = Metrics()
    async with connect(world.databases.worker, size=1) as db:
        await survey(db, metrics.standing)
        metrics.pools.watch("worker", db)

        shown = metrics.registry.get_sample_value
        assert shown("bff_tenants", {"state": "active"})
        assert shown("bff_onboardings", {"state": "ready"})
        assert shown("bff_sessions")
        assert shown("bff_acra_companies") is not None
        pool = {"pool": "worker", "state": "most"}
        assert shown("bff_database_connections", pool) == 1


def test_what_is_too_old_is_shown_no_more() -> None:
    now = 0.0
    standing = Standing(lambda: now)
    standing.note({"bff_tenants": [(("active",), 3.0)]})

    def shown() -> list[float]:
        return [one.value for family in standing.collect() for one in family.samples]

    assert shown() == [3.0]
    now = standing.KEPT
    assert shown() == []


def test_everything_that_is_surveyed_is_shown() -> None:
    assert set(QUERIES) == set(Standing.LABELS) == set(Standing.ABOUT)


async def test_every_process_has_the_same_names_and_the_release(world: World) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{world.admin_url}/metrics") as answer,
    ):
        text = await answer.text()
    families = {one.name: one for one in text_string_to_metric_families(text)}

    endless = {name.removesuffix("_total") for name in Metrics().labels}
    assert endless <= set(families)
    assert families["bff_build_info"].samples[0].labels["version"]
    assert families["process_open_fds"].samples
    assert families["bff_listener_up"].samples


async def test_a_worker_alone_answers_on_a_listener_of_its_own() -> None:
    address = f"127.0.0.1:{free_port()}"
    settings = config.Config.model_validate(
        {"environment": "dev", "worker": {"admin_listen": address}}
    )
    async with watched(settings, Metrics()), aiohttp.ClientSession() as http:
        async with http.get(f"http://{address}/healthz") as answer:
            assert answer.status == 200
        async with http.get(f"http://{address}/metrics") as answer:
            assert "bff_jobs" in await answer.text()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address.split(":"))


async def test_the_survey_keeps_away_from_what_it_may_not_see(
    databases: Databases,
) -> None:
    # The serving role would see no tenant, and tell a zero that is none.
    async with connect(databases.app, size=1) as db:
        standing = Standing()
        with pytest.raises(Exception, match="permission denied"):
            await survey(db, standing)
    assert not any(family.samples for family in standing.collect())
