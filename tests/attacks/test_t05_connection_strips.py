"""T5: a `Connection` header strips the sender's own fields, never ours.

Seen as CVE-2024-45410 and CVE-2025-48865.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.attacks.outside import VISIBLE, claims_of, hostile, tapped

if TYPE_CHECKING:
    from tests.attacks.outside import Tap
    from tests.databases import Databases
    from tests.fakes.upstream import Received

ADDED = (
    "authorization",
    "x-tenant-id",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "host",
)
GATEWAY_KEY = "test-gateway-key"


def has_ours(one: Received) -> None:
    for name in ADDED:
        assert one.one(name), name
    assert claims_of(one.one("authorization") or "")["email"] == "bob@globex.test"
    assert one.one("x-tenant-id") == "1002"
    # What spoke about the browser's connection stays there.
    assert not {"close, ", "keep-alive, "} & set(one.all("connection"))
    assert not [name for name in ADDED if name in str(one.all("connection")).lower()]


async def test_what_we_add_cannot_be_named_away(tap: Tap) -> None:
    forms = ("{0}", "close, {0}", "{0}, {0}", "keep-alive,,{0},", "\t{0}\t", '"{0}"')
    for name in (*ADDED, "X-Tenant-Id", "AUTHORIZATION"):
        for form in forms:
            said = f"Connection: {form.format(name)}"
            answer, seen = await tap.ask("GET /graph/threads/x", said)

            assert answer.status == 200, said
            assert len(seen) == 1
            has_ours(seen[0])


async def test_all_of_them_at_once_in_several_fields(databases: Databases) -> None:
    async with (
        tapped(databases, gateway_key=GATEWAY_KEY) as tap,
        tap.world.signed_in("bob@globex.test") as bob,
    ):
        tap.jar = bob.cookies
        fields = [f"Connection: {name}" for name in (*ADDED, "x-gateway-key", "cookie")]
        for field in (fields, [f"Proxy-{one}" for one in fields]):
            _, seen = await tap.ask("GET /graph/threads/x", *field)

            assert len(seen) == 1
            has_ours(seen[0])
            assert seen[0].one("x-gateway-key") == GATEWAY_KEY


@hostile(60)
@given(
    st.lists(
        st.sampled_from(ADDED) | st.text(VISIBLE, max_size=12),
        max_size=6,
    ).map(",".join)
)
async def test_whatever_stands_there_ours_arrive(tap: Tap, value: str) -> None:
    answer, seen = await tap.ask("GET /graph/threads/x", f"Connection: {value}")

    assert answer.status in {200, 400}
    assert (answer.status == 200) == (len(seen) == 1)
    for one in seen:
        has_ours(one)


async def test_a_name_given_away_takes_only_the_senders_field_along(tap: Tap) -> None:
    _, seen = await tap.ask(
        "GET /graph/threads/x",
        "Connection: accept",
        "Accept: text/x",
        "Range: bytes=1-",
    )

    (one,) = seen
    assert one.one("accept") != "text/x"
    assert one.one("range") == "bytes=1-"
