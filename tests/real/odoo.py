"""A real Odoo 19 on loopback for the tests: `python -m tests.real.odoo fetch`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bff.dev import postgres
from bff.dev.ports import free_port
from tests.real import odoo_distribution as distribution
from tests.real import odoo_warm as warm

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

MASTER = "test-master-only"
START_SECONDS, STOP_SECONDS = 120, 20
# How `fetch` ends where there is nothing to be fetched; .ci/run knows it.
DROPPED = 3


@dataclass
class Odoo:
    """A running server, over a database cluster that holds the test template."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    place: warm.Place
    template: warm.Template
    master: str = field(default=MASTER, repr=False)
    seconds_to_start: float = 0.0
    pair: tuple[str, str] | None = None

    def output(self) -> str:
        """Return all that was logged so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End the server as a crash would, in the middle of what it does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """Stop the server; its databases stay."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def start_again(self) -> None:
        """Start it where it was, over what it had."""
        self.process = _launched(self.place, self.log.with_suffix(".conf"))
        _wait(self, time.monotonic() + START_SECONDS)

    @contextmanager
    def another(self, **options: str) -> Generator[Odoo]:
        """Run a second server over the same databases, with options of its own."""
        server = serve(self.place, self.template, options)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def running(
    fetched: distribution.Distribution,
    folder: Path,
    options: Mapping[str, str] | None = None,
) -> Generator[Odoo]:
    """Run Odoo; all that it and its PostgreSQL write goes to *folder*."""
    built = warm.ready(fetched)
    # A copy for each run: whatever tests leave behind is gone with it.
    shutil.copytree(built / "data", folder / "data")
    warm.copy_owned(built / "postgres", folder / "postgres")
    server = postgres.start(folder / "postgres", durable=False)
    try:
        place = warm.Place(fetched, folder, server)
        odoo = serve(place, warm.Template.read(built), options)
        try:
            yield odoo
        finally:
            odoo.stop()
    finally:
        postgres.stop(folder / "postgres")


def serve(
    place: warm.Place, template: warm.Template, options: Mapping[str, str] | None = None
) -> Odoo:
    """Start one server on a free port and wait until it answers."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    network = {
        "http_interface": "127.0.0.1",
        "http_port": str(port),
        "admin_passwd": MASTER,
        "list_db": "True",
    }
    file = place.configuration(f"odoo-{port}.conf", {**network, **(options or {})})
    began = time.monotonic()
    log = file.with_suffix(".log")
    odoo = Odoo(url, _launched(place, file), log, place, template)
    try:
        _wait(odoo, began + START_SECONDS)
    except BaseException:
        odoo.stop()
        raise
    odoo.seconds_to_start = time.monotonic() - began
    return odoo


def _launched(place: warm.Place, file: Path) -> subprocess.Popen[bytes]:
    with file.with_suffix(".log").open("ab") as out:
        return subprocess.Popen(  # noqa: S603 - the server that we fetched
            [*place.program(), "-c", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=place.environment(),
            start_new_session=True,
        )


def _wait(odoo: Odoo, deadline: float) -> None:
    while not _answers(f"{odoo.url}/web/health"):
        if odoo.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"Odoo did not start:\n{odoo.output()}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    if sys.argv[1:] != ["fetch"]:
        sys.exit("usage: python -m tests.real.odoo fetch")
    try:
        warm.ready(distribution.ready())
    except distribution.Dropped as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(DROPPED)
    except distribution.Unavailable as error:
        sys.exit(str(error))
