"""The line about each request: whole, masked, and JSON whatever a browser sends."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from bff import access_log
from bff.access_log import Lines
from bff.config_operating import Telemetry
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.world import World

NOW = 1_800_000_000.25
FIELDS: dict[str, object] = {
    "method": "GET",
    "path": "/graph/threads/t",
    "status": 200,
    "bytes": 12,
    "seconds": 0.0123,
    "request_id": "ab" * 16,
    "session": "abcdef012345",
    "tenant": 1001,
}


@pytest.fixture
def restored() -> Generator[None]:
    """Give the process its logging back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    access_log._Output.lines = None
    access_log._Output.refusals_only = False


async def line(**fields: Any) -> dict[str, Any]:
    written: list[str] = []
    lines = Lines(written.append)
    lines.add({**FIELDS, **fields}, NOW)
    lines.flush()
    (text,) = "".join(written).splitlines()
    return dict(json.loads(text))


async def test_a_line_says_what_happened() -> None:
    said = await line()

    assert said == {
        "time": "2027-01-15T08:00:00.250000+00:00",
        "level": "info",
        "logger": "aiohttp.access",
        "message": "request",
        **FIELDS,
    }


@given(st.text())
def test_any_path_stays_one_line_of_json(path: str) -> None:
    assert asyncio.run(line(path=path))["path"] == path


async def test_lines_leave_together_and_soon() -> None:
    written: list[str] = []
    lines = Lines(written.append)
    for number in range(5):
        lines.add({**FIELDS, "bytes": number}, NOW + number)
    assert written == []

    async with asyncio.timeout(5):
        while not written:  # noqa: ASYNC110 - a timer writes
            await asyncio.sleep(0.01)
    texts = written[0].splitlines()
    assert [json.loads(text)["bytes"] for text in texts] == [0, 1, 2, 3, 4]
    assert [json.loads(text)["time"][17:19] for text in texts] == [
        "00",
        "01",
        "02",
        "03",
        "04",
    ]


async def test_many_do_not_wait() -> None:
    written: list[str] = []
    lines = Lines(written.append)
    for _ in range(access_log.MOST_GATHERED):
        lines.add(FIELDS, NOW)

    text = "".join(written)
    assert text.count("\n") == access_log.MOST_GATHERED
    assert all(len(piece) <= access_log.ATOMIC for piece in written)
    assert all(piece.endswith("\n") for piece in written)


@pytest.mark.usefixtures("restored")
async def test_a_secret_in_a_path_is_masked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    access_log.configure(Telemetry())
    token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ0ZXN0In0."
    access_log.log_answer({**FIELDS, "path": f"/graph/threads/{token}"})
    access_log.log_answer({**FIELDS, "path": "/x?password=hunter2"})
    assert access_log._Output.lines is not None
    access_log._Output.lines.flush()

    said = capsys.readouterr().err
    assert token not in said
    assert "hunter2" not in said
    assert said.count("[masked]") == 2


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize(
    "path", ["/graph/password%3Dhunter2", f"/graph/password%3Dhunter2/{'t' * 300}"]
)
async def test_a_secret_that_is_encoded_is_masked_as_well(
    log_format: Literal["json", "text"], path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    access_log.configure(Telemetry(log_format=log_format))
    access_log.log_proxied("GET", path, 200, **PROXIED)
    access_log.flush()

    said = capsys.readouterr().err
    assert "/graph/[masked]" in said
    assert "hunter2" not in said


@pytest.mark.usefixtures("restored")
async def test_long_paths_are_not_kept() -> None:
    access_log._Output.lines = Lines(lambda _: None)
    access_log._path_said.cache_clear()
    for size in (10, 250, 300, 30_000):
        access_log.log_proxied("GET", f"/{'x' * size}", 200, **PROXIED)
    access_log.flush()
    assert access_log._path_said.cache_info().currsize == 2


PROXIED: dict[str, Any] = {
    "size": 12,
    "seconds": 0.01231,
    "request_id": "ab" * 16,
    "session": "abcdef012345",
    "tenant": 1001,
}


@pytest.mark.usefixtures("restored")
@given(
    path=st.text().map("/{}".format)
    | st.sampled_from(["/x?password=hunter2", "/p" * 600, '/"\\\n'])
)
@example(path="/graph/threads/eyJhbGciOiJub25lIn0.eyJzdWIiOiJ0ZXN0In0.")
@example(path="/graph/threads/password%3Dhunter2")
@example(path="/graph/%65yJhbGciOiJub25lIn0.eyJzdWIiOiJ0ZXN0In0./%2541%ff%0a")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_request_passed_on_is_logged_like_any_other(path: str) -> None:
    async def said() -> list[dict[str, Any]]:
        written: list[str] = []
        access_log._Output.lines = lines = Lines(written.append)
        url = URL.build(path=path, encoded=True)  # as aiohttp reads it
        access_log.log_answer({**FIELDS, "path": url.path})
        access_log.log_proxied("GET", path, 200, **PROXIED)
        lines.flush()
        return [json.loads(text) for text in "".join(written).splitlines()]

    plain, proxied = asyncio.run(said())
    del plain["time"], proxied["time"]
    assert proxied == plain


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    ("told", "code", "lines"),
    [
        (Telemetry(), None, 1),
        (Telemetry(), "answer_lost", 1),
        (Telemetry(access_log=False), None, 0),
        (Telemetry(access_log=False), "answer_lost", 1),
        (Telemetry(log_level="WARNING"), None, 0),
        (Telemetry(log_format="text"), None, 1),
    ],
)
async def test_a_request_passed_on_is_logged_where_others_are(
    told: Telemetry,
    code: str | None,
    lines: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    access_log.configure(told)
    access_log.log_proxied("POST", "/graph/threads/t", 409, **PROXIED, code=code)
    if access_log._Output.lines is not None:
        access_log._Output.lines.flush()

    said = capsys.readouterr().err
    assert said.count("/graph/threads/t") == lines
    assert ("answer_lost" in said) is (code is not None)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    ("settings", "is_on"),
    [
        (Telemetry(), True),
        (Telemetry(log_format="text"), True),
        (Telemetry(access_log=False), False),
        (Telemetry(log_level="WARNING"), False),
    ],
)
async def test_it_can_be_switched_off(
    settings: Telemetry,
    is_on: bool,  # noqa: FBT001 - a parameter of the test
    capsys: pytest.CaptureFixture[str],
) -> None:
    access_log.configure(settings)
    assert access_log.is_on() is is_on
    if not is_on:
        return
    access_log.log_answer(dict(FIELDS))
    if access_log._Output.lines is not None:
        access_log._Output.lines.flush()

    assert "/graph/threads/t" in capsys.readouterr().err


@pytest.mark.usefixtures("restored")
async def test_what_is_refused_is_logged_with_its_code_even_where_others_are_not(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    access_log.configure(Telemetry(access_log=False))
    async with world.browser() as browser:
        await browser.login("alice@acme.test", "wrong")
        await browser.get("/whoami")
        await browser.post("/auth/logout", headers={"Sec-Fetch-Site": "cross-site"})
        assert (await browser.get("/healthz")).status == 200
    lines = access_log._Output.lines
    assert lines is not None
    await until(lambda: _flushed(lines))

    said = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert [(one["path"], one["code"]) for one in said if "path" in one] == [
        ("/auth/login", "invalid_credentials"),
        ("/whoami", "not_signed_in"),
        ("/auth/logout", "cross_site_refused"),
    ]


async def _flushed(lines: Lines) -> bool:
    return lines._due is None
