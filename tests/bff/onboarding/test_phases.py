"""The rules of onboarding's phases, without a database."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.onboarding.phases import NAMES, Progress, State, document, dump, read

AT = "2026-01-02T03:04:05.678+00:00"
LATER = "2026-01-02T03:04:06.000+00:00"


def through(*names: str) -> Progress:
    progress = Progress()
    for name in names:
        progress = progress.begin(name, AT).finish(name, LATER)
    return progress


def states(progress: Progress) -> list[str]:
    return [str(phase.state) for phase in progress.phases]


def test_a_new_progress_waits_at_the_first_phase() -> None:
    progress = Progress()

    assert states(progress) == ["pending"] * 5
    assert progress.status == "starting"
    assert progress.next() == "starting"
    assert (progress.attempt, progress.error) == (1, None)


@pytest.mark.parametrize("place", range(4))
def test_the_status_is_the_phase_at_work(place: int) -> None:
    waiting = through(*NAMES[:place])

    assert waiting.next() == waiting.status == NAMES[place]
    assert waiting.begin(NAMES[place], AT).status == NAMES[place]


def test_ready_is_said_only_when_the_last_phase_is_done() -> None:
    verifying = through(*NAMES[:4])

    assert verifying.next() == "ready"
    assert verifying.status == "seeding"
    assert verifying.begin("ready", AT).status == "seeding"
    assert verifying.begin("ready", AT).finish("ready", LATER).status == "ready"
    assert verifying.begin("ready", AT).fail("ready", LATER, "no").status == "error"


def test_begin_and_finish_keep_the_times_and_the_detail() -> None:
    begun = Progress().begin("starting", AT)
    assert begun.phases[0].as_json() == {
        "name": "starting",
        "state": "running",
        "detail": None,
        "started_at": AT,
        "finished_at": None,
    }
    done = begun.finish("starting", LATER, "fine")
    assert done.phases[0].as_json() == {
        "name": "starting",
        "state": "done",
        "detail": "fine",
        "started_at": AT,
        "finished_at": LATER,
    }


def test_a_skipped_phase_says_why_and_lets_the_next_begin() -> None:
    progress = through("starting").skip("creating_odoo", LATER, "there is none")

    assert states(progress)[1] == "skipped"
    assert progress.phases[1].detail == "there is none"
    assert progress.next() == "configuring_oidc"


def test_a_failed_phase_ends_in_error_and_keeps_the_sentence() -> None:
    progress = through("starting").begin("creating_odoo", AT)
    progress = progress.fail("creating_odoo", LATER, "Odoo is full.")

    assert progress.status == "error"
    assert progress.error == progress.phases[1].detail == "Odoo is full."
    assert states(progress) == ["done", "failed", "pending", "pending", "pending"]


def test_a_retry_keeps_what_is_finished_and_begins_the_failed_phase_anew() -> None:
    failed = (
        through("starting")
        .skip("creating_odoo", LATER, "none")
        .begin("configuring_oidc", AT)
        .fail("configuring_oidc", LATER, "no")
    )

    again = failed.retry()

    assert again.attempt == 2
    assert again.error is None
    assert again.status == again.next() == "configuring_oidc"
    assert again.phases[:2] == failed.phases[:2]
    assert states(again)[2:] == ["pending"] * 3
    assert again.phases[2].detail is None


def test_seeding_may_fail_and_the_workspace_is_ready_with_the_error_kept() -> None:
    failed = through(*NAMES[:3]).begin("seeding", AT).fail("seeding", LATER, "no leads")
    assert failed.next() == "ready"

    ready = failed.begin("ready", AT).finish("ready", LATER)

    assert ready.status == "ready"
    assert ready.error == "no leads"
    assert states(ready)[3] == "failed"


def test_a_further_attempt_seeds_again() -> None:
    failed = through(*NAMES[:3]).begin("seeding", AT).fail("seeding", LATER, "no leads")
    failed = failed.begin("ready", AT).fail("ready", LATER, "no key", "odoo_not_ready")
    assert (failed.status, failed.code) == ("error", "odoo_not_ready")

    again = failed.retry()

    assert (again.next(), again.error, again.code) == ("seeding", None, None)
    assert states(again) == ["done"] * 3 + ["pending"] * 2


def test_what_a_phase_is_at_is_told_and_forgotten_when_it_begins_anew() -> None:
    told = (
        through("starting").begin("creating_odoo", AT).tell("creating_odoo", "copying")
    )
    assert (told.phases[1].detail, states(told)[1]) == ("copying", "running")
    assert told.status == "creating_odoo"

    assert told.begin("creating_odoo", LATER).phases[1].detail is None
    assert told.finish("creating_odoo", LATER).phases[1].detail is None


def test_no_other_phase_may_fail() -> None:
    for name in NAMES:
        place = NAMES.index(name)
        failed = through(*NAMES[:place]).begin(name, AT).fail(name, LATER, "no")
        assert (failed.status == "error") is (name != "seeding"), name


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "finish", "skip", "fail", "retry"]),
        st.sampled_from(NAMES),
    ),
    max_size=12,
)


@given(ACTS)
def test_whatever_happens_is_kept_by_the_row_and_has_a_status(
    acts: list[tuple[str, str]],
) -> None:
    progress = Progress()
    for act, name in acts:
        if act == "retry":
            progress = progress.retry()
        elif act in ("skip", "fail"):
            progress = getattr(progress, act)(name, AT, "why")
        else:
            progress = getattr(progress, act)(name, AT)

    assert progress.status in {*NAMES, "error"}
    assert (progress.status == "ready") is (progress.next() is None)
    assert read(dump(progress), progress.attempt, progress.error) == progress


def test_a_row_of_an_older_release_is_filled_up() -> None:
    old = json.dumps([{"name": "starting", "state": "done"}, {"name": "gone"}])

    progress = read(old, 3, None)

    assert [phase.name for phase in progress.phases] == list(NAMES)
    assert progress.phases[0].state is State.DONE
    assert progress.next() == "creating_odoo"


def test_the_document_of_nothing_is_the_contract_s() -> None:
    pending = {"state": "pending", "detail": None, "started_at": None}
    assert document(None, None) == {
        "tenant_id": None,
        "status": "none",
        "error": None,
        "phases": [{"name": name, **pending, "finished_at": None} for name in NAMES],
        "attempt": 0,
    }


def test_the_document_of_a_progress_is_the_contract_s() -> None:
    progress = through("starting").fail("creating_odoo", LATER, "no")

    found = document(7, progress)

    assert list(found) == ["tenant_id", "status", "error", "phases", "attempt"]
    assert (found["tenant_id"], found["status"], found["error"]) == (7, "error", "no")
    assert found["phases"] == json.loads(dump(progress))
