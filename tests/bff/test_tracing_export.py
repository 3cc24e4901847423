"""Spans of a real process at a collector (OTLP 1.x over HTTP, protobuf)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bff.dev.ports import free_port
from tests.bff.test_serve import environment, process, settings, status_of
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.databases import Databases

PROTOBUF = "application/x-protobuf"


@dataclass
class Collector:
    """What answers as a collector does, and keeps what it was sent."""

    url: str = ""
    got: list[ExportTraceServiceRequest] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        assert request.content_type == PROTOBUF
        # aiohttp has taken any gzip off already.
        self.got.append(ExportTraceServiceRequest.FromString(await request.read()))
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type=PROTOBUF)

    def spans(self) -> dict[str, str]:
        """Return the names of spans with the name of the service that sent them."""
        return {
            span.name: fields.value.string_value
            for one in self.got
            for resource in one.resource_spans
            for fields in resource.resource.attributes
            if fields.key == "service.name"
            for scope in resource.scope_spans
            for span in scope.spans
        }


@asynccontextmanager
async def collector() -> AsyncGenerator[Collector]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port := free_port())
        await site.start()
        made.url = f"http://127.0.0.1:{port}"
        yield made
    finally:
        await runner.cleanup()


async def served(databases: Databases, folder: Path, **variables: str) -> bytes:
    """Run `bff serve` for one request, end it as an operator does; return its words."""
    values = settings(databases)
    values["telemetry"] = {"traces": True}
    environ = {**environment(values), **variables}
    public = f"http://{values['server']['listen']}"
    async with process("serve", environ, folder) as running:

        async def up() -> bool:
            assert running.returncode is None
            return await status_of(f"{public}/healthz") == 200

        await until(up, seconds=20)
        assert await status_of(f"{public}/whoami") == 401
        running.terminate()
        # Three seconds are for the spans; the rest is a slow machine's.
        said, _ = await asyncio.wait_for(running.communicate(), 30)
    assert running.returncode == 0, said.decode()
    assert b"Traceback" not in said, said.decode()
    return said


async def test_a_collector_gets_the_last_spans_at_sigterm_too(
    databases: Databases, tmp_path: Path
) -> None:
    async with collector() as there:
        await served(databases, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=there.url)
    assert there.spans()["GET /whoami"] == "nexius-bff"


async def test_the_service_s_name_is_the_environment_s(
    databases: Databases, tmp_path: Path
) -> None:
    async with collector() as there:
        await served(
            databases,
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=there.url,
            OTEL_SERVICE_NAME="gateway-a",
        )
    assert there.spans()["GET /whoami"] == "gateway-a"


async def test_a_collector_that_is_away_holds_up_nobody(
    databases: Databases, tmp_path: Path
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    await served(databases, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=away)
