"""Serve both listeners until told to stop, then drain.

SIGTERM: unready at once, new streams refused; open ones, exports, renewals of tokens
and registrations get the drain time, then they are cut; what was cut resumes elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from aiohttp import web

from bff import access_log
from bff.access import REFRESHER
from bff.app import make_admin_app, make_app
from bff.auth.registrar import REGISTRAR
from bff.exports.slots import EXPORTS
from bff.graph import LIVE
from bff.sites.tasks import TASKS
from bff.wire import GatewayRunner, split_address

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.config import Config

log = logging.getLogger(__name__)


class CannotListen(Exception):
    """Tell which address is taken, and what to do about it."""


@asynccontextmanager
async def serving(
    config: Config, *, shared: bool = False
) -> AsyncGenerator[web.Application]:
    """Serve *config* for as long as the context is open, then drain.

    *shared* lets other processes listen on the same public port.

    Raises:
        CannotListen: when an address is taken or not ours.
    """
    app = make_app(config)
    public = GatewayRunner(app, config.server)
    await public.setup()
    admin = GatewayRunner(make_admin_app(app), config.server)
    try:
        await admin.setup()
        await _listen(public, config.server.listen, "server.listen", shared=shared)
        await _listen(admin, config.server.admin_listen, "server.admin_listen")
        yield app
        await drain(app, config.server.drain)
    finally:
        app[LIVE].cut_all()
        await public.cleanup()
        await admin.cleanup()


async def drain(app: web.Application, seconds: float) -> None:
    """Refuse new streams and wait until the open ones are over, *seconds* at most.

    Renewals of tokens and registrations are waited for likewise, in the same time: who
    waits for one gets an answer.
    """
    live, exports = app[LIVE], app[EXPORTS]
    live.draining = exports.draining = True
    app[TASKS].drain()
    if exports.running:
        log.info("draining %d exports, %g s at most", exports.running, seconds)
    if streams := live.total:
        log.info("draining %d streams, %g s at most", streams, seconds)

    async def over() -> None:
        if streams:
            await live.idle.wait()
        await app[REFRESHER].flights.landed()

    waiting = [over(), exports.finished()]
    if REGISTRAR in app:
        waiting.append(app[REGISTRAR].finished())
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*waiting)


async def stop_signal() -> str:
    """Wait for SIGTERM or SIGINT and return its name.

    A SIGTERM that follows is ignored: service managers tell a whole group, and a
    minder tells its workers again. A second Ctrl-C ends it all at once.
    """
    loop = asyncio.get_running_loop()
    came: asyncio.Future[str] = loop.create_future()

    def take(name: str) -> None:
        if not came.done():
            came.set_result(name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, take, number.name)
    try:
        return await came
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def serve(config: Config, *, shared: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; *shared* as for `serving`.

    Raises:
        CannotListen: when an address is taken or not ours.
    """
    try:
        async with serving(config, shared=shared):
            log.info("serving %s on %s", config.canonical_origin, config.server.listen)
            name = await stop_signal()
            log.info("%s: draining", name)
    finally:
        # Without a loop a SIGTERM that is repeated kills, and no exit handler runs.
        access_log.flush()


async def _listen(
    runner: GatewayRunner, listen: str, key: str, *, shared: bool = False
) -> None:
    host, port = split_address(listen)
    try:
        await web.TCPSite(runner, host, port, reuse_port=shared or None).start()
    except OSError as error:
        raise CannotListen(
            f"{listen} cannot be listened on ({error.strerror or error}): stop what "
            f"holds it, or choose another address with {key}"
        ) from error
