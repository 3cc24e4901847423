from __future__ import annotations

import pytest

from graph_proxy.errors import BadPath
from graph_proxy.incoming import Block
from graph_proxy.requests import HeadWriter, request_head


def test_a_head_is_one_line_per_field() -> None:
    head = request_head("GET", "/a?b", [("Host", "h"), ("X", "ü"), ("X", "")])
    assert head == "GET /a?b HTTP/1.1\r\nHost: h\r\nX: ü\r\nX: \r\n\r\n".encode()


def test_bytes_that_were_no_utf_8_leave_as_they_came() -> None:
    value = b"caf\xe9".decode("utf-8", "surrogateescape")
    head = request_head("GET", f"/?{value}", [("X", value)])
    assert head.count(b"caf\xe9") == 2


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/a\0", "/\x7f"])
def test_a_target_cannot_end_its_line(target: str) -> None:
    with pytest.raises(BadPath):
        request_head("GET", target, [])


@pytest.mark.parametrize(
    "field", [("X", "a\r\nY: b"), ("X", "a\nb"), ("X\r\nY", "b"), ("X", "a\0")]
)
def test_a_field_cannot_end_its_line(field: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="control character"):
        request_head("GET", "/", [field])


def test_long_names_are_not_kept_and_cross_all_the_same() -> None:
    long = "content-" + "x" * 60
    writer = HeadWriter(frozenset({long}), 1)
    block = Block(b"", {"accept": b"a", long: b"b"}, 0)
    for _ in range(2):
        assert writer.fields(block) == b"accept: a\r\n" + long.encode() + b": b\r\n"
    assert list(writer._known) == ["accept"]
