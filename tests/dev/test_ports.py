"""Ports that nobody has, of a range of few."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from bff.dev import ports

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture
def free_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> Generator[int]:
    """Give the first of two free ports between two that are taken."""
    with ExitStack() as held:
        first = ports.free_port(following=3)
        for taken in first, first + 3:
            listening = held.enter_context(socket.socket())
            listening.bind(("127.0.0.1", taken))
            listening.listen()
        monkeypatch.setattr(ports, "FIRST", first)
        monkeypatch.setattr(ports, "LAST", first + 3)
        yield first + 1


def test_a_taken_port_is_not_given(free_in_the_middle: int) -> None:
    given = {ports.free_port() for _ in range(50)}

    assert given == {free_in_the_middle, free_in_the_middle + 1}


def test_ports_in_a_row_are_all_free(free_in_the_middle: int) -> None:
    given = {ports.free_port(following=1) for _ in range(20)}

    assert given == {free_in_the_middle}


@pytest.mark.usefixtures("free_in_the_middle")
def test_it_says_when_there_is_none() -> None:
    with pytest.raises(OSError, match="no free port between"):
        ports.free_port(following=2)
