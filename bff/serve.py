"""Serve both listeners until told to stop, then drain.

At the start: the addresses are taken, then the database is waited for; /healthz and
/readyz answer meanwhile. SIGTERM: unready; after `server.unready` seconds the listener
closes, and a moment later new streams are refused. Open ones, exports, requests under
way, renewals of tokens and registrations get the drain time, then they are cut; what
was cut resumes elsewhere. SIGHUP: keys and log level are read again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bff import access_log, config, patience, sockets
from bff.app import make_admin_app, make_app
from bff.auth.registrar import REGISTRAR
from bff.auth.signing_in import PROVIDER
from bff.config_base import is_loopback_name
from bff.config_dev import opened
from bff.current_session import REFRESHER
from bff.exports.slots import EXPORTS
from bff.graph import LIVE
from bff.health import make_early_app
from bff.identity.provider import proof_of
from bff.lifecycle import LIFECYCLE, STARTING, STOPPING, Lifecycle
from bff.reloading import Reloading
from bff.sessions.keyring import RING, load_ring
from bff.signals import not_yet, on_hangup, stop_signal, unless_told
from bff.sites.tasks import TASKS
from bff.sockets import CannotListen
from bff.wire import GatewayRunner

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from aiohttp import web

    from bff.config import Config

log = logging.getLogger(__name__)

# Seconds that open connections get to send what they are about to: a browser may have
# written its request already when it learns that we leave.
SETTLE = 0.5
LOOKS = 25


@dataclass(frozen=True, slots=True)
class Place:
    """The sockets of both listeners."""

    public: list[socket.socket]
    admin: list[socket.socket]

    @classmethod
    def take(cls, settings: Config, *, shared: bool = False) -> Place:
        """Bind both addresses; *shared* lets other processes have the public one.

        Raises:
            CannotListen: when one is taken, or is not ours.
        """
        server = settings.server
        public = sockets.take(server.listen, "server.listen", shared=shared)
        try:
            admin = sockets.take(server.admin_listen, "server.admin_listen")
        except CannotListen:
            sockets.close(public)
            raise
        place = cls(public, admin)
        if settings.lets_bypass:
            try:
                _require_loopback([one.getsockname() for one in (*public, *admin)])
            except CannotListen:
                place.close()
                raise
        return place

    def close(self) -> None:
        """Give both up."""
        sockets.close([*self.public, *self.admin])


@asynccontextmanager
async def serving(
    settings: Config, *, shared: bool = False, place: Place | None = None
) -> AsyncGenerator[web.Application]:
    """Serve *settings* for as long as the context is open, then drain.

    *shared* lets other processes listen on the same public port; *place* was taken
    already, and is given up.

    Raises:
        CannotListen: when an address is taken or not ours.
    """
    for key, said in opened(settings).items():
        log.warning("%s: %s", key, said)
    place = place or Place.take(settings, shared=shared)
    async with AsyncExitStack() as stack:
        stack.callback(place.close)
        app = make_app(settings)
        app[LIFECYCLE].reason = STARTING
        public = GatewayRunner(app, settings.server)
        await public.setup()
        stack.push_async_callback(public.cleanup)
        admin = GatewayRunner(make_admin_app(app), settings.server)
        stack.push_async_callback(admin.cleanup)
        stack.callback(app[LIVE].cut_all)
        await admin.setup()
        await sockets.serve_on(admin, place.admin)
        await sockets.serve_on(public, place.public)
        app[LIFECYCLE].reason = None
        yield app
        await leave(app, public, place, settings)


async def leave(
    app: web.Application, public: GatewayRunner, place: Place, settings: Config
) -> None:
    """Tell balancers, then close the listener, then drain."""
    lifecycle, seconds = app[LIFECYCLE], settings.server.drain
    lifecycle.reason, lifecycle.leaving = STOPPING, True
    if settings.server.unready:
        log.info("unready; the listener closes in %g s", settings.server.unready)
        await asyncio.sleep(settings.server.unready)
    await sockets.leave(public, place.public)
    end = time.monotonic() + seconds
    # Whoever was let in at the last moment has yet to ask, and is served.
    await settle(public, seconds)
    await drain(app, max(0.0, end - time.monotonic()))
    await settle(public, seconds)
    # Whoever came meanwhile on a connection of before.
    await drain(app, max(0.0, end - time.monotonic()))


async def settle(public: GatewayRunner, seconds: float) -> None:
    """Wait until every connection is closed, for a moment or *seconds* at most."""
    for _ in range(LOOKS):
        if not public.open_fronts:
            return
        await asyncio.sleep(min(SETTLE, seconds) / LOOKS)


async def drain(app: web.Application, seconds: float) -> None:
    """Refuse new streams and wait until the open ones are over, *seconds* at most.

    Requests under way, renewals of tokens and registrations are waited for likewise, in
    the same time: who waits for one gets an answer.
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

    waiting = [over(), exports.finished(), app[LIFECYCLE].answered()]
    if REGISTRAR in app:
        waiting.append(app[REGISTRAR].finished())
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*waiting)


async def serve(
    settings: Config,
    *,
    shared: bool = False,
    reread: Callable[[], Config] = config.load,
) -> None:
    """Serve until SIGTERM or SIGINT; *shared* as for `serving`.

    *reread* gives the configuration anew, for SIGHUP.

    Raises:
        CannotListen: when an address is taken or not ours.
        ClientKeyError, KeyRingError: when a key cannot be read.
        DatabaseRefused: when waiting for the database would not help.
    """
    stopping = asyncio.ensure_future(stop_signal())
    try:
        on_hangup(not_yet)
        await asyncio.sleep(0)  # so that signals are heard
        _require_keys(settings)
        place = Place.take(settings, shared=shared)
        async with AsyncExitStack() as early:
            early.callback(place.close)
            waits = await early.enter_async_context(_early(settings, place))
            if not await unless_told(stopping, waits):
                log.info("%s: leaving before the start", stopping.result())
                return
            async with serving(settings, place=place) as app:
                await early.aclose()
                await _serve(app, settings, stopping, reread)
    finally:
        stopping.cancel()
        # Without a loop a SIGTERM that is repeated kills, and no exit handler runs.
        access_log.flush()


async def _serve(
    app: web.Application,
    settings: Config,
    stopping: asyncio.Future[str],
    reread: Callable[[], Config],
) -> None:
    on_hangup(Reloading(settings, reread, app[RING]))
    log.info("serving %s on %s", settings.canonical_origin, settings.server.listen)
    telling = asyncio.ensure_future(patience.tell_of_provider(app[PROVIDER]))
    try:
        log.info("%s: draining", await stopping)
    finally:
        telling.cancel()
        await asyncio.wait({telling})


@asynccontextmanager
async def _early(
    settings: Config, place: Place
) -> AsyncGenerator[Coroutine[Any, Any, None]]:
    """Answer on the admin listener while the database is waited for; give the wait."""
    lifecycle = Lifecycle(reason=STARTING)
    runner = GatewayRunner(make_early_app(lifecycle), settings.server)
    await runner.setup()

    def tell(what: str) -> None:
        lifecycle.reason = what

    try:
        await sockets.serve_on(runner, place.admin)
        yield patience.until_usable(
            patience.urls_of(settings), tell, pooled=settings.database.is_pooled
        )
    finally:
        await runner.cleanup()


def _require_keys(settings: Config) -> None:
    """Refuse keys that cannot be used before anything is waited for."""
    proof_of(settings.auth)
    if settings.session.keys.get_secret_value() or settings.session.key_file:
        load_ring(settings)


def _require_loopback(addresses: list[Any]) -> None:
    """Look where the listeners really are: a name may mean what it does not say.

    Raises:
        CannotListen: when others than this machine reach one.
    """
    for address in addresses:
        if not is_loopback_name(str(address[0])):
            raise CannotListen(
                f"{address[0]} is reached by other machines, and dev.bypass lets in "
                "whoever does: listen on 127.0.0.1, or remove dev.bypass"
            )
