"""The page of a case: run it again, and see that every step is the same, or which is not. And the start page's runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from proveout.cli import acting
from proveout.identity import Accounts, Role
from proveout.journal import Journal
from proveout.live import replay as replays
from proveout.records import Action, Decided, Route
from proveout.release import Release
from proveout.schedule.history import History, JobRun, Note
from proveout.serving import application
from proveout.serving.guards import Limits
from proveout.workspace import Workspace
from test_loop import hand_in

PASSWORD = "correct horse battery"
PEOPLE = {"ron": Role.READER, "rita": Role.REVIEWER, "ada": Role.OPERATOR}
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture(scope="module")
def space(bills) -> Workspace:
    """Two bills are decided, and wait for a person."""
    space = Workspace.find("bills", start=bills)
    for number in (1, 2):
        hand_in(space, number)
    acting.run(space, None)
    return space


@pytest.fixture(scope="module")
def decided(space) -> Decided:
    with Journal(space.home / "journal.db") as journal:
        return next(one for one in journal.decisions() if one.case.path == "slip-2.txt")


@pytest.fixture(scope="module")
def accounts(space):
    with Accounts(space.accounts, hasher=QUICK) as opened:
        for name, role in PEOPLE.items():
            opened.add(name, role, PASSWORD)
        yield opened


@pytest.fixture(scope="module")
def tokens(accounts) -> dict[str, dict[str, str]]:
    return {name: {"Authorization": f"Bearer {accounts.new_token(name, 'tests')}"} for name in PEOPLE}


@pytest.fixture(scope="module")
def client(space, accounts):
    limits = Limits(per_second=1e9, burst=1e9)
    return TestClient(application(space, accounts, limits), follow_redirects=False, raise_server_exceptions=False)


def run_again(client, tokens, decided: Decided) -> str:
    """The page after the button was pressed."""
    response = client.post(f"/cases/{decided.case.id}/again", headers=tokens["rita"] | {"Accept": "text/html"})
    assert response.status_code == 200
    return response.text


def test_a_reviewer_runs_a_case_again_and_every_step_is_the_same(client, space, tokens, decided):
    page = f"/cases/{decided.case.id}"
    assert "Run again" in client.get(page, headers=tokens["rita"]).text
    assert "Run again" not in client.get(page, headers=tokens["ron"]).text
    with Journal(space.home / "journal.db") as journal:
        before = journal.position
        assert "every step is the same, bit for bit" in run_again(client, tokens, decided)
        assert journal.position == before


def test_the_first_step_that_differs_is_shown_with_both_values(client, tokens, decided, monkeypatch):
    decide = replays.decide

    def otherwise(*about):
        return {key: replace(decision, route=Route.REFUSE) for key, decision in decide(*about).items()}

    monkeypatch.setattr(replays, "decide", otherwise)
    text = run_again(client, tokens, decided)
    assert "the step <strong>route</strong> is the first that differs, in <strong>route</strong>" in text
    assert "<code>&#34;review&#34;</code>" in text and "<code>&#34;refuse&#34;</code>" in text


def test_what_keeps_a_case_from_being_run_again_is_said(client, space, tokens, decided, tmp_path, monkeypatch):
    (kept,), release = space.originals.rglob(f"{decided.case.sha256}*"), space.releases / decided.decision.release
    for path, why in ((kept, "its file is not kept"), (release, "no release in releases; make one: ")):
        path.rename(tmp_path / path.name)
        try:
            text = run_again(client, tokens, decided)
        finally:
            (tmp_path / path.name).rename(path)
        assert f"cannot be run again: {why}" in text and str(space.home) not in text
    monkeypatch.setattr(Release, "other_code", ("proveout/agent.py",))
    text = run_again(client, tokens, decided)
    assert "pins other code or libraries than this server runs" in text
    assert f"run: proveout replay {decided.case.id[:12]}" in text


def test_a_case_is_explained_with_the_events_and_documents_behind_it(client, space, tokens, decided, tmp_path):
    page = f"/cases/{decided.case.id}/explained"
    assert page in client.get(f"/cases/{decided.case.id}", headers=tokens["ron"]).text
    text = client.get(page, headers=tokens["ron"]).text
    with Journal(space.home / "journal.db") as journal:
        assert all(event.hash in text for event in journal.events(decided.case.id))
    assert "passed it to a person" in text and "For the person concerned" in text
    assert "learned from" in text and decided.decision.fields["total"].text in text and str(space.home) not in text
    assert "recalled by" not in text and "recalled by" in client.get(f"{page}?forward=true", headers=tokens["ron"]).text
    assert client.get(f"/cases/{'0' * 64}/explained", headers=tokens["ron"]).status_code == 404
    release = space.releases / decided.decision.release
    release.rename(tmp_path / release.name)
    try:
        response = client.get(page, headers=tokens["ron"] | {"Accept": "text/html"})
    finally:
        (tmp_path / release.name).rename(release)
    assert response.status_code == 409 and "cannot be read" in response.text and str(space.home) not in response.text


@pytest.mark.parametrize(
    ("who", "headers", "status"),
    [
        ("ron", {}, 403),
        ("rita", {"Origin": "http://evil.example"}, 403),
        ("rita", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("rita", {}, 200),
    ],
)
def test_running_again_is_for_reviewers_on_this_servers_pages(client, tokens, decided, who, headers, status):
    assert client.post(f"/cases/{decided.case.id}/again", headers=tokens[who] | headers).status_code == status
    assert client.post(f"/cases/{decided.case.id}/again").status_code == 401


def test_a_case_that_is_not_there_cannot_be_run_again(client, tokens):
    assert client.post(f"/cases/{'0' * 64}/again", headers=tokens["rita"]).status_code == 409


def home(client, tokens) -> str:
    return " ".join(client.get("/", headers=tokens["ron"]).text.split())


def test_the_start_page_shows_the_last_runs_and_what_they_spent(client, space, tokens, decided):
    with Journal(space.home / "journal.db") as journal:
        pay = Action("pay_invoice", {"amount": "96000.00"}, "pay:x")
        assert journal.intend(decided.case.id, pay, "approvals of 2026-11-30", 96_000_00)
    text = home(client, tokens)
    assert '<span class="review">2 review</span>' in text and f'/releases/{decided.decision.release}"' in text
    assert "<span>0 of 1,000</span>" in text and "<span>$0 of $1,000,000</span>" in text
    assert "people's approvals of that day" in text and "<span>$96,000 of $1,000,000</span>" in text
    with Journal(space.home / "journal.db") as journal:
        journal.intend(decided.case.id, replace(pay, key="pay:y"), "approvals of 2026-11-30", 860_000_00)
    assert '<span class="refuse">$956,000 of $1,000,000</span>' in home(client, tokens), "nearly used up"


def test_the_start_page_shows_the_last_scheduled_jobs_or_says_what_to_do(client, space, tokens, monkeypatch):
    assert "run on the server&#39;s machine: proveout schedule" in home(client, tokens)
    Note("abc", database="postgresql://db/schedule").write(space.home)
    assert "start the server with PROVEOUT_DATABASE set" in home(client, tokens)
    Note("abc").write(space.home)
    assert "No scheduled job has run yet" in home(client, tokens)
    began = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
    with History(space.home / "schedule.db", "abc") as history:
        history.write(JobRun("1", "run", began, 0, "failed", began, began + timedelta(seconds=7), result="the disk is full"))
    assert '<li class="refuse"><time datetime="2026-11-30T09:00:00+00:00">' in home(client, tokens)
    assert "run FAILED in 7 s: the disk is full" in home(client, tokens)
    (space.home / "schedule.json").write_text("{")
    assert "The schedule cannot be read: schedule.json: not a file that" in home(client, tokens)
