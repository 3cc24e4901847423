"""Send a tenant's best companies to its own Odoo, batch after batch, in the worker.

How far it is stands in the task; between two batches the tenant is let go, so that
nothing else in its Odoo waits for the end. A batch that is sent twice changes the
same leads again.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bff.database import DatabaseUnavailable
from bff.exports.odoo_sync_rows import Place, count, page
from bff.sites.failures import Failure, passes
from bff.sites.jobs import More
from bff.sites.safe import Replaced
from bff.sites.tasks import Kind
from odoo import leads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bff.exports.odoo_sync_rows import Scored
    from bff.sites.holding import Hold
    from bff.sites.jobs import Handler
    from bff.sites.tasks import Task
    from bff.sites.workshop import Workshop
    from odoo.leads import Pushed

log = logging.getLogger(__name__)

# How many at once, and the seconds that Odoo gets for them.
BATCH, PATIENCE = leads.MOST, 60.0
# How often a batch is tried where time alone may help, and the first pause, seconds;
# each is twice the one before.
TRIES, FIRST_PAUSE = 5, 1.0
# So many refusals are kept in words.
KEPT_ERRORS = 100
REFUSED = "Odoo did not take this company as a lead."
CLOSED = "Your Odoo is suspended. Ask the people who run this service."


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a sync has come; *seen* are the companies that were sent to Odoo.

    *skipped* are those whose lead people deleted there. *count* is None at first.
    """

    count: int | None = None
    seen: int = 0
    created: int = 0
    updated: int = 0
    skipped: int = 0
    refused: int = 0
    errors: tuple[dict[str, Any], ...] = ()
    place: Place = field(default_factory=Place)
    tries: int = 0

    def after(self, sent: Sequence[Scored], pushed: Pushed) -> Progress:
        """Return the progress after another batch."""
        named = [
            {
                "company_id": company,
                "error": REFUSED if company in pushed.internal else why,
            }
            for company, why in pushed.errors.items()
        ]
        return replace(
            self,
            seen=self.seen + len(sent),
            created=self.created + len(pushed.created),
            updated=self.updated + len(pushed.updated),
            skipped=self.skipped + len(pushed.left),
            refused=self.refused + len(pushed.errors),
            errors=(*self.errors, *named)[:KEPT_ERRORS],
            place=sent[-1].place,
            tries=0,
        )


def dump(progress: Progress) -> dict[str, Any]:
    """Write the progress for the task."""
    return asdict(progress)


def read(result: Mapping[str, Any]) -> Progress:
    """Read what the task keeps."""
    if not result:
        return Progress()
    values = dict(result)
    values["place"] = Place(**values["place"])
    values["errors"] = tuple(values["errors"])
    return Progress(**values)


@dataclass(frozen=True, kw_only=True)
class OdooSync:
    """The work of a sync."""

    workshop: Workshop

    def handlers(self) -> Mapping[Kind, Handler]:
        """Return it by kind."""
        return {Kind.SYNC: self.sync}

    async def sync(self, task: Task, hold: Hold) -> Mapping[str, Any] | More:
        """Send the next batch; what passes by itself is tried again."""
        progress = read(task.result)
        try:
            return await self._batch(task, hold, progress)
        except (DatabaseUnavailable, Replaced):
            raise  # nothing can be written of it, or not by us
        except Exception as error:
            tries = progress.tries + 1
            if tries >= TRIES or not passes(error):
                raise
            pause = FIRST_PAUSE * 2 ** (tries - 1)
            log.warning("a sync waits %g s", pause, exc_info=error)
            return More(result=dump(replace(progress, tries=tries)), pause=pause)

    async def _batch(
        self, task: Task, hold: Hold, progress: Progress
    ) -> Mapping[str, Any] | More:
        tenant_id, workshop = task.tenant_id, self.workshop
        limit, min_score = task.request["limit"], task.request["min_score"]
        connection = await workshop.made(hold)
        if not connection.active:
            raise Failure("odoo_suspended", CLOSED)
        if progress.count is None:
            total = await count(workshop.database, tenant_id, min_score, limit)
            progress = replace(progress, count=total)
        most = min(BATCH, limit - progress.seen)
        sent = await page(workshop.database, tenant_id, min_score, progress.place, most)
        if sent:
            current = await workshop.upgraded(connection, hold)
            site = workshop.site(current, hold).patient(PATIENCE)
            models = await workshop.models(site)
            batch = [one.lead for one in sent]
            pushed = await leads.push(models, str(tenant_id), batch)
            for company in pushed.internal:
                why = pushed.errors[company]
                log.warning("Odoo refused company %d: %s", company, why)
            progress = progress.after(sent, pushed)
        if len(sent) == BATCH and progress.seen < limit:
            return More(result=dump(progress))
        return dump(progress)
