"""Ask once more, one after the other, the few tests that a suite saw fail.

Servers, browsers and a JVM on few cores make a test fail now and then for the machine's
sake. Who passes alone is named, loudly: it is a defect of the test or of the gateway
all the same. More than a few are no accident, and fail at once.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

FAILED = Path(".pytest_cache") / "v" / "cache" / "lastfailed"
# pytest-xdist writes a test's group behind its name, and behind its parameters' "]".
GROUP = re.compile(r"@[^@\]]*$")
MOST = 5
NONE, TOO_MANY = 3, 4


def failed(place: Path = FAILED) -> list[str]:
    """Return the tests that failed in the last run, none if it did not come so far."""
    try:
        return sorted(GROUP.sub("", name) for name in json.loads(place.read_text()))
    except FileNotFoundError:
        return []


def say(text: str) -> None:
    """Print *text* at once, between what pytest prints."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(place: Path = FAILED) -> int:
    """Run what failed again; 0 only if all of it passes."""
    names = failed(place)
    if not names:
        say("No single test failed: nothing to ask again.")
        return NONE
    if len(names) > MOST:
        say(f"{len(names)} tests failed: too many to ask again.")
        return TOO_MANY
    # No marker left out, and one process: nothing else on the machine.
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", ""]
    command += names
    code = subprocess.run(command, check=False).returncode  # noqa: S603 - our own tests
    if code == 0:
        for name in names:
            say(f"FLAKY: {name} failed once, and passed alone. Mend it.")
    return code


if __name__ == "__main__":
    sys.exit(main())
