"""Tickets go into cookies of any number and come out only whole and only together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bff.sessions.cookies import (
    MAX_PARTS,
    PART_BYTES,
    TOTAL_BYTES,
    CookieRules,
    CookieTooLarge,
    part_names,
)
from tests.bff.sessions.tickets import (
    NOW,
    PLAIN,
    browse,
    cookies,
    make_pair,
    ring,
    sizes,
)

# Together they stay within the budget: base64 makes four bytes of three.
SIZES = st.integers(0, 5500), st.integers(0, 2400)
OURS = cookies()


def jar_of(
    access_size: int = 100, refresh_size: int = 100, **more: str
) -> dict[str, str]:
    pair = make_pair(access_size, refresh_size, **more)  # type: ignore[arg-type] # sub is the only text
    return browse({}, OURS.set_headers(pair, {}, NOW))


@given(*SIZES)
def test_tickets_of_every_size_come_out_as_they_went_in(
    access_size: int, refresh_size: int
) -> None:
    pair = make_pair(access_size, refresh_size)

    headers = OURS.set_headers(pair, {}, NOW)

    assert all(sizes(header) <= 4096 for header in headers)
    jar = browse({}, headers)
    assert OURS.open_access(jar) == pair.access
    assert OURS.open_refresh(jar) == pair.refresh


@given(*SIZES, *SIZES)
def test_growing_and_shrinking_leaves_exactly_the_right_parts(
    access_1: int, refresh_1: int, access_2: int, refresh_2: int
) -> None:
    first, second = make_pair(access_1, refresh_1), make_pair(access_2, refresh_2)
    jar = browse({}, OURS.set_headers(first, {}, NOW))

    jar = browse(jar, OURS.set_headers(second, jar, NOW))

    assert set(jar) == set(browse({}, OURS.set_headers(second, {}, NOW)))
    assert OURS.open_access(jar) == second.access
    assert OURS.open_refresh(jar) == second.refresh


def test_an_access_ticket_takes_three_parts_when_it_must() -> None:
    assert set(jar_of(6000)) == {
        "nx_access",
        "nx_access.1",
        "nx_access.2",
        "nx_refresh",
    }


@pytest.mark.parametrize("gone", ["nx_access", "nx_access.1", "nx_access.2"])
def test_a_missing_part_means_no_session(gone: str) -> None:
    jar = jar_of(6000)
    del jar[gone]

    assert OURS.open_access(jar) is None
    assert OURS.open_refresh(jar) is not None


def test_reordered_parts_mean_no_session() -> None:
    jar = jar_of(6000)
    jar["nx_access.1"], jar["nx_access.2"] = jar["nx_access.2"], jar["nx_access.1"]

    assert OURS.open_access(jar) is None


def test_an_extra_part_is_no_part_of_the_ticket_and_goes_with_the_next_write() -> None:
    pair = make_pair()
    jar = {**browse({}, OURS.set_headers(pair, {}, NOW)), "nx_access.1": "AAAA"}

    assert OURS.open_access(jar) == pair.access
    assert "nx_access.1" in OURS.present(jar)
    assert "nx_access.1" not in browse(jar, OURS.set_headers(pair, jar, NOW))


@pytest.mark.parametrize("place", ["nx_access", "nx_access.1", "nx_access.2"])
def test_parts_of_two_people_mixed_open_for_neither(place: str) -> None:
    alice, bob = jar_of(6000, sub="alice"), jar_of(6000, sub="bob")

    assert OURS.open_access({**alice, place: bob[place]}) is None


def test_parts_of_two_sign_ins_of_one_person_do_not_mix() -> None:
    first, second = jar_of(6000), jar_of(6000)

    assert OURS.open_access({**first, "nx_access.2": second["nx_access.2"]}) is None


@pytest.mark.parametrize("digit", ["0", "1", "2", "4", "9", "", "x", "²", "-"])
def test_a_wrong_count_means_no_session(digit: str) -> None:
    jar = jar_of(6000)
    jar["nx_access"] = digit + jar["nx_access"][1:]

    assert OURS.open_access(jar) is None


def test_a_refresh_ticket_pasted_as_access_is_refused() -> None:
    jar = jar_of()

    assert OURS.open_access({"nx_access": jar["nx_refresh"]}) is None
    assert OURS.open_refresh({"nx_refresh": jar["nx_access"]}) is None


def test_a_cookie_of_another_name_or_prefix_is_refused() -> None:
    hosted = cookies(CookieRules())

    assert hosted.open_access({"__Host-nx_access": jar_of()["nx_access"]}) is None


@settings(max_examples=300)
@given(st.text(), st.text())
def test_no_text_opens_or_fails(first: str, second: str) -> None:
    for count in ("", "1", "2", "4"):
        jar = {"nx_access": count + first, "nx_access.1": second}
        assert OURS.open_access(jar) is None
        assert OURS.open_refresh({"nx_refresh": count + first}) is None


@given(st.integers(0), st.integers(0, 7))
def test_a_damaged_cookie_means_no_session(place: int, bit: int) -> None:
    jar = jar_of()
    value = jar["nx_access"]
    at = place % (len(value) - 1)  # the very last character holds unused bits
    changed = chr(ord(value[at]) ^ 1 << bit)

    assert (
        OURS.open_access({"nx_access": value[:at] + changed + value[at + 1 :]}) is None
    )


def test_five_hundred_other_cookies_do_no_harm() -> None:
    jar = jar_of()
    crowd = {f"nx_access.{number}": "x" for number in range(4, 504)}

    assert OURS.open_access({**crowd, **jar}) is not None
    assert OURS.present({**crowd, **jar}) == ["nx_access", "nx_refresh"]


def test_huge_cookies_are_not_even_decoded() -> None:
    huge = "A" * 1_000_000

    assert OURS.open_access({"nx_access": "4" + huge}) is None
    assert OURS.open_access({"nx_access": "2A", "nx_access.1": huge}) is None


def test_a_retired_key_means_no_session_and_an_old_one_still_opens() -> None:
    old = cookies(keys=ring(1))
    jar = browse({}, old.set_headers(make_pair(), {}, NOW))

    assert cookies(keys=ring(2, 1)).open_access(jar) is not None
    assert cookies(keys=ring(2)).open_access(jar) is None


@given(st.integers(0, 20000), st.integers(0, 20000))
def test_what_is_written_stays_within_the_budget(access: int, refresh: int) -> None:
    try:
        headers = OURS.set_headers(make_pair(access, refresh), {}, NOW)
    except CookieTooLarge:
        assert (access + refresh) * 4 / 3 > TOTAL_BYTES - 2000
    else:
        assert sum(sizes(header) for header in headers) <= TOTAL_BYTES


def test_more_parts_than_there_are_names_are_too_large() -> None:
    with pytest.raises(CookieTooLarge):
        OURS.set_headers(make_pair(MAX_PARTS * PART_BYTES), {}, NOW)


def test_attributes_keep_the_cookie_to_this_host_and_out_of_scripts() -> None:
    # Max-Age is what the provider still grants, never more than the session has left.
    for header in OURS.set_headers(make_pair(), {}, NOW):
        attributes = header.split("; ")[1:]
        assert attributes == ["Path=/", "Max-Age=1800", "HttpOnly", "SameSite=Lax"]
    strict = cookies(CookieRules(samesite="Strict"))
    for header in strict.set_headers(make_pair(), {}, NOW + 600.9):
        name, *attributes = header.split("; ")
        assert name.startswith("__Host-nx_")
        assert attributes == [
            "Path=/",
            "Max-Age=1199",
            "HttpOnly",
            "SameSite=Strict",
            "Secure",
        ]


@pytest.mark.parametrize(
    "rules", [PLAIN, CookieRules(), CookieRules(samesite="Strict")]
)
def test_deleting_uses_the_attributes_of_setting(rules: CookieRules) -> None:
    ours = cookies(rules)
    headers = ours.set_headers(make_pair(6000), {}, NOW)
    jar = browse({}, headers)

    deleted = ours.clear_headers(ours.present(jar))

    def attributes(header: str) -> list[str]:
        return [one for one in header.split("; ")[1:] if not one.startswith("Max-Age")]

    assert browse(jar, deleted) == {}
    assert {attributes(one)[0] for one in deleted} == {"Path=/"}
    assert {tuple(attributes(one)) for one in deleted} == {
        tuple(attributes(one)) for one in headers
    }


def test_names_are_configurable() -> None:
    ours = cookies(CookieRules(access="a", refresh="b", host_prefix=True))
    pair = make_pair()
    jar = browse({}, ours.set_headers(pair, {}, NOW))

    assert set(jar) == {"__Host-a", "__Host-b"}
    assert ours.open_access(jar) == pair.access
    assert part_names("x") == ["x", "x.1", "x.2", "x.3"]
