"""What the register's reader may be told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.bff.configs import DEV, PRODUCTION, load, problems

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("API_URL", "http://data.gov.sg/api", "must be https"),
        ("API_URL", "data.gov.sg", "give https://HOST/PATH"),
        ("COLLECTION_URL", "ftp://data.gov.sg/x", "give https://HOST/PATH"),
        ("DOWNLOAD_URL", "http://10.0.0.1/x", "must be https"),
        ("TIMEZONE", "Singapore Time", "Asia/Singapore"),
        ("TIMEZONE", "../../etc/passwd", "Asia/Singapore"),
        ("TIMEZONE", "", "Asia/Singapore"),
        ("WEBHOOK_SECRET", "short", "32 characters"),
        ("WEBHOOK_SECRET", "x" * 32 + ",", "32 characters"),
    ],
)
def test_the_register_s_settings_are_checked(name: str, value: str, said: str) -> None:
    found = problems({**DEV, f"BFF_ACRA__{name}": value})

    assert said in found[f"acra.{name.lower()}"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://s3.example/bucket", "must end in /"),
        ("http://s3.example/bucket/", "must be https"),
        ("https://s3.example/?bucket=x/", "give https://HOST/PATH"),
    ],
)
def test_files_of_the_register_come_from_a_place_that_is_told_exactly(
    url: str, said: str
) -> None:
    urls = json.dumps(["https://s3.example/bucket/", url])
    found = problems({**DEV, "BFF_ACRA__DOWNLOAD_FROM": urls})

    assert said in found["acra.download_from.1"]


def test_plain_http_is_for_fakes_on_this_machine() -> None:
    here = {"BFF_ACRA__API_URL": "http://127.0.0.1:1/api"}

    assert load({**DEV, **here}).acra.api_url
    assert "must be https" in problems({**PRODUCTION, **here})["acra.api_url"]


@pytest.mark.parametrize("schedule", ["", "daily", "99 1 * * *", "1 * * *"])
def test_a_schedule_must_be_one(schedule: str) -> None:
    told = {**DEV, "BFF_ACRA__SCHEDULE": schedule}

    assert load(told).acra.schedule == schedule, "nobody follows it"
    found = problems({**told, "BFF_ACRA__SCHEDULED": "true"})
    assert "five fields of cron" in found["acra.schedule"]
