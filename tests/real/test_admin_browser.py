"""/admin in Chromium: members, invitations, the audit log, and who is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.bff.members.inviting import TENANT, made_admin
from tests.bff.members.people import (
    ALICE,
    CAROL,
    DAVE,
    entries,
    make_member,
    sub_of,
)
from tests.bff.waiting import until
from tests.real import axe
from tests.real.browser import picture
from tests.real.people_browser import EVIL, PATIENCE, Seat, breaks_once, seated

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from playwright.async_api import Locator, Route

    from tests.world import World

pytestmark = [pytest.mark.real, pytest.mark.acceptance, pytest.mark.timeout(180)]

PAGE = "/admin"


@pytest.fixture
async def alice(world: World) -> AsyncGenerator[Seat]:
    """Give an admin by our own table, in front of the page."""
    async with seated(world, ALICE) as seat:
        await made_admin(world)
        await arrived(seat)
        yield seat


async def arrived(seat: Seat) -> None:
    """Open the page and wait until its first and last parts are there."""
    await seat.open(PAGE)
    await expect(seat.row("members", seat.email)).to_have_count(1, timeout=PATIENCE)
    await expect(seat.part("audit").locator(".rows > li").first).to_be_visible()


def pressed(seat: Seat, name: str, of: str) -> Locator:
    """Return the button *name* of the member *of*."""
    return seat.part("members").get_by_role("button", name=f"{name} {of}", exact=True)


async def test_whoever_is_no_admin_reads_why_and_finds_a_way_back(
    world: World,
) -> None:
    async with seated(world, DAVE) as dave:
        await dave.open(PAGE)

        refusal = dave.part("refusal")
        await expect(refusal).to_contain_text("Only admins can use this page")
        await expect(refusal).to_contain_text(DAVE)
        await expect(dave.page.locator("#board")).to_be_hidden()
        ways = refusal.get_by_role("link")
        assert [await way.get_attribute("href") for way in await ways.all()] == [
            "/",
            "/account",
        ]
        await axe.assert_clean(dave.page, "the admins' page, refused")
        # It does not even ask.
        assert not [url for _, url, _ in dave.record.requests if "/tenants/" in url]
        assert dave.record.complaints == []


async def test_whoever_has_no_workspace_is_refused_as_well(world: World) -> None:
    async with seated(world, CAROL) as carol:
        await carol.open(PAGE)
        await expect(carol.part("refusal")).to_contain_text("no workspace yet")


async def test_a_stranger_comes_back_after_signing_in(alice: Seat) -> None:
    await alice.page.context.clear_cookies()
    await alice.open(PAGE)
    await alice.is_sent_to_sign_in(PAGE)


async def test_the_page_is_for_everybody_who_may_use_it(
    alice: Seat, world: World
) -> None:
    await make_member(world, DAVE)
    await arrived(alice)
    await picture(alice.page, "admin")
    await axe.assert_clean(alice.page, PAGE)
    await pressed(alice, "Change roles", DAVE).click()
    await axe.assert_clean(alice.page, "the choice of roles")
    await alice.page.keyboard.press("Escape")
    await alice.part("audit").locator("summary").first.click()
    await axe.assert_clean(alice.page, "an entry of the audit log")
    assert alice.record.complaints == []


async def test_roles_are_changed_by_keyboard_and_seen_by_the_person(
    alice: Seat, world: World
) -> None:
    async with seated(world, DAVE) as dave:
        await dave.open("/account")
        await expect(dave.page.locator("#roles")).to_have_text("Viewer")
        await alice.page.reload()
        change = pressed(alice, "Change roles", DAVE)
        await change.focus()
        await alice.page.keyboard.press("Enter")
        question = alice.dialog()
        await expect(question).to_contain_text(f"Roles of {DAVE}")
        box = question.get_by_role("checkbox", name="Admin")
        await expect(question.get_by_role("checkbox").first).to_be_focused()
        await alice.page.keyboard.press("Tab")
        await alice.page.keyboard.press("Space")
        await expect(box).to_be_checked()

        await alice.page.keyboard.press("Enter")

        await alice.is_told("members", f"{DAVE} is now: Viewer, Admin.")
        await expect(alice.row("members", DAVE)).to_contain_text("Viewer, Admin")
        await expect(pressed(alice, "Change roles", DAVE)).to_be_focused()
        await dave.page.reload()
        await dave.is_sent_to_sign_in("/account")
        await dave.sign_in()
        await arrived(dave)
        await expect(dave.row("members", ALICE)).to_have_count(1)
    (entry,) = await entries(world, "member.roles_changed")
    assert entry["detail"]["roles"] == ["viewer", "admin"]


async def test_a_role_is_taken_and_its_page_with_it(alice: Seat, world: World) -> None:
    await make_member(world, DAVE, "admin")
    async with seated(world, DAVE) as dave:
        await arrived(dave)
        await alice.page.reload()
        await pressed(alice, "Change roles", DAVE).click()
        await alice.dialog().get_by_role("checkbox", name="Admin").uncheck()
        await alice.dialog().get_by_role("button", name="Save roles").click()
        await alice.is_told("members", f"{DAVE} is now: Viewer.")

        # In the middle of something.
        await pressed(dave, "End sessions", ALICE).click()
        await dave.dialog().get_by_role("button", name="End sessions").click()

        await dave.is_sent_to_sign_in(PAGE)
        await dave.sign_in()
        await dave.open(PAGE)
        await expect(dave.part("refusal")).to_be_visible()
        assert (await alice.asks("/auth/session"))["authenticated"]


async def test_a_member_is_removed_after_a_question(alice: Seat, world: World) -> None:
    async with seated(world, DAVE) as dave:
        await alice.page.reload()
        await pressed(alice, "Remove", DAVE).click()
        await expect(alice.dialog()).to_contain_text("Only a new invitation")
        await axe.assert_clean(alice.page, "the question before a removal")
        await alice.dialog().get_by_role("button", name="Cancel").click()
        await expect(alice.row("members", DAVE)).to_have_count(1)
        assert (await dave.asks("/auth/session"))["authenticated"]

        await pressed(alice, "Remove", DAVE).click()
        await alice.dialog().get_by_role("button", name="Remove").click()

        await alice.is_told("members", f"{DAVE} is no longer a member.")
        await expect(alice.row("members", DAVE)).to_have_count(0)
        await expect(alice.page.locator("#members-title")).to_be_focused()
        await dave.open("/account")
        await dave.is_sent_to_sign_in("/account")
        # A claim does not bring them back.
        await dave.sign_in()
        assert (await dave.asks("/whoami"))["tenant_id"] is None


async def test_the_sessions_of_a_member_are_ended(alice: Seat, world: World) -> None:
    async with seated(world, DAVE) as dave:
        await alice.page.reload()
        await pressed(alice, "End sessions", DAVE).click()
        await alice.dialog().get_by_role("button", name="End sessions").click()
        await alice.is_told("members", f"The sessions of {DAVE}")
        assert not (await dave.asks("/auth/session"))["authenticated"]
        await expect(alice.row("members", DAVE)).to_have_count(1)


async def test_the_last_admin_is_told_what_to_do_and_keeps_the_choice(
    alice: Seat,
) -> None:
    await pressed(alice, "Change roles", ALICE).click()
    question = alice.dialog()
    await expect(question).to_contain_text("This is you")
    await question.get_by_role("checkbox", name="Operations").check()
    await question.get_by_role("checkbox", name="Admin").uncheck()

    await question.get_by_role("button", name="Save roles").click()

    await expect(question.get_by_role("alert")).to_contain_text("last admin")
    await expect(question.get_by_role("checkbox", name="Operations")).to_be_checked()
    await alice.page.keyboard.press("Escape")
    await expect(alice.row("members", ALICE)).to_contain_text("Viewer, Admin")


async def test_whoever_changes_their_own_roles_signs_in_again(
    alice: Seat, world: World
) -> None:
    await make_member(world, DAVE, "admin")
    await pressed(alice, "Change roles", ALICE).click()
    await alice.dialog().get_by_role("checkbox", name="Operations").check()
    await alice.dialog().get_by_role("button", name="Save roles").click()
    await alice.is_sent_to_sign_in("/account")
    await alice.sign_in()
    await alice.open("/account")
    await expect(alice.page.locator("#roles")).to_have_text("Viewer, Operations, Admin")


async def test_an_invitation_is_made_copied_and_redeemed(
    alice: Seat, world: World
) -> None:
    await alice.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await expect(alice.page.locator("#no-invites")).to_be_visible()
    await alice.part("invites").get_by_role("checkbox", name="Operations").check()
    await alice.page.click("#invite")
    await alice.is_told("invites", "shown here once")
    link = await alice.page.input_value("#invite-link")
    await expect(alice.page.locator("#copy-link")).to_be_focused()
    await axe.assert_clean(alice.page, "a new invitation")
    await alice.page.keyboard.press("Enter")
    await alice.is_told("invites", "The link is copied")
    assert await alice.page.evaluate("navigator.clipboard.readText()") == link
    row = alice.row("invites", "Anybody with the link")
    await expect(row).to_contain_text("Viewer, Operations")
    await expect(row).to_contain_text(ALICE)

    async with seated(world, CAROL) as carol:
        await carol.page.goto(link)
        await carol.page.click("#accept")
        await carol.page.wait_for_url(f"{world.url}/", timeout=PATIENCE)
        who = await carol.asks("/whoami")
        assert (who["tenant_id"], who["roles"]) == (TENANT, ["viewer", "ops"])

    await arrived(alice)
    await expect(alice.row("members", CAROL)).to_contain_text("Viewer, Operations")
    await expect(alice.page.locator("#no-invites")).to_be_visible()
    # Shown once: nowhere any more.
    await expect(alice.page.locator("#made")).to_be_hidden()
    assert link.rpartition("#")[2] not in await alice.page.content()


async def test_an_invitation_is_taken_back(alice: Seat, world: World) -> None:
    await alice.page.fill("#invite-email", CAROL)
    await alice.page.press("#invite-email", "Enter")
    await alice.is_told("invites", "shown here once")
    link = await alice.page.input_value("#invite-link")
    await expect(alice.page.locator("#invite-email")).to_have_value("")

    await alice.row("invites", CAROL).get_by_role("button").click()
    await alice.dialog().get_by_role("button", name="Take back").click()

    await alice.is_told("invites", "taken back")
    await expect(alice.row("invites", CAROL)).to_have_count(0)
    await expect(alice.page.locator("#made")).to_be_hidden()
    async with seated(world, CAROL) as carol:
        await carol.page.goto(link)
        await carol.page.click("#accept")
        await expect(carol.page.locator("#error")).to_contain_text("does not exist")


async def test_where_the_clipboard_is_closed_the_link_is_selected(alice: Seat) -> None:
    await alice.page.evaluate(
        "void (navigator.clipboard.writeText = () => Promise.reject(Error('closed')))"
    )
    await alice.page.click("#invite")
    await alice.is_told("invites", "shown here once")
    link = await alice.page.input_value("#invite-link")
    await alice.page.click("#copy-link")
    await alice.is_told("invites", "The link is selected")
    assert await alice.page.evaluate("getSelection().toString()") == link


async def test_what_was_typed_outlives_a_failure(alice: Seat) -> None:
    await breaks_once(alice.page, "**/invites", "POST", 503)
    await alice.page.fill("#invite-email", "guest@new.test")
    await alice.part("invites").get_by_role("checkbox", name="Admin").check()
    await alice.page.click("#invite")
    await alice.is_told("invites", "not available right now")
    await expect(alice.page.locator("#invite-email")).to_have_value("guest@new.test")

    await alice.page.click("#invite")

    await expect(alice.row("invites", "guest@new.test")).to_contain_text("Admin")


async def write_entries(world: World, count: int, *, evil: bool = False) -> None:
    """Write audit entries, numbered from 1."""
    text = EVIL if evil else ""
    detail = {"email": text, "roles": [text], "deep": {"a": text}, text: text}
    async with world.databases.superuser() as superuser:
        await superuser.executemany(
            "INSERT INTO audit_log (tenant_id, action, actor, actor_email, subject, "
            "detail, address, request_id) VALUES ($1, $2, $3, $4, $5, $6, '', $7)",
            [
                (
                    TENANT,
                    "unheard_of.act" if evil else "icp_rule.saved",
                    f"{world.issuer} {text or 'someone'}",
                    text,
                    text or f"rule {number}",
                    json.dumps(detail if evil else {}),
                    text,
                )
                for number in range(1, count + 1)
            ],
        )


async def test_the_audit_log_is_read_page_by_page_and_by_area(
    alice: Seat, world: World
) -> None:
    await write_entries(world, 120)
    await alice.page.reload()
    rows = alice.part("audit").locator(".rows > li")
    await expect(rows).to_have_count(50)
    await alice.page.select_option("#audit-area", "icp_rule.")
    older = alice.page.locator("#older")
    await expect(rows).to_have_count(50)

    await older.focus()
    await alice.page.keyboard.press("Enter")
    await expect(rows).to_have_count(100)
    await alice.is_told("audit", "50 older entries")
    await expect(rows.nth(50)).to_be_focused()
    await older.click()

    await expect(rows).to_have_count(120)
    await expect(older).to_be_hidden()
    told = [await row.text_content() or "" for row in await rows.all()]
    numbers = [int(one.rpartition("rule ")[2].split("request")[0]) for one in told]
    assert numbers == list(range(120, 0, -1))
    await alice.page.select_option("#audit-area", "invite.")
    await expect(alice.page.locator("#no-entries")).to_be_visible()
    await expect(rows).to_have_count(0)


async def let_go(held: list[Route]) -> None:
    """Let the one request go on that is held, once it has come."""

    async def has_come() -> bool:
        return bool(held)

    await until(has_come)
    (route,) = held
    await route.continue_()


async def test_while_another_area_is_loading_nothing_of_the_one_before_goes_on(
    alice: Seat, world: World
) -> None:
    await write_entries(world, 60)
    await alice.page.reload()
    rows = alice.part("audit").locator(".rows > li")
    older = alice.page.locator("#older")
    await expect(rows).to_have_count(50)
    await expect(older).to_be_visible()
    held: list[Route] = []

    async def late(route: Route) -> None:
        held.append(route)

    await alice.page.route("**/audit?action=icp_rule.", late)
    await alice.page.select_option("#audit-area", "icp_rule.")
    await expect(older).to_be_hidden()
    await expect(rows).to_have_count(0)
    await expect(alice.page.locator("#no-entries")).to_be_hidden()
    await let_go(held)
    await expect(rows).to_have_count(50)
    await older.click()
    await expect(rows).to_have_count(60)


async def test_an_old_choice_does_not_overwrite_a_newer_one(
    alice: Seat, world: World
) -> None:
    await write_entries(world, 3)

    async def late(route: Route) -> None:
        held.append(route)

    held: list[Route] = []
    await alice.page.route("**/audit?action=member.*", late)
    await alice.page.select_option("#audit-area", "member.")
    await alice.page.select_option("#audit-area", "icp_rule.")
    rows = alice.part("audit").locator(".rows > li")
    await expect(rows).to_have_count(3)
    await let_go(held)
    await alice.page.wait_for_load_state("networkidle")
    await expect(rows).to_have_count(3)


async def test_nothing_that_others_wrote_is_more_than_text(
    alice: Seat, world: World
) -> None:
    await write_entries(world, 2, evil=True)
    async with world.databases.superuser() as superuser:
        await superuser.execute(
            "INSERT INTO tenant_users (tenant_id, iss, sub, email, roles) "
            "VALUES ($1, $2, $3, $4, '{viewer}')",
            TENANT,
            world.issuer,
            f"../{EVIL}",
            EVIL,
        )
        await superuser.execute(
            "INSERT INTO tenant_invites (tenant_id, token_hash, email, roles, "
            "created_by, expires_at) "
            "VALUES ($1, $2, $3, '{viewer}', $4, now() + interval '1 day')",
            TENANT,
            bytes(32),
            EVIL,
            f"{world.issuer} {sub_of(world, ALICE)}",
        )
    await alice.page.reload()
    await expect(alice.row("members", EVIL)).to_have_count(1)
    await expect(alice.row("invites", EVIL)).to_have_count(1)
    entry = alice.row("audit", "unheard_of.act").first
    await entry.locator("summary").click()
    await expect(entry.locator("dl")).to_contain_text(EVIL)
    # The name of a member also stands in questions, buttons and outcomes.
    await pressed(alice, "Remove", EVIL).click()
    await expect(alice.dialog()).to_contain_text(EVIL)
    await alice.dialog().get_by_role("button", name="Remove").click()
    await alice.is_told("members", EVIL)
    assert await axe.too_wide(alice.page) == []
    await alice.is_unharmed()


async def test_roles_that_nobody_knows_are_shown_as_they_are(alice: Seat) -> None:
    member = {
        "user": "someone",
        "email": None,
        "roles": [EVIL, "constructor", "__proto__"],
        "joined_at": EVIL,
        "removed_at": None,
    }
    await alice.page.route(
        "**/members",
        lambda route: route.fulfill(json={"members": [member], "next": None}),
    )
    await alice.page.reload()
    row = alice.row("members", "someone")
    await expect(row).to_contain_text(f"{EVIL}, constructor, __proto__")
    await alice.is_unharmed()
