"""A fake Odoo's backup: a zip as Odoo's, whole or not."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from tests.fakes.odoo_data import FakeDatabase

PIECE = 2**14


def zipped(database: FakeDatabase) -> bytes:
    """Return what odoo/service/db.py, dump_db writes."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dump.sql", f"-- {database.name}\n" + "SELECT 1;\n" * 9999)
        archive.writestr("manifest.json", json.dumps({"db_name": database.name}))
        archive.writestr("filestore/54/54", "abc")
    return written.getvalue()


async def streamed(
    request: web.Request, content: bytes, *, stops_at: int | None, is_cut: bool
) -> web.StreamResponse:
    """Send a file in pieces, without its length; or only the beginning of it."""
    answer = web.StreamResponse(
        headers={"Content-Type": "application/octet-stream; charset=binary"}
    )
    answer.enable_chunked_encoding()
    await answer.prepare(request)
    content = content[:stops_at]
    for at in range(0, len(content), PIECE):
        await answer.write(content[at : at + PIECE])
    if is_cut:
        assert request.transport is not None
        request.transport.abort()
    else:
        await answer.write_eof()
    return answer
