"""A small user interface on an origin of its own, as a developer would serve it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

TYPES = {".js": "text/javascript", ".mjs": "text/javascript"}
# What a bundler would put in, as modules that a browser finds itself.
MODULES = {
    "p-queue": "{sdk}/node_modules/p-queue/dist/index.js",
    "p-timeout": "{sdk}/node_modules/p-timeout/index.js",
    "eventemitter3": "{sdk}/node_modules/eventemitter3/dist/eventemitter3.esm.js",
    "p-retry": "p-retry/index.js",
    "is-network-error": "is-network-error/index.js",
    "uuid": "uuid/dist/index.js",
}
PAGE = """<!doctype html><meta charset="utf-8"><title>My UI</title>
<link rel="icon" href="data:,"><p>My UI</p>
"""


@contextmanager
def serving(files: Mapping[str, str | Path]) -> Generator[str]:
    """Serve *files* by path on localhost and yield the origin; folders as a whole.

    Every other path without a dot shows the page of "/", as single-page servers do.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            found = _found(files, path)
            if found is None and "." not in path:
                found = _found(files, "/")
            self.send_response(404 if found is None else 200)
            suffix = path[path.rfind(".") :] if "." in path else ""
            kind = TYPES.get(suffix, "text/html; charset=utf-8")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *args: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _found(files: Mapping[str, str | Path], path: str) -> bytes | None:
    for name, content in files.items():
        if isinstance(content, str):
            if path == name:
                return content.encode()
        elif path.startswith(f"{name}/") and ".." not in path:
            file = content / path.removeprefix(f"{name}/")
            return file.read_bytes() if file.is_file() else None
    return None


def with_sdk(sdk: str) -> str:
    """Return a page that can import this version of LangGraph's SDK."""
    lines = ", ".join(
        f'"{name}": "/modules/{place.format(sdk=sdk)}"'
        for name, place in MODULES.items()
    )
    return f'{PAGE}<script type="importmap">{{"imports": {{{lines}}}}}</script>'
