"""PostgreSQL's errors in the library's words, from a real PostgreSQL."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest

from bff.dev.ports import free_port
from bff.dev.postgres import SUPERUSER
from bff.sites.postgres import named, opened
from odoo import errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.dev.postgres import Postgres


@pytest.fixture
async def url(postgres_server: Postgres) -> AsyncGenerator[str]:
    """Give a superuser's connection to PostgreSQL, with a database to copy in it."""
    url = postgres_server.url(SUPERUSER, "postgres")
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE DATABASE test_source")
        yield url
    finally:
        await connection.execute("DROP DATABASE IF EXISTS test_source WITH (FORCE)")
        await connection.execute("DROP DATABASE IF EXISTS test_copy WITH (FORCE)")
        await connection.close()


COPY = "CREATE DATABASE {} TEMPLATE {}"


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        (COPY.format("test_source", "template1"), errors.DatabaseExists),
        (COPY.format("test_copy", "no_such_template"), errors.TemplateMissing),
        (COPY.format("test_copy", "postgres"), errors.DatabaseBusy),
        ("SELECT 1 / 0", errors.ServerFault),
        ("DO $$ BEGIN RAISE disk_full; END $$", errors.NoRoom),
        ("DO $$ BEGIN RAISE insufficient_privilege; END $$", errors.AccessRefused),
        ("SELECT pg_terminate_backend(pg_backend_pid())", errors.OutcomeUnknown),
    ],
)
async def test_what_postgresql_refuses(
    url: str, statement: str, kind: type[errors.OdooError]
) -> None:
    with pytest.raises(errors.OdooError) as caught:
        async with opened(url) as connection:
            await connection.execute(statement)

    assert type(caught.value) is kind
    assert (urlsplit(url).password or "?") not in str(caught.value)


async def test_a_server_that_is_away_was_sent_nothing() -> None:
    with pytest.raises(errors.Unreachable):
        async with opened(f"postgresql://x:y@127.0.0.1:{free_port()}/postgres"):
            raise AssertionError("somebody listens there")


@pytest.mark.parametrize(
    "place", ["o:pw-secret/x@h/d", "o:pw-secret@[h/d", "o:x@h:pw-secret/d"]
)
async def test_a_url_that_cannot_be_read_is_not_repeated(place: str) -> None:
    with pytest.raises(errors.Unreachable) as caught:
        async with opened(named(f"postgresql://{place}", "postgres")):
            raise AssertionError("it is no URL")

    told = "".join(traceback.format_exception(caught.value))
    assert "pw-secret" not in told.replace(place, "")
    assert "odoo.postgres_url cannot be read" in str(caught.value)


async def test_a_wrong_password_is_refused(url: str) -> None:
    there = urlsplit(url)
    wrong = there._replace(
        netloc=f"{there.username}:wrong@{there.hostname}:{there.port}"
    )
    with pytest.raises(errors.AccessDenied):
        async with opened(wrong.geturl()):
            raise AssertionError("that is no password")


async def test_a_missing_database_cannot_be_reached(url: str) -> None:
    missing = urlsplit(url)._replace(path="/no_such_database").geturl()
    with pytest.raises(errors.DatabaseUnreachable):
        async with opened(missing):
            raise AssertionError("there is no such database")
