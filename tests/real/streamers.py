"""LangGraph's SDKs, Python's and JavaScript's, streaming runs through a gateway."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from langgraph_sdk import get_client

from bff.dev.demo import PASSWORD
from tests.bff.waiting import until
from tests.parts import node_sdks
from tests.real.sdks import SCRIPT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from langgraph_sdk.client import LangGraphClient
    from langgraph_sdk.schema import StreamPart

EMAIL = "alice@acme.test"
TOKENS = [f"tok{number}" for number in range(41)]
TEXT = f"long {len(TOKENS)}"
PYTHON = "python"
_SAID: dict[str, Any] = {"messages": [{"type": "human", "content": TEXT}]}
ALL = "all"
CUT_SHORT = "cut short and not told, all by joining again"
TOLD = "told of an error, all by joining again"


@dataclass(frozen=True)
class Cell:
    """One run that a client streams: through which address, on which thread."""

    client: str  # PYTHON, or a version of the JavaScript SDK
    name: str
    url: str
    thread: str
    headers: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass
class Outcome:
    """The (event id, token) pairs that a client got, and how its stream ended."""

    tokens: list[tuple[str, str]] = field(default_factory=list)
    error: str | None = None
    again: list[tuple[str, str]] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """Say in the words above whether every token came."""
        if _is_whole(self.tokens) and self.error is None:
            return ALL
        if not _is_whole(self.again):
            return f"lost: {self}"
        return CUT_SHORT if self.error is None else TOLD

    @property
    def deliveries(self) -> Counter[str]:
        """Count how often each event came, the most often in one go."""
        tokens, again = (
            Counter(event for event, _ in part) for part in (self.tokens, self.again)
        )
        return tokens | again


def _is_whole(pairs: list[tuple[str, str]]) -> bool:
    # The server of `langgraph dev` may send the event at the seam of past and present
    # twice, under one id; `Matrix.check` makes sure that it was the server.
    return [token.strip() for token in dict(pairs).values()] == TOKENS


async def cookie_of(url: str) -> str:
    """Sign in and return the Cookie header that a browser would send."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        session.post(
            f"{url}/auth/login",
            json={"email": EMAIL, "password": PASSWORD},
            headers={"Origin": url},
        ) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return "; ".join(f"{one.key}={one.value}" for one in session.cookie_jar)


def python_client(
    url: str, origin: str, cookie: str, **headers: str
) -> LangGraphClient:
    """Return a client with the cookies, an Origin, and *headers*."""
    every = {"Cookie": cookie, "Origin": origin, **headers}
    return get_client(url=f"{url}/graph", api_key=None, headers=every)


async def stream(
    origin: str, cookie: str, cells: Sequence[Cell]
) -> dict[Cell, Outcome]:
    """Stream all runs at once, each by its client."""
    python = [cell for cell in cells if cell.client == PYTHON]
    versions = {cell.client for cell in cells} - {PYTHON}
    every = await asyncio.gather(
        *(_by_python(origin, cookie, cell) for cell in python),
        *(
            _by_javascript(origin, version, [c for c in cells if c.client == version])
            for version in versions
        ),
    )
    return {cell: outcome for part in every for cell, outcome in part.items()}


async def _by_python(origin: str, cookie: str, cell: Cell) -> dict[Cell, Outcome]:
    outcome, run, last = Outcome(), "", ""
    async with python_client(cell.url, origin, cookie, **cell.headers) as client:

        def created(metadata: Any) -> None:
            nonlocal run
            run = metadata["run_id"]

        async def read(
            parts: AsyncIterator[StreamPart], heard: list[tuple[str, str]]
        ) -> None:
            nonlocal last
            async for part in parts:
                last = part.id or last
                if part.event == "messages" and part.data[0]["content"]:
                    heard.append((str(part.id), part.data[0]["content"]))

        parts = client.runs.stream(
            cell.thread,
            "agent",
            input=_SAID,
            stream_mode="messages-tuple",
            stream_resumable=True,
            on_run_created=created,
        )
        try:
            await read(parts, outcome.tokens)
        except Exception as error:  # noqa: BLE001 - the test says which may be
            outcome.error = repr(error)
        if len(dict(outcome.tokens)) < len(TOKENS):
            # As tests/real/js/reconnect.mjs does.
            await until(lambda: _answers(cell.url), seconds=60)
            run = run or (await client.runs.list(cell.thread))[0]["run_id"]
            after = last if outcome.error else ""
            outcome.again += outcome.tokens if after else []
            joined = client.runs.join_stream(
                cell.thread, run, last_event_id=after or "-1"
            )
            await read(joined, outcome.again)
    return {cell: outcome}


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/healthz") as heard:
            return heard.status == 200
    except aiohttp.ClientError:
        return False


async def _by_javascript(
    origin: str, version: str, cells: Sequence[Cell]
) -> dict[Cell, Outcome]:
    told = {
        "sdk": str(node_sdks() / f"sdk-{version}"),
        "origin": origin,
        "email": EMAIL,
        "password": PASSWORD,
        "text": TEXT,
        "whole": len(TOKENS),
        "cells": [asdict(cell) | {"name": number} for number, cell in enumerate(cells)],
    }
    process = await asyncio.create_subprocess_exec(
        *("node", str(SCRIPT), json.dumps(told)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaints.decode()
    outcomes = {}
    for line in map(json.loads, said.splitlines()):
        cell = cells[line.pop("name")]
        outcomes[cell] = Outcome(
            [(event, token) for event, token in line["tokens"]],
            line["error"],
            [(event, token) for event, token in line["again"]],
        )
    return outcomes
