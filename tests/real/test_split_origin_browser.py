"""A UI on an origin of its own in Chromium: cookies travel, streams arrive, no token.

`bff dev --ui`, the page of a developer on another port, and pages of strangers.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from bff.dev.demo import PASSWORD
from tests.parts import node_sdks
from tests.real import product as products
from tests.real.browser import Record, browser_context, watch
from tests.real.split_ui import PAGE, serving, with_sdk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from playwright.async_api import BrowserContext, Page

    from tests.real.product import Product

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(240)]

PATIENCE = 30_000  # milliseconds
SDK = "sdk-2.0.0"
# What a page's scripts have at hand; `HOME` is the gateway.
HELPERS = """
self.ask = async (method, path, body) => {
  const headers = body ? {"Content-Type": "application/json"} : {};
  const asked = {method, headers, credentials: "include"};
  if (body) asked.body = JSON.stringify(body);
  try {
    const answer = await fetch(HOME + path, asked);
    const text = await answer.text();
    return {status: answer.status, body: text && JSON.parse(text),
            headers: Object.fromEntries(answer.headers)};
  } catch (error) { return {status: 0, body: error.name, headers: {}}; }
};
"""
# Reads a run as it streams, and says how much was there with each piece.
STREAM = """async (thread) => {
  const answer = await fetch(`${HOME}/graph/threads/${thread}/runs/stream`, {
    method: "POST", credentials: "include",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({assistant_id: "agent", stream_mode: "messages-tuple",
                          input: {messages: [{type: "human", content: "long 20"}]}}),
  });
  const pieces = [];
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let got = await reader.read(); !got.done; got = await reader.read()) {
    pieces.push(got.value);
  }
  const location = answer.headers.get("content-location");
  return {status: answer.status, location, pieces};
}"""
EVENTS = """() => new Promise((done) => {
  const source = new EventSource(`${HOME}/onboarding/events`, {withCredentials: true});
  source.onmessage = ({data}) => { source.close(); done(JSON.parse(data).status); };
  source.onerror = () => { source.close(); done("refused"); };
})"""
SOCKET = """(thread) => new Promise((done) => {
  const url = `${HOME.replace("http", "ws")}/graph/threads/${thread}/stream/events`;
  const socket = new WebSocket(url);
  socket.onopen = () => { socket.close(); done("open"); };
  socket.onerror = () => done("refused");
})"""
WITH_SDK = """async () => {
  const { Client } = await import("/modules/SDK/dist/client.js");
  const client = new Client({
    apiUrl: `${HOME}/graph`,
    onRequest: (url, init) => ({...init, credentials: "include"}),
  });
  const thread = await client.threads.create();
  const tokens = [];
  let run = null;
  for await (const part of client.runs.stream(thread.thread_id, "agent", {
    input: {messages: [{type: "human", content: "long 10"}]},
    streamMode: "messages-tuple", streamResumable: true,
    onRunCreated: (created) => { run = created.run_id; },
  })) {
    const token = part.event === "messages" && part.data[0].content;
    if (token) tokens.push(token);
  }
  const state = await client.threads.getState(thread.thread_id);
  const found = await client.threads.search({limit: 1});
  return {run, tokens, messages: state.values.messages.length, found: found.length};
}""".replace("SDK", SDK)


@dataclass
class Site:
    """A running `bff dev --ui`, and the UI that it was told of."""

    product: Product
    ui: str

    @property
    def home(self) -> str:
        return self.product.url

    @asynccontextmanager
    async def page(self, url: str | None = None) -> AsyncGenerator[tuple[Page, Record]]:
        """Open *url*, the UI's unless told, in a fresh browser."""
        async with browser_context() as context:
            yield await self.tab(context, url)

    async def tab(
        self, context: BrowserContext, url: str | None = None
    ) -> tuple[Page, Record]:
        page = await context.new_page()
        record = watch(page)
        await page.add_init_script(f"self.HOME = '{self.home}';{HELPERS}")
        await page.goto(url or self.ui)
        return page, record

    async def sign_in(self, page: Page, back: str = "/") -> None:
        """Sign in at the gateway, and come back to the UI."""
        there = quote(self.ui + back, safe="")
        await page.goto(f"{self.home}/login?return_to={there}")
        await page.fill("#email", "alice@acme.test")
        await page.fill("#password", PASSWORD)
        await page.click("#sign-in")
        await page.wait_for_url(f"{self.ui}{back}", timeout=PATIENCE)

    def carried_no_token(self, record: Record) -> None:
        """Fail if a request had a token, or none of them the session's cookies."""
        sent = [(u, h) for _, u, h in record.requests if u.startswith(self.home)]
        assert not [url for url, headers in sent if "authorization" in headers]
        assert [
            url for url, headers in sent if "nx_access" in headers.get("cookie", "")
        ]


@pytest.fixture(scope="module")
def site() -> Generator[Site]:
    modules = node_sdks()
    files: dict[str, str | Path] = {"/": with_sdk(SDK), "/modules": modules}
    with tempfile.TemporaryDirectory(prefix="bff-split-") as name, serving(files) as ui:
        folder = Path(name)
        folder.chmod(0o711)  # the database runs as a system user when we are root
        running = products.start(folder, ["--ui", ui])
        try:
            yield Site(running, ui)
        finally:
            products.stop(running)


async def new_thread(page: Page) -> str:
    made = await page.evaluate("ask('POST', '/graph/threads', {})")
    assert made["status"] == 200, made
    return str(made["body"]["thread_id"])


async def test_the_developer_is_told_what_works(site: Site) -> None:
    said = site.product.output()
    assert f"NEXT_PUBLIC_API_URL={site.home}/graph" in said
    there = re.search(rf"{site.home}/login\?return_to=\S+", said)
    assert there
    async with site.page(there[0]) as (page, _):
        await page.fill("#email", "alice@acme.test")
        await page.fill("#password", PASSWORD)
        await page.click("#sign-in")
        await page.wait_for_url(f"{site.ui}/", timeout=PATIENCE)
        # Signed in already: the sign-in page leads back at once.
        await page.goto(there[0])
        await page.wait_for_url(f"{site.ui}/", timeout=PATIENCE)


async def test_cookies_travel_and_the_answer_streams_token_by_token(
    site: Site,
) -> None:
    async with site.page() as (page, record):
        refused = await page.evaluate("ask('GET', '/whoami')")
        assert (refused["status"], refused["body"]["code"]) == (401, "not_signed_in")
        await site.sign_in(page, "/chat?x=1#part")
        who = await page.evaluate("ask('GET', '/whoami')")
        assert who["body"]["email"] == "alice@acme.test"
        assert who["headers"]["x-request-id"]
        assert "nx_" not in await page.evaluate("document.cookie")

        thread = await new_thread(page)
        found = await page.evaluate(STREAM, thread)
        assert found["status"] == 200
        assert f"/threads/{thread}/runs/" in found["location"]
        with_tokens = [one for one in found["pieces"] if "tok" in one]
        assert len(with_tokens) > 5, "not all in one"
        assert "tok19" not in "".join(with_tokens[:3])
        assert "tok19" in "".join(found["pieces"])

        searched = await page.evaluate(
            "ask('POST', '/graph/threads/search', {limit: 1})"
        )
        assert int(searched["headers"]["x-pagination-total"]) >= 1
        assert await page.evaluate(EVENTS) == "ready"
        assert await page.evaluate(SOCKET, thread) == "open"
        await new_thread(page)
        site.carried_no_token(record)


async def test_the_sdk_streams_with_cookies(site: Site) -> None:
    async with site.page() as (page, record):
        await site.sign_in(page)
        found = await page.evaluate(WITH_SDK)

        assert found["run"]
        assert "".join(found["tokens"]).count("tok") == 10
        assert len(found["tokens"]) > 5
        assert found["messages"] == 2
        assert found["found"] == 1
        site.carried_no_token(record)
        assert record.complaints == []


async def test_single_sign_on_comes_back_to_the_ui(site: Site) -> None:
    async with site.page() as (page, record):
        await page.goto(f"{site.home}/login?return_to={site.ui}/deep")
        await page.click("#sso")
        await page.fill('input[name="username"]', "alice@acme.test")
        await page.fill('input[name="password"]', PASSWORD)
        await page.click('button[type="submit"], input[type="submit"]')
        await page.wait_for_url(f"{site.ui}/deep", timeout=PATIENCE)
        who = await page.evaluate("ask('GET', '/whoami')")
        assert who["status"] == 200
        out = await page.evaluate("ask('POST', '/auth/logout', {})")
        assert out["status"] == 204
        assert "client_id" in out["headers"]["x-logout-url"]
        assert (await page.evaluate("ask('GET', '/whoami')"))["status"] == 401
        site.carried_no_token(record)


async def test_the_session_s_module_speaks_to_the_gateway(site: Site) -> None:
    async with site.page() as (page, record):
        await page.evaluate(
            "import(HOME + '/static/session.js').then((api) => {"
            " Object.assign(self, api, {heard: []});"
            " onSignedOut((why) => heard.push(why)); })"
        )
        assert not (await page.evaluate("session()"))["authenticated"]
        back = await page.evaluate("signInUrl()")
        assert back.startswith(f"{site.home}/login?return_to=http%3A%2F%2Flocalhost%3A")
        await page.goto(back)
        await page.fill("#email", "alice@acme.test")
        await page.fill("#password", PASSWORD)
        await page.click("#sign-in")
        await page.wait_for_url(f"{site.ui}/", timeout=PATIENCE)
        await page.evaluate(
            "import(HOME + '/static/session.js').then((api) => {"
            " Object.assign(self, api, {heard: []});"
            " onSignedOut((why) => heard.push(why)); })"
        )
        assert (await page.evaluate("session()"))["email"] == "alice@acme.test"
        assert await page.evaluate("renew()")
        status = "withSession(HOME + '/whoami').then((answer) => answer.status)"
        assert await page.evaluate(status) == 200
        own = "withSession('/deep').then((answer) => answer.status)"
        assert await page.evaluate(own) == 200
        assert await page.evaluate("signOut()") is None
        assert await page.evaluate("heard") == ["here"]
        assert await page.evaluate(status) == 401
        site.carried_no_token(record)


async def refused_everywhere(page: Page, thread: str) -> None:
    """Try everything that works for the UI, as a page of somebody else."""
    assert await page.evaluate(
        "Promise.all([ask('GET', '/whoami'), ask('POST', '/graph/threads', {}),"
        " ask('GET', '/graph/info'), ask('POST', '/auth/logout', {})])"
        ".then((all) => all.map((one) => one.status))"
    ) == [0, 0, 0, 0]
    assert await page.evaluate(EVENTS) == "refused"
    assert await page.evaluate(SOCKET, thread) == "refused"
    # What needs no leave arrives, and is refused there.
    await page.evaluate(
        "fetch(HOME + '/auth/logout', {method: 'POST', mode: 'no-cors',"
        " credentials: 'include', body: '{}'}).catch(() => 0)"
    )
    named = "fetch(HOME + '/whoami', {credentials: 'include',"
    named += " headers: {Authorization: 'Bearer x'}}).then(() => 1, () => 0)"
    assert await page.evaluate(named) == 0


async def test_strangers_pages_in_the_same_browser_get_nothing(site: Site) -> None:
    with serving({"/": PAGE}) as stranger:
        port = stranger.rpartition(":")[2]
        async with browser_context() as context:
            page, _ = await site.tab(context)
            await site.sign_in(page)
            thread = await new_thread(page)
            for url in (stranger, f"http://127.0.0.1:{port}"):
                other, _ = await site.tab(context, url)
                await refused_everywhere(other, thread)
                # Nor does a sign-in lead there.
                await other.goto(f"{site.home}/login?return_to={url}/")
                await other.wait_for_url(f"{site.home}/", timeout=PATIENCE)
            # The UI by its other name is another site: browsers send it no cookies.
            other, _ = await site.tab(
                context, site.ui.replace("localhost", "127.0.0.1")
            )
            await refused_everywhere(other, thread)
            who = await page.evaluate("ask('GET', '/whoami')")
            assert who["status"] == 200, "nobody was signed out"


async def test_a_framed_page_without_an_origin_gets_nothing(site: Site) -> None:
    async with site.page() as (page, _):
        await site.sign_in(page)
        await page.evaluate(
            """() => new Promise((done) => {
              const frame = document.createElement("iframe");
              frame.sandbox = "allow-scripts";
              self.onmessage = ({data}) => { self.told = data; done(); };
              frame.srcdoc = `<script>fetch("${HOME}/whoami", {credentials: "include"})
                .then(() => "read", (e) => e.name)
                .then((said) => parent.postMessage([origin, said], "*"))<\\/script>`;
              document.body.append(frame);
            })"""
        )
        assert await page.evaluate("told") == ["null", "TypeError"]


async def test_the_gateway_s_own_pages_work_as_ever(site: Site) -> None:
    async with site.page(f"{site.home}/") as (page, record):
        await page.fill("#email", "alice@acme.test")
        await page.fill("#password", PASSWORD)
        await page.click("#sign-in")
        await expect(page.locator("#composer")).to_be_visible(timeout=PATIENCE)
        assert page.url == f"{site.home}/"
        assert record.complaints == []
