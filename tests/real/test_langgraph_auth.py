"""Tenants A (7) and B (70) on a real LangGraph server, which asks langgraph_auth."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.real.langgraph_server import (
    GATEWAY_KEY,
    Caller,
    Issuer,
    RealGraph,
    real_graph,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Generator

pytestmark = pytest.mark.real

TREE = {"id": 1, "method": "agent.getTree", "params": {}}
RESPOND = {"id": 1, "method": "input.respond", "params": {"interrupt_id": "i"}}
START = {"id": 1, "method": "run.start", "params": run("hi")}
SEARCHES = [
    {},
    {"metadata": {"tenant_id": "70"}},
    {"metadata": {"tenant_id": 70}},
    {"status": "idle"},
]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Generator[RealGraph]:
    with real_graph(tmp_path_factory.mktemp("langgraph")) as running:
        yield running


@pytest.fixture
def anna(graph: RealGraph) -> Caller:
    return graph.caller()


@pytest.fixture
def bob(graph: RealGraph) -> Caller:
    return graph.caller(sub="bob", email="bob@example.org", tenant_id=70)


def whoami(state: dict[str, Any]) -> dict[str, Any]:
    """Return what the server told the graph, as the graph repeated it."""
    told: dict[str, Any] = json.loads(state["messages"][-1]["content"])
    return told


async def built_in(caller: Caller) -> str:
    found = await caller.get(
        "POST", "/assistants/search", {"metadata": {"created_by": "system"}}
    )
    return str(found[0]["assistant_id"])


# Who calls


async def test_a_graph_learns_who_calls_but_never_the_token(anna: Caller) -> None:
    state = await anna.say(await anna.thread(), "whoami")

    user = whoami(state)["langgraph_auth_user"]
    assert user == {
        "identity": "anna",
        "display_name": "anna",
        "is_authenticated": True,
        "permissions": ["ops"],
        "tenant_id": "7",
        "roles": ["ops"],
        "email": "anna@example.org",
        "store_namespace": "tenant-7-",
    }
    assert anna.headers["Authorization"].split(" ")[1] not in json.dumps(state)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer nonsense"}, 401),
        ({"Authorization": "Basic YTpi"}, 401),
        ({"Authorization": f"Bearer {Issuer().token()}"}, 401),  # another realm's key
        ({"x-auth-scheme": "langsmith"}, 401),
        ({"x-gateway-key": GATEWAY_KEY, "x-tenant-id": "7"}, 401),
    ],
)
async def test_nobody_gets_in_without_a_token_of_the_issuer(
    graph: RealGraph, headers: dict[str, str], status: int
) -> None:
    stranger = Caller(url=graph.url, headers=headers)

    answered, body = await stranger.call("POST", "/threads/search", {})

    assert answered == status
    assert set(body) == {"detail"}
    assert "nonsense" not in body["detail"]


async def test_a_person_without_a_tenant_is_refused(graph: RealGraph) -> None:
    status, body = await graph.caller(tenant_id=None).call("POST", "/threads", {})

    assert status == 403
    assert body["detail"] == "The caller belongs to no tenant."


async def test_the_tenant_named_by_the_gateway_wins(
    graph: RealGraph, bob: Caller
) -> None:
    thread = await bob.thread()
    visitor = graph.caller(sub="cleo", tenant_id="7")
    named = {"x-tenant-id": "70"}

    unproven = Caller(url=graph.url, headers=visitor.headers | named)
    assert (await unproven.call("GET", f"/threads/{thread}"))[0] == 403
    proven = Caller(
        url=graph.url, headers=unproven.headers | {"x-gateway-key": GATEWAY_KEY}
    )
    assert (await proven.call("GET", f"/threads/{thread}"))[0] == 200
    user = whoami(await proven.say(thread, "whoami"))["langgraph_auth_user"]
    assert (user["tenant_id"], user["roles"]) == ("70", [])


# Threads and runs


async def test_another_tenants_thread_neither_shows_nor_changes(
    anna: Caller, bob: Caller
) -> None:
    thread = await bob.thread()
    await bob.say(thread, "interrupt")
    before = await bob.get("GET", f"/threads/{thread}")
    checkpoint = (await bob.get("GET", f"/threads/{thread}/state"))["checkpoint"]
    over = (await bob.get("GET", f"/threads/{thread}/runs"))[0]["run_id"]
    live = (await bob.get("POST", f"/threads/{thread}/runs", run("long 500")))["run_id"]
    path = f"/threads/{thread}"
    await bob.until_running(thread, live)
    cron = {**run("hi"), "schedule": "0 0 1 1 *"}
    refused: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("PATCH", path, {"metadata": {"mine": True, "tenant_id": "7"}}),
        ("GET", f"{path}/state", None),
        ("GET", f"{path}/state/{checkpoint['checkpoint_id']}", None),
        ("POST", f"{path}/state/checkpoint", {"checkpoint": checkpoint}),
        ("POST", f"{path}/state", {"values": {"messages": []}}),
        ("GET", f"{path}/history", None),
        ("POST", f"{path}/history", {"checkpoint": checkpoint}),
        ("GET", f"{path}/storage", None),
        ("POST", f"{path}/copy", None),
        ("GET", f"{path}/runs", None),
        ("POST", f"{path}/runs", run("hi", if_not_exists="create")),
        ("POST", f"{path}/runs/wait", run("hi", multitask_strategy="interrupt")),
        ("POST", f"{path}/runs/stream", run("hi", multitask_strategy="rollback")),
        ("POST", f"{path}/runs/crons", cron),
        ("GET", f"{path}/runs/{over}", None),
        ("DELETE", f"{path}/runs/{over}", None),
        ("GET", f"{path}/runs/{live}/join?cancel_on_disconnect=1", None),
        ("POST", f"{path}/runs/{live}/cancel?wait=1", None),
        ("POST", f"{path}/runs/{live}/cancel?action=rollback", None),
        ("POST", "/runs/cancel", {"thread_id": thread, "run_ids": [live]}),
        ("POST", "/runs/cancel", {"status": "all"}),
        ("POST", "/threads/prune", {"thread_ids": [thread]}),
        ("POST", "/threads", {"thread_id": thread, "if_exists": "do_nothing"}),
        ("DELETE", path, None),
    ]

    answers = {
        f"{method} {to}": (await anna.call(method, to, body))[0]
        for method, to, body in refused
    }

    # 409 where the server says that a new thread cannot be made.
    conflicts = {f"POST {path}/copy", "POST /threads"}
    assert answers == {to: 409 if to in conflicts else 404 for to in answers}
    assert (await bob.get("GET", f"{path}/runs/{live}"))["status"] == "running"
    await bob.get("POST", f"{path}/runs/{live}/cancel?wait=1")
    after = await bob.get("GET", path)
    assert after["metadata"] == before["metadata"]
    assert len(await bob.get("GET", f"{path}/runs")) == 2


@pytest.mark.parametrize("search", SEARCHES)
async def test_searches_find_only_the_tenants_own_threads(
    graph: RealGraph, bob: Caller, search: dict[str, Any]
) -> None:
    thread = await bob.thread()
    dora = graph.caller(sub="dora", tenant_id="700")

    assert await dora.get("POST", "/threads/search", search) == []
    assert await dora.get("POST", "/threads/search", {"ids": [thread]}) == []
    assert await dora.get("POST", "/threads/count", search) == 0


async def test_streams_of_another_tenants_thread_stay_silent(
    anna: Caller, bob: Caller
) -> None:
    theirs, own = await bob.thread(), await anna.thread()
    told = {"stream_resumable": True, "stream_mode": ["values", "messages-tuple"]}
    started = await bob.get("POST", f"/threads/{theirs}/runs", run("long 50", **told))
    live = started["run_id"]
    events = {"channels": ["messages", "values", "lifecycle", "input"]}
    streams = await asyncio.gather(
        anna.listen("GET", f"/threads/{theirs}/stream"),
        anna.listen("GET", f"/threads/{theirs}/runs/{live}/stream"),
        anna.listen("GET", f"/threads/{own}/runs/{live}/stream"),
        anna.listen("POST", f"/threads/{theirs}/stream/events", events),
        bob.listen("GET", f"/threads/{theirs}/runs/{live}/stream"),
    )

    *foreign, overheard = [text for _, text in streams]
    assert "tok1" in overheard
    assert not any("tok" in text for text in foreign)
    assert [text.count("data:") for text in foreign] == [1, 1, 1, 0]  # 1: not found


async def test_commands_of_protocol_v2_reach_only_own_threads(
    anna: Caller, bob: Caller
) -> None:
    theirs = await bob.thread()
    for command in START, RESPOND, TREE:
        answer = await anna.get("POST", f"/threads/{theirs}/commands", command)
        assert answer["type"] == "error", command

    assert await bob.get("GET", f"/threads/{theirs}/runs") == []


async def test_a_websocket_serves_only_own_threads(
    graph: RealGraph, anna: Caller, bob: Caller
) -> None:
    theirs, own = await bob.thread(), await anna.thread()
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await client.ws_connect(f"{graph.url}/threads/{own}/stream/events")
        replies = []
        for thread in own, theirs:
            url = f"{graph.url}/threads/{thread}/stream/events"
            async with client.ws_connect(url, headers=anna.headers) as socket:
                await socket.send_json(START)
                replies.append(await socket.receive())

    assert refusal.value.status == 403
    success, refused = replies
    assert success.json()["type"] == "success"
    # The server watches the thread as well, finds none, and closes: before or after
    # it answers the command.
    is_closed = (refused.type, refused.data) == (aiohttp.WSMsgType.CLOSE, 1011)
    assert is_closed or refused.json()["type"] == "error"
    assert await bob.get("GET", f"/threads/{theirs}/runs") == []


async def test_a_client_cannot_give_its_data_to_another_tenant(
    graph: RealGraph, anna: Caller
) -> None:
    forged = {"metadata": {"tenant_id": "70"}}
    erin = graph.caller(sub="erin", tenant_id="70")
    known = await erin.get("POST", "/threads/count", {})

    thread = (await anna.get("POST", "/threads", forged))["thread_id"]
    await anna.get("PATCH", f"/threads/{thread}", forged)
    await anna.say(thread, "whoami", **forged, config=forged)
    await anna.get("POST", "/runs/wait", run("whoami", **forged, config=forged))
    await anna.get(
        "POST",
        "/runs/wait",
        run("whoami", **forged, on_completion="keep", config=forged),
    )
    copied = await anna.get("POST", f"/threads/{thread}/copy")

    assert await erin.get("POST", "/threads/count", {}) == known
    for own in thread, copied["thread_id"]:
        found = await anna.get("GET", f"/threads/{own}")
        assert found["metadata"]["tenant_id"] == "7"
    runs = await anna.get("GET", f"/threads/{thread}/runs")
    assert [made["metadata"]["tenant_id"] for made in runs] == ["7"]


async def test_a_client_cannot_describe_itself_to_the_graph(anna: Caller) -> None:
    forged = {"langgraph_auth_user": {"identity": "root", "tenant_id": "70"}}
    config = {"configurable": forged, "metadata": forged}
    thread = await anna.thread()
    command = {**START, "params": {**run("whoami"), "config": config}}

    state = await anna.say(thread, "whoami", config=config)
    await anna.get("POST", f"/threads/{thread}/commands", command)

    assert whoami(state)["langgraph_auth_user"]["tenant_id"] == "7"
    newest = (await anna.get("GET", f"/threads/{thread}/runs"))[0]
    kwargs = newest["kwargs"]
    assert kwargs["config"]["configurable"]["langgraph_auth_user"]["tenant_id"] == "7"
    assert "langgraph_auth_user" not in kwargs["context"]


async def test_another_tenants_checkpoint_cannot_be_read_through_an_own_thread(
    anna: Caller, bob: Caller
) -> None:
    theirs, own = await bob.thread(), await anna.thread()
    await bob.say(theirs, "whoami")
    await anna.say(own, "whoami")
    checkpoint = (await bob.get("GET", f"/threads/{theirs}/state"))["checkpoint"]
    config = {"configurable": {**checkpoint, "thread_id": theirs}}
    seen = [
        await anna.get(
            "POST", f"/threads/{own}/state/checkpoint", {"checkpoint": checkpoint}
        ),
        await anna.get("POST", f"/threads/{own}/history", {"checkpoint": checkpoint}),
        await anna.say(own, "whoami", checkpoint=checkpoint),
        await anna.say(own, "whoami", config=config),
    ]

    assert "bob@example.org" not in json.dumps(seen)
    assert len(await bob.get("GET", f"/threads/{theirs}/history?limit=9")) == 3


# Assistants, MCP, A2A


async def test_assistants_are_the_tenants_own(anna: Caller, bob: Caller) -> None:
    new = {"graph_id": "agent", "name": "bobs"}
    theirs = (await bob.get("POST", "/assistants", new))["assistant_id"]
    own = await anna.thread()
    path = f"/assistants/{theirs}"
    using = run("hi") | {"assistant_id": theirs}
    refused: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("PATCH", path, {"name": "mine"}),
        ("DELETE", f"{path}?delete_threads=true", None),
        ("POST", f"{path}/versions", {}),
        ("POST", f"{path}/latest", {"version": 1}),
        ("GET", f"{path}/graph", None),
        ("GET", f"{path}/schemas", None),
        ("GET", f"{path}/subgraphs", None),
        ("POST", "/runs/wait", using),
        ("POST", "/runs/stream", using),
        ("POST", "/runs/batch", [using]),
        ("POST", f"/threads/{own}/runs", using),
        ("POST", "/runs/crons", {**using, "schedule": "0 0 1 1 *"}),
    ]

    answers = {to: (await anna.call(how, to, body))[0] for how, to, body in refused}
    taken = new | {"assistant_id": theirs, "if_exists": "do_nothing"}
    conflict, _ = await anna.call("POST", "/assistants", taken)

    assert set(answers.values()) == {404}, answers
    assert conflict == 409
    found = await anna.get("POST", "/assistants/search", {"limit": 100})
    assert theirs not in {assistant["assistant_id"] for assistant in found}
    assert (await bob.get("GET", path))["name"] == "bobs"


async def test_built_in_assistants_are_there_for_all_and_fixed(anna: Caller) -> None:
    path = f"/assistants/{await built_in(anna)}"
    writes: list[tuple[str, str, Any]] = [
        ("PATCH", path, {"name": "mine", "metadata": {"tenant_id": "7"}}),
        ("POST", f"{path}/latest", {"version": 1}),
        ("DELETE", path, None),
    ]

    answers = [(await anna.call(how, to, body))[0] for how, to, body in writes]

    assert answers == [404, 404, 404]
    assert (await anna.get("GET", path))["name"] == "agent"


async def test_no_client_can_pass_an_assistant_off_as_built_in(
    anna: Caller, bob: Caller
) -> None:
    forged = {"metadata": {"created_by": "system", "tenant_id": "70"}}
    created = await anna.get("POST", "/assistants", {"graph_id": "agent", **forged})
    path = f"/assistants/{created['assistant_id']}"
    patched = await anna.get("PATCH", path, forged)

    assert created["metadata"] == patched["metadata"] == {"tenant_id": "7"}
    assert (await bob.call("GET", path))[0] == 404


async def test_mcp_and_a2a_know_no_other_tenants_assistants_and_threads(
    anna: Caller, bob: Caller
) -> None:
    mcp = Caller(url=anna.url, headers=anna.headers | {"Accept": "application/json"})
    name = "only for B"
    made = await bob.get("POST", "/assistants", {"graph_id": "agent", "name": name})
    theirs, thread = made["assistant_id"], await bob.thread()
    await bob.say(thread, "whoami")
    done = (await bob.get("GET", f"/threads/{thread}/runs"))[0]["run_id"]

    async def ask(path: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": "1", "method": method, "params": params}
        answer: dict[str, Any] = await mcp.get("POST", path, body)
        return answer

    def message(**more: str) -> dict[str, Any]:
        parts = [{"kind": "text", "text": "whoami"}]
        return {"message": {"role": "user", "messageId": "m", "parts": parts, **more}}

    tools = await ask("/mcp", "tools/list", {})
    names = {tool["title"] for tool in tools["result"]["tools"]}
    assert "agent" in names
    assert name not in names
    arguments = {"messages": [{"role": "user", "content": "whoami"}]}
    for tool, outcome in ("agent", "result"), ("only_for_B", "error"):
        called = await ask("/mcp", "tools/call", {"name": tool, "arguments": arguments})
        assert outcome in called
    own = f"/a2a/{await built_in(anna)}"
    task = {"id": done, "contextId": thread}
    assert "tenant-7-" in json.dumps(await ask(own, "message/send", message()))
    for path, method, params in (
        (own, "message/send", message(contextId=thread)),
        (own, "tasks/get", task),
        (own, "tasks/cancel", task),
        (f"/a2a/{theirs}", "message/send", message()),
    ):
        assert "error" in await ask(path, method, params), (path, method)
    assert len(await bob.get("GET", f"/threads/{thread}/runs")) == 1


# The store


async def test_the_store_is_one_per_tenant(anna: Caller, bob: Caller) -> None:
    namespace = ["notes", "plans"]
    for caller, text in (anna, "A"), (bob, "B"):
        item = {"namespace": namespace, "key": "k", "value": {"text": text}}
        await caller.get("PUT", "/store/items", item)
    labelled = ["tenant-7-", *namespace]

    # As A: what an answer shows can be sent back.
    for asked in namespace, labelled:
        query = f"/store/items?namespace={'.'.join(asked)}&key=k"
        found = await anna.get("GET", query)
        assert (found["namespace"], found["value"]) == (labelled, {"text": "A"})
        search = {"namespace_prefix": asked}
        items = await anna.get("POST", "/store/items/search", search)
        assert [item["value"] for item in items["items"]] == [{"text": "A"}]

    # As B: A's namespace is only a place in one's own.
    query = f"/store/items?namespace={'.'.join(labelled)}&key=k"
    assert await bob.get("GET", query) is None
    for prefix in [], ["tenant-7"], ["tenant-7-"], ["notes"], ["%"]:
        search = {"namespace_prefix": prefix}
        items = await bob.get("POST", "/store/items/search", search)
        assert "A" not in [item["value"]["text"] for item in items["items"]]
    await bob.get("DELETE", "/store/items", {"namespace": labelled, "key": "k"})
    assert (await anna.get("GET", query))["value"] == {"text": "A"}


async def test_namespaces_are_listed_below_the_tenants_label(
    graph: RealGraph,
) -> None:
    fred = graph.caller(sub="fred", tenant_id="8")
    other = graph.caller(sub="gus", tenant_id="80")
    for caller, name in (fred, "deep"), (other, "other"):
        item = {"namespace": ["notes", name], "key": "k", "value": {}}
        await caller.get("PUT", "/store/items", item)
    label, whole = "tenant-8-", ["tenant-8-", "notes", "deep"]
    expected: list[tuple[dict[str, Any], list[list[str]]]] = [
        ({}, [whole]),
        ({"prefix": ["*"]}, [whole]),
        ({"prefix": ["*", "*"]}, [whole]),
        ({"prefix": ["tenant-80-"]}, []),
        ({"suffix": ["other"]}, []),
        ({"max_depth": 1}, [whole[:2]]),
        ({"prefix": ["notes"], "max_depth": 1}, [whole[:2]]),
        ({"prefix": [label, "notes"], "max_depth": 2}, [whole[:2]]),
    ]

    for condition, namespaces in expected:
        answer = await fred.get("POST", "/store/namespaces", condition)
        assert answer["namespaces"] == namespaces, condition


# Crons


async def test_crons_are_the_tenants_own(anna: Caller, bob: Caller) -> None:
    forged = {"metadata": {"tenant_id": "7"}}
    yearly = {**run("hi"), **forged, "schedule": "0 0 1 1 *"}
    made = await bob.get("POST", "/runs/crons", yearly)
    path = f"/runs/crons/{made['cron_id']}"
    answers = [
        (await anna.call(method, path, body))[0]
        for method, body in (
            ("GET", None),
            ("PATCH", {"enabled": False}),
            ("DELETE", None),
        )
    ]
    known = await bob.get("POST", "/runs/crons/count", {})
    await bob.get("PATCH", path, {**forged, "config": {"tags": ["x"]}})

    assert answers == [404, 404, 404]
    found = await anna.get("POST", "/runs/crons/search", {"limit": 100})
    assert made["cron_id"] not in {cron["cron_id"] for cron in found}
    assert await anna.get("POST", "/runs/crons/count", forged) == len(found)
    assert known >= 1
    kept = await bob.get("GET", path)
    assert kept["metadata"] == {"tenant_id": "70"}
    signed = kept["payload"]["config"]["configurable"]["langgraph_auth_user"]
    assert (signed["identity"], signed["tenant_id"]) == ("bob", "70")


@pytest.mark.parametrize("more", [{}, {"context": {"tone": "dry"}}])
async def test_a_cron_runs_as_whoever_made_it(
    anna: Caller, more: dict[str, Any]
) -> None:
    thread = await anna.thread()
    # A sixth field counts seconds; the scheduler looks every 5 s.
    each_second = {**run("whoami"), "schedule": "* * * * * *", **more}
    cron = await anna.get("POST", f"/threads/{thread}/runs/crons", each_second)
    messages: list[Any] = []
    async with asyncio.timeout(30):
        while len(messages) < 2:
            await asyncio.sleep(0.5)
            values = (await anna.get("GET", f"/threads/{thread}"))["values"]
            messages = values["messages"] if values else []
    await anna.get("DELETE", f"/runs/crons/{cron['cron_id']}")

    told = json.loads(messages[1]["content"])["langgraph_auth_user"]
    assert (told["identity"], told["tenant_id"]) == ("anna", "7")
