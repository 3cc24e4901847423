"""`bff keys`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bff import database
from bff.cli.keys import PLACES
from bff.identity.client_auth import public_jwk, read_key
from bff.sessions.reseal import Count, reseal
from bff.sessions.sealing import KEY_BYTES, Unopenable, format_key, parse_keys
from bff.sessions.store import PURPOSE
from bff.sites import safe as sites
from bff.sites.safe import name_of_template, name_of_tenant, name_of_warm, seal, unseal
from odoo.safe import Credentials
from tests.bff.cli.commands import bff, in_a_thread
from tests.bff.configs import DEV
from tests.bff.sessions.tickets import make_pair, ring

if TYPE_CHECKING:
    from pathlib import Path

    from tests.databases import Databases


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("after", "key_id"), [("0", 1), ("1", 2), ("254", 255), ("255", 1)]
)
def test_a_new_key_has_the_next_id_and_is_never_the_same(
    after: str, key_id: int
) -> None:
    one, two = (bff("keys", "new", "--after", after).output for _ in range(2))

    ((found, key),) = parse_keys(one)
    assert found == key_id
    assert len(key) == 32
    assert one != two


def test_new_keys_make_a_ring_that_is_listed_without_its_keys() -> None:
    newest = bff("keys", "new", "--after", "1").output.strip()
    oldest = bff("keys", "new").output.strip()

    result = bff("keys", "list", env={**DEV, "BFF_SESSION__KEYS": f"{newest},{oldest}"})

    assert result.exit_code == 0
    assert result.output.split() == ["2", "seals", "and", "opens", "1", "opens"]
    for key in (newest, oldest):
        assert key.partition(":")[2] not in result.output


def test_a_ring_from_a_file_is_listed_too(tmp_path: Path) -> None:
    file = tmp_path / "ring"
    file.write_text(bff("keys", "new").output, encoding="utf-8")

    result = bff("keys", "list", env={**DEV, "BFF_SESSION__KEY_FILE": str(file)})

    assert (result.exit_code, result.output.split()[0]) == (0, "1")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"BFF_SESSION__KEYS": "1:not-32-bytes"}, "key 1"),
        ({"BFF_SESSION__KEY_FILE": "/nowhere/ring"}, "/nowhere/ring"),
    ],
)
def test_a_bad_ring_is_one_sentence_without_the_key(
    env: dict[str, str], said: str
) -> None:
    result = bff("keys", "list", env={**DEV, **env})

    assert result.exit_code == 1
    assert said in result.stderr
    assert "not-32-bytes" not in result.stderr


def entry(number: int) -> str:
    return format_key(number, bytes([number]) * KEY_BYTES)


async def test_reseal_reports_and_says_when_the_old_key_may_go(
    databases: Databases,
) -> None:
    pair = make_pair()
    sealed = ring(1).seal(PURPOSE, pair.access.sid.hex, pair.dump())
    async with databases.superuser() as connection:
        await connection.execute(
            "INSERT INTO auth_session (sid, iss, sub, expires_at, successor) "
            "VALUES ($1, 'i', 's', now() + interval '1 day', $2)",
            pair.access.sid,
            sealed,
        )
    env = {
        **DEV,
        "BFF_DATABASE__WORKER_URL": databases.worker,
        "BFF_SESSION__KEYS": f"{entry(2)},{entry(1)}",
    }

    first, second = [await in_a_thread("keys", "reseal", env=env) for _ in range(2)]

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "auth_session.successor: 1 sealed anew, 0 changed" in first.stdout
    assert "auth_session.successor: 1 so far" in first.stderr
    assert "auth_session.successor: 0 sealed anew" in second.stdout
    assert "nothing in PostgreSQL needs key 1 now" in second.stdout
    assert "30 days after key 2 became the first" in second.stdout
    assert entry(1)[2:] not in first.output + second.output


# Columns of bytes that hold nothing sealed, and what they hold.
NOT_SEALED = {
    "acra_signature.hash",
    "attempts.key",
    "pgqueuer.payload",
    "sign_in_failure.account",
    "sign_in_failure.network",
    "sign_in_failure.pair",
    "tenant_invites.token_hash",
}


async def test_every_column_that_could_be_sealed_is_known(databases: Databases) -> None:
    async with databases.superuser() as superuser:
        rows = await superuser.fetch(
            "SELECT table_name || '.' || column_name AS place "
            "FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type = 'bytea'"
        )

    assert {row["place"] for row in rows} == NOT_SEALED | {str(one) for one in PLACES}


async def test_what_opens_tenants_odoo_outlives_the_key_that_sealed_it(
    databases: Databases,
) -> None:
    known = Credentials(user=7, key="test-key", service_password="test-password")
    tenants, templates = (1, 2, 3_000_000_000), ("tpl_a", "tpl_b")
    async with databases.superuser() as connection:
        for name in templates:
            await connection.execute(
                "INSERT INTO odoo_templates (name, series, sealed) VALUES ($1, '', $2)",
                name,
                seal(ring(1), name_of_template(name), known),
            )
        for tenant_id in tenants:
            await connection.execute(
                "INSERT INTO tenants (tenant_id, name) VALUES ($1, 'a tenant')",
                tenant_id,
            )
            await connection.execute(
                "INSERT INTO odoo_connections (tenant_id, server_url, db_name, "
                "base_url, sealed) VALUES ($1, 'x', $2, 'x', $3)",
                tenant_id,
                f"odoo_t{tenant_id}",
                seal(ring(1), name_of_tenant(tenant_id), known),
            )
    env = {
        **DEV,
        "BFF_DATABASE__WORKER_URL": databases.worker,
        "BFF_SESSION__KEYS": f"{entry(2)},{entry(1)}",
    }

    result = await in_a_thread("keys", "reseal", env=env)

    assert result.exit_code == 0
    assert "odoo_connections.sealed: 3 sealed anew" in result.stdout
    assert "odoo_templates.sealed: 2 sealed anew" in result.stdout
    async with databases.superuser() as connection:
        for tenant_id in tenants:
            sealed = await connection.fetchval(
                "SELECT sealed FROM odoo_connections WHERE tenant_id = $1", tenant_id
            )
            assert unseal(ring(2), name_of_tenant(tenant_id), sealed) == known
            with pytest.raises(Unopenable):
                unseal(ring(2), name_of_tenant(tenant_id + 1), sealed)
        for name in templates:
            sealed = await connection.fetchval(
                "SELECT sealed FROM odoo_templates WHERE name = $1", name
            )
            assert unseal(ring(2), name_of_template(name), sealed) == known


async def test_keys_are_walked_in_batches_whatever_they_are(
    databases: Databases,
) -> None:
    async with databases.superuser() as connection:
        for number in range(7):
            await connection.execute(
                "INSERT INTO tenants (tenant_id, name) VALUES ($1, 'a tenant')",
                number - 3,
            )
            await connection.execute(
                "INSERT INTO odoo_connections (tenant_id, server_url, db_name, "
                "base_url, sealed) VALUES ($1, 'x', $2, 'x', $3)",
                number - 3,
                f"odoo_{number}",
                seal(ring(1), name_of_tenant(number - 3), Credentials(user=number)),
            )
            await connection.execute(
                "INSERT INTO odoo_templates (name, series, sealed) VALUES ($1, '', $2)",
                "t" * number,
                seal(ring(1), name_of_template("t" * number), Credentials(user=number)),
            )
            await connection.execute(
                "INSERT INTO odoo_warm (name, template, sealed) VALUES ($1, $2, $3)",
                f"warm_{number}",
                "t" * number,
                seal(ring(1), name_of_warm(f"warm_{number}"), Credentials(user=number)),
            )
    async with database.connect(databases.worker, size=1) as db:
        for place in sites.PLACES:
            done = await reseal(db, ring(2, 1), place, batch=3)
            assert done == Count(resealed=7), place


async def test_reseal_ends_with_what_is_left_to_do(databases: Databases) -> None:
    async with databases.superuser() as connection:
        await connection.execute(
            "INSERT INTO auth_session (sid, iss, sub, expires_at, successor) VALUES "
            "(gen_random_uuid(), 'i', 's', now() + interval '1 day', $1)",
            b"\x01damaged, and long enough to be a sealed value",
        )
    env = {
        **DEV,
        "BFF_DATABASE__WORKER_URL": databases.worker,
        "BFF_SESSION__KEYS": f"{entry(2)},{entry(1)}",
    }

    result = await in_a_thread("keys", "reseal", env=env)

    assert result.exit_code == 1
    assert "1 that no key of the ring opens" in result.stdout
    assert "1 still of key 1" in result.stdout
    assert "needs key" not in result.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"BFF_DATABASE__WORKER_URL": "postgresql://x:pw-x@h:port/d"},
            "cannot be used",
        ),
        ({"BFF_SESSION__KEYS": None}, "there is no key ring"),
    ],
    ids=["url", "ring"],
)
async def test_reseal_without_what_it_needs_is_one_sentence(
    change: dict[str, str | None], said: str
) -> None:
    env: dict[str, str | None] = {**DEV, "BFF_SESSION__KEYS": entry(1), **change}

    result = await in_a_thread("keys", "reseal", env=env)

    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert "pw-x" not in result.output


@pytest.mark.parametrize(("kind", "algorithm"), [("p256", "ES256"), ("rsa", "PS256")])
def test_a_client_s_key_is_made_once_and_shown_in_public(
    tmp_path: Path, kind: str, algorithm: str
) -> None:
    file = tmp_path / "client.pem"

    made = bff("keys", "client", str(file), "--kind", kind)
    text = file.read_text(encoding="ascii")
    again = bff("keys", "client", str(file))

    assert (made.exit_code, again.exit_code) == (0, 0)
    assert made.output == again.output
    assert file.read_text(encoding="ascii") == text, "a key is never replaced"
    assert file.stat().st_mode & 0o077 == 0
    (shown,) = json.loads(made.output)["keys"]
    assert shown == public_jwk(read_key(text))
    assert shown["alg"] == algorithm


def test_a_client_s_key_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("CANARY")

    for file, said in ((broken, "no private key"), (tmp_path / "no" / "x", "FileNot")):
        result = bff("keys", "client", str(file))
        assert result.exit_code == 1
        assert said in result.stderr
        assert "CANARY" not in result.output
