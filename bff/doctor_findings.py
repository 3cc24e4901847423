"""What the doctor says, a line for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    said: str
    # As somebody wants it, and yet not to be overlooked.
    warns: bool = False

    def __str__(self) -> str:
        mark = "FAIL" if not self.ok else "WARN" if self.warns else "ok  "
        return f"{mark} {self.name}: {self.said}"
