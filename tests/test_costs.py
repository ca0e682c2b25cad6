"""What cases cost, against a plain count, and the interval of a forecast."""

import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from program import PROVEOUT
from proveout.documents import Originals
from proveout.evaluation.costs import GROUPS, MOST, CaseCost, Prices, _work, costs, dollars, forecast, grouped, mean, tail
from proveout.identity import Accounts
from proveout.journal import APPROVAL, ASSIGNMENT, LABEL, Event, Journal
from proveout.records import Role, Route
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
            numbers = '</td><td class="n">'.join((f"{len(group):,}", dollars(mean(group)), dollars(tail(group))))
            assert f'<td>{by} {name}</td><td class="n">{numbers}</td>' in page
    assert f"1,000 cases like these cost {dollars(forecast(more, 1_000).dollars)}</strong>" in dearer
    assert "3 minutes are assumed" in dearer and dollars(mean(more, "people")) in dearer


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
