"""A real Keycloak on loopback for the tests: `python -m tests.real.keycloak fetch`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bff.dev.ports import free_port
from tests.real import keycloak_distribution as distribution
from tests.real.keycloak_import import representation
from tests.real.keycloak_realms import PLAIN, ROTATE
from tests.real.listeners import LogoutListener, MailListener

if TYPE_CHECKING:
    from pathlib import Path

    from bff.dev.provider import Realm

ADMIN, ADMIN_PASSWORD = "test-admin", "Test-Admin-Password-1"
START_SECONDS, STOP_SECONDS = 180, 20


@dataclass
class Keycloak:
    """A running server with both realms, and who hears of its logouts and mails."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    logouts: LogoutListener = field(repr=False)
    mails: MailListener = field(repr=False)
    seconds_to_start: float = 0.0
    admin: tuple[str, str] = (ADMIN, ADMIN_PASSWORD)

    def issuer(self, realm: Realm) -> str:
        """Return the issuer of a realm."""
        return f"{self.url}/realms/{realm.name}"

    def output(self) -> str:
        """Return all that was logged so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Stop the server and its listeners."""
        # kc.sh hands a TERM on to Java and waits for its end.
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # The process group holds nothing but kc.sh and its Java.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
        self.logouts.stop()
        self.mails.stop()


def start(home: Path, folder: Path) -> Keycloak:
    """Start Keycloak on a free port; all that it writes goes to *folder*."""
    _lay_out(home, folder)
    logouts, mails = LogoutListener(), MailListener()
    _write(folder, representation(PLAIN, logouts.url, smtp_port=mails.port))
    _write(folder, representation(ROTATE, logouts.url))
    port, log = free_port(), folder / "output.txt"
    url = f"http://127.0.0.1:{port}"
    command = [
        *(str(folder / "bin" / "kc.sh"), "start", "--optimized", "--import-realm"),
        *("--cache=local", "--http-enabled=true", "--http-host=127.0.0.1"),
        *(f"--http-port={port}", f"--hostname={url}"),
    ]
    credentials = {
        "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
        "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN_PASSWORD,
    }
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - the server that we fetched
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=distribution.environment() | credentials,
            start_new_session=True,
        )
    keycloak = Keycloak(url, process, log, logouts, mails)
    try:
        _wait(keycloak, began + START_SECONDS)
    except BaseException:
        keycloak.stop()
        raise
    keycloak.seconds_to_start = time.monotonic() - began
    return keycloak


def _lay_out(home: Path, folder: Path) -> None:
    # kc.sh takes the folder above its own for its home: what is only read is
    # linked, and data/ comes into being beside it.
    (folder / "data" / "import").mkdir(parents=True)
    (folder / "bin").mkdir()
    shutil.copy2(home / "bin" / "kc.sh", folder / "bin")
    shutil.copytree(home / "conf", folder / "conf")
    for name in ("lib", "providers", "themes"):
        (folder / name).symlink_to(home / name)


def _write(folder: Path, realm: dict[str, object]) -> None:
    path = folder / "data" / "import" / f"{realm['realm']}-realm.json"
    path.write_text(json.dumps(realm, indent=1), encoding="utf-8")


def _wait(keycloak: Keycloak, deadline: float) -> None:
    realms = [f"{keycloak.issuer(one)}/protocol/openid-connect/certs" for one in REALMS]
    while not all(map(_answers, realms)):
        if keycloak.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"Keycloak did not start:\n{keycloak.output()}")
        time.sleep(0.25)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http
            return bool(answer.status == 200)
    except OSError:
        return False


REALMS = (PLAIN, ROTATE)

if __name__ == "__main__":
    if sys.argv[1:] != ["fetch"]:
        sys.exit("usage: python -m tests.real.keycloak fetch")
    try:
        sys.exit(not distribution.ready())
    except distribution.Unavailable as error:
        sys.exit(str(error))
