"""The whole product as a newcomer runs it: `bff dev` in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bff.dev.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

START_SECONDS = 90
STOP_SECONDS = 20


@dataclass
class Product:
    """A running `bff dev`."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path
    report: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.report["gateway_url"])

    def output(self) -> str:
        """Return all that was printed and logged so far."""
        return self.log.read_text(encoding="utf-8")


def start(folder: Path, options: Sequence[str] = ()) -> Product:
    """Start `bff dev` on free ports and wait until it answers."""
    port, log = free_port(), folder / "output.txt"
    command = [
        *(sys.executable, "-m", "bff", "dev", "--folder", str(folder / "bff")),
        *("--port", str(port), "--provider-port", str(free_port())),
        *("--log-level", "DEBUG"),
        *options,
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
    deadline = time.monotonic() + START_SECONDS
    while not _answers(f"http://127.0.0.1:{port}/healthz"):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"bff dev did not start:\n{log.read_text()}")
        time.sleep(0.1)
    report = json.loads((folder / "bff" / "dev.json").read_text(encoding="utf-8"))
    return Product(process, folder, log, report)


def stop(product: Product) -> None:
    """Stop it as Ctrl-C does."""
    product.process.send_signal(signal.SIGINT)
    try:
        product.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        product.process.kill()
        raise


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - http
            return bool(answer.status == 200)
    except OSError:
        return False
