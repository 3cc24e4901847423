"""Who hears of logouts and receives mail in tests: small servers in threads."""

from __future__ import annotations

import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable


class LogoutListener:
    """Receive logout tokens as (last part of the path, token)."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                form = parse_qs(self.rfile.read(length).decode())
                client = self.path.rpartition("/")[2]
                heard.append((client, form["logout_token"][0]))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.stop = _serve(self._server)


class MailListener:
    """Receive mail by SMTP and keep its text."""

    def __init__(self) -> None:
        self.received: list[str] = []
        received = self.received

        class Handler(socketserver.StreamRequestHandler):
            answers: ClassVar = {"DATA": b"354 go on\r\n", "QUIT": b"221 bye\r\n"}

            def handle(self) -> None:
                self.wfile.write(b"220 test\r\n")
                while line := self.rfile.readline():
                    verb = line.decode().strip().upper()[:4]
                    self.wfile.write(self.answers.get(verb, b"250 ok\r\n"))
                    if verb == "DATA":
                        received.append(self.read_mail())
                        self.wfile.write(b"250 ok\r\n")
                    if verb == "QUIT":
                        return

            def read_mail(self) -> str:
                lines = []
                while (line := self.rfile.readline()) not in {b".\r\n", b""}:
                    lines.append(line.decode())
                return "".join(lines)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self.stop = _serve(self._server)


def wait_for(condition: Callable[[], object], seconds: float = 5) -> None:
    """Wait until something is so, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _serve(server: socketserver.BaseServer) -> Callable[[], None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
