"""The loop, closed by script: an answer is a label, helps the next document at once, and is learned by the next build."""

import os
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from proveout import connectors, live, review
from proveout.calibration.plan import Outlook
from proveout.cli import acting, designing, planning, releasing, watching
from proveout.corpus import Dataset
from proveout.errors import BadInput, Busy
from proveout.identity import Accounts, Role
from proveout.journal import Journal
from proveout.journal.intentions import ATTEMPTS
from proveout.live import Live, alone
from proveout.records import Action, Answer, Decided
from proveout.release import Releases
from proveout.serving import application
from proveout.workspace import Workspace

PASSWORD = "correct horse battery"
SLIP = """{sender}

Remittance advice

Our number       {reference}
Customer         Nora Whitfield
Customer No      20{number}14
Date of issue    09/0{number}/2026
Last payment     $9{number}8.20
Now owing        {total}
Settle before    {due}
"""
ANSWERS = {
    "sender": "Alder Bay Water Works", "reference": "AW-88120{0}", "total": "$2{0}4.35", "due": "09/2{0}/2026",
}  # fmt: skip


def labels(number: int) -> dict[str, str]:
    return {name: text.format(number) for name, text in ANSWERS.items()}


def hand_in(space: Workspace, number: int) -> str:
    """A bill of a form that nobody has seen: the largest amount on it is not what is owed. Gives its file's name."""
    inbox = space.home / "inbox"
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / f"slip-{number}.txt").write_text(SLIP.format(number=number, **labels(number)))
    return f"slip-{number}.txt"


@pytest.fixture(scope="module")
def space(bills) -> Workspace:
    return Workspace.find("bills", start=bills)


def decided(space: Workspace, name: str) -> Decided:
    with Journal(space.home / "journal.db") as journal:
        return next(one for one in journal.decisions() if one.case.path == name)


def values(space: Workspace, name: str) -> dict[str, str]:
    return {field: value.text for field, value in decided(space, name).decision.fields.items()}


@pytest.fixture(scope="module")
def before(space) -> str:
    name = hand_in(space, 1)
    acting.run(space, None)
    return name


def answer(page, field: str, text: str) -> None:
    """Edit a field with the keyboard alone."""
    for _ in range(10):
        if page.locator(".field.active label").inner_text() == field:
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("e")
    page.keyboard.type(text)
    page.keyboard.press("Tab")


@pytest.fixture(scope="module")
def answered(space, before, chromium, serve) -> str:
    """A reviewer signs in and answers, with the keyboard alone."""
    with pytest.MonkeyPatch.context() as there, Accounts(space.accounts) as accounts:
        there.chdir(space.root)
        there.setenv("PROVEOUT_MISSION", space.name)
        there.setenv("PROVEOUT_HOME", str(space.home))
        accounts.add("ada", Role.REVIEWER, PASSWORD)
        page = chromium.new_page()
        page.goto(f"{serve(application(space, accounts))}/review/")
        page.locator("#account:focus").wait_for()
        for typed, key in (("ada", "Tab"), (PASSWORD, "Enter")):
            page.keyboard.type(typed)
            page.keyboard.press(key)
        page.get_by_text("1 case waits for you").wait_for()
        page.locator(".paper img").wait_for()
        page.get_by_label("class").focus()
        page.keyboard.type("bill")
        page.keyboard.press("Enter")
        answer(page, "total", "next month")
        expect(page.locator("#problem")).to_contain_text("total: no amount in 'next month'")
        answer(page, "total", labels(1)["total"])
        page.wait_for_function("() => document.querySelector('.paper img').complete")  # the page is drawn
        page.keyboard.press("a")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Nothing waits for you").wait_for()
        page.close()
    return before


@pytest.fixture(scope="module")
def after(space, answered) -> str:
    name = hand_in(space, 2)
    acting.run(space, None)
    return name


def test_a_form_that_nobody_has_seen_goes_to_a_person(space, before):
    assert decided(space, before).decision.route == "review"
    assert values(space, before)["total"] == "$918.20", "the largest amount, as on every bill it had learned from"


def test_an_answer_is_a_label_with_its_author_and_with_what_was_right(space, answered, capsys):
    with Journal(space.home / "journal.db") as journal:
        (answer,) = journal.answers().values()
    assert answer.by == "ada" and answer.fields == labels(1)
    assert [name for name, right in answer.right.items() if not right] == ["total"]
    acting.show(space, answered, again=False)  # the name of a file in the inbox
    assert "labelled by ada: 3 of 4 values correct" in capsys.readouterr().out


def test_it_helps_the_next_document_of_that_form_without_a_build(space, after):
    assert values(space, after)["total"] == labels(2)["total"]
    assert "total" not in decided(space, after).decision.automated, "its score is still its own"


def test_the_next_build_learns_it_and_the_next_decision_shows_it(space, after, capsys):
    assert designing.why(space, "curate", None) == "`answers` changed"
    designing.build(space, None, None, force=False, record=False)
    assert "answers    1 join the training set; 0 belong to calibration or test documents" in capsys.readouterr().out
    dataset = Dataset.load(space.build / "curate" / "dataset")
    (entry,) = (entry for entry in dataset.chosen("train") if entry.source)
    assert (entry.labels["total"], entry.document_class, entry.source) == ("$214.35", "bill", "answered by ada")
    releasing.promote(space, "latest")
    third = hand_in(space, 3)
    assert acting.run(space, None)["decided"] == 1
    assert values(space, third)["total"] == labels(3)["total"]


def test_what_a_build_judges_by_is_never_learned_from(space, after, capsys):
    held = next(entry for entry in Dataset.load(space.build / "curate" / "dataset").chosen("test") if entry.labels)
    (space.home / "inbox" / "held.txt").write_bytes((space.design / "examples" / held.case.path).read_bytes())
    acting.run(space, None)
    with Journal(space.home / "journal.db") as journal:
        one = next(one for one in journal.decisions() if one.case.id == held.case.id)
        journal.answer([review.answer(one, space.mission, dict.fromkeys(space.mission.fields, ""), by="ada")])
    designing.build(space, None, None, force=False, record=False)
    out = capsys.readouterr().out
    assert "1 belong to calibration or test documents" in out and "0 of 9 steps ran" in out


@pytest.mark.parametrize(
    ("values", "document_class", "expected"),
    [
        ({"due": "next month"}, "", "due: no calendar day in 'next month'; enter the value as printed"),
        ({"amount": "3"}, "", "no field amount in bills; expected: reference, sender, total, due"),
        ({}, "letter", "no class 'letter' in bills; expected one of: bill, other"),
    ],
)
def test_an_answer_that_cannot_be_is_refused_before_it_is_written(space, before, values, document_class, expected):
    with pytest.raises(BadInput, match=expected):
        review.answer(decided(space, before), space.mission, values, "ada", document_class)


def test_nothing_on_the_document_is_an_answer_too(space, before):
    none = review.answer(decided(space, before), space.mission, {"total": "", "due": "09/21/2026"}, "ada")
    assert none.right == {"total": False, "due": True}
    assert review.rejection(decided(space, before), space.mission, "ada").document_class == "other"


def test_a_further_process_reads_only_what_the_memory_does_not_follow_yet(space, after, monkeypatch):
    read: list[str] = []
    recorded = Live._records
    monkeypatch.setattr(Live, "_records", lambda self, key, *rest: [read.append(key), *recorded(self, key, *rest)][1:])

    def followed(journal: Journal) -> int:
        read.clear()
        live = Live(Releases(space.releases).promoted(), space.home / "inbox", space.home, space.cache)
        live._catch_up(journal)
        return live.memory.position

    with Journal(space.home / "journal.db") as journal:
        position = followed(journal)
        assert followed(journal) == position and not read
        case = next(each.case for each in journal.decisions() if each.case.path == after)
        journal.answer([Answer(case.id, {"reference": "AW-7"}, by="ada")])
        assert followed(journal) == position + 1 and read == [case.key]
        answer = Releases(space.releases).promoted().memory(space.memory).answer(case.key)
        assert answer and answer.fields["reference"] == "AW-7"
        Releases(space.releases).promoted().memory(space.memory).follow("another release", 1, "")
        assert followed(journal) == position + 1 and len(read) > 1  # everything, and it adds nothing


def test_an_effect_that_fails_keeps_no_case_from_being_decided_and_ends_as_a_dead_letter(space, before, capsys):
    case = decided(space, before).case.id
    broken = Action("file_document", {"folder": 5}, "file:broken")  # no text: the connector raises what nobody foresaw
    with Journal(space.home / "journal.db") as journal:
        journal.intend(case, broken, "by hand")
        hand_in(space, 4)
        summary = acting.run(space, None)
        assert (summary["decided"], summary["effects"], summary["dead_letters"]) == (1, {"failed": 1}, [])
        assert not journal.pending() and "effects: 1 failed" in capsys.readouterr().out
        hands = connectors.of(space.mission, space.effects, Path)
        for _ in range(ATTEMPTS - 1):
            connectors.carry_out(journal, hands, lambda: "", keys={broken.key})
        watching.status(space)
        assert "dead letters: 1; to retry: proveout effects --retry KEY (or all)" in capsys.readouterr().out
        hand_in(space, 5)
        assert "file_document for case" in acting.run(space, None)["dead_letters"][1]
        acting.effects(space, "")
        assert f"after 5 attempts: TypeError: expected string or bytes-like object, got 'int'\n  key {broken.key}" in (
            capsys.readouterr().out
        )
        acting.effects(space, broken.key)
        assert [intention.action.key for intention in journal.pending()] == [broken.key]


def test_effects_that_take_long_happen_after_the_cases_are_decided(space, before, monkeypatch):
    monkeypatch.setattr(live, "PATIENCE", -1)  # seconds: no effect is begun while cases wait
    case = decided(space, before).case.id
    filed = Action("file_document", {"folder": "bill"}, "file:late")
    with Journal(space.home / "journal.db") as journal:
        journal.intend(case, filed, "by hand")
        hand_in(space, 6)
        agent = Live(Releases(space.releases).promoted(), space.home / "inbox", space.home, space.cache)
        summary = agent.run()
        assert summary["decided"] == 1 and summary["effects"]["done"] == 1
        positions = {event.kind: event.position for event in journal.events()}
        assert positions["effect settled"] > positions["decision"]


def test_a_second_process_in_the_same_home_is_told_who_is_there(space):
    with (
        alone(space.home),
        pytest.raises(Busy, match=rf"process {os.getpid()}, since .* is using this folder"),
        alone(space.home),
    ):
        pass
    with alone(space.home):
        pass


def test_a_case_waits_for_its_whole_batch(space, after, monkeypatch):
    """Its latency is the time from when the batch was taken up; the mean over the batch would hide the tail."""
    agent = Live.agent

    class Slow:
        def __init__(self, agent):
            self.agent = agent

        def batch(self, paths, config=None):
            time.sleep(0.3)
            return self.agent.batch(paths, config)

    monkeypatch.setattr(Live, "agent", lambda live: Slow(agent(live)))
    names = [hand_in(space, number) for number in (7, 8, 9)]
    summary = Live(Releases(space.releases).promoted(), space.home / "inbox", space.home, space.cache).run()
    assert summary["decided"] == 3
    (waited,) = {decided(space, name).seconds for name in names}
    assert waited >= 0.3


def test_status_tells_how_the_service_levels_stand(space, after, capsys):
    watching.status(space)
    with Journal(space.home / "journal.db") as journal:
        cases, (wait, *_) = list(journal.decisions()), sorted((one.seconds for one in journal.decisions()), reverse=True)
    lines = capsys.readouterr().out.splitlines()
    table = lines[next(at for at, line in enumerate(lines) if line.startswith("service levels, the last 30 days")) :]
    assert table[0].endswith(f"{len(cases)} cases of {len(cases)}")
    assert [line.split("  ")[1] for line in table[2:]] == [
        "automation rate", *(f"precision of {name}" for name in space.mission.fields), "latency p50", "latency p99",
        "cost per case",
    ]  # fmt: skip
    acted = sum(one.decision.route == "act" for one in cases) / len(cases)
    assert f" {acted:.1%} " in table[2] and "MISSED by" in table[2]
    assert f" {wait:.3g} s " in table[-2] and "$0.0000" in table[-1]


def test_a_plan_says_what_is_automated_now_and_what_more_labels_would_do(space, tmp_path, capsys, monkeypatch):
    planning.plan(space, None, None, 1.0, None)
    assert "total" in (printed := capsys.readouterr().out) and "no person would touch" in printed
    planning.plan(space, 0.999, None, 2.0, None)
    assert "For 99.9% precision" in (printed := capsys.readouterr().out) and "more labels needed" in printed
    assert f"As built, at {space.mission.slo.precision_text}:" in printed
    assert "At 99.9% a person would touch them all:" in printed and "total" in printed.split("touch them all:")[1]
    few = [Outlook(name, labels, 0.0, 60, 50, 80, 0.4) for name, labels in (("due", 90), ("total", 400))]
    monkeypatch.setattr(planning, "_outlooks", lambda *_: few)
    planning.plan(space, 0.98, 0.95, 1.0, None)
    assert "\ntotal: 149 values without an error suffice" in (printed := capsys.readouterr().out)
    assert "proveout audit" in printed and "tiers: [layout_encoder, person]" in printed
    (tmp_path / "labels.csv").write_text("mine")
    with pytest.raises(BadInput, match="no labels are lost"):
        planning.plan(space, 0.999, None, 1.0, tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_text() == "mine"
