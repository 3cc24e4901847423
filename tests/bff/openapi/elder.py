"""Let hypothesis-jsonschema, the newest there is, use today's Hypothesis.

It asks for one more element by `more()`, which Hypothesis has replaced by a loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis.internal.conjecture import utils
from hypothesis_jsonschema import _from_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


class Many(utils.many):
    """As of old: no block around it, and one element at a time."""

    _turns: Iterator[None] | None = None

    def more(self) -> bool:
        """Tell whether there is to be another element."""
        if self._turns is None:
            self._turns = iter(self.__enter__())
        return next(self._turns, self) is None


class Utils:
    """The one thing of `utils` that is used there."""

    many = Many


def bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give it `more()`, unless it needs it no more."""
    if not hasattr(utils.many, "more"):
        monkeypatch.setattr(_from_schema, "cu", Utils)
