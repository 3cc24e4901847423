"""`bff dev --ui`: a user interface that somebody develops, beside us or behind us."""

from __future__ import annotations

from typing import Any

from bff.config_dev import trouble_with

# What the gateway listens on there, by the two names that browsers hold apart.
NAMES = ("localhost", "127.0.0.1")


class NoUi(Exception):
    """Say in one sentence why an address can be no UI's."""


def own_origins(port: int, ui: str | None, *, behind: bool = False) -> tuple[str, str]:
    """Return the gateway's origins, that of the same name as the *ui* first.

    Cookies know no ports, but names: those of localhost are not sent to 127.0.0.1. To a
    UI *behind* the gateway none are sent by browsers.

    Raises:
        NoUi: when browsers would not take *ui* and the gateway for one site, or there
            is none to be shown.
    """
    if behind and ui is None:
        raise NoUi("--one-origin: say whose pages to show, with --ui")
    ui = None if ui is None or behind else ui.rstrip("/")
    by_address = ui is not None and f"://{NAMES[1]}" in ui
    names = reversed(NAMES) if by_address else NAMES
    first, second = (f"http://{name}:{port}" for name in names)
    if ui is not None and (trouble := trouble_with(ui, (first, second))):
        raise NoUi(f"--ui {ui}: {trouble}")
    return first, second


def settings(ui: str | None, *, behind: bool) -> dict[str, Any]:
    """Return the sections that let *ui* in, or show it *behind* the gateway."""
    if ui is None:
        return {}
    if behind:
        # What `next dev` needs beside what is live.
        csp = {"script-src": ["'unsafe-eval'"]}
        return {"ui": {"mode": "upstream", "upstream": ui, "csp": csp}}
    return {"split_origin": {"origins": [ui]}}


def advice(gateway: str, ui: str, *, behind: bool) -> str:
    """Return what to tell whoever develops *ui*."""
    ui = ui.rstrip("/")
    if behind:
        return f"\nYour UI:  {ui}  is shown at {gateway}; let it call {gateway}/graph"
    return f"""
Your UI:  {ui}  may call this gateway, cookies included. Start it with, for example,
  NEXT_PUBLIC_API_URL={gateway}/graph NEXT_PUBLIC_ASSISTANT_ID=agent   (Next.js)
  VITE_API_URL={gateway}/graph VITE_ASSISTANT_ID=agent   (Vite)
let it send cookies: fetch(url, {{ credentials: "include" }}), then open
  {gateway}/login?return_to={ui}/
Or one origin and no CORS, as when it is live: --one-origin (docs/ui.md)."""
