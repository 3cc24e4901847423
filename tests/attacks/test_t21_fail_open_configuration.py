"""T21: what would be unsafe stops the start (Caddy CVE-2026-27586, ssl_verify=no).

Real processes: each is told one good configuration, spoilt in many places, and must
name every one of them, listen nowhere and end with status 1.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.attacks.processes import environment, run, settings_of
from tests.bff.configs import PRODUCTION

if TYPE_CHECKING:
    from pathlib import Path

    from tests.world import World

REFUSED = "The configuration cannot be used:"
# Spoilt places that do not hide one another; the key that must be named.
BATCHES: tuple[dict[str, tuple[str, str]], ...] = (
    {
        "auth.issuer": ("BFF_AUTH__ISSUER", "http://sso.example.com/realms/x"),
        "server.public_origins.0": ("BFF_SERVER__PUBLIC_ORIGINS", '["*"]'),
        "session.host_prefix": ("BFF_SESSION__HOST_PREFIX", "true"),
        "session.secure": ("COOKIE_SECURE", "false"),
        "auth.client_secret": ("BFF_AUTH__CLIENT_SECRET", ""),
        "auth.audience": ("BFF_AUTH__AUDIENCE", ""),
        "database.url": ("BFF_DATABASE__URL", ""),
        "database.worker_url": ("BFF_DATABASE__WORKER_URL", " "),
        "session.keys": ("BFF_SESSION__KEYS", ""),
        "auth.ssl_verify": ("BFF_AUTH__SSL_VERIFY", "false"),
        "auth.verify": ("BFF_AUTH__VERIFY", "no"),
        "auth.skip_issuer_check": ("BFF_AUTH__SKIP_ISSUER_CHECK", "true"),
        "proxy.graph.ssl_verify": ("BFF_PROXY__GRAPH__SSL_VERIFY", "off"),
        "proxy.graph.upstreams.0": ("BFF_PROXY__GRAPH__UPSTREAMS", '["ftp://x"]'),
        "csrf.enabled": ("BFF_CSRF__ENABLED", "false"),
        "debug": ("BFF_DEBUG", "true"),
        "insecure": ("BFF_INSECURE", "1"),
        "session.samesite": ("BFF_SESSION__SAMESITE", "None"),
        "session.lifetime": ("BFF_SESSION__LIFETIME", "inf"),
        "server.trusted_proxies.0": ("BFF_SERVER__TRUSTED_PROXIES", '["*"]'),
        "tenancy.claim": ("BFF_TENANCY__CLAIM", "always"),
        "onboarding.open_to": ("BFF_ONBOARDING__OPEN_TO", "all"),
        "dev.bypass": ("DEV_AUTH_BYPASS", "true"),
        "split_origin.origins": (
            "BFF_SPLIT_ORIGIN__ORIGINS",
            '["https://ui.example.com"]',
        ),
        "ODOO_TENANT_ADMIN_PASSWORD_FALLBACK": (
            "ODOO_TENANT_ADMIN_PASSWORD_FALLBACK",
            "CANARY-one-for-all",
        ),
    },
    {
        "auth.issuer": ("BFF_AUTH__ISSUER", "sso.example.com"),
        "server.public_origins.0": ("BFF_SERVER__PUBLIC_ORIGINS", '["null"]'),
        "server.trusted_proxies.0": ("BFF_SERVER__TRUSTED_PROXIES", '["0.0.0.0/0"]'),
        "auth.client_secret": ("BFF_AUTH__CLIENT_SECRET", "   "),
        "auth.direct_grant": ("BFF_AUTH__DIRECT_GRANT", "perhaps"),
        "info.require_session": ("BFF_INFO__REQUIRE_SESSION", "maybe"),
        "proxy.graph.prefix": ("BFF_PROXY__GRAPH__PREFIX", "/"),
        "session.access_cookie": ("BFF_SESSION__ACCESS_COOKIE", "a; Domain=x"),
        "server.max_body": ("BFF_SERVER__MAX_BODY", "0"),
        "environment": ("BFF_ENVIRONMENT", "staging"),
        "split_origin.origin": ("BFF_SPLIT_ORIGIN__ORIGIN", "*"),
        "dev.skip_auth": ("BFF_DEV__SKIP_AUTH", "true"),
    },
    {
        "server.public_origins.0": (
            "BFF_SERVER__PUBLIC_ORIGINS",
            '["https://*.example.com", "http://app.example.com"]',
        ),
        # The same variable names both places.
        "server.public_origins.1": ("COOKIE_SECURE", "false"),
        "server.trusted_proxies.0": ("BFF_SERVER__TRUSTED_PROXIES", '["::/0"]'),
        "session.secure": ("BFF_SESSION__SECURE", "false"),
        "dev.default_tenant_id": ("DEFAULT_TENANT_ID", "1001"),
    },
)


@pytest.mark.parametrize("batch", range(len(BATCHES)))
async def test_every_unsafe_setting_is_named_and_nothing_starts(batch: int) -> None:
    spoilt = dict(BATCHES[batch].values())
    path = {
        "PATH": environment({})["PATH"],
        "PYTHONPATH": environment({})["PYTHONPATH"],
    }

    ended = await run({**PRODUCTION, **path, **spoilt}, "serve")

    assert ended.status == 1, ended.said
    assert REFUSED in ended.said
    assert "Traceback" not in ended.said
    named = {line[4:].partition(": ")[0] for line in ended.said.splitlines()[1:]}
    assert named >= set(BATCHES[batch])
    for secret in ("CANARY", "pw-app", "pw-worker", "s3cret-of-the-client"):
        assert secret not in ended.said


async def test_the_good_configuration_is_taken_or_all_this_proves_nothing() -> None:
    path = {
        "PATH": environment({})["PATH"],
        "PYTHONPATH": environment({})["PYTHONPATH"],
    }

    ended = await run({**PRODUCTION, **path, "BFF_AUTH__TIMEOUT": "1"}, "doctor")

    assert REFUSED not in ended.said
    assert "Traceback" not in ended.said


async def test_dev_opens_plain_http_on_this_machine_only(world: World) -> None:
    """The one switch that loosens anything loosens nothing for a network."""
    told = settings_of(
        world,
        {
            "auth": {"issuer": "http://sso.example.com/realms/x"},
            "server": {"public_origins": ["http://app.example.com"]},
        },
    )
    ended = await run(environment(told), "serve", seconds=20)

    assert ended.status == 1, ended.said
    assert "auth.issuer: " in ended.said
    assert "server.public_origins.0: " in ended.said


BROKEN: dict[str, dict[str, dict[str, Any]]] = {
    "one key number twice": {
        "session": {
            "keys": "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,"
            "1:HxECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        }
    },
    "cookies forwarded": {"proxy": {"graph": {"forward_headers": ["cookie"]}}},
}


async def test_what_only_shows_later_stops_the_start_too(world: World) -> None:
    ends = await asyncio.gather(*(starts(world, name) for name in BROKEN))

    for name, (status, listened) in zip(BROKEN, ends, strict=True):
        assert status not in {0, None}, name
        assert not listened, name


async def starts(world: World, name: str) -> tuple[int | None, bool]:
    """Start what is broken; tell how it ended and whether it listened meanwhile."""
    told = settings_of(world, {})
    for section, more in BROKEN[name].items():
        if section == "proxy":
            told["proxy"]["graph"] |= more["graph"]
        else:
            told[section] |= more
    host, _, port = told["server"]["listen"].partition(":")
    ending = asyncio.ensure_future(run(environment(told), "serve", seconds=30))
    listened = False
    while not ending.done():
        with socket.socket() as probe:
            listened |= probe.connect_ex((host, int(port))) == 0
        await asyncio.sleep(0.1)
    return (await ending).status, listened


async def test_a_file_with_a_setting_that_nobody_knows_is_refused(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[auth]\ninsecure_skip_verify = true\n[sessions]\nsecure = false\n")
    path = {
        "PATH": environment({})["PATH"],
        "PYTHONPATH": environment({})["PYTHONPATH"],
    }

    ended = await run({**PRODUCTION, **path}, "serve", "--config", str(file))

    assert ended.status == 1
    assert "auth.insecure_skip_verify: there is no such setting" in ended.said
    assert "sessions: there is no such setting" in ended.said
