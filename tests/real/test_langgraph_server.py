"""Starting and stopping a real LangGraph server, and what its demo agent says."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bff.dev import langgraph
from bff.dev.langgraph import LangGraphUnavailable, langgraph_server
from tests.real.langgraph_server import RealGraph, real_graph, run

if TYPE_CHECKING:
    from collections.abc import Generator

pytestmark = pytest.mark.real

CHECKOUT = Path(__file__).parents[2]
ISSUER = "http://127.0.0.1:1/realms/none"
serve = functools.partial(langgraph_server, issuer=ISSUER, audience="graph")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Generator[RealGraph]:
    with real_graph(tmp_path_factory.mktemp("langgraph")) as running:
        yield running


def is_alive(pid: int) -> bool:
    """Tell whether *pid* runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_a_plain_message_is_answered_word_by_word(graph: RealGraph) -> None:
    anna = graph.caller()
    asked = run("What is this?", stream_mode="messages-tuple")
    begun = time.monotonic()
    status, heard = await anna.listen("POST", "/runs/stream", asked, seconds=20)
    took = time.monotonic() - begun
    words = [
        json.loads(line.removeprefix("data: "))[0]["content"]
        for line in heard.splitlines()
        if line.startswith("data: [")
    ]
    text = "".join(words)

    assert status == 200
    assert text.startswith("**What is this?**: that is what reached me.")
    assert "anna@example.org of tenant 7" in text
    assert 30 <= len(words) <= 70
    assert took > 2


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("slow 0", "Good morning."),
        ("long 3", "tok0 tok1 tok2"),
        ("big 2", "x" * 2048),
        ("help", "I know these words:\n\n- `slow N`: say nothing for N seconds"),
        ("long ago", "**long ago**: that is what reached me."),
    ],
)
async def test_the_agent_obeys_its_test_commands(
    graph: RealGraph, command: str, said: str
) -> None:
    state = await graph.caller().get("POST", "/runs/wait", run(command))

    assert state["messages"][-1]["content"].startswith(said)


async def test_the_agent_fails_and_interrupts_on_demand(graph: RealGraph) -> None:
    anna = graph.caller()
    failed = await anna.get("POST", "/runs/wait", run("boom"))
    thread = await anna.thread()
    paused = await anna.say(thread, "interrupt")
    resumed = await anna.get(
        "POST",
        f"/threads/{thread}/runs/wait",
        {"assistant_id": "agent", "command": {"resume": "yes"}},
    )

    assert failed["__error__"]["error"] == "ValueError"
    assert paused["__interrupt__"][0]["value"] == {"question": "Shall I go on?"}
    assert resumed["messages"][-1]["content"] == "You replied 'yes', so on I went."


async def test_the_agent_asks_for_a_decision_and_counts_files(graph: RealGraph) -> None:
    anna, name = graph.caller(), "offer.pdf"
    thread = await anna.thread()
    paused = await anna.say(thread, "approve")
    decided = {"decisions": [{"type": "approve"}]}
    resumed = await anna.get(
        "POST",
        f"/threads/{thread}/runs/wait",
        {"assistant_id": "agent", "command": {"resume": decided}},
    )
    file: dict[str, Any] = {"type": "file", "mimeType": "application/pdf"}
    file |= {"data": "YWJj", "metadata": {"name": name}}
    parts = [{"type": "text", "text": "files"}, file]
    counted = await anna.say(thread, parts)

    (asked,) = paused["__interrupt__"][0]["value"]["action_requests"]
    assert asked["name"] == "send_offer"
    assert '"approve"' in resumed["messages"][-1]["content"]
    digest = hashlib.sha256(b"abc").hexdigest()
    said = f"application/pdf, 3 bytes, SHA-256 {digest}"
    assert counted["messages"][-1]["content"] == said
    none = await anna.say(thread, "files")
    assert none["messages"][-1]["content"] == "No files came with this message."


async def test_an_agents_own_routes_know_the_caller(graph: RealGraph) -> None:
    anna = graph.caller()

    assert await anna.get("GET", "/demo/hello") == {"hello": "anna", "tenant_id": "7"}
    anna.headers.clear()
    assert (await anna.call("GET", "/demo/hello"))[0] == 401


async def test_what_was_said_survives_a_restart(tmp_path: Path) -> None:
    with real_graph(tmp_path) as first:
        thread = await first.caller().thread()
        await first.caller().say(thread, "whoami")
    with real_graph(tmp_path) as second:
        state = await second.caller().get("GET", f"/threads/{thread}/state")

    assert len(state["values"]["messages"]) == 2


async def test_it_gives_the_child_none_of_our_secrets_and_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BFF_SECRET", "only ours")
    monkeypatch.chdir("/")
    told: list[str] = []
    async with serve(folder=tmp_path / "new", on_progress=told.append) as server:
        environ = await asyncio.to_thread(
            Path(f"/proc/{server.pid}/environ").read_bytes
        )
        assert os.getpgid(server.pid) == server.pid

    assert b"only ours" not in environ
    assert told == ["starting LangGraph", f"LangGraph answers at {server.url}"]
    assert not is_alive(server.pid)


async def test_a_port_in_use_is_refused_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LangGraphUnavailable, match=f"Port {port} is in use"):
            async with serve(folder=tmp_path, port=port):
                pytest.fail("it started")


async def test_a_failed_start_shows_the_log_without_secrets(tmp_path: Path) -> None:
    with pytest.raises(LangGraphUnavailable) as failure:
        async with langgraph_server(
            folder=tmp_path, issuer="", audience="graph", gateway_key="NEXIUS_ISSUER"
        ):
            pytest.fail("it started")

    message = str(failure.value)
    assert "LangGraph ended with status" in message
    assert "Set *** in the LangGraph server's environment" in message


async def test_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(langgraph, "_is_missing", lambda name: name == "langgraph_api")

    with pytest.raises(LangGraphUnavailable, match=r"pip install 'nexius-bff\[dev\]'"):
        async with serve(folder=tmp_path):
            pytest.fail("it started")


async def test_a_child_deaf_to_sigterm_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(langgraph, "STOP_LIMIT", 0.5)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN)"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"{deaf}; print('ready', flush=True); time.sleep(60)"),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout
    await child.stdout.readline()

    await langgraph._stop(child)

    assert child.returncode == -signal.SIGKILL


async def test_the_child_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent = f"""
import asyncio, pathlib, sys
sys.path.insert(0, {str(CHECKOUT)!r})
from bff.dev.langgraph import langgraph_server

async def main():
    folder = pathlib.Path({str(tmp_path)!r})
    async with langgraph_server(
        folder=folder, issuer={ISSUER!r}, audience="graph"
    ) as server:
        print(server.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", parent), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        pid = int(await process.stdout.readline())
        assert is_alive(pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    await until_gone(pid)
