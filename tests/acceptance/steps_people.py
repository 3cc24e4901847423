"""Who gets in, before anybody has a tenant (lines 1 and 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.acceptance.plan import Plan

if TYPE_CHECKING:
    from tests.acceptance.place import Place

PEOPLE = Plan()
OF_A_TENANT = (
    "/export/latest_scores.json",
    "/export/latest_scores.csv",
    "/onboarding/verify_odoo",
    "/icp/rules",
    "/graph/threads/x",
)
OF_SOMEBODY = ("/whoami", "/session/odoo_info", "/auth/sessions", "/onboarding/status")
# Well-formed and nobody's: what a browser might be made to send.
INVALID = "nx_access=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.; nx_refresh=1.AAAA"


@PEOPLE.promise("1a", "Nobody without cookies gets in: 401")
async def nobody(place: Place) -> None:
    for path in (*OF_SOMEBODY, *OF_A_TENANT):
        status, body = await place.status(None, "GET", path)
        assert (status, body["code"]) == (401, "not_signed_in"), path


@PEOPLE.promise("1b", "An invalid token in the cookies gets nobody in: 401")
async def invalid(place: Place) -> None:
    for path in (*OF_SOMEBODY, *OF_A_TENANT):
        status, body = await place.status(
            None, "GET", path, headers={"Cookie": INVALID}
        )
        assert status == 401, (path, body)


@PEOPLE.promise("1c", "Who has no tenant is told so where one is needed: 403")
async def without_tenant(place: Place) -> None:
    for path in OF_A_TENANT:
        status, body = await place.status(place.viewer, "GET", path)
        assert (status, body["code"]) == (403, "tenant_missing"), path
    assert (await place.viewer.asks("GET", "/whoami"))["tenant_id"] is None


PEOPLE.superseded(
    "3a",
    "/info needs credentials: 401 without any",
    "a UI asks it before anybody signs in; [info] require_session brings 401 back",
)


@PEOPLE.promise("3b", "/info answers everybody, and holds nothing of anybody")
async def info(place: Place) -> None:
    for person in (None, place.alice):
        status, body = await place.status(person, "GET", "/info")
        assert status == 200
        assert set(body) == {"ok", "checkpoint_enabled", "version"}
        assert body["ok"] is True
