"""Files that go with a message: chosen, dropped, pasted; shown, removed, refused."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.real.axe import assert_clean
from tests.real.pages import answer_with, answered, ask, chat, focused, new_page, say

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.real.product import Product

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]

# A red dot of one pixel.
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAA"
    "AABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4 a test, obviously"
HOSTILE = "<img src=x onerror=alert(1)>.png"
# A number stands for so many zero bytes.
GIVE = """([target, kind, files]) => {
  const data = new DataTransfer();
  for (const [name, type, content] of files) {
    const bytes = typeof content === "number" ? new Uint8Array(content) : content;
    data.items.add(new File([bytes], name, { type }));
  }
  const about = { bubbles: true, cancelable: true };
  const event = kind === "paste"
    ? new ClipboardEvent(kind, { ...about, clipboardData: data })
    : new DragEvent(kind, { ...about, dataTransfer: data });
  document.querySelector(target).dispatchEvent(event);
}"""


def file(name: str, kind: str, content: bytes) -> Any:
    return {"name": name, "mimeType": kind, "buffer": content}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def choose(page: Page, *files: Any) -> None:
    await page.set_input_files("#file-input", list(files))


async def give(
    page: Page, target: str, kind: str, *files: tuple[str, str, str | int]
) -> None:
    await page.evaluate(GIVE, [target, kind, files])


async def test_files_arrive_as_agent_chat_ui_sends_them_and_are_shown(
    product: Product,
) -> None:
    async with new_page() as (page, record):
        await chat(page, product.url)
        await choose(
            page,
            file(HOSTILE, "image/png", DOT),
            file("offer.pdf", "application/pdf", PDF),
            file("notes.md", "", b"# Notes"),
        )
        await expect(page.locator("#files li")).to_have_count(3)
        await assert_clean(page, "files chosen")
        await say(page, "files")
        answer = await answered(page, digest(DOT))
        await expect(answer).to_contain_text(f"application/pdf, {len(PDF)} bytes")
        await expect(answer).to_contain_text(digest(b"# Notes"))
        await expect(page.locator("#files")).to_be_hidden()
        thread = page.url.rpartition("=")[2]
        state = await ask(page, "GET", f"/graph/threads/{thread}/state")
        text, image, pdf, notes = state["values"]["messages"][0]["content"]
        assert text == {"type": "text", "text": "files"}
        assert image == {
            "type": "image",
            "mimeType": "image/png",
            "data": base64.b64encode(DOT).decode(),
            "metadata": {"name": HOSTILE},
        }
        assert pdf["type"] == notes["type"] == "file"
        assert pdf["metadata"] == {"filename": "offer.pdf"}
        await page.reload()
        said = page.locator('[data-role="human"]')
        await expect(said.locator("img")).to_have_count(1)
        await expect(said.locator("img")).to_have_attribute("alt", f"Image {HOSTILE}")
        seen = "(image) => image.decode().then(() => image.naturalWidth)"
        assert await said.locator("img").evaluate(seen) == 1
        await expect(said.locator(".file-name")).to_have_text(["offer.pdf", "notes.md"])
        await assert_clean(page, "files sent")
        assert record.complaints == []


async def test_files_are_dropped_pasted_and_removed_by_keys(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        one = ("one.txt", "text/plain", "1")
        await give(page, "#messages", "dragover", one)
        await expect(page.locator(".drop")).to_be_visible()
        await give(page, "#messages", "drop", one)
        await expect(page.locator(".drop")).to_be_hidden()
        await give(page, "#composer", "paste", ("two.txt", "text/plain", "2"))
        names = page.locator("#files .file-name")
        await expect(names).to_have_text(["one.txt", "two.txt"])
        await page.focus("#files button >> nth=0")
        await page.keyboard.press("Enter")
        await expect(names).to_have_text(["two.txt"])
        assert await focused(page) == "Remove two.txt"
        await page.keyboard.press("Enter")
        await expect(page.locator("#files")).to_be_hidden()
        assert await focused(page) == "composer"
        # Text is pasted as ever.
        await page.evaluate(
            """() => {
              const data = new DataTransfer();
              data.setData("text/plain", "words");
              const about = { cancelable: true, clipboardData: data };
              const event = new ClipboardEvent("paste", about);
              document.querySelector("#composer").dispatchEvent(event);
              window.taken = event.defaultPrevented;
            }"""
        )
        assert not await page.evaluate("window.taken")


async def test_what_cannot_be_attached_is_named_with_the_reason(
    product: Product,
) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        note, files = page.locator("#file-note"), page.locator("#files li")
        svg = "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
        await choose(page, file("a<b>.svg", "image/svg+xml", svg.encode()))
        await expect(note).to_contain_text("“a<b>.svg” cannot be attached")
        await choose(page, file("a.exe", "application/x-msdownload", b"MZ"))
        await expect(note).to_contain_text("“a.exe” cannot be attached")
        await expect(files).to_have_count(0)
        large = ("large.pdf", "application/pdf", 15_000_000)
        await give(page, "#messages", "drop", large)
        await expect(files).to_have_text(["large.pdf15.0 MBRemove large.pdf"])
        await expect(note).to_have_text("")
        await give(page, "#messages", "drop", large)
        await expect(note).to_contain_text("“large.pdf” is too large")
        await expect(note).to_contain_text("20.0 MB together")
        await expect(files).to_have_count(1)
        await assert_clean(page, "a file refused")
        tiny = [file(f"{n}.txt", "text/plain", b"x") for n in range(12)]
        await choose(page, *tiny)
        await expect(note).to_contain_text("At most 10 files")
        await expect(files).to_have_count(10)


async def test_15_mb_arrive_whole(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        large = ("large.pdf", "application/pdf", 15_000_000)
        await give(page, "#messages", "drop", large)
        await expect(page.locator("#files li:not([aria-busy])")).to_have_count(1)
        await say(page, "files")
        await answered(page, digest(bytes(15_000_000)))


async def test_what_did_not_arrive_is_put_back(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await choose(page, file("offer.pdf", "application/pdf", PDF))
        await answer_with(page, "/runs/stream", status=413, body="{}")
        await say(page, "files")
        await expect(page.locator("#notices")).to_contain_text("too large to send")
        await expect(page.locator("#composer")).to_have_value("files")
        await expect(page.locator("#files .file-name")).to_have_text("offer.pdf")
        await expect(page.locator('[data-role="human"]')).to_have_count(0)
        await page.unroute("**/runs/stream")
        await page.press("#composer", "Enter")
        await answered(page, digest(PDF))


async def test_a_file_alone_is_a_message(product: Product) -> None:
    async with new_page() as (page, _):
        await chat(page, product.url)
        await choose(page, file("only.pdf", "application/pdf", PDF))
        await page.click("#send")
        await answered(page, "for more")
        await expect(page.locator("#threads [aria-current]")).to_have_text("only.pdf")
