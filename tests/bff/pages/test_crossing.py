"""What crosses between browsers and a user interface's own server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.pages.crossing import may_be_set, to_ui, wanted

OURS = ("nx_access", "refresher")


@pytest.mark.parametrize(
    ("sent", "crosses"),
    [
        ([], ""),
        (["theme=dark"], "theme=dark"),
        (["theme=dark; nx_access=1; lang=en"], "theme=dark; lang=en"),
        (["nx_access=1"], ""),
        (["nx_access.1=1; nx_refresh=2; nx_signin.x=3; nx_device=4"], ""),
        (["__Host-nx_access=1; __Secure-nx_x=2; __host-NX_ACCESS=3"], ""),
        (
            ["refresher=1; refresher.2=1; __Host-refresher=1; refreshers=1"],
            "refreshers=1",
        ),
        (["a=1", "b=2; nx_access=3"], "a=1; b=2"),
        ([" a=1 ;; ; b=2"], "a=1; b=2"),
        (["a=nx_access=1"], "a=nx_access=1"),
        (["nx_access"], ""),
        (["x_nx_access=1"], "x_nx_access=1"),
    ],
)
def test_our_cookies_stay_and_the_ui_s_own_cross(sent: list[str], crosses: str) -> None:
    assert to_ui(sent, OURS) == crosses


@pytest.mark.parametrize(
    "name", ["__Secure-mine", "__secure-MINE.1", "mine", "__Host-mine"]
)
def test_ours_may_have_a_prefix_by_the_settings(name: str) -> None:
    ours = ("__Secure-mine", "__Host-other")

    assert to_ui([f"{name}=1; a=2"], ours) == "a=2"
    assert not may_be_set(f"{name}=evil", ours)
    assert may_be_set("a=2", ours)


@pytest.mark.parametrize(
    ("value", "may"),
    [
        ("theme=dark; Path=/", True),
        ("__Host-theme=dark; Path=/; Secure", True),
        ("theme=; Max-Age=0", True),
        ("nx_access=evil; Path=/", False),
        ("NX_ACCESS=evil", False),
        (" nx_access =evil", False),
        ("\tnx_refresh.1=evil", False),
        ("__Host-nx_access=evil; Secure", False),
        ("__Http-nx_access=evil; Secure", False),
        ("__Host-Http-nx_access=evil; Secure", False),
        ("refresher=evil", False),
        ("Refresher.1=evil", False),
        ("=nx_access=evil", False),
        ("=anything", False),
        ("nx_access", False),
        ("anything", False),
        ("", False),
    ],
)
def test_a_ui_cannot_set_what_is_ours(value: str, *, may: bool) -> None:
    assert may_be_set(value, OURS) is may


def test_a_ui_does_not_speak_for_the_origin() -> None:
    fields = [
        ("Content-Type", "text/html"),
        ("Clear-Site-Data", '"cookies"'),
        ("alt-svc", 'h3=":443"'),
        ("X-Powered-By", "Next.js"),
        ("WWW-Authenticate", "Basic"),
        ("NEL", "{}"),
        ("Link", "</a.css>; rel=preload"),
    ]

    assert wanted(fields) == [fields[0], fields[-1]]


_TEXT = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40)


@given(st.lists(_TEXT), _TEXT)
def test_no_spelling_carries_our_cookie_across(around: list[str], value: str) -> None:
    secret = "nx_access=" + value.replace(";", "")
    sent = ";".join([*around, secret, *around])
    kept = [pair.strip() for pair in to_ui([sent], OURS).split(";")]

    assert not any(pair.lower().startswith(("nx_", "__host-nx_")) for pair in kept)
