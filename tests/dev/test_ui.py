"""`bff dev --ui`: what a UI's address may be, and what its developer is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bff.config import ConfigError, build
from bff.dev.run import CannotRun, Options, run
from bff.dev.ui import NoUi, advice, own_origins, settings

if TYPE_CHECKING:
    from pathlib import Path


def test_the_gateway_goes_by_the_name_that_the_ui_goes_by() -> None:
    by_name = ("http://localhost:8080", "http://127.0.0.1:8080")
    assert own_origins(8080, None) == by_name
    assert own_origins(8080, "http://localhost:3000") == by_name
    assert own_origins(8080, "http://localhost:3000/") == by_name
    assert own_origins(8080, "http://127.0.0.1:3000") == by_name[::-1]


@pytest.mark.parametrize(
    ("ui", "said"),
    [
        ("localhost:3000", "scheme://host"),
        ("http://localhost:3000/app", "no path"),
        ("*", "no wildcard"),
        ("http://localhost:8080", "gateway's own"),
        ("http://127.0.0.1:8080", "gateway's own"),
        ("https://localhost:3000", "another site"),
        ("http://app.localhost:3000", "open the UI as http://localhost:3000"),
        ("http://ui.example.com", "plain http"),
        ("http://[::1]:3000", "open the UI as http://localhost:3000"),
        ("", "scheme://host"),
    ],
)
async def test_an_address_that_would_get_no_cookies_is_said_so_at_once(
    ui: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(NoUi, match="--ui") as caught:
        own_origins(8080, ui)
    assert said in str(caught.value)
    with pytest.raises(CannotRun, match="--ui"):
        await run(Options(ui=ui, folder=tmp_path / "home"))
    assert not (tmp_path / "home" / "postgres").exists()


def test_a_developer_is_told_what_to_set_and_what_to_open() -> None:
    told = advice("http://localhost:8080", "http://localhost:3000/", behind=False)

    for line in (
        "NEXT_PUBLIC_API_URL=http://localhost:8080/graph",
        "VITE_API_URL=http://localhost:8080/graph",
        "http://localhost:8080/login?return_to=http://localhost:3000/\n",
        'credentials: "include"',
        "--one-origin",
    ):
        assert line in told
    told = advice("http://localhost:8080", "http://localhost:3000", behind=True)
    assert "http://localhost:3000  is shown at http://localhost:8080" in told


async def test_a_ui_is_let_in_or_shown(tmp_path: Path) -> None:
    ui = "http://localhost:3000"
    assert settings(None, behind=False) == {}
    assert settings(ui, behind=False) == {"split_origin": {"origins": [ui]}}
    for behind in (False, True):
        told = {"environment": "dev", **settings(ui, behind=behind)}
        with pytest.raises(ConfigError) as caught:
            build(told)
        ours = ("ui", "split_origin")
        assert not [one for one in caught.value.problems if one.startswith(ours)]
    assert settings(ui, behind=True)["ui"]["upstream"] == ui
    with pytest.raises(CannotRun, match="with --ui"):
        await run(Options(one_origin=True, folder=tmp_path / "home"))
