"""Approve at a door (page, API, command line): the effect is in the counterparty's database, once. Undo: it is taken back."""

import re
import sqlite3
import time
from contextlib import closing
from types import SimpleNamespace

import pytest
import yaml
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from counterparty import Counterparty
from proveout.cli import acting, watching
from proveout.errors import BadInput
from proveout.identity import Accounts, Role
from proveout.journal import SECOND_READING, Journal
from proveout.journal.prose import event_line
from proveout.release import Releases
from proveout.review import waiting
from proveout.serving import application
from proveout.serving.guards import Limits
from proveout.serving.reviewing import _field
from proveout.workspace import Workspace

PASSWORD = "correct horse battery"
PEOPLE = {"ron": Role.READER, "rita": Role.REVIEWER, "rob": Role.REVIEWER, "ada": Role.OPERATOR}
UNBOUNDED = Limits(per_second=1e9, burst=1e9)
PAYS = """
@id("people pay what they approved")
@because("a person approved the bill, which is no duplicate; above 500 dollars that person is an operator")
permit (
  principal is Person,
  action == Action::"pay_invoice",
  resource
)
when {
  resource.known.passed.contains("not a duplicate") &&
  resource.seen has total &&
  resource.seen.total.cents == context.cents &&
  (principal.role == "operator" || (principal.role == "reviewer" && context.cents <= 50000))
};

@id("people recall")
@because("a person asks for it")
permit (principal is Person, action == Action::"recall_payment", resource)
when { ["reviewer", "operator"].contains(principal.role) };
"""


@pytest.fixture(scope="module")
def bank(tmp_path_factory) -> Counterparty:
    running = Counterparty(tmp_path_factory.mktemp("bank"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def space(bills, bank) -> Workspace:
    """The mission that `proveout new` begins, which also pays bills at the counterparty."""
    space = Workspace.find("bills", start=bills)
    path = space.design / "mission.yaml"
    design = yaml.safe_load(path.read_text(encoding="utf-8"))
    design["actions"]["pay_invoice"] = {
        "connector": "http",
        "settings": bank.settings().model_dump(exclude_unset=True, mode="json"),
        "arguments": {"amount": "total"},
        "for_classes": ["bill"],
        "undone_by": "recall_payment",
    }
    path.write_text(yaml.safe_dump(design), encoding="utf-8")
    with (space.design / "policy.cedar").open("a", encoding="utf-8") as file:
        file.write(PAYS)
    space = Workspace.find("bills", start=bills)
    releases = Releases(space.releases)
    parts = {
        "prompts": "prompts/prompts",
        "model": "models/model",
        "index": "retrieval/index",
        "calibration": "calibrate/calibration.json",
    }
    built = {part: space.build / product for part, product in parts.items()}
    releases.promote(releases.freeze(built | {"mission": path, "policy": space.design / "policy.cedar"}), by="ada")
    (space.home / "inbox").mkdir(exist_ok=True)
    return Workspace.find("bills", start=bills)


@pytest.fixture(scope="module")
def accounts(space):
    with Accounts(space.accounts, hasher=PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)) as opened:
        for name, role in PEOPLE.items():
            opened.add(name, role, PASSWORD)
        yield opened


@pytest.fixture(scope="module")
def tokens(accounts) -> dict[str, dict[str, str]]:
    return {name: {"Authorization": f"Bearer {accounts.new_token(name, 'tests')}"} for name in PEOPLE}


@pytest.fixture(scope="module")
def app(space, accounts):
    with pytest.MonkeyPatch.context() as there:
        there.chdir(space.root)
        there.setenv("PROVEOUT_MISSION", space.name)
        there.setenv("PROVEOUT_HOME", str(space.home))
        yield application(space, accounts, UNBOUNDED)


@pytest.fixture(scope="module")
def client(app):
    return TestClient(app, follow_redirects=False, raise_server_exceptions=False)


def slip(space: Workspace, number: int, total: str = "$214.35") -> str:
    """A bill of a form that nobody has seen is decided, and goes to a person. Gives its case."""
    text = f"""Alder Bay Water Works

Remittance advice

Our number       AW-{number}
Customer         Nora Whitfield {number}
Last payment     $9{number % 10}8.20
Now owing        {total}
Settle before    09/2{number % 10}/2026
{"".join(f"line{number}x{at} " for at in range(30))}
"""
    (space.home / "inbox" / f"slip-{number}.txt").write_text(text)
    acting.run(space, None)
    with Journal(space.home / "journal.db") as journal:
        return next(one.case.id for one in journal.decisions() if one.case.path == f"slip-{number}.txt")


def values(number: int, total: str = "$214.35") -> dict[str, str]:
    return {"sender": "Alder Bay Water Works", "reference": f"AW-{number}", "total": total, "due": f"09/2{number % 10}/2026"}


def paid(bank: Counterparty, case: str) -> list[tuple[int, str]]:
    """The rows of a case in the counterparty's database."""
    with closing(sqlite3.connect(bank.database)) as connection:
        return connection.execute('SELECT cents, state FROM payments WHERE "case" = ?', (case,)).fetchall()


# --- programs --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def first(space) -> str:
    return slip(space, 1)


def test_a_program_approves_by_the_digest_of_what_it_was_shown_and_takes_it_back(client, space, bank, tokens, first):
    path = f"/api/v1/cases/{first}"
    decision = client.get(f"{path}/decision", headers=tokens["rita"]).json()
    body = {"digest": decision["digest"], "values": values(1), "document_class": "bill"}
    assert client.post(f"{path}/approve", json=body, headers=tokens["ron"]).status_code == 403
    approved = client.post(f"{path}/approve", json=body, headers=tokens["rita"])
    assert approved.status_code == 200, approved.text
    assert {one["name"]: one["state"] for one in approved.json()["effects"]} == {"file_document": "done", "pay_invoice": "done"}
    assert paid(bank, first) == [(21435, "paid")]
    assert str(space.home) not in approved.text

    late = client.post(f"{path}/approve", json=body | {"values": values(1, "$999.00")}, headers=tokens["rob"])
    assert late.status_code == 409 and "by rita, reviewer" in late.json()["detail"]
    undone = client.post(f"{path}/undo", json={"digest": decision["digest"]}, headers=tokens["rob"])
    assert undone.status_code == 409, "what is undone was seen, too"
    assert paid(bank, first) == [(21435, "paid")]

    undone = client.post(f"{path}/undo", json={"digest": approved.json()["digest"]}, headers=tokens["rob"])
    assert {one["taken_back"] for one in undone.json()["effects"]} == {"done"}
    assert paid(bank, first) == [(21435, "taken back")]
    assert not list((space.home / "effects" / "archive" / "bill").glob(f"{first}*"))
    assert client.get(path, headers=tokens["ron"]).json()["effects"] == {
        "file_document": "taken back",
        "pay_invoice": "taken back",
    }
    explained = client.get(f"{path}/explanation", headers=tokens["ron"]).json()["text"]
    assert "undo requested by rob, reviewer" in explained and "recall_payment allowed" in explained


def test_what_needs_an_operator_is_in_the_operators_queue(client, space, bank, tokens, capsys):
    case = slip(space, 2, "$812.00")
    path = f"/api/v1/cases/{case}"
    digest = client.get(f"{path}/decision", headers=tokens["rita"]).json()["digest"]
    body = {"digest": digest, "values": values(2, "$812.00"), "document_class": "bill"}
    receipt = client.post(f"{path}/approve", json=body, headers=tokens["rita"]).json()
    assert {one["name"]: one["escalate_to"] for one in receipt["verdicts"]} == {"file_document": "", "pay_invoice": "operator"}
    assert paid(bank, case) == []
    assert client.get(path, headers=tokens["ron"]).json()["escalated_to"] == "operator"
    with Journal(space.home / "journal.db") as journal:
        assert case in {one.case.id for one in waiting(journal, Role.OPERATOR)} - {
            one.case.id for one in waiting(journal, Role.REVIEWER)
        }
    capsys.readouterr()
    watching.status(space)
    assert "1 case to answer for a person with the role operator: proveout review" in capsys.readouterr().out
    second = client.post(f"{path}/approve", json={"digest": receipt["digest"]}, headers=tokens["ada"]).json()
    assert [one["name"] for one in second["verdicts"]] == ["pay_invoice"]
    assert paid(bank, case) == [(81200, "paid")]


def test_the_second_person_is_asked_what_the_answer_does_not_say():
    """Such as the value of a field that the mission did not have when the first person answered."""
    decision, answer = SimpleNamespace(fields={}, automated=frozenset()), SimpleNamespace(fields={"total": "5.00"})
    texts = {"total": "5.00", "agency": ""}
    view = SimpleNamespace(decided=SimpleNamespace(decision=decision), values=texts, answer=answer, escalated=("a ruling",))
    assert [_field(view, name, "name", (), None).certain for name in texts] == [True, False]


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("approve", {"digest": "0" * 64}, 409),
        ("approve", {"digest": "0" * 63}, 422),
        ("approve", {}, 422),
        ("undo", {"digest": "0" * 64}, 409),
        ("undo", {"digest": "0" * 64, "action": 5}, 422),
    ],
)
def test_a_call_that_rests_on_nothing_changes_nothing(client, space, tokens, first, call, body, status):
    with Journal(space.home / "journal.db") as journal:
        before = journal.position
        assert client.post(f"/api/v1/cases/{first}/{call}", json=body, headers=tokens["ada"]).status_code == status
        assert (
            client.post(f"/api/v1/cases/{'f' * 64}/{call}", json={"digest": "0" * 64}, headers=tokens["ada"]).status_code == 404
        )
        assert journal.position == before


# --- the command line ------------------------------------------------------------------------------------------------


def test_undo_takes_back_from_the_command_line_says_what_came_of_it_and_again_changes_nothing(
    client, space, bank, tokens, capsys
):
    case = slip(space, 3)
    path = f"/api/v1/cases/{case}"
    digest = client.get(f"{path}/decision", headers=tokens["rita"]).json()["digest"]
    body = {"digest": digest, "values": values(3), "document_class": "bill"}
    assert client.post(f"{path}/approve", json=body, headers=tokens["rita"]).status_code == 200
    capsys.readouterr()
    assert acting.undo(space, case[:12], "pay_invoice")
    assert "pay_invoice taken back" in capsys.readouterr().out and paid(bank, case) == [(21435, "taken back")]
    assert list((space.home / "effects" / "archive" / "bill").glob(f"{case}*")), "only what was named"
    with Journal(space.home / "journal.db") as journal:
        before = journal.position
        assert acting.undo(space, case, "pay_invoice") and journal.position == before
    with pytest.raises(BadInput, match="nothing to undo of launch"):
        acting.undo(space, case, "launch")
    acting.show(space, case, again=False)
    out = capsys.readouterr().out
    assert "by rita, reviewer: " in out and "pay_invoice of $214.35 allowed" in out and "recall_payment done" in out


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(app, serve):
    return serve(app)


FAILED: list[str] = []  # what went wrong in the page's script


@pytest.fixture(autouse=True)
def no_script_fails():
    yield
    assert FAILED == []


def opened(chromium, address: str, name: str, case: str, **look):
    """A browser of its own, in which somebody looks at a case."""
    page = chromium.new_context(**look).new_page()
    page.on("pageerror", lambda error: FAILED.append(str(error)))
    page.goto(f"{address}/login?next=/review/%3Fcase={case}")
    page.locator("#account:focus").wait_for()
    for typed, key in ((name, "Tab"), (PASSWORD, "Enter")):
        page.keyboard.type(typed)
        page.keyboard.press(key)
    page.locator("#document", has_text=".").wait_for()
    return page


def unfold(page) -> None:
    if page.locator("#certain:not([open])").is_visible():
        page.locator("#certain summary").click()


def fill(page, fields: dict[str, str]) -> None:
    page.get_by_label("class").select_option(label="bill")
    unfold(page)
    for name, text in fields.items():
        field = page.get_by_label(name, exact=True)
        field.click()
        field.fill(text)
        page.keyboard.press("Tab")


def look(page) -> None:
    """Wait until the pages are drawn, without which nothing is approved."""
    page.wait_for_function("() => [...document.querySelectorAll('.paper img')].every((image) => image.complete)")


def approve(page) -> None:
    look(page)
    page.get_by_role("button", name="Approve").click()


def test_approve_on_the_page_pays_once_and_undo_takes_it_back(space, bank, chromium, address):
    case = slip(space, 4)
    page = opened(chromium, address, "rita", case)
    fill(page, values(4))
    approve(page)
    receipt = page.locator("#outcome")
    expect(receipt).to_contain_text("slip-4.txt corrected")
    expect(receipt).to_contain_text("pay_invoice done")
    assert paid(bank, case) == [(21435, "paid")]
    page.keyboard.press("u")
    page.keyboard.press("Enter")
    expect(receipt).to_contain_text("slip-4.txt undone")
    expect(receipt).to_contain_text("pay_invoice taken back")
    assert paid(bank, case) == [(21435, "taken back")]
    expect(page.locator("#document")).to_have_text("slip-4.txt")  # open again, with what was answered
    expect(page.get_by_label("total", exact=True)).to_have_value("$214.35")
    page.context.close()


def test_the_page_says_what_will_follow_and_who_has_to_approve_it(space, bank, chromium, address):
    case = slip(space, 5, "$812.00")
    page = opened(chromium, address, "rita", case)
    fill(page, values(5, "$499.00"))
    expect(page.locator("#expected")).to_contain_text("Approve → pay_invoice of $499.00")
    fill(page, {"total": "$812.00"})
    expect(page.locator("#expected")).to_contain_text("pay_invoice of $812.00 needs an operator: ")
    approve(page)
    expect(page.locator("#outcome")).to_contain_text("pay_invoice of $812.00 needs an operator")
    page.context.close()
    page = opened(chromium, address, "ada", case)
    expect(page.locator("#because")).to_contain_text("pay_invoice of $812.00 needs an operator")
    expect(page.locator("#expected")).to_contain_text("file_document done")
    expect(page.locator("#expected")).to_contain_text("Approve → pay_invoice of $812.00")
    assert paid(bank, case) == []
    look(page)
    assert page.locator(".field.active label").inner_text() == "total", "nothing is in doubt, but the amount is looked at"
    page.keyboard.press("Enter")
    expect(page.locator("#outcome")).to_contain_text("pay_invoice done")
    assert paid(bank, case) == [(81200, "paid")]
    page.context.close()


def test_of_two_browsers_on_one_case_the_second_is_told_and_overwrites_nothing(space, bank, chromium, address):
    case = slip(space, 6)
    mine, theirs = (opened(chromium, address, name, case) for name in ("rita", "rob"))
    edited = values(6) | {"reference": "AW-600"}  # as no agent would read it
    fill(mine, edited)
    fill(theirs, values(6, "$499.00"))
    approve(mine)
    expect(mine.locator("#outcome")).to_contain_text("pay_invoice done")
    approve(theirs)
    problem = theirs.locator("#problem", has_text="this case changed after you opened it")
    problem.wait_for()
    assert re.search(r"corrected \(.*reference AW-600.*\) by rita, reviewer: .* at \d\d:\d\d UTC", problem.inner_text())
    theirs.get_by_role("heading", name="Since then (UTC)").wait_for()
    expect(theirs.get_by_label("total", exact=True)).to_have_value("$214.35")  # the page shows what counts now
    with Journal(space.home / "journal.db") as journal:
        assert journal.answers()[case].fields == edited and journal.answers()[case].by == "rita"
    assert paid(bank, case) == [(21435, "paid")]
    for page in (mine, theirs):
        page.context.close()


def test_five_cases_with_one_correction_take_at_most_25_keys_and_no_pointer(space, chromium, address):
    numbers = range(20, 25)
    cases = {slip(space, number): number for number in numbers}
    page = opened(chromium, address, "rita", next(iter(cases)))
    page.evaluate("() => { window.keys = 0; document.addEventListener('keydown', () => window.keys++, true) }")
    taken = ""
    for _ in numbers:
        name = page.locator("#document").inner_text()
        look(page)
        if not taken:
            while page.locator(".field.active label").inner_text() != "total":
                page.keyboard.press("ArrowDown")
            taken = page.locator(".field.active .choices button").first.inner_text().removeprefix("1").strip()
            page.keyboard.press("1")
            expect(page.locator(".field.active input")).to_have_value(taken)
        for _ in range(page.locator(".field:not(.accepted)").count()):
            page.keyboard.press("Enter")
        expect(page.locator("#outcome")).to_contain_text(name)
    assert page.evaluate("window.keys") <= 25
    totals = [answer.fields["total"] for case, answer in recorded(space).items() if case in cases]
    assert len(totals) == 5 and totals.count(taken) == 1
    page.context.close()


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
SMALL = """(least) => [...document.querySelectorAll('a, button, input, select, summary, textarea')]
    .filter(one => one.checkVisibility()).map(one => [one.outerHTML.slice(0, 80), one.getBoundingClientRect()])
    .filter(([html, box]) => Math.min(box.width, box.height) < least).map(([html]) => html)"""


def touch(page, target) -> None:
    """Tap where a person sees it: on the screen as it stands, not covered, as large as a finger."""
    box = target.bounding_box()
    assert min(box["width"], box["height"]) >= 44, box
    assert target.evaluate("(one, place) => one.contains(document.elementFromPoint(...place))", [*middle(box)]), box
    page.touchscreen.tap(*middle(box))


def test_five_cases_with_one_correction_by_touch_on_a_narrow_screen_take_under_a_second_a_turn(space, chromium, address):
    numbers = range(50, 55)
    cases = {slip(space, number): number for number in numbers}
    page = opened(chromium, address, "rita", next(iter(cases)), **PHONE)
    page.evaluate("""() => {
        window.others = []
        const note = event => (event.pointerType ?? event.key) === 'touch' || window.others.push(event.type)
        for (const type of ['keydown', 'pointerdown']) document.addEventListener(type, note, true)
    }""")
    taken, turns = "", []
    for _ in numbers:
        name = page.locator("#document").inner_text()
        look(page)
        assert page.evaluate(SMALL, 24) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        if not taken:
            while page.locator(".field.active label").inner_text() != "total":
                touch(page, page.locator(".field.active").get_by_role("button", name="Accept"))
            choice = page.locator(".field.active .choices button").first
            taken = choice.inner_text().removeprefix("1").strip()
            touch(page, choice)
            expect(page.locator(".field.active input")).to_have_value(taken)
        while (left := page.locator(".field:not(.accepted)").count()) > 1:
            touch(page, page.locator(".field.active").get_by_role("button", name="Accept"))
            expect(page.locator(".field:not(.accepted)")).to_have_count(left - 1)
        began = time.perf_counter()
        touch(page, page.locator(".field.active").get_by_role("button", name="Accept"))
        expect(page.locator("#outcome")).to_contain_text(name)
        look(page)
        turns.append(time.perf_counter() - began)
    assert page.evaluate("window.others") == [], "neither keyboard nor pointer"
    assert min(turns) < 1, turns  # on a machine that is busy otherwise, the others wait for a core
    totals = [answer.fields["total"] for case, answer in recorded(space).items() if case in cases]
    assert len(totals) == 5 and totals.count(taken) == 1
    page.locator("#reasons").evaluate("(reasons) => { reasons.open = true }")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.context.close()


def test_the_page_says_which_check_the_answer_would_fail(space, chromium, address):
    page = opened(chromium, address, "rita", slip(space, 35))
    expect(page.locator("#problem")).to_be_hidden()
    again = slip(space, 36)
    fill(page, values(35))
    approve(page)
    expect(page.locator("#outcome")).to_contain_text("slip-35.txt")
    page.context.close()
    page = opened(chromium, address, "rita", again)
    fill(page, values(35))
    expect(page.locator("#expected .bad").last).to_contain_text("the check “not a duplicate” fails: ")
    page.context.close()


def test_an_address_of_no_case_is_answered_and_the_first_that_waits_is_shown(space, chromium, address):
    slip(space, 37)
    page = opened(chromium, address, "rita", "0" * 64)
    expect(page.locator("#problem")).to_contain_text("cannot be shown: no case has this id")
    page.context.close()


def recorded(space) -> dict:
    with Journal(space.home / "journal.db") as journal:
        return journal.answers()


def test_a_click_or_a_frame_on_the_page_fills_the_field(space, chromium, address):
    page = opened(chromium, address, "rita", slip(space, 30))
    unfold(page)
    page.get_by_label("sender", exact=True).focus()
    (word, box), (_, end) = places(page, "Alder"), places(page, "Works")
    page.mouse.click(*middle(box))
    expect(page.get_by_label("sender", exact=True)).to_have_value(word)
    page.mouse.move(box["x"] - 3, box["y"] - 3)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] + 3, end["y"] + end["height"] + 3, steps=4)
    page.mouse.up()
    expect(page.get_by_label("sender", exact=True)).to_have_value("Alder Bay Water Works")
    assert page.locator(".mark.active").count() == 1, "the new place is marked"
    page.context.close()


def places(page, text: str) -> tuple[str, dict[str, float]]:
    """A word of the first page, with its box on the screen."""
    case = page.url.partition("case=")[2]
    path = page.url.partition("/review/")[0]
    words = page.context.request.get(f"{path}/api/v1/cases/{case}/page/0.json").json()["words"]
    size = page.context.request.get(f"{path}/api/v1/cases/{case}/review").json()["pages"][0]
    paper = page.locator(".paper").first.bounding_box()
    word = next(word for word in words if word["text"] == text)
    scale, box = paper["width"] / size["width"], word["box"]
    return text, {
        "x": paper["x"] + box["x0"] * scale,
        "y": paper["y"] + box["y0"] * scale,
        "width": (box["x1"] - box["x0"]) * scale,
        "height": (box["y1"] - box["y0"]) * scale,
    }


def middle(box) -> tuple[float, float]:
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_what_is_typed_beside_a_field_changes_nothing(space, chromium, address):
    case = slip(space, 31)
    page = opened(chromium, address, "rita", case)
    with Journal(space.home / "journal.db") as journal:
        before = journal.position
        page.locator("#viewer").focus()
        page.keyboard.type("paralegal bar aura ?")
        page.keyboard.press("Escape")
        page.wait_for_timeout(300)
        assert journal.position == before
    page.context.close()


def test_the_stop_on_the_start_page_holds_every_effect_until_it_is_lifted(space, bank, tokens, client, chromium, address):
    case = slip(space, 40)
    page = opened(chromium, address, "ada", case)
    page.goto(f"{address}/")
    page.get_by_text("Stop all effects").first.click()
    page.get_by_label("Why").fill("the bank calls")
    page.get_by_role("button", name="Stop all effects now").click()
    expect(page.get_by_role("status")).to_contain_text("stopped by ada at")
    expect(page.get_by_role("status")).to_contain_text("the bank calls")
    path = f"/api/v1/cases/{case}"
    digest = client.get(f"{path}/decision", headers=tokens["rita"]).json()["digest"]
    body = {"digest": digest, "values": values(40), "document_class": "bill"}
    approved = client.post(f"{path}/approve", json=body, headers=tokens["rita"]).json()
    assert {one["state"] for one in approved["effects"]} == {"waiting"} and paid(bank, case) == []
    assert client.post("/stop", data={"because": "me, too"}, headers=tokens["rita"]).status_code == 403
    assert client.post("/stop", data={"because": " "}, headers=tokens["ada"]).status_code == 422
    page.get_by_role("button", name="Allow effects again").click()
    expect(page.get_by_text("Stop all effects").first).to_be_visible()
    acting.run(space, None)
    assert paid(bank, case) == [(21435, "paid")]
    page.context.close()


def test_a_release_is_compared_promoted_and_rolled_back_in_the_browser(space, bank, tokens, client, chromium, address):
    releases, case = Releases(space.releases), slip(space, 41)
    now = releases.current()
    (older,) = [each.id for each in releases.list() if not each.promoted]
    page = opened(chromium, address, "ada", case)
    page.goto(f"{address}/releases")
    page.get_by_role("link", name=older[:12]).click()
    expect(page.locator("pre .removed", has_text="pay_invoice").first).to_be_visible()  # the older mission does not pay
    expect(page.get_by_text("None of the cases that both decided")).to_be_visible()
    assert client.post(f"/releases/{older}/promote", data={"because": "x"}, headers=tokens["rita"]).status_code == 403
    assert client.post(f"/releases/{older}/promote", data={}, headers=tokens["ada"]).status_code == 422
    assert releases.current() == now
    page.get_by_label("Why it should decide").fill("the bank asked for a pause")
    page.get_by_role("button", name="Promote").click()
    page.wait_for_url(f"{address}/releases")
    assert releases.current() == older
    expect(page.get_by_text("by ada: the bank asked for a pause")).to_be_visible()
    page.get_by_text("Roll back to the release before").click()
    page.get_by_label("Why").fill("the pause is over")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("by ada: the pause is over")).to_be_visible()
    assert releases.current() == now and releases.history()[-1]["because"] == "the pause is over"
    path = f"/api/v1/cases/{case}"
    digest = client.get(f"{path}/decision", headers=tokens["rita"]).json()["digest"]
    body = {"digest": digest, "values": values(41), "document_class": "bill"}
    assert client.post(f"{path}/approve", json=body, headers=tokens["rita"]).status_code == 200
    assert paid(bank, case) == [(21435, "paid")]
    page.context.close()


def test_a_second_person_reads_again_without_seeing_the_answer_and_agreement_is_reported(
    space, tokens, client, chromium, address, monkeypatch
):
    monkeypatch.setitem(space.mission.__dict__, "second_readings", 1.0)
    case = slip(space, 42)
    path = f"/api/v1/cases/{case}"
    digest = client.get(f"{path}/decision", headers=tokens["rita"]).json()["digest"]
    body = {"digest": digest, "values": values(42), "document_class": "bill"}
    assert client.post(f"{path}/approve", json=body, headers=tokens["rita"]).status_code == 200
    own = client.post(f"{path}/second", json={"values": values(42), "document_class": "bill"}, headers=tokens["rita"])
    assert own.status_code == 422 and "a second reading is another person's" in own.json()["detail"]

    blind = client.get(f"{path}/review", headers=tokens["rob"])
    assert blind.json()["blind"] and not [text for text in values(42).values() if text in blind.text]
    page = opened(chromium, address, "rob", case)
    expect(page.get_by_text("A blind second reading")).to_be_visible()
    expect(page.locator("#reject")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.get_by_text("click it on the page, or press e")).to_be_visible()  # nothing is accepted unread
    look(page)
    for name in space.mission.fields:
        page.keyboard.press("e")
        page.keyboard.type((values(42) | {"total": "$214.36"})[name])
        page.keyboard.press("Enter")
    expect(page.get_by_text("choose the class")).to_be_visible()
    page.locator("#document-class").select_option("bill")
    page.locator("#approve").click()
    expect(page.locator("#outcome")).to_contain_text("your reading is recorded beside the first one")
    page.context.close()
    with Journal(space.home / "journal.db") as journal:
        (reading,) = journal.of_kind(SECOND_READING)
        assert reading.payload["agrees"] == {"sender": True, "reference": True, "total": False, "due": True, "class": True}
        assert event_line(reading) == "read again, blind, by rob: another total"
        assert journal.answers()[case].fields["total"] == "$214.35", "the first answer still counts"
    assert not client.get(f"{path}/review", headers=tokens["rob"]).json()["blind"]
    again = client.post(f"{path}/second", json={"values": values(42), "document_class": "bill"}, headers=tokens["ada"])
    assert again.status_code == 422 and "read again already" in again.json()["detail"]
    assert "In blind second readings, 4 of 5 values agree" in client.get("/", headers=tokens["ron"]).text


def test_two_reviewers_are_not_given_the_same_next_case(space, client, tokens, chromium, address):
    both = {slip(space, 43), slip(space, 44)}
    mine, theirs = (opened(chromium, address, name, "") for name in ("rita", "rob"))
    for page in (mine, theirs):
        while case_on(page) not in both:  # those of the tests before
            later(page)
    cases = [case_on(page) for page in (mine, theirs)]
    assert set(cases) == both
    expect(mine.locator("#holder")).to_contain_text("Kept for you until ")
    mine.locator("#queue summary").click()
    name = theirs.locator("#document").inner_text()
    expect(mine.locator("#queue li", has_text=name)).to_contain_text("with rob until ")
    mine.goto(f"{address}/review/?case={cases[1]}")  # on purpose
    expect(mine.locator("#holder")).to_contain_text("rob has this case until ")
    assert client.post(f"/api/v1/cases/{cases[1]}/put_back", headers=tokens["rob"]).json()["assigned_to"] == ""
    mine.reload()
    expect(mine.locator("#holder")).to_contain_text("Kept for you")
    for page in (mine, theirs):
        page.context.close()


def case_on(page) -> str:
    """The case that the page shows, by its address in the browser, which `page.url` follows later."""
    return page.evaluate("location.search").partition("case=")[2]


def later(page) -> None:
    """Put the case back, and wait for the next one."""
    before = case_on(page)
    page.locator("#review:not([aria-busy])").wait_for()
    page.locator("#later").click()
    page.wait_for_function("(before) => !location.href.endsWith(before)", arg=before)


def test_an_operator_assigns_a_case_on_its_page_and_puts_it_back(space, client, tokens, chromium, address):
    case = slip(space, 45)
    page = opened(chromium, address, "ada", case)
    page.goto(f"{address}/cases/{case}")
    assert page.locator("#to option").all_inner_texts() == ["ada", "rita", "rob"], "ron is a reader"
    page.get_by_label("Assign to").select_option("rob")
    page.get_by_role("button", name="Assign").click()
    expect(page.get_by_text("rob has it until ")).to_be_visible()
    first = client.get("/api/v1/reviews", headers=tokens["rob"]).json()["cases"]
    assert case in {one["case"] for one in first if one["yours"]} and first[0]["yours"], "his own come first"
    last = client.get("/api/v1/reviews", headers=tokens["rita"]).json()["cases"][-1]
    assert last["assigned_to"], "those of others come last"
    put_back = f"/cases/{case}/put_back"
    assert client.post(f"/cases/{case}/assign", data={"to": "rita"}, headers=tokens["rita"]).status_code == 403
    assert client.post(f"/cases/{case}/assign", data={"to": "ron"}, headers=tokens["ada"]).status_code == 422
    assert client.post(f"/cases/{case}/assign", data={"to": "eve"}, headers=tokens["ada"]).status_code == 422
    assert client.post(put_back, headers=tokens["rita"]).status_code == 422
    assert client.post(put_back, headers=tokens["rob"] | {"Origin": "http://evil.example"}).status_code == 403
    page.get_by_role("button", name="Put back in the queue").click()
    expect(page.get_by_text("put back in the queue by ada")).to_be_visible()
    assert client.get(f"/cases/{case}", headers=tokens["ron"]).text.count("<button") == 1, "a reader may sign out"
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_violation_of_the_accessibility_rules(space, chromium, address, scheme):
    from axe_playwright_python.sync_playwright import Axe

    case = slip(space, 33 if scheme == "light" else 34)
    older = next(each.id for each in Releases(space.releases).list() if not each.promoted)
    page = opened(chromium, address, "ada", case, color_scheme=scheme, bypass_csp=True)
    of_case = [f"/cases/{case}", f"/cases/{case}/erase", f"/cases/{case}/explained"]
    pages = [
        "/",
        f"/review/?case={case}",
        "/cases",
        *of_case,
        "/what_if",
        "/costs",
        "/reviewers",
        "/releases",
        f"/releases/{older}",
        "/api",
        "/login",
    ]
    for path in pages:
        page.goto(f"{address}{path}")
        page.wait_for_load_state("networkidle")
        violations = Axe().run(page).response["violations"]
        serious = {one["id"]: one["nodes"][0]["html"] for one in violations if one["impact"] in ("serious", "critical")}
        assert serious == {}, path
    page.context.close()
