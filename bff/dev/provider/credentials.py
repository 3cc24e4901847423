"""Who may sign in with which password and code, and when no more; no I/O here."""

from __future__ import annotations

import enum
import hmac
from typing import TYPE_CHECKING

from bff.dev.provider import otp

if TYPE_CHECKING:
    from bff.dev.provider.accounts import Account
    from bff.dev.provider.model import Person, Realm

# Failures that lie further apart than this are forgotten.
_FORGET_AFTER = 12 * 3600


class Denial(enum.StrEnum):
    """Why credentials were refused, in the words of Keycloak's event log."""

    UNKNOWN = "user_not_found"
    LOCKED = "user_temporarily_disabled"
    WRONG = "invalid_user_credentials"
    # The log does not tell these two apart; the browser's form does.
    CODE_MISSING = "invalid_user_credentials:code_missing"
    CODE_WRONG = "invalid_user_credentials:code_wrong"
    DISABLED = "user_disabled"
    UNFINISHED = "resolve_required_actions"

    @property
    def reason(self) -> str:
        """Name the denial as the event log does."""
        return self.value.partition(":")[0]


def denial(
    account: Account | None, password: str, code: str, *, realm: Realm, now: float
) -> Denial | None:
    """Judge a try to sign in, and count it; None means welcome."""
    if account is None:
        return Denial.UNKNOWN
    if now < account.locked_until:
        return Denial.LOCKED
    refused = _mismatch(account, password, code, realm=realm, now=now)
    if refused:
        _count_failure(account, realm, now)
        return refused
    if not account.person.enabled:
        return Denial.DISABLED
    account.failures = 0
    return Denial.UNFINISHED if open_actions(account.person, realm) else None


def open_actions(person: Person, realm: Realm) -> tuple[str, ...]:
    """List what the person must do before the account can be used."""
    unproven = realm.verify_email and not person.email_verified
    if unproven and "VERIFY_EMAIL" not in person.required_actions:
        return ("VERIFY_EMAIL", *person.required_actions)
    return person.required_actions


def broken_policy(password: str, email: str, realm: Realm) -> tuple[str, str] | None:
    """Return the key and the sentence of the first broken password rule."""
    if len(password) < realm.password_length:
        sentence = f"Invalid password: minimum length {realm.password_length}."
        return "invalidPasswordMinLengthMessage", sentence
    if password.lower() == email.lower():
        sentence = "Invalid password: must not be equal to the username."
        return "invalidPasswordNotUsernameMessage", sentence
    return None


def _mismatch(
    account: Account, password: str, code: str, *, realm: Realm, now: float
) -> Denial | None:
    person = account.person
    # Somebody created without a password cannot sign in with an empty one.
    is_right = hmac.compare_digest(person.password.encode(), password.encode())
    if not person.password or not is_right:
        return Denial.WRONG
    if person.totp_secret is None:
        return None
    if not code:
        return Denial.CODE_MISSING
    is_good = otp.matches(person.totp_secret, code, now)
    if not is_good or (not realm.otp_reusable and _was_used(account, code, now)):
        return Denial.CODE_WRONG
    return None


def _was_used(account: Account, code: str, now: float) -> bool:
    used = {one: until for one, until in account.used_codes.items() if now < until}
    account.used_codes = used
    if code in used:
        return True
    used[code] = now + otp.PERIOD * (2 * otp.LOOK_AHEAD + 1)
    return False


def _count_failure(account: Account, realm: Realm, now: float) -> None:
    if now - account.last_failure > _FORGET_AFTER:
        account.failures = 0
    account.failures += 1
    account.last_failure = now
    # Keycloak's strategy MULTIPLE: nothing at first, then longer each round.
    rounds = account.failures // realm.failure_factor
    wait = min(rounds * realm.wait_increment, realm.max_failure_wait)
    account.locked_until = now + wait
