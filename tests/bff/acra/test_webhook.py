"""POST /acra/ingest: signed, once, or not at all."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.acra.runs import Runs
from bff.acra.webhook import TOLERANCE, is_signed, signature_of
from bff.database import connect
from tests.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.databases import Databases

SECRET = "test-webhook-secret-0123456789abcdef"
OTHER = "test-webhook-secret-fedcba9876543210"
SENTENCE = "This message is not signed as it must be, or was signed too long ago."


@asynccontextmanager
async def a_world(databases: Databases, secret: str = SECRET) -> AsyncGenerator[World]:
    settings: dict[str, dict[str, Any]] = {
        "acra": {"webhook_secret": secret or None},
        "worker": {"embedded": False},
    }
    async with World(databases, settings, seeded=False).running() as world:
        yield world


async def send(
    world: World,
    body: bytes = b"",
    *,
    secret: str = SECRET,
    age: float = 0.0,
    later: int = 0,
    url: str = "",
    **headers: Any,
) -> tuple[int, dict[str, Any]]:
    """Send as curl would: no cookie, no Origin.

    *later* than it was signed, if its time is to be believed.
    """
    at = str(int(world.clock() - age))
    told: dict[str, str | None] = {
        "X-Acra-Timestamp": str(int(at) + later),
        "X-Acra-Signature": f"v1={signature_of(secret, at, body)}",
        "Host": world.url.removeprefix("http://"),
    }
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in told.items() if value is not None}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url or world.url}/acra/ingest", data=body, headers=sent) as got,
    ):
        return got.status, await got.json(content_type=None)


async def rows(databases: Databases, table: str) -> list[dict[str, Any]]:
    async with databases.superuser() as superuser:
        return [dict(row) for row in await superuser.fetch(f"SELECT * FROM {table}")]  # noqa: S608 - ours


async def test_a_signed_message_queues_one_run(databases: Databases) -> None:
    async with a_world(databases) as world:
        status, body = await send(world)

        assert status == 202
        (run,) = await rows(databases, "acra_runs")
        assert body == {"status": "queued", "run_id": run["run_id"]}
        assert (run["reason"], run["status"]) == ("webhook", "queued")
        (job,) = await rows(databases, "pgqueuer")
        assert (job["entrypoint"], job["payload"]) == (
            "acra_ingest",
            str(run["run_id"]).encode(),
        )
        (entry,) = await rows(databases, "audit_log")
        assert (entry["action"], entry["tenant_id"]) == ("acra.run_queued", None)
        assert entry["subject"] == str(run["run_id"])
        assert entry["address"] == "127.0.0.1"
        assert entry["request_id"]


async def test_another_message_does_not_queue_another(databases: Databases) -> None:
    async with a_world(databases) as world:
        _, first = await send(world)
        status, body = await send(world, b'{"reason": "again"}')

        assert status == 200
        assert body == {"status": "running", "run_id": first["run_id"]}
        assert len(await rows(databases, "pgqueuer")) == 1
        assert len(await rows(databases, "audit_log")) == 1


async def test_while_a_run_is_under_way_it_says_so(databases: Databases) -> None:
    async with a_world(databases) as world, connect(databases.worker, size=3) as db:
        async with Runs(db).begin("test") as run:
            assert run is not None
            assert await send(world) == (
                200,
                {"status": "running", "run_id": run.run_id},
            )
        assert (await send(world, b"later"))[0] == 202


async def test_a_run_whose_process_is_gone_is_not_under_way(
    databases: Databases,
) -> None:
    async with a_world(databases) as world:
        async with databases.superuser() as superuser:
            await superuser.execute(
                "INSERT INTO acra_runs (reason, status, beat_at) "
                "VALUES ('test', 'running', now())"
            )
        assert (await send(world))[0] == 202


async def test_many_at_once_queue_one_run(databases: Databases) -> None:
    async with a_world(databases) as world, world.another_gateway() as other:
        answers = await asyncio.gather(
            *(
                send(world, str(n).encode(), url=(world.url, other)[n % 2])
                for n in range(12)
            )
        )

        assert sorted(status for status, _ in answers) == [*[200] * 11, 202]
        assert len({body["run_id"] for _, body in answers}) == 1
        assert len(await rows(databases, "acra_runs")) == 1
        assert len(await rows(databases, "pgqueuer")) == 1


WRONG: dict[str, dict[str, Any]] = {
    "no signature": {"X_Acra_Signature": None},
    "no time": {"X_Acra_Timestamp": None},
    "neither": {"X_Acra_Signature": None, "X_Acra_Timestamp": None},
    "another secret": {"secret": OTHER},
    "an empty secret": {"secret": ""},
    "another version": {"X_Acra_Signature": "v0=" + "0" * 64},
    "no version": {"X_Acra_Signature": "0" * 64},
    "upper case": {"X_Acra_Signature": "v1=" + "A" * 64},
    "too short": {"X_Acra_Signature": "v1=00"},
    "no number": {"X_Acra_Timestamp": "now"},
    "a fraction": {"X_Acra_Timestamp": "1800000000.5"},
    "a number without end": {"X_Acra_Timestamp": "1" * 4000},
    "another time than signed": {"later": 5},
    "too old": {"age": TOLERANCE + 5},
    "of the future": {"age": -TOLERANCE - 5},
}


@pytest.mark.parametrize("case", WRONG)
async def test_whatever_is_wrong_the_answer_is_the_same(
    databases: Databases, case: str
) -> None:
    async with a_world(databases) as world:
        status, body = await send(world, b"{}", **WRONG[case])

        assert status == 401
        body.pop("request_id")
        assert body == {
            "type": "urn:nexius:problem:signature_refused",
            "title": "Unauthorized",
            "status": 401,
            "detail": SENTENCE,
            "code": "signature_refused",
        }
        assert await rows(databases, "acra_runs") == []
        assert await rows(databases, "acra_signature") == []


@pytest.mark.parametrize("age", [TOLERANCE - 60, -TOLERANCE + 60])
async def test_clocks_may_differ_by_minutes(databases: Databases, age: float) -> None:
    async with a_world(databases) as world:
        assert (await send(world, age=age))[0] == 202


async def test_a_body_that_was_changed_is_refused(databases: Databases) -> None:
    async with a_world(databases) as world:
        at = str(int(world.clock()))
        signature = f"v1={signature_of(SECRET, at, b'{}')}"
        status, _ = await send(
            world, b"[]", X_Acra_Timestamp=at, X_Acra_Signature=signature
        )

        assert status == 401


async def test_a_message_counts_once(databases: Databases) -> None:
    async with a_world(databases) as world, world.another_gateway() as other:
        at = str(int(world.clock()))

        async def again(url: str) -> int:
            signature = f"v1={signature_of(SECRET, at, b'once')}"
            status, _ = await send(
                world, b"once", url=url, X_Acra_Timestamp=at, X_Acra_Signature=signature
            )
            return status

        answers = await asyncio.gather(*(again(url) for url in [world.url, other] * 4))

        assert sorted(answers) == [202, *[409] * 7]
        assert len(await rows(databases, "acra_runs")) == 1
        (kept,) = await rows(databases, "acra_signature")
        assert len(kept["hash"]) == 32, "a hash of it, not the signature"


async def test_a_signature_is_remembered_as_long_as_it_counts(
    databases: Databases,
) -> None:
    async with a_world(databases) as world:
        await send(world)
        (kept,) = await rows(databases, "acra_signature")

        assert kept["expires_at"].timestamp() > time.time() + 2 * TOLERANCE


async def test_what_could_not_be_queued_may_be_sent_again(databases: Databases) -> None:
    async with a_world(databases) as world:
        at = str(int(world.clock()))
        told: dict[str, Any] = {
            "X_Acra_Timestamp": at,
            "X_Acra_Signature": f"v1={signature_of(SECRET, at, b'')}",
        }
        async with databases.superuser() as superuser:
            await superuser.execute("REVOKE INSERT ON pgqueuer FROM bff_app")
            assert (await send(world, **told))[0] == 500
            await superuser.execute("GRANT INSERT ON pgqueuer TO bff_app")
        assert (await send(world, **told))[0] == 202


async def test_one_secret_replaces_another(databases: Databases) -> None:
    async with a_world(databases, f"{OTHER}, {SECRET}") as world:
        assert (await send(world, b"1", secret=OTHER))[0] == 202
        assert (await send(world, b"2", secret=SECRET))[0] == 200
        assert (await send(world, b"3", secret=f"{OTHER}, {SECRET}"))[0] == 401


async def test_without_a_secret_there_is_no_such_address(databases: Databases) -> None:
    async with a_world(databases, "") as world:
        status, body = await send(world, secret="")

        assert (status, body["code"]) == (404, "not_found")


async def test_a_large_body_is_refused(databases: Databases) -> None:
    async with a_world(databases) as world:
        assert (await send(world, b" " * 300_000))[0] == 413


async def test_a_browser_of_another_site_can_send_it_and_proves_nothing(
    databases: Databases,
) -> None:
    """It carries its own proof: the gate for browsers does not apply."""
    async with a_world(databases) as world:
        site: dict[str, Any] = {
            "Origin": "https://evil.example",
            "Sec_Fetch_Site": "cross-site",
        }
        assert (await send(world, secret=OTHER, **site))[0] == 401
        assert (await send(world, **site))[0] == 202


async def test_the_example_of_the_documentation_works(databases: Databases) -> None:
    script = """
        at=$(date +%s); body='{}'
        mark=$(printf '%s.%s' "$at" "$body" | openssl dgst -sha256 -hmac "$SECRET" -r)
        curl -sS -o /dev/null -w '%{http_code}' "$URL/acra/ingest" -d "$body" \\
          -H "X-Acra-Timestamp: $at" -H "X-Acra-Signature: v1=${mark%% *}"
    """
    async with a_world(databases) as world:
        done = await asyncio.to_thread(
            subprocess.run,
            ["/bin/sh", "-c", script],
            env={"PATH": "/usr/bin:/bin", "SECRET": SECRET, "URL": world.url},
            capture_output=True,
            check=True,
            timeout=30,
        )

        assert done.stdout == b"202", done.stderr


@given(secret=st.text(min_size=1), body=st.binary(), at=st.integers(0, 10**11 - 1))
def test_a_signature_fits_its_own_secret_time_and_body_only(
    secret: str, body: bytes, at: int
) -> None:
    secret = secret.replace(",", ".").strip() or "s"
    secret = secret.encode(errors="replace").decode()
    made = signature_of(secret, str(at), body)

    assert is_signed(secret, str(at), body, made)
    assert not is_signed(secret + "x", str(at), body, made)
    assert not is_signed(secret, str(at + 1), body, made)
    assert not is_signed(secret, str(at), body + b"x", made)
    assert not is_signed(",,", str(at), body, made)
    assert json.loads(json.dumps(made)) == made
