"""Environments that make a valid configuration, to be spoilt by tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bff import config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
DEV = {
    "BFF_ENVIRONMENT": "dev",
    "BFF_DATABASE__URL": "postgresql://bff_app:pw-app@db/bff",
    "BFF_DATABASE__WORKER_URL": "postgresql://bff_worker:pw-worker@db/bff",
    "BFF_AUTH__ISSUER": "http://localhost:8180/realms/nexius",
    "BFF_AUTH__CLIENT_SECRET": "s3cret-of-the-client",
}
PRODUCTION = {
    **DEV,
    "BFF_ENVIRONMENT": "production",
    "BFF_AUTH__ISSUER": "https://sso.example.com/realms/nexius",
    "BFF_SERVER__PUBLIC_ORIGINS": '["https://app.example.com"]',
    "BFF_SESSION__KEYS": KEY,
}


def load(environ: Mapping[str, str], file: Path | None = None) -> config.Config:
    """Load without looking at this folder's config.toml."""
    return config.load(file, environ)


def problems(environ: Mapping[str, str], file: Path | None = None) -> dict[str, str]:
    """Return the problems of *environ*, by key; none is a failure."""
    with pytest.raises(config.ConfigError) as caught:
        load(environ, file)
    assert len(set(caught.value.problems)) == len(caught.value.problems)
    pairs = (problem.partition(": ") for problem in caught.value.problems)
    return {key: said for key, _, said in pairs}
