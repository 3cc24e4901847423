"""The phases of onboarding, as a document that grows and a few rules about it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

NAMES = ("starting", "creating_odoo", "configuring_oidc", "seeding", "ready")


class State(StrEnum):
    """Where one phase stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


FINISHED = (State.DONE, State.SKIPPED)
# What may fail and still leave a workspace that can be used.
OPTIONAL = frozenset({"seeding"})
# Why phases are left out where there is no Odoo; rows keep it, so it must not change.
NO_ODOO = "Odoo is not configured"


@dataclass(frozen=True, slots=True)
class Phase:
    """One step, as the browser sees it; times are ISO 8601 in UTC."""

    name: str
    state: State = State.PENDING
    detail: str | None = None
    started_at: str | None = None
    finished_at: str | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether the next phase may begin."""
        failed = self.state is State.FAILED
        return self.state in FINISHED or (failed and self.name in OPTIONAL)

    def as_json(self) -> dict[str, Any]:
        """Return the phase as the contract words it."""
        return {
            "name": self.name,
            "state": str(self.state),
            "detail": self.detail,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """A tenant's onboarding: its phases, and what came of the last attempt."""

    phases: tuple[Phase, ...] = field(
        default_factory=lambda: tuple(Phase(name) for name in NAMES)
    )
    attempt: int = 1
    error: str | None = None
    # What the error is called, for the log and the audit; the row does not keep it.
    code: str | None = field(default=None, compare=False)

    @property
    def status(self) -> str:
        """Return the name of the phase at work, `ready` at the end, or `error`.

        While the last phase still verifies, the one before it counts as at work:
        nobody must be told `ready` of what may yet fail.
        """
        unfinished = self.next()
        if unfinished is None:
            return "ready"
        place = NAMES.index(unfinished)
        if self.phases[place].state is State.FAILED:
            return "error"
        return NAMES[min(place, len(NAMES) - 2)]

    def next(self) -> str | None:
        """Return the first phase that is neither done nor left out."""
        for phase in self.phases:
            if not phase.is_over:
                return phase.name
        return None

    @property
    def lacks_odoo(self) -> bool:
        """Tell whether a phase was left out only because there was no Odoo then."""
        return any(
            phase.state is State.SKIPPED and phase.detail == NO_ODOO
            for phase in self.phases
        )

    def begin(self, name: str, at: str) -> Progress:
        """Return the progress with *name* at work."""
        return self._with(
            name, state=State.RUNNING, started_at=at, finished_at=None, detail=None
        )

    def tell(self, name: str, detail: str) -> Progress:
        """Return the progress with *name* still at work, and what it is at."""
        return self._with(name, detail=detail)

    def finish(self, name: str, at: str, detail: str | None = None) -> Progress:
        """Return the progress with *name* done."""
        return self._with(name, state=State.DONE, finished_at=at, detail=detail)

    def skip(self, name: str, at: str, why: str) -> Progress:
        """Return the progress with *name* left out, and why."""
        return self._with(name, state=State.SKIPPED, finished_at=at, detail=why)

    def fail(
        self, name: str, at: str, sentence: str, code: str | None = None
    ) -> Progress:
        """Return the progress with *name* failed; *sentence* is for a person."""
        failed = self._with(name, state=State.FAILED, finished_at=at, detail=sentence)
        return replace(failed, error=sentence, code=code)

    def retry(self, *, anew: bool = False) -> Progress:
        """Return the next attempt: what is not done, of whatever kind, begins anew.

        With *anew* all of it does: Odoo's phases need what the first one leaves.
        """
        if anew:
            return Progress(attempt=self.attempt + 1)
        phases = tuple(
            phase if phase.state in FINISHED else Phase(phase.name)
            for phase in self.phases
        )
        return Progress(phases, self.attempt + 1)

    def _with(self, name: str, **changes: Any) -> Progress:  # noqa: ANN401 - fields of Phase
        phases = tuple(
            replace(phase, **changes) if phase.name == name else phase
            for phase in self.phases
        )
        return replace(self, phases=phases)


def dump(progress: Progress) -> str:
    """Write the phases for the row."""
    return json.dumps([phase.as_json() for phase in progress.phases])


def read(phases: str, attempt: int, error: str | None) -> Progress:
    """Read what the row keeps."""
    known = {phase["name"]: phase for phase in json.loads(phases)}
    return Progress(
        tuple(
            Phase(**{**known[name], "state": State(known[name]["state"])})
            if name in known
            else Phase(name)
            for name in NAMES
        ),
        attempt,
        error,
    )


def document(tenant_id: int | None, progress: Progress | None) -> dict[str, Any]:
    """Return the onboarding document of the contract."""
    if progress is None:
        phases = [Phase(name).as_json() for name in NAMES]
        return {
            "tenant_id": tenant_id,
            "status": "none",
            "error": None,
            "phases": phases,
            "attempt": 0,
        }
    return {
        "tenant_id": tenant_id,
        "status": progress.status,
        "error": progress.error,
        "phases": [phase.as_json() for phase in progress.phases],
        "attempt": progress.attempt,
    }
