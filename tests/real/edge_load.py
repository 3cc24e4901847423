"""Load through one address: streams that resume as LangGraph's SDKs do, and requests.

A process of its own, told by one JSON argument. It prints `ready` once every stream has
begun, goes on until its standard input ends, and then prints what came of it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp

# As LangGraph's Python SDK and the newest JavaScript one.
TRIES, FIRST_PAUSE = 5, 0.5
BODY = {"values": {"said": "a few words"}}


@dataclass
class Told:
    """What a run of load is told."""

    url: str
    certificate: str
    cookie: str
    prefix: str
    streams: int
    events: int
    pace: float  # seconds between the events of a stream
    rate: float  # requests a second


@dataclass
class Report:
    """What came of it."""

    requests: int = 0
    failures: list[str] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)  # threads, once each
    whole: int = 0  # streams
    wrong: list[str] = field(default_factory=list)
    breaks: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # when joining again


class Load:
    """All that one process sends."""

    def __init__(self, told: Told, http: aiohttp.ClientSession) -> None:
        self.told = told
        self.http = http
        self.report = Report()
        self.begun = asyncio.Semaphore(0)

    async def stream(self, number: int) -> None:
        """Read a stream to its end, joining it again after what has come."""
        told, got, tries = self.told, list[int](), 0
        path = f"{told.prefix}/threads/s{number}/stream"
        query = f"?count={told.events}&pace={told.pace}"
        while tries < TRIES:
            before = len(got)
            last = {"Last-Event-ID": str(got[-1])} if got else {}
            try:
                async with self.http.get(path + query, headers=last) as answer:
                    if answer.status != 200:
                        self.report.refused[str(answer.status)] += 1
                    async for line in answer.content:
                        if line.startswith(b"id: "):
                            if not got:
                                self.begun.release()
                            got.append(int(line[4:]))
                    if answer.status == 200:
                        break  # it ended in order
            except aiohttp.ClientError:
                self.report.breaks += 1
            tries = 0 if len(got) > before else tries + 1
            await asyncio.sleep(FIRST_PAUSE * 2**tries)
        if got == list(range(told.events)):
            self.report.whole += 1
        else:
            self.report.wrong.append(f"stream {number}: {len(got)} events")

    async def request(self, number: int) -> None:
        """Send one of four kinds of requests; anything but a 2xx is a failure."""
        thread = f"r{number}"
        kinds: tuple[tuple[str, str, Any], ...] = (
            ("GET", "/whoami", None),
            ("GET", f"{self.told.prefix}/threads/{thread}", None),
            ("POST", f"{self.told.prefix}/threads/{thread}/state", BODY),
            ("GET", "/auth/sessions", None),
        )
        method, path, body = kinds[number % len(kinds)]
        self.report.requests += 1
        try:
            async with self.http.request(method, path, json=body) as answer:
                said = await answer.text()
                if not answer.ok:
                    said = f"{method} {path}: {answer.status} {said[:200]}"
                    self.report.failures.append(said)
                elif method == "POST":
                    self.report.posted.append(thread)
        except aiohttp.ClientError as error:
            self.report.failures.append(f"{method} {path}: {error!r}")

    async def requests(self, over: asyncio.Event) -> None:
        """Send requests at the pace that was told."""
        loop, number = asyncio.get_running_loop(), 0
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            while not over.is_set():
                tasks.create_task(self.request(number))
                number += 1
                due = began + number / self.told.rate - loop.time()
                await asyncio.sleep(max(0.0, due))


async def _main(told: Told) -> Report:
    headers = {
        "Cookie": told.cookie,
        "Origin": told.url,
        "Sec-Fetch-Site": "same-origin",
    }
    connector = aiohttp.TCPConnector(
        limit=0, ssl=ssl.create_default_context(cafile=told.certificate)
    )
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with aiohttp.ClientSession(
        told.url,
        headers=headers,
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as http:
        load, over = Load(told, http), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for number in range(told.streams):
                tasks.create_task(load.stream(number))
                await asyncio.sleep(0.005)  # as people come, not all in one moment
            for _ in range(told.streams):
                await load.begun.acquire()
            tasks.create_task(load.requests(over))
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)
            over.set()
    return load.report


if __name__ == "__main__":
    report = asyncio.run(_main(Told(**json.loads(sys.argv[1]))))
    sys.stdout.write(json.dumps(asdict(report)))
