"""What cases cost, against a plain count, and the interval of a forecast."""

import html
import re
import subprocess
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

import proveout.journal
from program import PROVEOUT
from proveout.documents import Originals
from proveout.evaluation.costs import GROUPS, MOST, CaseCost, Prices, _work, costs, dollars, forecast, grouped, mean, tail
from proveout.identity import Accounts
from proveout.journal import APPROVAL, ASSIGNMENT, LABEL, SECOND_READING, Event, Journal
from proveout.records import Case, Decided, Decision, Role, Route
from proveout.serving import application
from proveout.serving.guards import Limits
from proveout.workspace import Workspace

ROOT = Path(__file__).parent.parent
AT = datetime.fromisoformat("2026-11-30T10:00:00+00:00")


def event(kind: str, minutes: float, by: str, **payload: object) -> Event:
    at = (AT + timedelta(minutes=minutes)).isoformat()
    return replace(Event("c1", kind, {"by": by, **payload}), at=at)


def minutes_of(*events: Event) -> float:
    return _work(events)["c1"].minutes


def test_a_person_is_paid_from_opening_to_answering():
    opened = event(ASSIGNMENT, 0, "ada", to="ada", until="")
    assert minutes_of(opened, event(LABEL, 3, "ada")) == 3
    assert minutes_of(opened, event(ASSIGNMENT, 2, "ada", to="ada", until=""), event(APPROVAL, 5, "ada")) == 5  # opened again
    assert minutes_of(opened, event(LABEL, 600, "ada")) == MOST
    assert minutes_of(opened, event(LABEL, 3, "bo")) == 0  # somebody else answered
    assert minutes_of(event(ASSIGNMENT, 0, "lead", to="ada", until=""), event(LABEL, 3, "ada")) == 0  # never opened
    twice = event(ASSIGNMENT, 10, "bo", to="bo", until=""), event(LABEL, 14, "bo")
    assert minutes_of(opened, event(LABEL, 3, "ada"), *twice) == 7


def test_the_numbers_are_a_plain_count(small_home):
    with Journal(small_home / "journal.db") as journal:
        decisions = list(journal.decisions())
        cases = costs(journal, lambda decided: 1_000_000, Prices(60, 3.6, 1000), 2)
    assert [one.case for one in cases] == [decided.case.id for decided in decisions]
    for one, decided in zip(cases, decisions, strict=True):
        together = sum((other.run, other.at) == (decided.run, decided.at) for other in decisions)
        assert one.dollars["computing"] == pytest.approx(decided.seconds / together * 0.001)
        assert one.dollars["people"] == (2 if decided.decision.route is Route.REVIEW else 0)
        assert 1 < one.dollars["storage"] < 1.1 and one.dollars["models"] == decided.decision.dollars
    assert sum(len(group) for _, group in grouped(cases, "route")) == len(cases)


def case(total: float, day: int = 0, segment: str = "a") -> CaseCost:
    return CaseCost("c", f"2026-01-{day + 1:02}", {"segment": segment}, {"people": total}, 0, True)


def test_the_tail_and_the_groups():
    cases = [case(float(n), segment="b" if n > 90 else "a") for n in range(1, 101)]
    assert tail(cases) == 95.0 and np.isnan(tail([]))
    assert [name for name, _ in grouped(cases, "segment")] == ["a", "b"]


def test_the_interval_of_a_forecast_holds_although_days_differ():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(200):
        days = rng.gamma(4, 0.5, 20)  # each day has a level of its own; mean 2
        cases = [case(float(level * rng.exponential()), day) for day, level in enumerate(days) for _ in range(10)]
        low, high = forecast(cases, 1_000).interval
        covered += low <= 2_000 <= high
    assert covered >= 0.85 * 200


def test_one_day_is_forecast_too():
    few = forecast([case(1.0), case(3.0)], 10)
    assert few.dollars == 20 and few.interval[0] >= 10 and few.interval[1] <= 30


def money(amount: float) -> str:
    """As the page writes it: an amount under a cent in words, with the exact one to hover."""
    return f'<span title="{dollars(amount)}">under $0.01</span>' if 0 < amount < 0.01 else dollars(amount)


def test_the_page(small_home, tmp_path):
    space, originals = Workspace.find("invoices", small_home, start=ROOT), Originals(small_home / "originals")
    with Accounts(tmp_path / "accounts.db", hasher=PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)) as accounts:
        accounts.add("ron", Role.READER, "correct horse battery")
        headers = {"Authorization": f"Bearer {accounts.new_token('ron', 'tests')}"}
        client = TestClient(application(space, accounts, Limits(per_second=1e9, burst=1e9)))
        page, dearer = (
            client.get(f"/costs{query}", headers=headers).text for query in ("", "?person=80&minutes=3&volume=1000")
        )
        assert client.get("/costs?person=-1", headers=headers).status_code == 422
    with Journal(small_home / "journal.db") as journal:
        plain, more = (
            costs(journal, lambda decided: originals.size(decided.case.sha256), Prices(person), minutes)
            for person, minutes in ((40, 2), (80, 3))
        )
    for by in GROUPS:
        for name, group in grouped(plain, by):
            numbers = '</td><td class="n">'.join((f"{len(group):,}", money(mean(group)), money(tail(group))))
            assert f'<td>{by} {name}</td><td class="n">{numbers}</td>' in page
    assert '<span title="$0.0' in page and ">under $0.01</span>" in page and "$0.000" not in re.sub(r'title="[^"]*"', "", page)
    assert f"1,000 cases like these cost {dollars(forecast(more, 1_000).dollars)}</strong>" in dearer
    assert "3 minutes are assumed" in dearer and dollars(mean(more, "people")) in dearer


PASSWORD = "correct horse battery"


@pytest.fixture
def empty(tmp_path):
    """A workspace in which nothing was decided, and the accounts of a lead, a reviewer and a reader."""
    space = Workspace.find("invoices", tmp_path / "home", start=ROOT)
    with Accounts(space.accounts, hasher=PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)) as accounts:
        for name, role in (("ada", Role.OPERATOR), ("rita", Role.REVIEWER), ("ron", Role.READER)):
            accounts.add(name, role, PASSWORD)
        yield space, accounts


def write_by_hand(space: Workspace, monkeypatch) -> None:
    """Three decisions: one that rita answers in six minutes, one that nobody does, one that needs nobody. Then rob and sue."""

    class Clock(datetime):
        minute = 0.0

        @classmethod
        def now(cls, tz=None):
            return AT + timedelta(minutes=cls.minute)

    monkeypatch.setattr(proveout.journal, "datetime", Clock)
    with Journal(space.home / "journal.db") as journal:
        for n, (route, dollars, seconds) in enumerate([(Route.REVIEW, 0.02, 36), (Route.REVIEW, 0, 0), (Route.ACT, 0, 0)]):
            case = Case(f"{n}" * 64, f"{n}.pdf", date(2026, 11, 30), "north")
            decision = Decision(case.id, "r", "invoice", 0.9, {}, frozenset(), (), (), route, ("", ""), dollars=dollars)
            journal.record([Decided(case, decision, seconds=seconds)], f"run {n}")
        for by, number, began, ended, what in (
            ("rita", 0, 0, 6, "approved"),
            ("rob", 7, 10, 40, "corrected"),
            ("rob", 8, 50, 60, "approved"),
            ("sue", 9, 70, 70.5, "approved"),
        ):
            for minute, kind, more in ((began, ASSIGNMENT, {"to": by, "until": ""}), (ended, APPROVAL, {"what": what})):
                Clock.minute = minute
                journal.append([Event(f"{number}" * 64, kind, {"by": by, **more})])
        agrees = {"advertiser": True, "gross_amount": True, "flight_to": False}
        journal.append([Event("0" * 64, SECOND_READING, {"by": "rob", "first": "rita", "agrees": agrees})])


def rows_of(page: str) -> dict[str, list[str]]:
    """The rows of a page's table as text, by their first cell."""
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)]
    texts = [[html.unescape(re.sub(r"<[^>]+>", "", cell)).replace("\xa0", " ") for cell in row] for row in rows if row]
    return {row[0].strip(): row[1:] for row in texts}


def test_what_a_lead_reads_of_costs_and_reviewers_is_right_by_hand(empty, monkeypatch):
    space, accounts = empty
    client = TestClient(application(space, accounts, Limits(per_second=1e9, burst=1e9)))
    tokens = {name: accounts.new_token(name, "tests") for name in ("ada", "rita", "ron")}

    def page(path: str, name: str = "ada") -> str:
        return client.get(path, headers={"Authorization": f"Bearer {tokens[name]}", "Accept": "text/html"}).text

    assert "No case is decided yet, so nothing was spent." in page("/costs")
    assert "Nobody has answered a case yet." in page("/reviewers")
    assert "You have answered no case yet, and fewer than three people have." in page("/reviewers", "rita")

    write_by_hand(space, monkeypatch)
    rows = rows_of(page("/costs?machine=0.1"))
    # 6 minutes at 40 dollars an hour: 4; 2 assumed: 1.333; models 0.02; 36 s of a machine at 0.1 dollars an hour: 0.001
    assert rows["all cases"] == ["3", "$1.78", "$4.02", "$1.78", "under $0.01", "under $0.01", "under $0.01"]
    assert rows["route review"][:4] == ["2", "$2.68", "$4.02", "$2.67"]
    assert rows["route act"] == ["1", "under $0.01", "under $0.01", "$0", "$0", "$0", "under $0.01"]
    assert "3 cases like these cost $5.35</strong>" in page("/costs") and "People spent 0.1 hours" in page("/costs")
    assert '<span title="$0.0067">under $0.01</span>' in page("/costs"), "models: 0.02 dollars over three cases"

    everybody = ["4", "1 (25 %)", "8.0 minutes", "2 of 3 values"]
    rita, rob = ["1", "0 (0 %)", "6.0 minutes", "2 of 3 values"], ["2", "1 (50 %)", "20.0 minutes", "not read again yet"]
    sue = ["1", "0 (0 %)", "30 seconds", "not read again yet"]
    assert rows_of(page("/reviewers")) == {"everybody": everybody, "rita": rita, "rob": rob, "sue": sue}
    assert rows_of(page("/reviewers", "rita")) == {"everybody": everybody, "rita": rita}
    assert "rob" not in page("/reviewers", "rita")

    for wrong, message in (
        ("volume=-1", "volume: input should be greater than"),
        ("person=x", "person: input should be a valid number"),
    ):
        refused = client.get(f"/costs?{wrong}", headers={"Authorization": f"Bearer {tokens['ada']}", "Accept": "text/html"})
        assert refused.status_code == 422 and message in refused.text and "<h1>" in refused.text


def test_costs_and_reviewers_are_used_by_keyboard_at_every_width(empty, monkeypatch, serve, chromium):
    space, accounts = empty
    write_by_hand(space, monkeypatch)
    address = serve(application(space, accounts, Limits(per_second=1e9, burst=1e9)))
    for width in (1280, 768, 390):
        page = chromium.new_context(viewport={"width": width, "height": 900}).new_page()
        page.goto(f"{address}/login?next=/costs")
        page.fill("[name=name]", "ada")
        page.fill("[name=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{address}/costs")
        for path in ("/reviewers", "/costs"):
            page.goto(f"{address}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.get_by_role("link", name="API").focus()
            page.keyboard.press("Tab")  # the button that signs out
            page.keyboard.press("Tab")
            label = page.evaluate("document.activeElement.getAttribute('aria-label')")
            assert label == ("Reviewers" if path == "/reviewers" else "Costs by group"), "the table can be scrolled by keys"
        page.keyboard.press("Tab")
        page.keyboard.press("Control+a")
        page.keyboard.type("1000")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=1,000 cases like these cost $1,784.")
        assert page.input_value("[name=person]") == "40"
        page.context.close()


def test_the_command(small_home, tmp_path):
    def proveout(*words: object) -> subprocess.CompletedProcess[str]:
        command = [*PROVEOUT, "cost", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    run = proveout("--home", small_home, "--by", "segment", "--volume", 1000)
    assert run.returncode == 0, run.stderr
    assert "all cases" in run.stdout and "segment regional" in run.stdout and "1,000 cases like these: $" in run.stdout
    assert "2 minutes are assumed" in run.stdout
    assert "did you mean `segment`?" in proveout("--home", small_home, "--by", "segments").stderr
    assert "no case is decided yet" in proveout("--home", tmp_path).stderr
