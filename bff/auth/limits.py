"""Say how long a password sign-in must wait after others have failed.

The first five failures are free, then each doubles the wait. An account and a network
together are judged strictly, a network alone generously, and an account alone only for
browsers that it has never signed in from: a stranger cannot lock the owner out.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = 900.0
FREE = 5
LONGEST = 300.0


@dataclass(frozen=True, slots=True)
class Tries:
    """Failures of one key within the window, and the seconds since the last one."""

    failures: int
    since_last: float


@dataclass(frozen=True, slots=True)
class Rule:
    """How many failures are free, and how the wait grows from there."""

    free: int
    first_wait: float = 2.0
    longest: float = LONGEST

    def wait(self, tries: Tries) -> float:
        """Return the seconds still to wait, 0 when a try is welcome now."""
        over = tries.failures - self.free
        if over < 0 or not tries.failures:
            return 0.0
        due = min(self.first_wait * 2.0 ** min(over, 30), self.longest)
        return max(0.0, due - tries.since_last)


# Below Keycloak's own lock-out (30 failures by default), so that it is never reached.
PAIR = Rule(free=FREE)
ACCOUNT = Rule(free=15, first_wait=4.0)
NETWORK = Rule(free=50, first_wait=1.0, longest=60.0)


def seconds_to_step(elapsed: float, step: float) -> float:
    """Return how long to wait until *elapsed* seconds are a multiple of *step*.

    A step longer than a password takes to be judged hides whether one was: Keycloak
    refuses an account that has no password at once. No step, no wait.
    """
    return step - elapsed % step if step else 0.0


def seconds_to_wait(
    pair: Tries, account: Tries, network: Tries, *, known_device: bool
) -> float:
    """Return how long this try must wait by the strictest rule that applies."""
    waits = [PAIR.wait(pair), NETWORK.wait(network)]
    if not known_device:
        waits.append(ACCOUNT.wait(account))
    return max(waits)
