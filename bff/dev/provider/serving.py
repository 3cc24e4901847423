"""Running a provider on a port of this machine."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from bff.dev.provider.app import is_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.dev.provider.provider import Provider

# A test's deliberately slow answer must not hold up the end of the test.
_SHUTDOWN_SECONDS = 0.5


@asynccontextmanager
async def serving(
    provider: Provider,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    public_host: str | None = None,
) -> AsyncGenerator[str]:
    """Serve the provider and yield its issuer.

    Args:
        provider: What to serve.
        host: The loopback address to listen on.
        port: The port to listen on; 0 takes a free one.
        public_host: The loopback name that browsers and clients use, when it is
            not *host*.

    Raises:
        ValueError: A host is not of this machine.
    """
    name = public_host or host
    for one in (host, name):
        if not is_loopback(one):
            raise ValueError(f"the provider serves loopback only, not {one}")
    runner = web.AppRunner(
        provider.app(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0][1]
        shown = f"[{name}]" if ":" in name else name
        provider.public_base = f"http://{shown}:{bound}"
        yield f"{provider.public_base}/realms/{provider.realm.name}"
    finally:
        await runner.cleanup()
