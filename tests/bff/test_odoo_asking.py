"""What callers are told of a task that was done, failed, or not begun."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bff.errors import GatewayError
from bff.identity.messages import ProviderUnavailable
from bff.odoo_asking import check_done, summary
from bff.sessions.sealing import Unopenable
from bff.sites.failures import failure_of
from bff.sites.holding import StillHeld
from bff.sites.tasks import Kind, Task
from odoo import errors

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def task(state: str, code: str = "", problem: str = "") -> Task:
    return Task(
        tenant_id=1,
        kind=Kind.ROTATE,
        run=1,
        state=state,
        request={},
        result={},
        code=code,
        problem=problem,
        asked_at=NOW,
        started_at=None,
        finished_at=None,
    )


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (errors.Unreachable("CANARY"), 503, "5"),
        (errors.BadAnswer(502), 503, "5"),
        (errors.DatabaseBusy("", "CANARY"), 503, "5"),
        (errors.DatabaseUnreachable("", "CANARY"), 503, "5"),
        (ProviderUnavailable("CANARY"), 503, "5"),
        (errors.NotOurs("CANARY"), 409, None),
        (StillHeld("CANARY"), 503, "5"),
        (errors.AccessDenied("", "CANARY"), 502, None),
        (errors.ServerFault("", "CANARY"), 503, "5"),
        (errors.NotOffered("", "CANARY"), 502, None),
        (Unopenable("CANARY"), 502, None),
        (RuntimeError("CANARY"), 500, None),
    ],
)
def test_a_failure_has_the_status_of_its_cause(
    error: Exception, status: int, retry: str | None
) -> None:
    code, sentence = failure_of(error)

    with pytest.raises(GatewayError) as caught:
        check_done(task("failed", code, sentence))

    said = caught.value
    assert (said.status, said.headers.get("Retry-After")) == (status, retry)
    assert said.code == (code if status != 500 else "internal_error")
    assert said.detail == sentence
    assert "CANARY" not in said.detail


@pytest.mark.parametrize("state", ["queued", "running"])
def test_what_goes_on_may_still_happen(state: str) -> None:
    with pytest.raises(GatewayError, match="may still happen") as caught:
        check_done(task(state))

    assert (caught.value.status, caught.value.code) == (503, "odoo_pending")
    assert caught.value.headers["Retry-After"] == "5"


def test_what_is_done_is_done() -> None:
    check_done(task("done"))


def test_a_summary_shows_no_code_and_no_result() -> None:
    assert summary(None) is None
    assert summary(task("failed", "odoo_fault", "Odoo failed.")) == {
        "state": "failed",
        "error": "Odoo failed.",
        "asked_at": "2026-01-02T03:04:05+00:00",
        "started_at": None,
        "finished_at": None,
    }
