"""The conversation page and input that means harm, or is too much, or breaks off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.real.pages import (
    PATIENCE,
    answered,
    ask,
    chat,
    enter,
    new_page,
    say,
    thread_with,
)
from tests.real.restarting import breakable

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.product import Product

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

SCRIPT = "<img src=x onerror=\"document.title='owned'\"><script>alert(1)</script>"
MARKDOWN = f"""{SCRIPT}

[click](javascript:alert(1)) [data](data:text/html,x) [vb](vbscript:x)
[tricky]( javascript:alert(1)) <javascript:alert(1)> [good](https://good.test/"x)
![image](https://evil.test/pixel.png) ![inline](data:image/png;base64,AAAA)
[a](https://good.test/?q="onmouseover="alert(1))

| {SCRIPT} | b |
|---|---|
| [x](javascript:1) | `{SCRIPT}` |

```{SCRIPT}
{SCRIPT}
```

<iframe src="https://evil.test/"></iframe><a href="https://evil.test/">html</a>
"""
RESULT = {"type": "tool", "name": SCRIPT, "tool_call_id": "c", "content": SCRIPT}
# Elements that answers may not bring, and attributes that run something.
FORBIDDEN = """() => [...document.querySelectorAll("#messages *, #threads *")].filter(
  (one) => ["IMG", "SCRIPT", "IFRAME", "OBJECT", "FORM", "STYLE"].includes(one.tagName)
    || [...one.attributes].some(({ name, value }) =>
      name.startsWith("on") || /^\\s*(javascript|data|vbscript):/i.test(value))
).map((one) => one.outerHTML)"""
TRY_SCRIPT = """(html) => new Promise((done) => {
  document.addEventListener("securitypolicyviolation", () => done("blocked"));
  const place = document.createElement("div");
  place.innerHTML = html;
  document.body.append(place);
})"""
LONG_LINES = """async () => {
  const { BlockCutter, markdown } = await import("/static/markdown.js");
  const begun = performance.now();
  const tags = [];
  const spaces = " ".repeat(80_000);
  for (const line of [`# ${spaces}`, `- ${spaces}`, "~".repeat(80_000)]) {
    const text = `${line}\\u2028x`;
    tags.push(markdown(text).firstElementChild.tagName);
    new BlockCutter().cut(`\\n${text}\\n`);
  }
  return [performance.now() - begun, tags];
}"""
# Milliseconds of the longest time that the page could not react; the promise resolves
# with it once it is asked to stop.
WATCHED = """() => {
  window.longest = 0;
  let last = performance.now();
  const look = () => {
    const now = performance.now();
    window.longest = Math.max(window.longest, now - last);
    last = now;
    setTimeout(look, 10);
  };
  look();
}"""


async def test_nothing_that_is_said_becomes_markup(product: Product) -> None:
    async with new_page() as (page, record):
        await chat(page, product.url)
        messages: list[dict[str, Any]] = [
            {"type": "human", "id": "1", "content": SCRIPT},
            {"type": "ai", "id": "2", "content": MARKDOWN},
            {**RESULT, "id": "3"},
            {"type": "ai", "id": "4", "content": [{"type": "text", "text": SCRIPT}]},
        ]
        thread = await thread_with(page, messages, SCRIPT)
        await page.goto(f"{product.url}/?thread={thread}")
        await expect(page.locator('[data-role="ai"]')).to_have_count(2)
        await expect(page.locator("#threads [aria-current]")).to_have_text(SCRIPT)
        await expect(page.locator('[data-role="human"]')).to_contain_text(SCRIPT)
        assert await page.evaluate(FORBIDDEN) == []
        links = page.locator("#messages a")
        found = await links.evaluate_all("(all) => all.map((one) => one.href)")
        assert found
        assert {url.split("/")[2] for url in found} <= {"good.test", "evil.test"}
        for link in await links.all():
            assert await link.get_attribute("rel") == "noopener noreferrer"
        assert await page.title() == f"{SCRIPT} · Nexius"
        asked = {url.split("/")[2] for _, url, _ in record.requests}
        assert asked == {product.url.removeprefix("http://")}
        assert record.complaints == []
        # And if it did, it would not run.
        assert await page.evaluate(TRY_SCRIPT, SCRIPT) == "blocked"
        assert await page.title() != "owned"


async def test_hostile_errors_questions_and_addresses_are_only_words(
    product: Product,
) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url, f"/?thread={SCRIPT}&return_to=javascript:1")
        await expect(page.locator(".welcome")).to_be_visible()
        stream = (
            'event: metadata\ndata: {"run_id": "r"}\n\n'
            'event: error\ndata: {"error": "E", "message": "<b onclick=x>no</b>"}\n\n'
        )
        await page.route(
            "**/runs/stream",
            lambda route: route.fulfill(
                headers={"Content-Type": "text/event-stream"}, body=stream
            ),
        )
        await say(page, "hello")
        notice = page.locator("#notices .error")
        await expect(notice).to_contain_text("<b onclick=x>no</b>", timeout=PATIENCE)
        assert await notice.locator("b").count() == 0


async def test_a_token_of_5_mb_leaves_the_page_alive(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await page.evaluate(WATCHED)
        await say(page, "big 5000")
        await expect(page.locator(".cut")).to_contain_text("5.1 MB", timeout=60_000)
        await expect(page.locator("#send")).to_be_visible(timeout=PATIENCE)
        # Seconds on a busy machine, where work that grew with the square took minutes.
        assert await page.evaluate("window.longest") < 10_000
        await page.fill("#composer", "and still one can type")
        cut = page.locator('[data-role="ai"] .cut')
        await cut.get_by_role("button").click()
        await expect(page.locator(".rest")).to_have_count(1)
        shown = await page.evaluate("document.querySelector('#messages').innerText")
        assert 200_000 <= len(shown) < 300_000
        await page.fill("#composer", "")
        await say(page, "hello again")
        await answered(page, "hello again")


async def test_no_line_takes_longer_than_it_is_long(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        # Half a minute where the work grew with the square.
        spent, tags = await page.evaluate(LONG_LINES)
        assert tags == ["H4", "UL", "DIV"]
        assert spent < 5000


async def test_a_draft_survives_a_reload_a_sign_in_and_nobody_else_gets_it(
    product: Product,
) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await page.fill("#composer", "half a thought")
        await page.reload()
        await expect(page.locator("#composer")).to_have_value("half a thought")
        await page.context.clear_cookies()
        await page.press("#composer", "Enter")
        await page.wait_for_url("**/login?return_to=%2F")
        await enter(page, product.url, "bob@globex.test")
        await expect(page.locator("#identity")).to_contain_text("bob", timeout=PATIENCE)
        await expect(page.locator("#composer")).to_have_value("")
        await page.context.clear_cookies()
        await chat(page, product.url)
        await expect(page.locator("#composer")).to_have_value("half a thought")


async def test_a_server_that_goes_away_is_told_of_and_come_back_to(
    product: Product, tmp_path: Path
) -> None:
    async with breakable(product, tmp_path) as (gateway, _), new_page() as (page, _r):
        await chat(page, gateway.url)
        gateway.stop()
        await say(page, "are you there?")
        notice = page.locator("#notices .error")
        await expect(notice).to_contain_text("could not reach", timeout=PATIENCE)
        await expect(page.locator("#composer")).to_have_value("are you there?")
        await expect(page.locator("#composer")).to_be_focused()
        await gateway.start()
        await page.press("#composer", "Enter")
        await answered(page, "are you there?")
        await expect(notice).to_have_count(0)

        # In the middle of an answer it is waited for, and the answer goes on.
        await say(page, "long 60")
        said = page.locator('[data-role="ai"]').last
        await expect(said).to_contain_text("tok5", timeout=PATIENCE)
        restarted = asyncio.create_task(gateway.restart(crash=True, away=2.0))
        link = page.locator("#link")
        lost = "Connection lost. Reconnecting…"
        await expect(link).to_have_text(lost, timeout=PATIENCE)
        await restarted
        await expect(link).to_have_text("", timeout=PATIENCE)
        await expect(said).to_contain_text("tok59", timeout=PATIENCE)
        text = await said.locator(".body").inner_text()
        assert text.split() == [f"tok{number}" for number in range(60)]
        thread = page.url.rpartition("=")[2]
        runs = await ask(page, "GET", f"/graph/threads/{thread}/runs")
        assert len(runs) == 2
