"""Make the application of a configuration: resources, middlewares, routes, in order.

This is the only place that wires.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from aiohttp import web

from bff import cors, database, listener, outbound, telemetry, tracing_requests
from bff.auth.device import DEVICE, KnownDevice
from bff.auth.registrar import REGISTRAR, Registrar
from bff.auth.signing_in import PROVIDER
from bff.auth.sso import TRANSACTIONS
from bff.auth.throttle import THROTTLE, Throttle
from bff.auth.transactions import Transactions
from bff.background import worker
from bff.client_address import TRUSTED, networks
from bff.current_session import CONFIG, REFRESHER, STORE
from bff.exports.slots import EXPORTS, Exports
from bff.express import EXPRESS
from bff.graph import LIVE, Live, make_proxy
from bff.graph_direct import GraphExpress
from bff.hardening import response_headers
from bff.health import GRAPH_CHECK, GraphCheck
from bff.icp.store import RULES, Rules
from bff.identity.accounts import Accounts
from bff.identity.provider import Provider
from bff.lifecycle import LIFECYCLE, Lifecycle
from bff.middlewares import mark_started, outermost
from bff.onboarding.store import ONBOARDING, OnboardingStore
from bff.onboarding.watch import WATCH, Watch
from bff.routes import add_admin, add_public
from bff.sessions.browser import CLOCK, COOKIES, write_cookies
from bff.sessions.cookies import CookieRules, Cookies
from bff.sessions.keyring import RING, load_ring
from bff.sessions.refresh import Refresher
from bff.sessions.revocation import ENDED, EndedSessions
from bff.sessions.store import SessionStore
from bff.sites.store import SITES, Sites
from bff.sites.tasks import TASKS, Tasks
from bff.tenancy.invites import INVITES, Invites
from bff.tenancy.members import MEMBERS, Members
from bff.tenancy.store import TENANCY, Tenancy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from bff.config import Config

# Seconds that renewals and registrations under way get, together, once the sockets are
# closed; the drain time before was theirs too.
LANDING = 5.0


def make_app(config: Config, clock: Callable[[], float] = time.time) -> web.Application:
    """Return the public application; its resources open when it starts."""
    app = web.Application(
        client_max_size=config.server.max_body,
        middlewares=[
            *tracing_requests.middlewares(),
            outermost(config),
            *cors.middlewares(config),
        ],
    )
    app[CONFIG] = config
    app[CLOCK] = clock
    app[TRUSTED] = networks(config.server.trusted_proxies)
    app[LIFECYCLE] = Lifecycle()
    app[LIVE] = Live()
    app[GRAPH_CHECK] = GraphCheck()
    metrics = app[telemetry.METRICS] = telemetry.Metrics()
    metrics.streams.set_function(lambda: len(app[LIVE].streams))
    metrics.draining.set_function(lambda: app[LIVE].draining)
    proxies = {
        name: (make_proxy(target), target)
        for name, target in config.proxy.items()
        if target.upstreams
    }
    for name, (proxy, _) in proxies.items():
        metrics.upstreams.watch(name, proxy)
    add_public(app, proxies)
    # Order matters: what has begun is marked first, and an answer that sets cookies is
    # kept by nobody.
    app.on_response_prepare.append(mark_started)
    app.on_response_prepare.append(write_cookies)
    app.on_response_prepare.append(response_headers(config))
    app.on_response_prepare.append(app[LIFECYCLE].end_connection)

    async def resources(app: web.Application) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for proxy, _ in proxies.values():
                stack.push_async_callback(proxy.close)
            await stack.enter_async_context(_identity(app, config, clock))
            if not config.lets_bypass:
                # Who asks is in the cookies there, and nowhere else.
                loop = asyncio.get_running_loop()
                app[EXPRESS] = GraphExpress(app, proxies, loop)
            if config.worker.embedded:
                await stack.enter_async_context(
                    worker(config, app[telemetry.METRICS], app[RING])
                )
            yield

    app.cleanup_ctx.append(resources)
    return app


def make_admin_app(app: web.Application) -> web.Application:
    """Return the application of the admin listener, sharing *app*'s resources."""
    admin = web.Application(middlewares=[outermost(None)])
    admin[CONFIG] = app[CONFIG]
    admin[LIFECYCLE] = app[LIFECYCLE]
    admin[LIVE] = app[LIVE]
    admin[telemetry.METRICS] = app[telemetry.METRICS]
    admin[database.DATABASE] = app[database.DATABASE]
    admin[listener.LISTENER] = app[listener.LISTENER]
    admin[PROVIDER] = app[PROVIDER]
    admin[outbound.OUTBOUND] = app[outbound.OUTBOUND]
    admin.on_response_prepare.append(mark_started)
    add_admin(admin)
    return admin


@asynccontextmanager
async def _identity(
    app: web.Application, config: Config, clock: Callable[[], float]
) -> AsyncGenerator[None]:
    url = config.database.url.get_secret_value()
    ring = load_ring(config)
    rules = CookieRules(
        access=config.session.access_cookie,
        refresh=config.session.refresh_cookie,
        secure=config.secure_cookies,
        host_prefix=config.host_prefix,
        samesite=config.session.samesite,
    )
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(
            database.connect(
                url,
                size=config.database.pool_size,
                command_timeout=config.database.command_timeout,
                pooled=config.database.is_pooled,
            )
        )
        for_exports = await stack.enter_async_context(
            database.connect(
                url,
                size=config.exports.pool_size,
                command_timeout=config.database.command_timeout,
                pooled=config.database.is_pooled,
                name="bff-exports",
            )
        )
        http = await stack.enter_async_context(outbound.client_session())
        hears = listener.Listener(config.database.listen_url.get_secret_value() or url)
        provider = Provider(
            config.auth, http, clock, tenant_source=config.tenancy.source
        )
        metrics = app[telemetry.METRICS]
        store = SessionStore(db, ring, on_ended=metrics.count_ended)
        tenancy = Tenancy(db, config.tenancy.claim)
        app[RING] = ring
        metrics.pools.watch("serve", db)
        metrics.pools.watch("exports", for_exports)
        metrics.listening.set_function(lambda: hears.hears)
        app[database.DATABASE] = db
        app[EXPORTS] = Exports(for_exports, config.exports)
        app[outbound.OUTBOUND] = http
        app[listener.LISTENER] = hears
        app[PROVIDER] = provider
        app[STORE] = store
        app[TENANCY] = tenancy
        app[INVITES] = Invites(db)
        app[MEMBERS] = Members(db)
        app[RULES] = Rules(db)
        app[COOKIES] = Cookies(ring, rules)
        app[TRANSACTIONS] = Transactions(ring, rules)
        app[DEVICE] = KnownDevice(ring, rules)
        app[THROTTLE] = Throttle(db)
        app[REFRESHER] = Refresher(store, provider, tenancy.resolve, clock)
        app[ENDED] = EndedSessions(db, hears, clock)
        app[ONBOARDING] = OnboardingStore(
            db, config.onboarding, with_odoo=bool(config.odoo.server_url)
        )
        app[WATCH] = Watch(hears)
        app[SITES] = Sites(db)
        app[TASKS] = Tasks(db, hears)
        await stack.enter_async_context(hears.running())
        if config.registration.mode == "admin_api":
            accounts = Accounts(config.auth, http, clock)
            registrar = Registrar(accounts, app[telemetry.METRICS].registrations)
            app[REGISTRAR] = registrar
            await stack.enter_async_context(registrar.running(0))  # see _land
        # Before what they need is closed: with rotation, a lost answer signs out.
        stack.push_async_callback(_land, app)
        yield


async def _land(app: web.Application) -> None:
    """Let renewals and registrations end, both at once: one deadline for all."""

    async def registered() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LANDING):
                await app[REGISTRAR].finished()

    landing = [app[REFRESHER].flights.land(LANDING)]
    if REGISTRAR in app:
        landing.append(registered())
    await asyncio.gather(*landing)
