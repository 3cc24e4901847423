"""Names of databases: what Odoo would take and we do not."""

from __future__ import annotations

import pytest

from odoo.errors import BadName
from odoo.names import checked


@pytest.mark.parametrize("name", ["abc", "acme_1", "tpl_19_0_abc123", "a" * 41])
def test_name_of_ours(name: str) -> None:
    assert checked(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "ab", "a" * 42, "A_b", "1abc", "a b", "a-b", "a.b", "é_abc", 'a"b'),
        *("../esc", "abc\n", "postgres", "template0", "template1", "a/b", "a%00b"),
    ],
)
def test_name_that_is_never_sent(name: str) -> None:
    with pytest.raises(BadName):
        checked(name)
