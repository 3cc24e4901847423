"""What a rule may say, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bff.icp.rules import INT4, MOST_BYTES, MOST_WORDS, Profile

FULL = {
    "industries": ["Software", "Marine Works"],
    "industry_codes": ["62", "30110"],
    "employee_range": {"min": 10, "max": 500},
    "incorporation_year": {"min": 1990},
    "hq_countries": ["Singapore"],
    "sg_registered": True,
}
REFUSED: list[Any] = [
    {},
    [],
    None,
    "x",
    {"industry": ["Software"]},
    {"industries": []},
    {"industries": [""]},
    {"industries": ["  \u2003 "]},
    {"industries": ["\u2003"]},
    {"industries": ["a\u0000b"]},
    {"industries": ["a\nb"]},
    {"industries": ["x" * 101]},
    {"industries": [1]},
    {"industries": "Software"},
    {"industries": [f"i{n}" for n in range(MOST_WORDS + 1)]},
    {"industries": {"0": "x"}},
    {"industry_codes": ["62x"]},
    {"industry_codes": ["620111"]},
    {"industry_codes": ["\N{FULLWIDTH DIGIT SIX}2"]},
    {"industry_codes": [62]},
    {"industry_codes": ["62\n"]},
    {"employee_range": {}},
    {"employee_range": {"min": None, "max": None}},
    {"employee_range": {"min": 5, "max": 4}},
    {"employee_range": {"min": -1}},
    {"employee_range": {"max": INT4 + 1}},
    {"employee_range": {"max": 2**63}},
    {"employee_range": {"max": 10**400}},
    {"employee_range": {"min": 1.5}},
    {"employee_range": {"min": "10"}},
    {"employee_range": {"min": True}},
    {"employee_range": {"min": 1, "mx": 2}},
    {"employee_range": [1, 2]},
    {"incorporation_year": {"min": 1599}},
    {"incorporation_year": {"max": 20200}},
    {"incorporation_year": {"min": 2020, "max": 2019}},
    {"sg_registered": "yes"},
    {"sg_registered": 1},
    {"hq_countries": ["Singapore"], "tenant_id": 2},
]


def test_every_condition_is_taken_and_told_as_it_came() -> None:
    assert Profile.model_validate_json(json.dumps(FULL)).told() == FULL


@pytest.mark.parametrize("name", FULL)
def test_each_condition_stands_alone(name: str) -> None:
    assert Profile.model_validate({name: FULL[name]}).told() == {name: FULL[name]}


@pytest.mark.parametrize("payload", REFUSED, ids=lambda each: ascii(each)[:60])
def test_what_makes_no_sense_is_refused(payload: Any) -> None:
    with pytest.raises(ValidationError):
        Profile.model_validate_json(json.dumps(payload))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "1e3"])
def test_numbers_that_are_no_whole_ones_are_refused(number: str) -> None:
    with pytest.raises(ValidationError):
        Profile.model_validate_json(f'{{"employee_range": {{"min": {number}}}}}')


@pytest.mark.parametrize(
    "text",
    [
        r'{"industries": ["\ud800"]}',
        '{"industries": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
    ids=["lone surrogate", "deep list", "deep object"],
)
def test_what_no_database_could_hold_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Profile.model_validate_json(text)


def test_blanks_around_go_and_doubles_too_whatever_their_case() -> None:
    made = Profile.model_validate({"industries": [" Food ", "Marine", "FOOD", "food"]})

    assert made.industries == ("Food", "Marine")


def test_the_ends_of_what_is_allowed_are_allowed() -> None:
    for ends in ({"min": 0}, {"max": INT4}, {"min": 7, "max": 7}):
        made = Profile.model_validate({"employee_range": ends})
        assert made.told() == {"employee_range": ends}


@pytest.mark.parametrize("letter", ["x", "ü", "\N{GRINNING FACE}", '"', "\\"])
def test_a_payload_is_measured_as_it_is_kept_and_sent(letter: str) -> None:
    """In bytes of JSON: signs take one to four, and some are escaped."""

    def size(payload: Any) -> int:
        return len(json.dumps(payload, ensure_ascii=False).encode())

    words: list[str] = []
    made = None
    while len(words) < MOST_WORDS:
        words.append(f"{len(words):03}".ljust(100, letter))
        payload = {"industries": words[:50], "hq_countries": words[50:] or ["x"]}
        text = json.dumps(payload)
        if size(payload) > MOST_BYTES:
            with pytest.raises(ValidationError) as refused:
                Profile.model_validate_json(text)
            assert refused.value.errors()[0]["type"] == "profile_large"
            break
        made = Profile.model_validate_json(text)
    else:
        pytest.fail("nothing was too large")
    assert made is not None
    assert size(made.told()) > MOST_BYTES - 500


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*FULL, "min", "max", "x"]), inner, max_size=3
            )
        ),
    )
)
def test_whatever_comes_is_refused_or_told_again_the_same(payload: Any) -> None:
    try:
        made = Profile.model_validate_json(json.dumps(payload))
    except ValidationError:
        return
    assert Profile.model_validate_json(json.dumps(made.told())) == made
