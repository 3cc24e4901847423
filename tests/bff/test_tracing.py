"""One trace leads from the request to everything that was asked for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from bff import tracing
from bff.config import Config
from bff.dev.ports import free_port
from bff.graph_passing import Passing
from bff.telemetry import JsonFormatter, doing
from bff.tracing import sayable
from tests.bff.lanes import Lanes, request
from tests.bff.test_telemetry import record
from tests.bff.waiting import until
from tests.world import PASSWORD, World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from opentelemetry.sdk.trace import ReadableSpan

    from tests.databases import Databases

THEIRS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
THEIR_TRACE = THEIRS.split("-")[1]


class Spans:
    """What has been exported."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def all(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    async def named(self, name: str) -> ReadableSpan:
        def found() -> list[ReadableSpan]:
            return [one for one in self.all() if one.name == name]

        async def there() -> bool:
            return bool(found())

        await until(there)
        return found()[-1]

    def trace_of(self, span: ReadableSpan) -> set[str]:
        return {
            one.name
            for one in self.all()
            if one.context.trace_id == span.context.trace_id
        }


@pytest.fixture
def spans() -> Generator[Spans]:
    made = Spans()
    tracing.use(made.provider, Config.model_validate({"environment": "dev"}))
    try:
        yield made
    finally:
        tracing.stop()


@pytest.fixture
async def traced(spans: Spans, databases: Databases) -> AsyncGenerator[World]:
    async with World(databases).running() as world:
        tracing.use(spans.provider, world.config)
        yield world


async def test_a_sign_in_leads_to_keycloak_and_the_database(
    traced: World, spans: Spans
) -> None:
    async with traced.signed_in():
        pass
    span = await spans.named("POST /auth/login")

    assert span.kind is SpanKind.SERVER
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200
    assert {"POST keycloak", "transaction postgresql"} <= spans.trace_of(span)
    asked = await spans.named("POST keycloak")
    assert asked.parent is not None
    assert asked.kind is SpanKind.CLIENT


@pytest.mark.parametrize("way", ["direct", "aiohttp"])
async def test_a_run_leads_to_the_graph_server_which_can_go_on_with_it(
    traced: World, spans: Spans, way: str
) -> None:
    headers = {"traceparent": THEIRS, "tracestate": "them=1"}
    if way == "aiohttp":
        headers["Expect"] = "100-continue"
    async with traced.signed_in() as browser:
        answer = await browser.post(
            "/graph/threads/t/runs/stream", json={}, headers=headers
        )
        await answer.read()
    span = await spans.named("POST /graph/{path}")
    assert ("url.scheme" in (span.attributes or {})) == (way == "aiohttp")
    asked = await spans.named("POST langgraph")

    assert asked.parent is not None
    assert asked.parent.span_id == span.context.span_id
    # A browser's trace is pointed at and not gone on with.
    assert f"{span.context.trace_id:032x}" != THEIR_TRACE
    assert [f"{one.context.trace_id:032x}" for one in span.links] == [THEIR_TRACE]
    sent = traced.graph.seen[-1]["headers"]
    ours = f"00-{asked.context.trace_id:032x}-{asked.context.span_id:016x}-"
    assert sent["traceparent"].startswith(ours)
    assert "tracestate" not in sent


async def test_a_graph_server_that_is_away_makes_one_span_of_the_request(
    spans: Spans, databases: Databases
) -> None:
    away = {"proxy": {"graph": {"upstreams": [f"http://127.0.0.1:{free_port()}"]}}}
    async with World(databases, settings=away).running() as world:
        tracing.use(spans.provider, world.config)
        async with world.signed_in() as browser:
            answer = await browser.get("/graph/ok")
            await answer.read()
    assert answer.status == 502
    span = await spans.named("GET /graph/{path}")
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 502
    names = [one.name for one in spans.all()]
    assert names.count("GET /graph/{path}") == 1


async def test_on_the_direct_way_the_caller_s_line_is_gone_and_all_others_stay(
    spans: Spans,
) -> None:
    lanes = Lanes("alice")
    front, _, _ = lanes.browser()
    fields = ("Accept: traceparent: x", f"TraceParent: {THEIRS}", "Range: bytes=0-1")
    front.data_received(
        request("GET", "/graph/ok", lanes.host, lanes.jars["alice"], *fields)
    )
    sent = lanes.up.take().decode().lower().split("\r\n")
    lanes.close()

    assert [line for line in sent if line.startswith("traceparent:")] != []
    assert THEIRS not in "".join(sent)
    assert sum(line.startswith("traceparent:") for line in sent) == 1
    assert {"accept: traceparent: x", "range: bytes=0-1"} <= set(sent)
    assert "authorization: bearer token-of-alice" in sent
    assert any(line.startswith("x-request-id: ") for line in sent)
    assert sent[-2:] == ["", ""]


async def test_a_request_s_line_names_its_trace(
    traced: World, spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aiohttp.access")
    async with traced.signed_in() as browser:
        for path in ("/whoami", "/graph/ok"):
            await (await browser.get(path)).read()
    for name, path in (("GET /whoami", "/whoami"), ("GET /graph/{path}", "/graph/ok")):
        span = await spans.named(name)
        said = [
            one.__dict__["fields"]
            for one in caplog.records
            if one.name == "aiohttp.access" and "fields" in one.__dict__
        ]
        (line,) = [fields for fields in said if fields["path"] == path]
        assert line["trace_id"] == f"{span.context.trace_id:032x}"


async def test_a_trusted_caller_s_trace_goes_on(traced: World, spans: Spans) -> None:
    trusting = traced.config.model_copy(
        update={
            "telemetry": traced.config.telemetry.model_copy(
                update={"trust_traceparent": True}
            )
        }
    )
    async with traced.signed_in() as browser:
        tracing.use(spans.provider, trusting)
        for path in ("/whoami", "/graph/ok"):
            answer = await browser.get(path, headers={"traceparent": THEIRS})
            await answer.read()
    for name in ("GET /whoami", "GET /graph/{path}"):
        span = await spans.named(name)
        assert f"{span.context.trace_id:032x}" == THEIR_TRACE


async def test_a_span_holds_nothing_of_a_person(traced: World, spans: Spans) -> None:
    async with traced.browser() as browser:
        await browser.login("alice@acme.test", "not-the-password")
    async with traced.signed_in() as browser:
        for path in ("/whoami?email=alice@acme.test", "/graph/ok?secret=CANARY"):
            await (await browser.get(path)).read()
        cookies = list(browser.cookies.values())
    await spans.named("GET /graph/{path}")
    said = " ".join(one.to_json() for one in spans.all())

    for secret in ("alice", PASSWORD, "not-the-password", "CANARY", "eyJ", *cookies):
        assert secret not in said
    assert not any(one.events for one in spans.all())


async def test_a_worker_s_task_is_a_trace_of_its_own(
    traced: World, spans: Spans
) -> None:
    async with traced.signed_in("carol@initech.test") as browser:
        await browser.post("/onboarding/first_login")
    span = await spans.named("onboarding")

    assert span.kind is SpanKind.CONSUMER
    assert span.attributes is not None
    assert span.attributes["nexius.tenant"]
    assert "transaction postgresql" in spans.trace_of(span)


def test_lines_of_a_task_name_it_its_tenant_and_its_trace(spans: Spans) -> None:
    with tracing.doing("rotate_key", 7):
        line = json.loads(JsonFormatter().format(record("said")))
    with tracing.doing("rotate_key", 7):
        pass

    assert (line["task"], line["tenant"]) == ("rotate_key", 7)
    assert line["trace_id"] == f"{spans.all()[0].context.trace_id:032x}"
    after = json.loads(JsonFormatter().format(record("said")))
    assert not {"task", "tenant", "trace_id"} & set(after)


def test_without_traces_nothing_is_made_and_lines_name_the_task_still() -> None:
    assert not tracing.is_on()
    assert tracing.asking("postgresql", "transaction", {}) is tracing.NOTHING
    assert tracing.begin("GET", "langgraph") is None
    with doing("tidy"):
        assert json.loads(JsonFormatter().format(record("said")))["task"] == "tidy"


async def test_without_traces_the_direct_way_knows_nothing_of_them(
    world: World,
) -> None:
    from bff.express import EXPRESS  # noqa: PLC0415 - only to look inside

    assert getattr(world.app[EXPRESS], "_passing", None) is Passing


def test_who_wants_traces_and_cannot_have_them_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    settings = Config.model_validate(
        {"environment": "dev", "telemetry": {"traces": True}}
    )
    with pytest.raises(tracing.NoTraces, match="pip install"), tracing.sent(settings):
        pass


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/realms/nexius/protocol", "/realms/nexius/protocol"),
        ("/users/8f14e45f-ceea-467f-a0a7-1f3c2b1f2f00/x", "/users/{}/x"),
        ("/users/alice@acme.test", "/users/{}"),
        ("/users/alice%40acme.test", "/users/{}"),
        ("/tenants/1001", "/tenants/{}"),
        (f"/file/{'s' * 60}", "/file/{}"),
    ],
)
def test_a_path_is_said_without_what_tells_of_somebody(path: str, said: str) -> None:
    assert sayable(path) == said
