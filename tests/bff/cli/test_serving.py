"""`bff serve` does not begin with a key that it cannot use."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.bff.configs import DEV

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = (sys.executable, "-m", "bff", "serve")


@pytest.mark.parametrize(
    ("text", "said"), [(None, "cannot be read"), ("CANARY", "is no private key")]
)
async def test_a_client_s_key_that_cannot_be_used_stops_the_start(
    tmp_path: Path, text: str | None, said: str
) -> None:
    # A process of its own: it sets up logging for good.
    file = tmp_path / "client.pem"
    if text is not None:
        file.write_text(text)
    without_secret = {k: v for k, v in DEV.items() if "SECRET" not in k}
    here = {k: v for k, v in os.environ.items() if not k.startswith("BFF_")}
    env = {
        **here,
        **without_secret,
        "BFF_AUTH__CLIENT_KEY_FILE": str(file),
        "BFF_WORKER__EMBEDDED": "false",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        cwd=tmp_path,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, err = await asyncio.wait_for(process.communicate(), 50)
    finally:
        if process.returncode is None:
            process.kill()

    assert process.returncode == 1
    assert f"auth.client_key_file: {file} {said}" in err.decode()
    assert "Traceback" not in err.decode()
    assert "CANARY" not in err.decode()
