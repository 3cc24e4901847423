"""The routes of a LangGraph server that a browser may use (langgraph-api 0.16).

Left out are those that need no token of their own and are no business of a browser's:
`/internal`, `/deploy`, `/docs`, `/openapi.json`, `/metrics`, `/ui`, `/profile` and `/`.
"""

from __future__ import annotations

from graph_proxy.paths import UPGRADE, Allow

_ASSISTANT = "/assistants/{assistant_id}"
_THREAD = "/threads/{thread_id}"
_RUN = f"{_THREAD}/runs/{{run_id}}"
_AGENT = "/a2a/{assistant_id}"

LANGGRAPH = Allow.table(
    (
        ("POST", "/assistants"),
        ("POST", "/assistants/search"),
        ("POST", "/assistants/count"),
        ("GET PATCH DELETE", _ASSISTANT),
        ("GET", f"{_ASSISTANT}/graph"),
        ("GET", f"{_ASSISTANT}/subgraphs"),
        ("GET", f"{_ASSISTANT}/subgraphs/{{namespace}}"),
        ("GET", f"{_ASSISTANT}/schemas"),
        ("POST", f"{_ASSISTANT}/versions"),
        ("POST", f"{_ASSISTANT}/latest"),
        ("POST", "/threads"),
        ("POST", "/threads/search"),
        ("POST", "/threads/count"),
        ("POST", "/threads/prune"),
        ("GET PATCH DELETE", _THREAD),
        ("GET", f"{_THREAD}/storage"),
        ("GET POST", f"{_THREAD}/state"),
        ("GET", f"{_THREAD}/state/{{checkpoint_id}}"),
        ("POST", f"{_THREAD}/state/checkpoint"),
        ("GET POST", f"{_THREAD}/history"),
        ("POST", f"{_THREAD}/copy"),
        ("GET", f"{_THREAD}/stream"),
        (f"POST {UPGRADE}", f"{_THREAD}/stream/events"),
        ("POST", f"{_THREAD}/commands"),
        ("GET POST", f"{_THREAD}/runs"),
        ("POST", f"{_THREAD}/runs/crons"),
        ("POST", f"{_THREAD}/runs/stream"),
        ("POST", f"{_THREAD}/runs/wait"),
        ("GET DELETE", _RUN),
        ("GET", f"{_RUN}/join"),
        ("GET", f"{_RUN}/stream"),
        ("POST", f"{_RUN}/cancel"),
        ("POST", "/runs"),
        ("POST", "/runs/batch"),
        ("POST", "/runs/cancel"),
        ("POST", "/runs/stream"),
        ("POST", "/runs/wait"),
        ("POST", "/runs/crons"),
        ("POST", "/runs/crons/search"),
        ("POST", "/runs/crons/count"),
        ("GET PATCH DELETE", "/runs/crons/{cron_id}"),
        ("GET PUT DELETE", "/store/items"),
        ("POST", "/store/items/search"),
        ("POST", "/store/namespaces"),
        ("GET POST DELETE", "/mcp"),
        ("GET POST DELETE", _AGENT),
        ("GET", f"{_AGENT}/.well-known/agent-card.json"),
        ("GET", f"{_AGENT}/.well-known/agent.json"),
        ("GET", "/.well-known/agent-card.json"),
        ("GET", "/info"),
        ("GET", "/ok"),
    )
)
