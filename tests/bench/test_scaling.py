from __future__ import annotations

from dataclasses import replace

import pytest

from bench.scaling import Costs, Shape, limits, main, need, renewals

SHAPE, COSTS = Shape(), Costs()


def test_half_the_life_of_a_token_doubles_renewals() -> None:
    assert renewals(SHAPE) == pytest.approx(1_000_000 * 0.1 / 240)
    short = replace(SHAPE, access_life=SHAPE.access_life / 2)
    assert renewals(short) == pytest.approx(2 * renewals(SHAPE))


def test_streams_cost_events_memory_and_processes_and_no_renewal() -> None:
    few, many = (
        need(replace(SHAPE, streams=count), COSTS) for count in (10_000, 100_000)
    )
    assert many.events == pytest.approx(10 * few.events)
    assert many.workers > few.workers
    assert many.edge_memory == pytest.approx(10 * few.edge_memory)
    grown = (many.workers - few.workers) * COSTS.worker_memory
    streams = many.gateway_memory - few.gateway_memory - grown
    assert streams == pytest.approx(90_000 * COSTS.stream_memory)
    assert many.renewals == few.renewals
    assert many.rows == few.rows


def test_every_process_has_its_pool_and_its_listener() -> None:
    found = need(SHAPE, COSTS)
    assert found.connections == found.workers * (SHAPE.pool + 1)


def test_a_small_deployment_is_far_from_every_end() -> None:
    small = Shape(users=1_000, tenants=20, streams=100)
    assert need(small, COSTS).workers == 2
    assert limits(small, COSTS)[0].share < 0.1


def test_what_is_fullest_comes_first_and_more_of_it_helps() -> None:
    shares = [one.share for one in limits(SHAPE, COSTS)]
    assert shares == sorted(shares, reverse=True)
    keycloak = {one.name: one.share for one in limits(SHAPE, COSTS)}
    more = replace(SHAPE, provider_nodes=2 * SHAPE.provider_nodes)
    helped = {one.name: one.share for one in limits(more, COSTS)}
    name = "renewals at Keycloak"
    assert helped[name] == pytest.approx(keycloak[name] / 2)


def test_it_names_what_breaks_first(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--users", "50000000"])
    said = capsys.readouterr().out
    assert said.startswith("50,000,000 users, 20,000 tenants, 100,000 streams")
    assert said.rstrip().endswith(": breaks first")

    main(["--users", "1000", "--streams", "10"])
    assert capsys.readouterr().out.rstrip().endswith(": would be first, and holds")
