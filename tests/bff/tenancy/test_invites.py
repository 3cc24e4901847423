"""Invitations as the database keeps them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from bff.database import connect
from bff.errors_access import RoleMissing
from bff.errors_workspace import InviteForAnother, InviteNotFound, InvitesFull
from bff.tenancy.invites import SPEND, Guest, Invites, Joined, hash_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import asyncpg

    from bff.database import Database
    from tests.databases import Databases

ISS = "https://sso.test"
ANN = f"{ISS} ann"
BEN = Guest(ISS, "ben", "Ben@x.test", email_verified=True)
TOKEN = "a-test-token"
A, B = 1, 2


@pytest.fixture
async def database(databases: Databases) -> AsyncGenerator[Database]:
    async with databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO tenants (tenant_id, name) VALUES (1, 'a'), (2, 'b')"
        )
        await superuser.execute(
            "INSERT INTO tenant_users (tenant_id, iss, sub, roles) VALUES "
            "(1, $1, 'ann', '{viewer,admin}'), (2, $1, 'zoe', '{viewer,admin}')",
            ISS,
        )
    async with connect(databases.app, size=5) as opened:
        yield opened


@pytest.fixture
def invites(database: Database) -> Invites:
    return Invites(database)


@pytest.fixture
async def superuser(databases: Databases) -> AsyncGenerator[asyncpg.Connection]:
    async with databases.superuser() as connection:
        yield connection


async def member(superuser: asyncpg.Connection, sub: str) -> asyncpg.Record | None:
    return await superuser.fetchrow(
        "SELECT email, roles, removed_at FROM tenant_users "
        "WHERE tenant_id = 1 AND sub = $1",
        sub,
    )


async def unspent(superuser: asyncpg.Connection) -> int:
    query = "SELECT count(*) FROM tenant_invites WHERE redeemed_at IS NULL"
    return int(await superuser.fetchval(query))


async def test_an_invitation_makes_a_member_once(
    invites: Invites, superuser: asyncpg.Connection
) -> None:
    ends = (await invites.create(A, ANN, TOKEN, roles=["ops"])).expires_at
    assert timedelta(days=6) < ends - datetime.now(UTC) < timedelta(days=8)

    assert await invites.redeem(TOKEN, BEN) == Joined(
        A, ("viewer", "ops"), stayed=False
    )
    found = await member(superuser, "ben")
    assert found is not None
    assert (found["email"], set(found["roles"])) == ("Ben@x.test", {"viewer", "ops"})
    with pytest.raises(InviteNotFound):
        await invites.redeem(TOKEN, BEN)
    with pytest.raises(InviteNotFound):
        await invites.redeem(TOKEN, Guest(ISS, "cat", "", email_verified=False))


async def test_the_token_itself_is_kept_nowhere(
    invites: Invites, superuser: asyncpg.Connection
) -> None:
    await invites.create(A, ANN, TOKEN)
    row = await superuser.fetchrow("SELECT * FROM tenant_invites")
    assert row is not None

    assert row["token_hash"] == hash_of(TOKEN)
    assert TOKEN not in str(dict(row))


async def test_of_two_at_once_one_wins(
    invites: Invites, superuser: asyncpg.Connection
) -> None:
    await invites.create(A, ANN, TOKEN)
    guests = [Guest(ISS, f"g{n}", "", email_verified=False) for n in range(5)]
    came = await asyncio.gather(
        *(invites.redeem(TOKEN, guest) for guest in guests), return_exceptions=True
    )

    assert sum(isinstance(one, Joined) for one in came) == 1
    assert sum(isinstance(one, InviteNotFound) for one in came) == 4
    assert await superuser.fetchval(
        "SELECT count(*) FROM tenant_users WHERE tenant_id = 1"
    ) == 2  # fmt: skip


@pytest.mark.parametrize("token", ["unknown", "", "\0", "\ud800", TOKEN.upper()])
async def test_an_unknown_token_opens_nothing(invites: Invites, token: str) -> None:
    await invites.create(A, ANN, TOKEN)
    with pytest.raises(InviteNotFound):
        await invites.redeem(token, BEN)


async def test_an_old_invitation_opens_nothing(
    invites: Invites, superuser: asyncpg.Connection
) -> None:
    await invites.create(A, ANN, TOKEN)
    await superuser.execute("UPDATE tenant_invites SET expires_at = now()")
    with pytest.raises(InviteNotFound):
        await invites.redeem(TOKEN, BEN)


@pytest.mark.parametrize(
    "guest",
    [
        Guest(ISS, "eve", "ben@x.test", email_verified=False),
        Guest(ISS, "eve", "eve@x.test", email_verified=True),
        Guest(ISS, "eve", "", email_verified=True),
    ],
)
async def test_an_address_must_be_proven_to_count(
    invites: Invites, superuser: asyncpg.Connection, guest: Guest
) -> None:
    await invites.create(A, ANN, TOKEN, email="ben@x.test")
    with pytest.raises(InviteForAnother):
        await invites.redeem(TOKEN, guest)

    assert await member(superuser, "eve") is None
    assert await invites.redeem(TOKEN, BEN)


async def test_a_member_keeps_the_roles_they_have(
    invites: Invites, superuser: asyncpg.Connection
) -> None:
    await superuser.execute(
        "INSERT INTO tenant_users (tenant_id, iss, sub, roles) "
        "VALUES (1, $1, 'ben', '{viewer,admin}')",
        ISS,
    )
    await invites.create(A, ANN, TOKEN, roles=["ops"])

    assert await invites.redeem(TOKEN, BEN) == Joined(
        A, ("viewer", "ops", "admin"), stayed=True
    )


async def test_a_removed_person_comes_back_by_an_invitation_made_since(
    invites: Invites, superuser: asyncpg.Connection
) -> None:
    await superuser.execute(
        "INSERT INTO tenant_users (tenant_id, iss, sub, roles, removed_at) "
        "VALUES (1, $1, 'ben', '{viewer,admin}', now())",
        ISS,
    )
    await invites.create(A, ANN, TOKEN)

    # Not as the admin they were.
    assert await invites.redeem(TOKEN, BEN) == Joined(A, ("viewer",), stayed=False)
    found = await member(superuser, "ben")
    assert found is not None
    assert found["removed_at"] is None


async def test_a_removed_person_does_not_come_back_by_one_of_before(
    invites: Invites, superuser: asyncpg.Connection
) -> None:
    await invites.create(A, ANN, TOKEN)
    await superuser.execute(
        "INSERT INTO tenant_users (tenant_id, iss, sub, removed_at) "
        "VALUES (1, $1, 'ben', now() + interval '1 second')",
        ISS,
    )
    with pytest.raises(InviteNotFound):
        await invites.redeem(TOKEN, BEN)

    assert await unspent(superuser) == 1
    assert await invites.redeem(TOKEN, Guest(ISS, "cat", "", email_verified=False))


async def test_what_a_removed_member_left_behind_opens_nothing(
    invites: Invites, superuser: asyncpg.Connection
) -> None:
    await invites.create(A, ANN, TOKEN)
    await superuser.execute("UPDATE tenant_users SET removed_at = now()")
    with pytest.raises(InviteNotFound):
        await invites.redeem(TOKEN, BEN)
    with pytest.raises(RoleMissing):
        await invites.create(A, ANN, "another")


async def test_what_a_removed_admin_left_behind_does_not_come_back_with_them(
    invites: Invites, superuser: asyncpg.Connection
) -> None:
    for role in ("admin", "viewer"):
        await invites.create(A, ANN, f"{role} of before", roles=[role])
    await superuser.execute("UPDATE tenant_users SET removed_at = now()")
    await superuser.execute(
        "INSERT INTO tenant_users (tenant_id, iss, sub, roles) "
        "VALUES (1, $1, 'ada', '{viewer,admin}')",
        ISS,
    )
    await invites.create(A, f"{ISS} ada", "back", roles=["admin"])
    ann = Guest(ISS, "ann", "", email_verified=False)
    assert (await invites.redeem("back", ann)).roles == ("viewer", "admin")

    for role in ("admin", "viewer"):
        with pytest.raises(InviteNotFound):
            await invites.redeem(f"{role} of before", BEN)
    await invites.create(A, ANN, "since")
    assert await invites.redeem("since", BEN)


async def test_who_is_no_admin_any_more_has_made_no_admins(
    invites: Invites, superuser: asyncpg.Connection
) -> None:
    for roles in (["admin"], ["ops"], ["viewer"]):
        await invites.create(A, ANN, roles[0], roles=roles)
    await superuser.execute("UPDATE tenant_users SET roles = '{viewer,ops}'")
    for token in ("admin", "ops"):
        with pytest.raises(InviteNotFound):
            await invites.redeem(token, BEN)

    assert (await invites.redeem("viewer", BEN)).roles == ("viewer",)


async def test_who_is_an_admin_by_a_claim_alone_invites_viewers(
    invites: Invites, superuser: asyncpg.Connection
) -> None:
    await superuser.execute("UPDATE tenant_users SET roles = '{viewer}'")
    for role in ("ops", "admin"):
        with pytest.raises(RoleMissing, match="viewers only"):
            await invites.create(A, ANN, role, roles=[role])
    await invites.create(A, ANN, TOKEN)

    assert (await invites.redeem(TOKEN, BEN)).roles == ("viewer",)


async def test_what_is_open_is_listed_and_can_be_revoked(
    invites: Invites, superuser: asyncpg.Connection
) -> None:
    await superuser.execute("UPDATE tenant_users SET email = 'ann@x.test'")
    first = await invites.create(A, ANN, "first", email="ben@x.test", roles=["ops"])
    second = await invites.create(A, ANN, "second")
    await invites.create(A, ANN, "used")
    await invites.redeem("used", Guest(ISS, "cat", "", email_verified=False))
    await invites.create(B, f"{ISS} zoe", "another")

    listed = await invites.open_of(A)
    assert [one.invite_id for one in listed] == [second.invite_id, first.invite_id]
    assert (listed[1].email, listed[1].roles) == ("ben@x.test", ("viewer", "ops"))
    assert {one.invited_by for one in listed} == {"ann@x.test"}
    assert not await invites.revoke(B, first.invite_id)
    assert await invites.revoke(A, first.invite_id)
    assert not await invites.revoke(A, first.invite_id)
    with pytest.raises(InviteNotFound):
        await invites.redeem("first", BEN)
    assert [one.invite_id for one in await invites.open_of(A)] == [second.invite_id]


async def test_a_revocation_counts_for_who_is_redeeming_just_now(
    invites: Invites, database: Database
) -> None:
    made = await invites.create(A, ANN, TOKEN)
    async with database.tenant_transaction(A) as connection:
        assert await invites.revoke(A, made.invite_id)
        # Its now() is from before.
        spent = await connection.fetchrow(SPEND, hash_of(TOKEN), BEN.user_id)

    assert spent is None


async def test_nobody_raises_their_own_roles(invites: Invites) -> None:
    await invites.create(A, ANN, TOKEN, roles=["admin"])
    with pytest.raises(InviteNotFound):
        await invites.redeem(TOKEN, Guest(ISS, "ann", "", email_verified=True))


async def test_nobody_invites_into_another_tenant(invites: Invites) -> None:
    with pytest.raises(RoleMissing):
        await invites.create(B, ANN, TOKEN)


async def test_a_token_shows_its_own_invitation_and_no_other(
    invites: Invites, database: Database
) -> None:
    await invites.create(A, ANN, TOKEN)
    await invites.create(B, f"{ISS} zoe", "another")
    async with database.invite_transaction(hash_of(TOKEN)) as connection:
        rows = await connection.fetch("SELECT tenant_id FROM tenant_invites")
        assert [row["tenant_id"] for row in rows] == [A]
        # Seeing is all: only the tenant's own transaction changes it.
        status = await connection.execute("UPDATE tenant_invites SET email = 'x'")
        assert status == "UPDATE 0"


async def test_so_many_are_open_and_no_more_even_when_all_come_at_once(
    invites: Invites, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.tenancy.invites.MOST_OPEN", 3)
    done = await asyncio.gather(
        *(invites.create(A, ANN, f"token-{number}") for number in range(8)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, InvitesFull) for one in done) == 5
    assert len(await invites.open_of(A)) == 3
    # What is over makes room.
    await superuser.execute(
        "UPDATE tenant_invites SET expires_at = now() WHERE invite_id = "
        "(SELECT invite_id FROM tenant_invites LIMIT 1)"
    )
    await invites.create(A, ANN, "another")
    with pytest.raises(InvitesFull):
        await invites.create(A, ANN, "one more")
