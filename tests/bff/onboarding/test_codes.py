"""What can be read in the log is explained in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

from bff.sites import failures

ROOT = Path(__file__).parents[3]
OURS = ("odoo_place.py", "odoo_steps.py")


def test_each_code_of_an_error_stands_in_the_table_with_what_to_do() -> None:
    known = {code for code, _ in failures._WORDS.values()}
    for name in OURS:
        source = (ROOT / "bff/onboarding" / name).read_text(encoding="utf-8")
        known |= set(re.findall(r'PhaseFailed\(\w+, "(\w+)"\)', source))
    assert {"odoo_moved", "no_admin", "odoo_busy"} <= known

    page = (ROOT / "docs/onboarding.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    explained = set(re.findall(r"`(\w+)`", "".join(rows)))

    # A tenant without a row has no phase yet: only tasks say so.
    assert known - explained == {"odoo_missing"}
