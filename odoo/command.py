"""Copy and drop databases by Odoo's own command line."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odoo import errors
from odoo.databases import DUPLICATE_SECONDS
from odoo.names import checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class ByCommand:
    """`odoo-bin db -c FILE duplicate` and `drop` (odoo/cli/db.py, 16 to 19).

    Needs neither master password nor manager. `environment` is all that the command
    sees: Odoo 19 obeys PG* and ODOO_* variables, so ours must not reach it.
    """

    program: Sequence[str]
    configuration: str
    environment: Mapping[str, str]
    seconds: float = DUPLICATE_SECONDS

    async def clone(self, template: str, name: str) -> None:
        """Copy.

        Raises:
            CommandFailed: The command ended with an error.
            OutcomeUnknown: It took too long and was killed; PostgreSQL may go on.
            Unreachable: The program cannot be started.
        """
        await self._run("duplicate", checked(template), checked(name))

    async def drop(self, name: str) -> None:
        """Drop.

        Raises:
            CommandFailed: The command ended with an error.
            OutcomeUnknown: It took too long and was killed; do it again.
            Unreachable: The program cannot be started.
        """
        try:
            await self._run("drop", checked(name))
        except errors.CommandFailed as error:
            if error.detail != f"Database {name} does not exist.":
                raise

    async def _run(self, *order: str) -> None:
        arguments = ("db", "-c", self.configuration, *order)
        try:
            process = await asyncio.create_subprocess_exec(
                *self.program,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=dict(self.environment),
                start_new_session=True,
            )
        except OSError as error:
            raise errors.Unreachable(f"{self.program[0]} does not start") from error
        try:
            async with asyncio.timeout(self.seconds):
                _, said = await process.communicate()
        except TimeoutError as error:
            raise errors.OutcomeUnknown(f"no end within {self.seconds:g} s") from error
        finally:
            if process.returncode is None:
                # The whole group: the command may have started others.
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            lines = said.decode("utf-8", "replace").strip().splitlines() or [""]
            raise errors.CommandFailed("odoo-bin", lines[-1][:200])
