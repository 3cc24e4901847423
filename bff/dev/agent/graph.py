"""The demo agent: says what the gateway did for a message, or obeys a test command.

Needs no model and no network. One file, because LangGraph loads it by path.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig  # noqa: TC002 - LangGraph reads it
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )

HELP = """I know these words:

- `slow N`: say nothing for N seconds, then answer
- `long N`: recite N tokens, ten a second
- `big N`: one token of N kB
- `boom`: fail
- `whoami`: show what the server knows about you
- `interrupt`: stop and ask you something first
- `approve`: ask for your decision on an action, as LangChain's agents do
- `files`: list what came with this message: kind, bytes, SHA-256
- `help`: this list

Anything else I answer with what happened on the way here."""

STORY = """**{question}**: that is what reached me. On its way the gateway

1. opened your sealed session cookie; the browser holds no token,
2. made sure that one of its own pages sent this,
3. vouched for you as {name} of tenant {tenant},
4. and passes on these words one by one, as I say them.

Type `help` for more."""

# What LangChain's HumanInTheLoopMiddleware asks, then the same as LangGraph's
# HumanInterrupt had it before: chat UIs have buttons for one or the other.
ACTION = {"to": "Merlion Logistics"}
APPROVAL = {
    "action_requests": [
        {"name": "send_offer", "args": ACTION, "description": "An offer is to be sent."}
    ],
    "review_configs": [
        {"action_name": "send_offer", "allowed_decisions": ["approve", "reject"]}
    ],
    "action_request": {"action": "send_offer", "args": ACTION},
    "config": {
        "allow_accept": True,
        "allow_edit": False,
        "allow_ignore": False,
        "allow_respond": False,
    },
    "description": "An offer is to be sent.",
}


class Reciter(BaseChatModel):
    """Recites *script*, a word each *pace* seconds, after *pause* seconds."""

    script: str
    pace: float = 0.06
    pause: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "reciter"

    def _generate(
        self,
        messages: list[BaseMessage],  # noqa: ARG002 - the base class's signature
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **_: Any,  # noqa: ANN401
    ) -> ChatResult:
        return _result(self.script)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **_: Any,  # noqa: ANN401
    ) -> ChatResult:
        # LangChain comes here when nobody streams messages; it takes as long.
        words = [chunk.text async for chunk in self._astream(messages, stop)]
        return _result("".join(words))

    async def _astream(
        self,
        messages: list[BaseMessage],  # noqa: ARG002
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **_: Any,  # noqa: ANN401
    ) -> AsyncIterator[ChatGenerationChunk]:
        told = 0
        try:
            await asyncio.sleep(self.pause)
            for word in re.findall(r"\s*\S+", self.script):
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
                if run_manager:
                    await run_manager.on_llm_new_token(word, chunk=chunk)
                yield chunk
                told += 1
                await asyncio.sleep(self.pace)
        except asyncio.CancelledError:
            print(f"GRAPH-CANCELLED at token {told}", flush=True)
            raise
        print("GRAPH-DONE", flush=True)  # how the log tells a whole run from a cut one


def _result(text: str) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


def said(message: BaseMessage) -> str:
    """Return the text of *message*, which UIs send as a string or as parts."""
    return message.text.strip()


def files_of(message: BaseMessage) -> str:
    """Name each file in *message* by media type, size and SHA-256, a line apiece."""
    lines = []
    for part in message.content:
        if isinstance(part, dict) and isinstance(data := part.get("data"), str):
            content = base64.b64decode(data)
            kind = part.get("mimeType") or part.get("mime_type")
            digest = hashlib.sha256(content).hexdigest()
            lines.append(f"{kind}, {len(content)} bytes, SHA-256 {digest}")
    return "\n".join(lines) or "No files came with this message."


def reciter_for(text: str, user: dict[str, Any]) -> Reciter:
    """Choose what to recite in answer to *text* of *user*."""
    command, _, number = text.partition(" ")
    count = int(number) if number.isascii() and number.isdigit() else None
    match command, count:
        case "slow", int():
            return Reciter(script="Good morning.", pause=count)
        case "long", int():
            return Reciter(script=" ".join(f"tok{i}" for i in range(count)), pace=0.1)
        case "big", int():
            return Reciter(script="x" * 1024 * count)
        case "help", None:
            return Reciter(script=HELP)
        case _:
            name = user.get("email") or user.get("identity") or "a stranger"
            tenant = user.get("tenant_id") or "none"
            return Reciter(script=STORY.format(question=text, name=name, tenant=tenant))


async def answer(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    """Answer the last message."""
    text = said(state["messages"][-1])
    configurable = config.get("configurable", {})
    if text == "boom":
        raise ValueError("You asked for it: boom.")
    if text == "whoami":
        shown = {k: v for k, v in configurable.items() if not k.startswith("__")}
        told = json.dumps(shown, default=_plain, sort_keys=True)
        return {"messages": [AIMessage(told)]}
    if text == "interrupt":
        reply = interrupt({"question": "Shall I go on?"})
        return {"messages": [AIMessage(f"You replied {reply!r}, so on I went.")]}
    if text == "approve":
        reply = interrupt(APPROVAL)
        return {"messages": [AIMessage(f"You decided {json.dumps(reply)}.")]}
    if text == "files":
        return {"messages": [AIMessage(files_of(state["messages"][-1]))]}
    user = _plain(configurable.get("langgraph_auth_user"))
    reciter = reciter_for(text, user if isinstance(user, dict) else {})
    return {"messages": [await reciter.ainvoke(state["messages"], config)]}


def _plain(value: object) -> object:
    """Turn the server's user object, a mapping only in looks, into a dict."""
    items = getattr(value, "items", None)
    return dict(items()) if callable(items) else repr(value)


graph = (
    StateGraph(MessagesState)
    .add_node("answer", answer)
    .add_edge(START, "answer")
    .add_edge("answer", END)
    .compile()
)
