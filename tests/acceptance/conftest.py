"""The real parts, as the tests in tests/real have them."""

from __future__ import annotations

from tests.real.conftest import keycloak, real_odoo

__all__ = ["keycloak", "real_odoo"]
