"""A 503 says when to ask again."""

from __future__ import annotations

import pytest

from bff.database import DatabaseConflict, DatabaseUnavailable
from bff.errors import Unavailable
from bff.problems import translate


@pytest.mark.parametrize("error", [DatabaseUnavailable(), DatabaseConflict()])
def test_a_database_that_is_away_says_when_to_ask_again(error: Exception) -> None:
    told = translate(error)
    assert isinstance(told, Unavailable)
    assert int(told.headers["Retry-After"]) > 0
