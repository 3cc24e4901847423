"""Check what the gateway needs, one finding a line."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
import asyncpg

from bff import migrate
from bff.catalogue import read_catalogue
from bff.config_dev import opened
from bff.doctor_findings import Finding
from bff.doctor_odoo import odoo_findings
from bff.identity.accounts import Accounts
from bff.identity.admin_api import CallRefused
from bff.identity.client_auth import ClientKeyError
from bff.identity.messages import ProviderUnavailable, Refusal, TokenRefused
from bff.identity.provider import Provider
from bff.isolation import problems_of
from bff.outbound import client_session
from bff.pages.ui import clashes, folder_of
from bff.roles import problems_of_role
from bff.routes import reserved
from bff.sessions.keyring import load_ring
from bff.sessions.sealing import KeyRingError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bff.config import Config

CLOCK_LIMIT = 60.0
# ValueError: a URL that the driver cannot read.
UNREACHABLE = (
    OSError,
    TimeoutError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)


async def examine(config: Config) -> list[Finding]:
    """Look at everything and return all findings; nothing is changed."""
    findings = [Finding("configuration", ok=True, said="valid"), _key_ring(config)]
    findings += [
        Finding(name, ok=True, said=said, warns=True)
        for name, said in opened(config).items()
    ]
    findings += [finding async for finding in _database(config)]
    async with client_session() as http:
        findings += [finding async for finding in _provider(config, http)]
        findings += [finding async for finding in _graph(config, http)]
        findings += [finding async for finding in _ui(config, http)]
        if config.odoo.server_url:
            findings += [finding async for finding in odoo_findings(config, http)]
    return findings


def _key_ring(config: Config) -> Finding:
    try:
        ring = load_ring(config)
    except KeyRingError as error:
        return Finding("key ring", ok=False, said=str(error))
    return Finding("key ring", ok=True, said=f"{len(ring.ids)} keys")


async def _database(config: Config) -> AsyncGenerator[Finding]:
    urls = {"database": config.database.url, "worker role": config.database.worker_url}
    for name, secret in urls.items():
        url = secret.get_secret_value()
        if not url:
            continue
        try:
            # What a pooler hands on: nothing prepared, one transaction for all.
            connection = await asyncpg.connect(url, timeout=5, statement_cache_size=0)
        except UNREACHABLE as error:
            yield Finding(name, ok=False, said=f"unreachable ({type(error).__name__})")
            continue
        try:
            await connection.execute("BEGIN")
            problems = await problems_of_role(connection)
            yield Finding(
                name, ok=not problems, said="; ".join(problems) or "role is limited"
            )
            if name == "database":
                yield await _schema(connection)
                wrong = problems_of(await read_catalogue(connection))
                said = "; ".join(wrong) or "tenants stay apart by the catalogue"
                yield Finding("isolation", ok=not wrong, said=said)
        except UNREACHABLE as error:
            yield Finding(name, ok=False, said=f"broke off ({type(error).__name__})")
        finally:
            connection.terminate()


async def _schema(connection: asyncpg.Connection) -> Finding:
    try:
        todo = await migrate.pending(connection, migrate.available())
    except migrate.MigrationError as error:
        return Finding("schema", ok=False, said=str(error))
    if todo:
        said = f"{len(todo)} migrations missing: bff migrate up"
        return Finding("schema", ok=False, said=said)
    return Finding("schema", ok=True, said="up to date")


async def _provider(
    config: Config, http: aiohttp.ClientSession
) -> AsyncGenerator[Finding]:
    try:
        provider = Provider(config.auth, http, time.time)
    except ClientKeyError as error:
        yield Finding("client credentials", ok=False, said=str(error))
        return
    try:
        found = await provider.discovery()
    except ProviderUnavailable as error:
        yield Finding("issuer", ok=False, said=str(error))
        return
    yield Finding("issuer", ok=True, said=config.auth.issuer)
    date = None
    try:
        async with http.get(found["jwks_uri"], allow_redirects=False) as answer:
            date = answer.headers.get("Date")
            signing = _signing_keys(await answer.json()) if answer.ok else 0
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        said = f"cannot be read ({type(error).__name__})"
        yield Finding("signing keys", ok=False, said=said)
    else:
        yield Finding("signing keys", ok=signing > 0, said=f"{signing} found")
    skew = _skew(date)
    if skew is not None:
        yield Finding("clock", ok=skew < CLOCK_LIMIT, said=f"{skew:.0f} s apart")
    yield await _client(provider)
    if config.auth.provisioner_client_id:
        yield await _provisioner(Accounts(config.auth, http, time.time))


def _signing_keys(found: object) -> int:
    keys = found.get("keys") if isinstance(found, dict) else None
    listed = keys if isinstance(keys, list) else []
    return sum(isinstance(key, dict) and key.get("use") == "sig" for key in listed)


def _skew(date: str | None) -> float | None:
    try:
        return abs(parsedate_to_datetime(date or "").timestamp() - time.time())
    except ValueError:
        return None


async def _provisioner(accounts: Accounts) -> Finding:
    name = "provisioner client"
    try:
        await accounts.check()
    except (CallRefused, ProviderUnavailable) as error:
        return Finding(name, ok=False, said=f"{error}; does it have manage-users?")
    return Finding(name, ok=True, said="may manage users")


async def _client(provider: Provider) -> Finding:
    """Ask with a refresh token that cannot be good: who we are is checked first."""
    name = "client credentials"
    try:
        await provider.refresh("not-a-token")
    except ProviderUnavailable as error:
        return Finding(name, ok=False, said=str(error))
    except TokenRefused as error:
        good = error.refusal is Refusal.SESSION_OVER
        said = "accepted" if good else f"refused: {error.description}"
        return Finding(name, ok=good, said=said)
    return Finding(name, ok=False, said="the provider takes any refresh token")


async def _graph(
    config: Config, http: aiohttp.ClientSession
) -> AsyncGenerator[Finding]:
    for name, target in config.proxy.items():
        for upstream in target.upstreams:
            if upstream.startswith("unix:"):
                continue
            try:
                async with http.get(f"{upstream}/ok", allow_redirects=False) as answer:
                    good, said = answer.ok, f"{upstream} answers {answer.status}"
            except (aiohttp.ClientError, OSError, TimeoutError):
                good, said = False, f"{upstream} cannot be reached"
            yield Finding(f"upstream {name}", ok=good, said=said)


async def _ui(config: Config, http: aiohttp.ClientSession) -> AsyncGenerator[Finding]:
    name, ui = "user interface", config.ui
    if ui.mode == "directory":
        root = folder_of(ui)
        wrong = clashes(root, reserved(config))
        if not root.is_dir():
            wrong = [f"{root} is no folder"]
        elif ui.fallback and not (root / ui.fallback).is_file():
            wrong.append(f"there is no {ui.fallback}")
        yield Finding(name, ok=not wrong, said="; ".join(wrong) or f"in {root}")
    elif ui.mode == "upstream" and not ui.upstream.startswith("unix:"):
        try:
            async with http.get(ui.upstream, allow_redirects=False) as answer:
                good = answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
                said = f"{ui.upstream} answers {answer.status}"
        except (aiohttp.ClientError, OSError, TimeoutError):
            good, said = False, f"{ui.upstream} cannot be reached"
        yield Finding(name, ok=good, said=said)
