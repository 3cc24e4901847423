"""What can be read in the log is explained in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

from bff.onboarding.worker import Suspended
from bff.sites import failures

ROOT = Path(__file__).parents[3]
OURS = ("odoo_place.py", "odoo_steps.py")


def test_each_code_of_an_error_stands_in_the_table_with_what_to_do() -> None:
    known = {words.code for words in failures._WORDS.values()} | {Suspended().code}
    for name in OURS:
        source = (ROOT / "bff/onboarding" / name).read_text(encoding="utf-8")
        known |= set(re.findall(r'PhaseFailed\(\w+, "(\w+)"\)', source))
    for file in (ROOT / "bff").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        known |= set(re.findall(r'\bFailure\(\s*"(\w+)"', source))
        known |= set(re.findall(r"\bSET state = 'failed',\s+code = '(\w+)'", source))
    assert {"odoo_moved", "no_admin", "odoo_busy"} <= known
    assert {"odoo_check_failed", "superseded"} <= known

    page = (ROOT / "docs/onboarding.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    explained = set(re.findall(r"`(\w+)`", "".join(rows)))

    # Of tasks only; explained with their routes.
    assert known - explained == {"odoo_missing", "odoo_suspended"}
