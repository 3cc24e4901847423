"""Call the command line as a shell would, within this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from bff.__main__ import app

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typer.testing import Result


def bff(*arguments: str, env: Mapping[str, str | None] | None = None) -> Result:
    """Run one command; what it raises beyond an exit is the test's failure."""
    result = CliRunner().invoke(app, arguments, env=env)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


async def in_a_thread(*arguments: str, env: Mapping[str, str | None]) -> Result:
    """Run a command that opens an event loop of its own."""
    return await asyncio.to_thread(bff, *arguments, env=env)
