"""Which modules a page imports is said in the page."""

from __future__ import annotations

import re

import pytest

from bff.pages.modules import hinted, needed
from bff.pages.routes import FOLDER, load

MODULES = {
    "page/main.js": 'import { a } from "./a.js";\nimport "../shared.js";\na();',
    "page/a.js": '/** "./none.js" */\nexport { b } from "../b.js";\n',
    "b.js": 'import { a } from "./page/a.js";\n',
    "shared.js": "",
    "other.js": "",
}


def test_all_that_is_imported_is_found_once() -> None:
    found = needed("page/main.js", MODULES)
    assert found == ["page/main.js", "page/a.js", "shared.js", "b.js"]
    with pytest.raises(KeyError):
        needed("lost.js", MODULES)


def test_a_page_names_them_before_its_script() -> None:
    script = '<script type="module" src="/static/page/main.js"></script>'
    page = hinted(f"<head>\n  {script}\n</head>", MODULES)
    links = [f"/static/{name}" for name in ("page/a.js", "shared.js", "b.js")]
    hints = [f'  <link rel="modulepreload" href="{link}">' for link in links]
    assert page.splitlines() == ["<head>", *hints, f"  {script}", "</head>"]


def test_every_page_of_ours_names_modules_that_exist() -> None:
    for page in FOLDER.glob("*.html"):
        body = load()[page.name].body.decode()
        named = re.findall(r'"/static/([^"]+\.js)"', body)
        assert len(named) == len(set(named))
        assert set(named) <= set(load())
    assert "chat/run.js" in load()["index.html"].body.decode()
