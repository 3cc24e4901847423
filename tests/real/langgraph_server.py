"""A real LangGraph server and an issuer of tokens it trusts, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from joserfc import jwk, jwt

from bff.dev.langgraph import langgraph_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

AUDIENCE = "graph"
CLIENT = "gateway"
GATEWAY_KEY = "shared-with-the-gateway"
Words = str | list[dict[str, Any]]


@dataclass
class Issuer:
    """A realm with one signing key; its key set is served at *url*."""

    url: str = "http://127.0.0.1:1/realms/test"
    key: jwk.RSAKey = field(
        default_factory=lambda: jwk.RSAKey.generate_key(
            2048, {"kid": "signing", "use": "sig", "alg": "RS256"}
        )
    )

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a good access token with *changes*; None removes."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": ["account", AUDIENCE],
            "azp": CLIENT,
            "typ": "Bearer",
            "sub": "anna",
            "email": "anna@example.org",
            "tenant_id": "7",
            "roles": ["ops"],
            "iat": now,
            "exp": now + 300,
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, **changes: Any) -> str:
        """Return a signed access token."""
        header = {"alg": "RS256", "kid": self.key.kid}
        return jwt.encode(header, self.claims(**changes), self.key)

    @asynccontextmanager
    async def served(self) -> AsyncGenerator[None]:
        """Serve the key set on loopback, where *url* then points."""

        async def certs(_: web.Request) -> web.Response:
            return web.json_response({"keys": [self.key.as_dict(private=False)]})

        app = web.Application()
        app.router.add_get("/realms/test/protocol/openid-connect/certs", certs)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/realms/test"
        try:
            yield
        finally:
            await runner.cleanup()


@dataclass(frozen=True)
class RealGraph:
    """A running server together with its issuer."""

    url: str
    issuer: Issuer

    def caller(self, **claims: Any) -> Caller:
        """Return somebody who calls with a good token of these claims."""
        token = self.issuer.token(**claims)
        return Caller(url=self.url, headers={"Authorization": f"Bearer {token}"})


@dataclass(frozen=True)
class Caller:
    """Somebody who calls the server directly."""

    url: str
    headers: dict[str, str]

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and body: JSON if it is JSON, else text."""
        async with (
            aiohttp.ClientSession() as client,
            client.request(
                method, self.url + path, json=body, headers=self.headers
            ) as answer,
        ):
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.text()

    async def get(self, method: str, path: str, body: Any = None) -> Any:
        """Return the body of a call that must succeed."""
        status, answer = await self.call(method, path, body)
        assert status < 300, (method, path, status, answer)
        return answer

    async def listen(
        self, method: str, path: str, body: Any = None, *, seconds: float = 1.5
    ) -> tuple[int, str]:
        """Return status and what a stream says in *seconds*, heartbeats left out."""
        heard = b""
        async with (
            aiohttp.ClientSession() as client,
            client.request(
                method, self.url + path, json=body, headers=self.headers
            ) as answer,
        ):
            with contextlib.suppress(TimeoutError, aiohttp.ClientPayloadError):
                async with asyncio.timeout(seconds):
                    async for chunk in answer.content.iter_any():
                        heard += chunk
        text = heard.replace(b": heartbeat", b"").decode().strip()
        return answer.status, text

    async def thread(self) -> str:
        """Create a thread and return its id."""
        created = await self.get("POST", "/threads", {})
        return str(created["thread_id"])

    async def until_running(self, thread: str, run_id: str) -> None:
        """Wait until a worker has taken up the run."""
        for _ in range(100):
            found = await self.get("GET", f"/threads/{thread}/runs/{run_id}")
            if found["status"] == "running":
                return
            await asyncio.sleep(0.1)
        raise AssertionError("no worker took up the run")

    async def say(self, thread: str, text: Words, **more: Any) -> Any:
        """Run the agent on *thread* and return the resulting state."""
        return await self.get("POST", f"/threads/{thread}/runs/wait", run(text, **more))


def run(text: Words, **more: Any) -> dict[str, Any]:
    """Return the body of a run that says *text*, or parts, to the agent."""
    message = {"role": "user", "content": text}
    return {"assistant_id": "agent", "input": {"messages": [message]}, **more}


@contextmanager
def real_graph(folder: Path) -> Generator[RealGraph]:
    """Run server and issuer in a loop of their own, whatever loop the tests use."""
    ready = threading.Event()
    outcome: dict[str, Any] = {}

    async def serve() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        outcome["stop"] = lambda: loop.call_soon_threadsafe(done.set)
        issuer = Issuer()
        async with (
            issuer.served(),
            langgraph_server(
                folder=folder,
                issuer=issuer.url,
                audience=AUDIENCE,
                client_id=CLIENT,
                gateway_key=GATEWAY_KEY,
            ) as server,
        ):
            outcome["graph"] = RealGraph(url=server.url, issuer=issuer)
            ready.set()
            await done.wait()

    def main() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - raised again by the test
            outcome["error"] = error
        finally:
            ready.set()

    thread = threading.Thread(target=main)
    thread.start()
    ready.wait()
    try:
        if "error" in outcome:
            raise outcome["error"]
        yield outcome["graph"]
    finally:
        outcome["stop"]()
        thread.join()
    if "error" in outcome:
        raise outcome["error"]
