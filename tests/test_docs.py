"""What the documentation points to is there: pages, headings, commands, settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from pydantic import BaseModel

from bff.__main__ import app
from bff.config import Config
from bff.config_proxy import ProxyTarget
from bff.dev.reference_cli import commands

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *(?:\d+\. )?```.*?^ *```", re.MULTILINE | re.DOTALL)
# `bff db roles --admin-url …`, in a sentence or in a block.
COMMAND = re.compile(
    r"(?:^|[`$] ?|bin/)bff ((?:[a-z][a-z-]* ?)+)((?:[^`#\n|]|\\\n)*)", re.MULTILINE
)
SETTING = re.compile(r"`\[([a-z_]+)\] ([a-z_]+)")
OPTION = re.compile(r"(?<=\s)--[a-z-]+")


def names() -> list[str]:
    return [str(page.relative_to(ROOT)) for page in PAGES]


def anchors(page: Path) -> set[str]:
    """Return what headings are called in addresses, as GitHub writes them."""
    found: set[str] = set()
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        kept = re.sub(r"[^\w\- ]", "", plain.strip().lower())
        found.add(kept.replace(" ", "-"))
    return found


def links(page: Path) -> Iterator[str]:
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if not re.match(r"[a-z]+:", link):
            yield link


def settings() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for attribute, field in Config.model_fields.items():
        kinds = (ProxyTarget,) if attribute == "proxy" else (field.annotation,)
        for kind in (*kinds, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                section = found.setdefault(field.alias or attribute, set())
                section.update(
                    one.alias or name for name, one in kind.model_fields.items()
                )
    return found


@pytest.mark.parametrize("name", names())
def test_links_lead_somewhere(name: str) -> None:
    page, wrong = ROOT / name, []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)

    assert not wrong


@pytest.mark.parametrize("name", names())
def test_commands_exist_with_their_options(name: str) -> None:
    known = {
        whole: {name for one in command.params for name in one.opts}
        | {name for one in command.params for name in one.secondary_opts}
        for whole, command in commands(app)
    }
    wrong = []
    for words, rest in COMMAND.findall((ROOT / name).read_text(encoding="utf-8")):
        whole = f"bff {words.strip()}"
        while whole not in known and " " in whole:
            whole = whole.rpartition(" ")[0]
        group = any(one.startswith(f"bff {words.split()[0]} ") for one in known)
        if whole not in known:
            if not group:
                wrong.append(f"bff {words}")
            continue
        options = set(OPTION.findall(f" {rest}")) - {"--help"}
        wrong += [f"{whole} {one}" for one in options - known[whole]]

    assert not wrong


@pytest.mark.parametrize("name", names())
def test_settings_exist(name: str) -> None:
    known = settings()
    if name == "CHANGELOG.md":
        pytest.skip("it may speak of what is no more")

    wrong = [
        f"[{section}] {key}"
        for section, key in SETTING.findall((ROOT / name).read_text(encoding="utf-8"))
        if key not in known.get(section, ())
    ]

    assert not wrong
