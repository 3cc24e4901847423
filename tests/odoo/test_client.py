"""Calls over real sockets: what was sent, what broke, and when."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bff.dev.ports import free_port
from odoo import errors, rpc
from odoo.client import Server
from odoo.exchange import LARGEST_ANSWER
from tests.fakes.upstream import fake_upstream

if TYPE_CHECKING:
    import aiohttp

    from tests.fakes.upstream import Peer
    from tests.odoo.conftest import Odoo

JSON = "Content-Type: application/json"
CLOSED_WITH_COOKIE = "Set-Cookie: session_id=abc; HttpOnly", "Connection: close"


async def _call(server: Server, key: str = "test-key") -> object:
    call = rpc.json2("res.users", "context_get", {}, key=key, database="acme")
    return rpc.json2_value(await server.send(call, database="acme"), call)


async def test_nobody_listens(http: aiohttp.ClientSession) -> None:
    server = Server(http=http, url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(errors.Unreachable):
        await _call(server)


async def test_connection_that_breaks_leaves_the_outcome_unknown(
    http: aiohttp.ClientSession,
) -> None:
    async def hang_up(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    async with fake_upstream(hang_up) as upstream:
        server = Server(http=http, url=upstream.url)
        with pytest.raises(errors.OutcomeUnknown):
            await _call(server)
    assert len(upstream.peers) == 1, "a call is never repeated by itself"


async def test_service_that_does_not_answer_is_not_asked_to_act(
    http: aiohttp.ClientSession,
) -> None:
    seen: list[str] = []

    async def hang_up(peer: Peer) -> None:
        seen.append((await peer.request()).target)
        peer.reset()

    async with fake_upstream(hang_up) as upstream:
        server = Server(http=http, url=upstream.url)
        # Not OutcomeUnknown: nothing can have happened.
        with pytest.raises(errors.Unreachable):
            await server.service("db", "drop", "master", "acme")
    # aiohttp may try a GET twice; the call itself never left.
    assert set(seen) == {"/web/health?db_server_status=1"}


async def test_silence_ends_in_time(http: aiohttp.ClientSession) -> None:
    async def silent(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with fake_upstream(silent) as upstream:
        server = Server(http=http, url=upstream.url, seconds=0.3)
        with pytest.raises(errors.OutcomeUnknown, match=r"0\.3 s"):
            await _call(server)


async def test_half_an_answer_is_none(http: aiohttp.ClientSession) -> None:
    async def half(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
        peer.close()

    async with fake_upstream(half) as upstream:
        with pytest.raises(errors.OutcomeUnknown):
            await _call(Server(http=http, url=upstream.url))


async def test_endless_answer_is_cut(http: aiohttp.ClientSession) -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.answer(b" " * (LARGEST_ANSWER + 1), JSON)

    async with fake_upstream(endless) as upstream:
        with pytest.raises(errors.BadAnswer):
            await _call(Server(http=http, url=upstream.url, seconds=20))


async def test_redirect_is_not_followed(http: aiohttp.ClientSession) -> None:
    async def elsewhere(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n"
            b"Content-Length: 0\r\n\r\n"
        )

    async with fake_upstream(elsewhere) as upstream:
        with pytest.raises(errors.BadAnswer):
            await _call(Server(http=http, url=upstream.url))
    assert len(upstream.peers) == 1


async def test_each_call_has_a_connection_of_its_own(
    http: aiohttp.ClientSession,
) -> None:
    said: list[str | None] = []

    async def alive(peer: Peer) -> None:
        said.append((await peer.request()).one("connection"))
        await peer.answer(b'{"status": "pass"}', JSON, "Connection: close")

    async with fake_upstream(alive) as upstream:
        server = Server(http=http, url=upstream.url)
        for _ in range(3):
            await server.health()
    assert len(upstream.peers) == 3
    assert said == ["close"] * 3


async def test_host_and_session_of_a_call(http: aiohttp.ClientSession) -> None:
    heads: list[tuple[str | None, str | None]] = []

    async def note(peer: Peer) -> None:
        request = await peer.request()
        heads.append((request.one("host"), request.one("cookie")))
        await peer.answer(b"{}", JSON, *CLOSED_WITH_COOKIE)

    async with fake_upstream(note) as upstream:
        server = Server(
            http=http, url=upstream.url, host=lambda name: f"{name}.odoo.test"
        )
        call = rpc.web("/web/session/authenticate", {}, secrets=())
        answer = await server.send(call, database="acme", cookie="old")
        await server.send(call)
    assert answer.cookie == "abc"
    assert heads[0] == ("acme.odoo.test", "session_id=old")
    assert heads[1] == (upstream.url.removeprefix("http://"), None)


async def test_version_of_something_else(http: aiohttp.ClientSession) -> None:
    async def other(peer: Peer) -> None:
        await peer.request()
        body = b'{"jsonrpc": "2.0", "result": "1.0"}'
        await peer.answer(body, JSON, "Connection: close")

    async with fake_upstream(other) as upstream:
        server = Server(http=http, url=upstream.url)
        with pytest.raises(errors.BadAnswer):
            await server.version()
        with pytest.raises(errors.BadAnswer):
            await server.health()


async def test_version_and_health(odoo: Odoo) -> None:
    assert await odoo.server.version() == "19.0"
    assert (await odoo.server.health()).postgres is True
    odoo.fake.has_postgres = False
    assert (await odoo.server.health()).postgres is False


@pytest.mark.parametrize("series", ["17.0"])
async def test_older_servers_do_not_tell_of_postgres(odoo: Odoo) -> None:
    assert (await odoo.server.health()).postgres is None
    with pytest.raises(errors.NotOffered):
        await _call(odoo.server)


async def test_no_secret_is_logged_or_told(
    odoo: Odoo, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = "k3y-that-must-not-appear"
    with pytest.raises(errors.NoDatabase) as refused:
        await _call(odoo.server, key)
    away = replace(odoo.server, url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(errors.Unreachable) as unreachable:
        await _call(away, key)
    assert key not in f"{refused.value!r} {unreachable.value!r} {caplog.text}"
    assert key not in repr(odoo.databases)
