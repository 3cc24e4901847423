"""Put companies into a tenant's Odoo as leads, each once, whatever breaks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from odoo import errors
from odoo.models import search
from odoo.records import MARKER, NAMES, PARAMETERS, refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from odoo.models import Models

LEAD = "crm.lead"
MOST = 100  # rows in one call
NOTES = "description"
OURS = ("name", "partner_name", "website", "email_from", "contact_name", "phone")
# Nobody's until somebody takes it; without this it would be our service user's.
_CONTEXT = {"default_user_id": False, "tracking_disable": True}
MODULE, _LEAD, _SENT = "bff", "lead", "sent"


@dataclass(frozen=True, kw_only=True)
class Lead:
    """A company as a lead; what is empty is not written.

    `description` (HTML) is written once: afterwards Odoo's people keep their notes in
    it. What must stay up to date belongs into the other fields.
    """

    company_id: int
    name: str
    partner_name: str = ""
    website: str = ""
    email_from: str = ""
    contact_name: str = ""
    phone: str = ""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What came of it: company ids, and what Odoo said of those that it refused.

    `left` are those whose lead people have deleted in Odoo.
    """

    created: tuple[int, ...] = ()
    updated: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    errors: Mapping[int, str] = field(default_factory=dict)
    # Of these: said by `load`, which repeats whatever failed inside. Not for people.
    internal: frozenset[int] = frozenset()


async def push(models: Models, tenant: str, leads: Iterable[Lead]) -> Pushed:
    """Make or change one `crm.lead` for each company, by its external id.

    Only our own fields are written: stage, salesperson, type and notes are people's. A
    new one is a lead or an opportunity as the database has it, with nobody for
    salesperson. One that people deleted is not made again: what was sent leaves an
    external id behind that points to the tenant's marker. The last of several leads
    for one company counts. A row that Odoo refuses does not hold up the others.
    *models* must wait for a hundred rows (`Site.patient`), and only one may be at it.

    Raises:
        NotOurs: The database is not marked as this tenant's; nothing was written.
        OdooError: Odoo is away, or refused as a whole; run this again.
    """
    rows = await search(models, PARAMETERS, [["key", "=", MARKER]], ["value"])
    if [row["value"] for row in rows] != [tenant]:
        raise errors.NotOurs("the database is not marked as this tenant's")
    each = list({one.company_id: one for one in leads}.values())
    parts = [
        await _batch(models, rows[0]["id"], each[at : at + MOST])
        for at in range(0, len(each), MOST)
    ]
    return Pushed(
        created=tuple(one for part in parts for one in part.created),
        updated=tuple(one for part in parts for one in part.updated),
        left=tuple(one for part in parts for one in part.left),
        errors={at: why for part in parts for at, why in part.errors.items()},
        internal=frozenset(at for part in parts for at in part.internal),
    )


async def _batch(models: Models, marker: int, batch: Sequence[Lead]) -> Pushed:
    there, sent = await _known(models, batch)
    left = [one.company_id for one in batch if one.company_id in sent - there]
    refused: dict[int, _Why] = {}
    for columns, leads in _by_columns(batch, there, sent).items():
        refused |= await _loaded(models, columns, leads)
    done = [one.company_id for one in batch if one.company_id not in {*left, *refused}]
    # After the leads: one that is here without this is found by its external id.
    await _remember(models, marker, [one for one in done if one not in sent])
    return Pushed(
        created=tuple(one for one in done if one not in there),
        updated=tuple(one for one in done if one in there),
        left=tuple(left),
        errors={at: why.said for at, why in refused.items()},
        internal=frozenset(at for at, why in refused.items() if why.is_internal),
    )


@dataclass(frozen=True)
class _Why:
    said: str
    is_internal: bool


async def _known(
    models: Models, batch: Sequence[Lead]
) -> tuple[frozenset[int], frozenset[int]]:
    """Return which companies have a lead, and which ever had one."""
    names = {
        _name(kind, one.company_id): (kind, one.company_id)
        for one in batch
        for kind in (_LEAD, _SENT)
    }
    domain = [["module", "=", MODULE], ["name", "in", sorted(names)]]
    rows = await search(models, NAMES, domain, ["name"])
    known = {names[row["name"]] for row in rows}
    there = frozenset(number for kind, number in known if kind == _LEAD)
    return there, frozenset(number for kind, number in known if kind == _SENT)


def _by_columns(
    batch: Sequence[Lead], there: Collection[int], sent: Collection[int]
) -> dict[tuple[str, ...], list[Lead]]:
    """Sort the leads by what is written: an empty cell would erase what is there."""
    found = defaultdict(list)
    for one in batch:
        if one.company_id in sent and one.company_id not in there:
            continue
        wanted = OURS if one.company_id in there else (*OURS, NOTES)
        found[tuple(column for column in wanted if getattr(one, column))].append(one)
    return found


async def _loaded(
    models: Models, columns: Sequence[str], leads: Sequence[Lead]
) -> dict[int, _Why]:
    """Load them all; if Odoo refuses, halve until it says of whom, and tell why."""
    data = [
        [f"{MODULE}.{_name(_LEAD, one.company_id)}"]
        + [getattr(one, column) for column in columns]
        for one in leads
    ]
    try:
        said = await models.call(
            *(LEAD, "load"), context=_CONTEXT, fields=["id", *columns], data=data
        )
    except errors.Invalid as error:
        why = _Why(error.detail, is_internal=False)
    else:
        if said["ids"]:
            return {}
        why = _Why(refusal(said), is_internal=True)
    if len(leads) == 1:
        return {leads[0].company_id: why}
    middle = len(leads) // 2
    first = await _loaded(models, columns, leads[:middle])
    return first | await _loaded(models, columns, leads[middle:])


async def _remember(models: Models, marker: int, companies: Sequence[int]) -> None:
    points_to = {"module": MODULE, "model": PARAMETERS, "res_id": marker}
    values = [points_to | {"name": _name(_SENT, one)} for one in companies]
    if values:
        await models.call(NAMES, "create", vals_list=values)


def _name(kind: str, company: int) -> str:
    return f"{kind}_{company}"
