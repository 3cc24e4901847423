"""axe-core on our pages in Chromium: WCAG 2.1 A and AA, light and dark, two widths.

Its source is evaluated by the debugger, which no policy of a page hinders.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from tests.parts import node_sdks

if TYPE_CHECKING:
    from playwright.async_api import Page

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
WIDTHS = (360, 1280)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
RUN = """async (tags) => {
  const found = await axe.run(document, {
    runOnly: { type: "tag", values: tags },
    resultTypes: ["violations"],
  });
  return found.violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, failureSummary }) =>
      `${id}: ${help}\\n  ${target.join(" ")}\\n  ${failureSummary}`));
}"""
# What sticks out of the window to the right, a page that scrolls sideways.
TOO_WIDE = """() => document.scrollingElement.scrollWidth > innerWidth
  ? [...document.querySelectorAll("body *")]
      .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
      .slice(0, 5).map((one) => one.outerHTML.slice(0, 120))
  : []"""


async def assert_clean(page: Page, state: str) -> None:
    """Make sure that nobody is kept out of *page* as it is now, called *state*."""
    size = page.viewport_size
    # Colours that are on their way to others would be measured.
    await page.emulate_media(reduced_motion="reduce")
    found: list[str] = []
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 800})
            where = f"{state}, {scheme}, {width} px"
            found += [f"{where}: {one}" for one in await violations(page)]
            found += [f"{where}: too wide: {one}" for one in await too_wide(page)]
    await page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    if size is not None:
        await page.set_viewport_size(size)
    assert not found, "\n".join(found)


async def violations(page: Page) -> list[str]:
    """Return what axe-core complains of on *page*."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_source())
    return list(await page.evaluate(RUN, TAGS))


async def too_wide(page: Page) -> list[str]:
    """Return the first elements that make *page* scroll sideways."""
    return list(await page.evaluate(TOO_WIDE))


@lru_cache(maxsize=1)
def _source() -> str:
    return (node_sdks() / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
