from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graph_proxy.events import EventBoundaries


def _reference(data: bytes) -> bool:
    """Walk the stream line by line, as WHATWG HTML 9.2.6 says."""
    at_boundary, line, index = True, b"", 0
    while index < len(data):
        byte = data[index : index + 1]
        index += 1
        if byte in b"\r\n":
            if byte == b"\r" and data[index : index + 1] == b"\n":
                index += 1
            at_boundary = not line
            line = b""
        else:
            line += byte
            at_boundary = False
    return at_boundary


_STREAM = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"data: x", b":", b"\0"]))


@given(pieces=_STREAM, cuts=st.lists(st.integers(0, 60)))
def test_boundaries_do_not_depend_on_where_the_stream_is_cut(
    pieces: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(pieces)
    boundaries, start = EventBoundaries(), 0
    for cut in [*sorted(c for c in cuts if c < len(data)), len(data)]:
        boundaries.feed(data[start:cut])
        start = cut
        assert boundaries.at_boundary == _reference(data[:cut])


def test_half_an_event_is_no_boundary() -> None:
    boundaries = EventBoundaries()
    assert boundaries.at_boundary
    boundaries.feed(b"event: values\r\n")
    assert not boundaries.at_boundary
    boundaries.feed(b"\r")
    assert boundaries.at_boundary
    boundaries.feed(b"\n")
    assert boundaries.at_boundary
