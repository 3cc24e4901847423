"""SIGHUP takes up new keys and another log level; what is broken changes nothing."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from bff import access_log
from bff.dev.ports import free_port
from bff.reloading import Reloading
from bff.sessions.keyring import load_ring
from bff.sessions.sealing import Unopenable
from tests.bff.cli.test_serving import told
from tests.bff.configs import DEV, KEY, load
from tests.bff.test_serve import environment, process, settings
from tests.bff.waiting import until

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from bff.config import Config
    from tests.databases import Databases

SECOND = "2:" + "B" * 43 + "="
OTHER_FIRST = "1:" + "C" * 43 + "="


@pytest.fixture
def kept_logging(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Leave this process's logging as it was."""
    root = logging.getLogger()
    monkeypatch.setattr(
        access_log, "configure", lambda told: root.setLevel(told.log_level)
    )
    level = root.level
    yield
    root.setLevel(level)


class Place:
    """A key file, a configuration, and what reads them again."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "keys"
        self.file.write_text(KEY)
        self.more: dict[str, str] = {}
        config = self.reread()
        self.ring = load_ring(config)
        self.reload = Reloading(config, self.reread, self.ring)

    def reread(self) -> Config:
        return load({**DEV, "BFF_SESSION__KEY_FILE": str(self.file), **self.more})


@pytest.mark.usefixtures("kept_logging")
def test_a_new_key_opens_then_seals_then_stays_alone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    old = place.ring.seal("cookie", "x", b"old")

    place.file.write_text(f"{KEY}\n{SECOND}\n")
    assert place.reload()
    assert place.ring.ids == [1, 2]
    assert place.ring.seal("cookie", "x", b"")[0] == 1
    place.file.write_text(f"{SECOND}\n{KEY}\n")
    assert place.reload()
    assert place.ring.seal("cookie", "x", b"")[0] == 2
    assert place.ring.open("cookie", "x", old) == b"old"
    place.file.write_text(f"{SECOND}\n")
    assert place.reload()
    with pytest.raises(Unopenable):
        place.ring.open("cookie", "x", old)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "session.key_file is empty"),
        ("1:canary", "key 1: "),
        (OTHER_FIRST, "key 1: 1 is the number of another key that is in use"),
    ],
)
@pytest.mark.usefixtures("kept_logging")
def test_a_broken_key_file_keeps_the_old_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, why: str
) -> None:
    place = Place(tmp_path)
    old = place.ring.seal("cookie", "x", b"old")
    place.file.write_text(text)

    assert not place.reload()

    assert place.ring.open("cookie", "x", old) == b"old"
    assert "nothing is changed" in caplog.text
    assert why in caplog.text
    assert "canary" not in caplog.text
    assert "C" * 43 not in caplog.text


@pytest.mark.usefixtures("kept_logging")
def test_a_missing_key_file_keeps_the_old(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.file.unlink()
    assert not place.reload()
    assert place.ring.ids == [1]


@pytest.mark.usefixtures("kept_logging")
def test_the_log_level_follows_and_what_needs_a_start_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(tmp_path)
    place.more = {
        "BFF_TELEMETRY__LOG_LEVEL": "DEBUG",
        "BFF_SERVER__DRAIN": "7",
        "BFF_AUTH__CLIENT_SECRET": "another-canary",
    }
    caplog.set_level(logging.INFO)
    assert place.reload()
    assert logging.getLogger().level == logging.DEBUG
    assert "only a new start changes auth.client_secret, server.drain" in caplog.text
    assert "canary" not in caplog.text

    place.more = {"BFF_TELEMETRY__LOG_LEVEL": "WARNING", "BFF_SERVER__DRAIN": "x"}
    assert not place.reload()
    assert logging.getLogger().level == logging.DEBUG
    assert "server.drain" in caplog.text


def is_free(port: int) -> bool:
    with socket.socket() as one, suppress(OSError):
        one.bind(("127.0.0.1", port))
        return True
    return False


@pytest.mark.timeout(240)
async def test_all_workers_of_a_real_process_read_again_and_go_on(
    databases: Databases, tmp_path: Path
) -> None:
    keys, file = tmp_path / "keys", tmp_path / "told.toml"
    keys.write_text(KEY)
    file.write_text('[telemetry]\nlog_level = "INFO"\n')
    while not is_free((port := free_port()) + 1):
        pass
    values = settings(databases, workers=2, admin_listen=f"127.0.0.1:{port}")
    values["session"] = {"key_file": str(keys)}
    values["worker"] = {"embedded": False}
    admins = [f"http://127.0.0.1:{port + number}" for number in range(2)]
    log = tmp_path / "log"
    environ = {**environment(values), "BFF_CONFIG": str(file)}

    def count(text: str) -> int:
        return log.read_text().count(text)

    async def ready() -> bool:
        assert running.returncode is None, log.read_text()
        return [(await told(f"{one}/readyz"))[0] for one in admins] == [200, 200]

    async with process("serve", environ, tmp_path) as running:
        assert running.stdout is not None
        lines = running.stdout

        async def copy() -> None:
            with log.open("wb", buffering=0) as out:
                while data := await lines.read(1 << 16):
                    out.write(data)

        copying = asyncio.ensure_future(copy())
        await until(ready, seconds=120)
        keys.write_text(f"{SECOND}\n{KEY}\n")
        running.send_signal(signal.SIGHUP)

        async def renewed() -> bool:
            assert running.returncode is None, log.read_text()
            return count("key ring renewed (2, 1)") == 2

        await until(renewed, seconds=30)
        file.write_text("[telemetry\n")
        running.send_signal(signal.SIGHUP)

        async def refused() -> bool:
            return count("nothing is changed") == 2

        await until(refused, seconds=30)
        assert await ready()
        running.terminate()
        await asyncio.wait_for(running.wait(), 60)
        await copying
    assert running.returncode == 0, log.read_text()
    assert count("ended with") == 0
