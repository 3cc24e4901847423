"""What people do with agent-chat-ui, behind the gateway, with a real graph server."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from bff.graph import LIVE
from tests.bff.waiting import until
from tests.real.agent_chat_ui import ORIGIN
from tests.real.agent_chat_ui_site import PATIENCE
from tests.real.browser import picture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.agent_chat_ui_site import Site

pytestmark = [pytest.mark.acceptance, pytest.mark.real, pytest.mark.timeout(240)]

FILE_SIZE = 15 * 2**20


async def test_an_answer_grows_word_by_word_and_its_thread_is_listed(
    agent_chat_ui_site: Site,
) -> None:
    # Older versions list threads only where the address says whose.
    query = f"?chatHistoryOpen=true&apiUrl={ORIGIN}/graph&assistantId=agent"
    async with agent_chat_ui_site.chat(query) as chat:
        await chat.say("long 40")
        await chat.hears("tok1")
        seen = [await chat.answers.last.inner_text()]

        async def grown() -> bool:
            seen.append(await chat.answers.last.inner_text())
            return "tok39" in seen[-1]

        await until(grown, seconds=60)
        await chat.rests()

        lengths = [len(text) for text in seen]
        assert lengths == sorted(lengths)
        assert len(set(lengths)) > 5
        await chat.page.goto(f"{ORIGIN}/{query}")
        await chat.page.get_by_role("button", name="long 40").first.click(
            timeout=PATIENCE
        )
        await chat.hears("tok39")


async def test_a_run_that_asks_first_goes_on_with_the_decision(
    agent_chat_ui_site: Site,
) -> None:
    async with agent_chat_ui_site.chat() as chat:
        await chat.say("approve")
        # The older one says Accept.
        yes = chat.page.get_by_role("button", name=re.compile("^(Accept|Approve)$"))
        await yes.click(timeout=PATIENCE)
        await chat.hears("You decided")
        await chat.rests()
        decided = await chat.answers.last.inner_text()
        assert '"approve"' in decided or '"accept"' in decided
        assert await chat.runs() == ["success", "success"]


async def test_stop_ends_the_stream_and_the_chat_goes_on(
    agent_chat_ui_site: Site,
) -> None:
    live = agent_chat_ui_site.app[LIVE]
    async with agent_chat_ui_site.chat() as chat:
        await chat.say("long 100")
        await chat.hears("tok3")
        assert live.total

        await chat.cancel.click()

        await chat.rests()

        async def quiet() -> bool:
            return live.total == 0

        await until(quiet, seconds=20)
        assert "tok99" not in await chat.answers.last.inner_text()
        await chat.leaves_run()


async def test_a_reload_in_mid_run_loses_nothing_that_was_asked_for(
    agent_chat_ui_site: Site,
) -> None:
    async with agent_chat_ui_site.chat() as chat:
        await chat.say("long 60")
        await chat.hears("tok3")

        await chat.page.reload()

        asked = chat.page.get_by_text("long 60").last
        await expect(asked).to_be_visible(timeout=PATIENCE)
        if await chat.leaves_run():
            await chat.page.reload()
            await chat.hears("tok59")
        await chat.say("hello")
        await chat.hears("for more")


async def test_a_file_of_15_mb_reaches_the_agent_whole(
    agent_chat_ui_site: Site, tmp_path: Path
) -> None:
    content = b"%PDF-1.7\n" + random.Random(7).randbytes(FILE_SIZE - 9)  # noqa: S311
    file = tmp_path / "large.pdf"
    file.write_bytes(content)
    async with agent_chat_ui_site.chat() as chat:
        if await chat.page.locator("#file-input").count():
            await chat.page.set_input_files("#file-input", file)
            shown = chat.page.get_by_text("large.pdf")
            await expect(shown).to_be_visible(timeout=PATIENCE)
            await chat.say("files")
        else:
            # An older version, without uploads: what newer ones send, and its answer.
            thread = await chat.sends_file(base64.b64encode(content).decode())
            await chat.page.goto(f"{ORIGIN}/?threadId={thread}")

        digest = hashlib.sha256(content).hexdigest()
        said = f"application/pdf, {FILE_SIZE} bytes, SHA-256 {digest}"
        await expect(chat.answers.last).to_contain_text(said, timeout=2 * PATIENCE)
        await chat.rests()
        await picture(chat.page, "agent-chat-ui")
