"""What a new tenant finds in its database: its company, and a first contact."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from odoo.records import external, load

if TYPE_CHECKING:
    from odoo.models import Models

COMPANY, COMPANY_PARTNER = "base.main_company", "base.main_partner"
CONTACT = "bff.contact"


@dataclass(frozen=True, kw_only=True)
class Company:
    """The tenant's company; what is empty is not written."""

    name: str
    email: str = ""
    phone: str = ""
    website: str = ""


@dataclass(frozen=True, kw_only=True)
class Contact:
    """A person in that company."""

    name: str
    email: str = ""
    phone: str = ""


async def seed(models: Models, company: Company, contact: Contact) -> bool:
    """Write company and contact, and tell whether that was still to be done.

    The contact comes last: where it is, all is, and people may have changed it since.

    Raises:
        Invalid: Odoo refused a value.
        OdooError: Odoo is away, or refused; run this again.
    """
    if await external(models, CONTACT) is not None:
        return False
    await load(models, "res.company", COMPANY, _filled(company))
    # Another contact than the founder's own, which comes with their account.
    values = _filled(contact) | {"parent_id/id": COMPANY_PARTNER}
    await load(models, "res.partner", CONTACT, values)
    return True


def _filled(value: Company | Contact) -> dict[str, str]:
    return {name: text for name, text in asdict(value).items() if text}
