"""What is sealed opens with the right key, purpose and name, and with nothing else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.sessions.sealing import (
    KEY_BYTES,
    KeyRing,
    KeyRingError,
    Unopenable,
    format_key,
    parse_keys,
)
from tests.bff.sessions.tickets import ring

TEXT = st.text(max_size=20)
CANARY = b"CANARY-key-bytes-CANARY-key-byte"


@given(st.binary(max_size=2000), TEXT, TEXT)
def test_what_was_sealed_opens_again(plain: bytes, purpose: str, name: str) -> None:
    keys = ring()

    assert keys.open(purpose, name, keys.seal(purpose, name, plain)) == plain


@given(st.binary(max_size=64), st.data())
def test_a_flipped_bit_anywhere_does_not_open(
    plain: bytes, data: st.DataObject
) -> None:
    keys = ring(1, 2, 3)
    sealed = bytearray(keys.seal("cookie", "nx_access", plain))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(Unopenable):
        keys.open("cookie", "nx_access", bytes(sealed))


@given(st.binary(max_size=64), st.data())
def test_a_truncated_or_longer_value_does_not_open(
    plain: bytes, data: st.DataObject
) -> None:
    keys = ring()
    sealed = keys.seal("cookie", "nx_access", plain)
    end = data.draw(st.integers(0, len(sealed) - 1))

    for damaged in (sealed[:end], sealed[end + 1 :], sealed + b"\0"):
        with pytest.raises(Unopenable):
            keys.open("cookie", "nx_access", damaged)


@given(st.binary(max_size=200))
def test_random_bytes_do_not_open(value: bytes) -> None:
    with pytest.raises(Unopenable):
        ring(*range(1, 256)).open("cookie", "nx_access", value)


@given(TEXT, TEXT, TEXT, TEXT)
def test_another_purpose_or_name_does_not_open(
    purpose: str, name: str, other_purpose: str, other_name: str
) -> None:
    keys = ring()
    sealed = keys.seal(purpose, name, b"secret")

    if (purpose, name) == (other_purpose, other_name):
        assert keys.open(other_purpose, other_name, sealed) == b"secret"
    else:
        with pytest.raises(Unopenable):
            keys.open(other_purpose, other_name, sealed)


def test_each_purpose_has_a_key_of_its_own() -> None:
    fixed = KeyRing([(1, b"k" * 32)], random_bytes=bytes)

    # The same nonce and plain text: only the derived key makes the bytes differ.
    first = fixed.seal("cookie", "x", b"a" * 16)[13:29]
    second = fixed.seal("sign-in", "x", b"a" * 16)[13:29]

    assert first != second


def test_a_retired_key_opens_nothing_and_an_old_one_still_does() -> None:
    sealed = ring(1).seal("cookie", "nx_access", b"secret")

    assert ring(2, 1).open("cookie", "nx_access", sealed) == b"secret"
    with pytest.raises(Unopenable):
        ring(2).open("cookie", "nx_access", sealed)


def test_the_first_key_seals() -> None:
    assert ring(7, 1).seal("cookie", "nx_access", b"x")[0] == 7
    assert ring(7, 1).ids == [7, 1]


def test_an_other_key_under_the_same_id_opens_nothing() -> None:
    sealed = ring(1).seal("cookie", "nx_access", b"secret")

    with pytest.raises(Unopenable):
        KeyRing([(1, b"other key material of 32 bytes..")]).open(
            "cookie", "nx_access", sealed
        )


def test_nonces_differ_each_time() -> None:
    keys = ring()

    nonces = {keys.seal("cookie", "nx_access", b"same")[1:13] for _ in range(1000)}

    assert len(nonces) == 1000


def test_written_keys_are_read_again() -> None:
    newest, oldest = format_key(2, b"b" * 32), format_key(1, b"a" * 32)
    text = f"# the ring\n{newest} # newest\n\n{oldest},"

    assert parse_keys(text) == [(2, b"b" * 32), (1, b"a" * 32)]
    assert parse_keys("9:" + base64.urlsafe_b64encode(b"\xff" * 32).decode()) == [
        (9, b"\xff" * 32)
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no key"),
        ("# nothing\n", "no key"),
        (f"1:{CANARY.decode()}!", "key 1: not base64"),
        (format_key(1, CANARY)[2:], "key 1"),
        (format_key(0, CANARY), "key 1: the id"),
        (format_key(256, CANARY), "key 1: the id"),
        ("one:" + format_key(1, CANARY)[2:], "key 1: the id"),
        ("²:" + format_key(1, CANARY)[2:], "key 1: the id"),
        ("-1:" + format_key(1, CANARY)[2:], "key 1: the id"),
        (format_key(1, CANARY[:31]), "key 1: must be 32 bytes"),
        (format_key(1, CANARY + b"x"), "key 1: must be 32 bytes"),
        (f"{format_key(1, CANARY)},{format_key(1, b'b' * 32)}", "key 2: id 1 is there"),
        (format_key(1, CANARY) + "ä", "key 1: not base64"),
    ],
)
def test_an_unreadable_ring_is_refused_without_showing_it(text: str, said: str) -> None:
    with pytest.raises(KeyRingError) as caught:
        parse_keys(text)

    assert said in str(caught.value)
    shown = repr(caught.value) + str(caught.value)
    assert CANARY.decode() not in shown
    assert base64.urlsafe_b64encode(CANARY).decode()[:20] not in shown


def test_a_ring_needs_a_key() -> None:
    with pytest.raises(KeyRingError):
        KeyRing([])
    assert KEY_BYTES == 32
