"""What opens a database shows up nowhere by accident."""

from __future__ import annotations

from dataclasses import asdict

from odoo.safe import Credentials


def test_secrets_are_not_shown() -> None:
    held = Credentials(
        user=5,
        key="secret-1",
        previous="secret-2",
        service_password="secret-3",
        admin_password="secret-4",
        code_verifier="secret-5",
    )
    assert "secret" not in f"{held!r}"
    # It goes into a sealed column and comes back.
    assert Credentials(**asdict(held)) == held


def test_new_database_is_opened_by_no_older_key() -> None:
    held = Credentials(begun=True, key="k", key_name="n", previous="p")
    again = Credentials(begun=True, user=5)
    assert held.for_new(5) == again
