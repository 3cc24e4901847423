"""Say what a rule may ask of a company: an ideal customer profile (ICP)."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

# The largest number that PostgreSQL's integer holds.
INT4 = 2_147_483_647
MOST_WORDS = 100
# Bytes of a rule's conditions as JSON in UTF-8: a tenant lists a hundred at once.
MOST_BYTES = 8192
FIRST_YEAR, LAST_YEAR = 1600, 2200
# Without control signs, and something in it beside blanks.
TEXT = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"


def _stripped(value: str) -> str:
    stripped = value.strip()
    if not stripped:
        raise PydanticCustomError("blank", "must not be blank")
    return stripped


def _once_each(values: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out what is there twice, in whatever case."""
    first: dict[str, str] = {}
    for value in values:
        first.setdefault(value.casefold(), value)
    return tuple(first.values())


Word = Annotated[
    str, Field(min_length=1, max_length=100, pattern=TEXT), AfterValidator(_stripped)
]
Words = Annotated[
    tuple[Word, ...],
    Field(min_length=1, max_length=MOST_WORDS),
    AfterValidator(_once_each),
]
# The Singapore Standard Industrial Classification has five digits; fewer mean a group.
Code = Annotated[str, Field(pattern=r"^[0-9]{1,5}$")]
Codes = Annotated[
    tuple[Code, ...],
    Field(min_length=1, max_length=MOST_WORDS),
    AfterValidator(_once_each),
]
Count = Annotated[int, Field(strict=True, ge=0, le=INT4)]
Year = Annotated[int, Field(strict=True, ge=FIRST_YEAR, le=LAST_YEAR)]
RuleName = Annotated[
    str, Field(min_length=1, max_length=200, pattern=TEXT), AfterValidator(_stripped)
]


class _Strict(BaseModel):
    """Refuse what nobody knows, so that a typing error is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Range(_Strict):
    """A lower end, an upper end, or both; both belong to it."""

    @model_validator(mode="after")
    def _ends(self) -> _Range:
        low, high = getattr(self, "min", None), getattr(self, "max", None)
        if low is None and high is None:
            raise PydanticCustomError("range_empty", "must have min, max or both")
        if low is not None and high is not None and low > high:
            raise PydanticCustomError("range_turned", "min must not be above max")
        return self


class EmployeeRange(_Range):
    """How many people work there."""

    min: Count | None = None
    max: Count | None = None


class YearRange(_Range):
    """When it was incorporated."""

    min: Year | None = None
    max: Year | None = None


class Profile(_Strict):
    """What a company must be: every condition that is given, one word of each list.

    A company of which something asked for is unknown does not fit. Letters' case does
    not count. At least one condition: a rule without any would make a candidate of
    every company there is.
    """

    industries: Words | None = None
    industry_codes: Codes | None = None
    employee_range: EmployeeRange | None = None
    incorporation_year: YearRange | None = None
    hq_countries: Words | None = None
    sg_registered: Annotated[bool, Field(strict=True)] | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Profile:
        told = self.told()
        if not told:
            raise PydanticCustomError("profile_empty", "must have a condition at least")
        if len(json.dumps(told, ensure_ascii=False).encode()) > MOST_BYTES:
            raise PydanticCustomError(
                "profile_large", f"must be {MOST_BYTES} bytes of JSON at most"
            )
        return self

    def told(self) -> dict[str, Any]:
        """Return the conditions that are given, as JSON has them."""
        return self.model_dump(mode="json", exclude_none=True)
