"""A case is erased: its content is in no file any more, the journal is whole and says so, and everything else goes on."""

import os
import re
import shutil
import sqlite3
import stat
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from program import PROVEOUT
from proveout.cli import acting, erasing, replaying, watching
from proveout.cli.what_if import what_if
from proveout.documents import Originals, sha256_of
from proveout.documents.batch import cached
from proveout.errors import BadInput
from proveout.identity import Accounts, Role
from proveout.journal import ERASED, ERASURE, LABEL, Journal
from proveout.live import alone, erasure
from proveout.live.what_if import Change
from proveout.records import Decided, Person
from proveout.serving import application
from proveout.serving.guards import Limits
from proveout.serving.worker import Worker
from proveout.vault import Vault
from proveout.workspace import Workspace

ADA = Person("ada", Role.OPERATOR)
PASSWORD = "correct horse battery"
PEOPLE = {"ron": Role.READER, "rita": Role.REVIEWER, "ada": Role.OPERATOR}
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
LENGTH = 7  # of a text, at least, that may tell the case
REASON = "asked for by the customer, letter of 30 November"


@pytest.fixture(scope="module")
def space(small_home: Path) -> Workspace:
    """The workspace of a demo, without the data that its release was built from, which had the later cases, too."""
    space = Workspace.find("invoices", small_home)
    with Journal(space.home / "journal.db") as journal:
        one = next(one for one in journal.decisions() if one.decision.fields)
        assert any("the last build's data set holds it" in line for line in erasure.plan(space, journal, one.case.id).derived)
    shutil.rmtree(small_home / "synthetic")
    shutil.rmtree(small_home / "build")
    return space


@pytest.fixture(scope="module")
def cases(space) -> list[Decided]:
    """Cases that were labelled and approved, so that copies lie in the archive and payments are ordered."""
    with Journal(space.home / "journal.db") as journal:
        labelled = {event.case for event in journal.of_kind(LABEL)}
        decided = [one for one in journal.decisions() if len(one.decision.fields) == 5]
        numbers = Counter(one.decision.fields["contract_num"].text for one in decided)  # another paper may have the same values
        whole = [one for one in decided if one.case.id in labelled and numbers[one.decision.fields["contract_num"].text] == 1]
        chosen = sorted(whole, key=lambda one: one.decision.document_class != "invoice")[:4]  # invoices are paid, too
    approvals = Worker(space).approvals
    for one in chosen:
        approvals.approve(one.case.id, ADA, approvals.show(one.case.id).digest)
    acting.run(space, None)
    return chosen


def files_of(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


def places(needles: set[bytes], *folders: Path) -> list[Path]:
    """The files in which any of these texts stands."""
    contents = ((path, path.read_bytes()) for path in files_of(*folders))
    return [path for path, content in contents if any(needle in content for needle in needles)]


def needles_of(space: Workspace, decided: Decided) -> set[bytes]:
    """What tells this case: values and words of its own, which no other file in the clear has, and bytes of its file."""
    original = Originals(space.originals).path(decided.case.sha256)
    (content,) = Worker(space).index.kind.read([original], space.cache)
    texts = {value.text for value in decided.decision.fields.values()} | set(content.text.split())
    earlier = [path for path in files_of(space.cache) if path.suffix == ".json"]  # of earlier code, which did not encrypt
    case = decided.case.id
    submitted = [path for path in files_of(space.home / "inbox") if sha256_of(path) != case]
    effects = [path for path in files_of(space.effects) if case not in path.name and case.encode() not in path.read_bytes()]
    built = b"".join(path.read_bytes() for path in [*files_of(space.releases), *earlier, *submitted, *effects])
    rows = (space.answers / "labels.csv").read_bytes().splitlines()
    built += b"\n".join(row for row in rows if case.encode() not in row)  # other answers that join the next build
    own = {text.encode() for text in texts if len(text) >= LENGTH and text.encode() not in built}
    assert own, texts
    data = original.read_bytes()
    pieces = {data[at : at + 64] for at in range(0, len(data) - 64, 256) if data[at : at + 64] not in built}
    assert pieces
    return own | pieces


@pytest.fixture(scope="module")
def needles(space, cases) -> set[bytes]:
    """Of the first case."""
    return needles_of(space, cases[0])


def test_content_is_encrypted_at_rest_but_for_what_others_have_to_read(space, cases, needles):
    readable = {path.relative_to(space.home).parts[0] for path in places(needles, space.home)}
    assert readable == {"inbox", "effects", "answers"}
    assert places(needles, space.cache) == [] and cached(space.cache, cases[0].case.sha256)


def test_what_was_erased_is_in_no_file_and_the_journal_says_so(space, cases, needles, capsys):
    decided, case = cases[0], cases[0].case.id
    with Journal(space.home / "journal.db") as journal:
        before, others = journal.position, [one.case.key for one in journal.decisions() if one.case.id != case]
        assert cached(space.cache, decided.case.sha256) and places(needles, space.home)
        assert erasing.erase(space, case[:12], REASON, yes=True)
        assert places(needles, space.home, space.cache) == [], "while the journal is open"
    assert places(needles, space.home, space.cache) == []
    assert not [path for path in files_of(space.effects, space.originals, space.cache) if case in path.name]
    printed = capsys.readouterr().out
    assert f"case {case[:12]} was erased" in printed and "cannot be reached" in printed
    assert "effects/archive" in printed and "effects/payments" in printed
    with Journal(space.home / "journal.db") as journal:
        verification = journal.verify()
        assert verification.whole and verification.because.endswith("; the content of 1 case was erased")
        asked, done = journal.events(case)
        assert (asked.kind, done.kind, journal.position) == (ERASURE, ERASED, before + 2)
        assert asked.payload["because"] == REASON and asked.payload["by"]
        assert [one.case.key for one in journal.decisions()] == others
        assert journal.decided([case]) == {case}, "so it is not decided again"


def test_every_command_goes_on_and_says_erased(space, cases, capsys, tmp_path):
    case = cases[0].case.id

    def printed_by(command, *about) -> str:
        command(space, *about)
        return capsys.readouterr().out

    assert f"content erased by {erasing.person()}, operator: {REASON}" in printed_by(acting.show, case[:12], False)
    assert "1 case was erased" in printed_by(watching.export, tmp_path / "cases.csv")
    assert case not in (tmp_path / "cases.csv").read_text()
    assert "1 case was erased" in printed_by(watching.status)
    assert "1 case was erased, and is not in it" in printed_by(watching.monitor)
    for command, about in (
        (replaying.replay, (case[:12], None, False, False)),
        (what_if, (case[:12], None, False, Change(precision=0.99), None)),
    ):
        with pytest.raises(BadInput, match="was erased, so it cannot be"):
            command(space, *about)
    with pytest.raises(BadInput, match="was erased already"):
        erasing.erase(space, case[:12], "again", yes=True)
    with pytest.raises(BadInput, match="say why the case is erased"):
        erasing.erase(space, cases[1].case.id, " ", yes=True)
    with pytest.raises(BadInput, match="expected one"):
        erasing.erase(space, "", "all of them", yes=True)
    assert "1 case was erased" in printed_by(what_if, "", None, True, Change(precision=0.99), None)


def test_other_cases_run_again_the_same_or_the_erased_case_is_why_not(space, cases, capsys):
    replaying.replay(space, "", None, True, False)
    printed = capsys.readouterr().out
    assert "run again in" in printed
    assert all("was erased since" in line for line in re.findall(r"^  [0-9a-f]{12}  (.*)$", printed, re.MULTILINE)), printed


def test_a_kill_in_between_is_completed_by_the_next_run_and_the_file_is_not_taken_again(space, cases, monkeypatch, tmp_path):
    decided = cases[1]
    file, needles = Originals(space.originals).path(decided.case.sha256), needles_of(space, decided)
    shutil.copy(file, tmp_path / "again.pdf")
    with Journal(space.home / "journal.db") as journal, monkeypatch.context() as patch:
        patch.setattr(erasure.memory, "erase", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            erasure.erase(space, journal, erasure.plan(space, journal, decided.case.id), ADA, REASON)
    shutil.copy(tmp_path / "again.pdf", space.home / "inbox" / "again.pdf")
    acting.run(space, None)
    assert places(needles, space.home) == [], "the file in the inbox, too"
    with Journal(space.home / "journal.db") as journal:
        assert [event.kind for event in journal.events(decided.case.id)] == [ERASURE, ERASED]
    shutil.copy(tmp_path / "again.pdf", space.home / "inbox" / "again.pdf")
    summary = acting.run(space, None)
    assert (summary["decided"], summary["refused"]["again.pdf"]) == (0, "its case was erased")
    (space.home / "inbox" / "again.pdf").unlink()


def test_an_older_copy_of_the_keys_is_erased_again_by_the_next_run(space, cases):
    case = cases[1].case.id
    with sqlite3.connect(space.home / "keys.db") as connection:
        connection.execute("DELETE FROM keys WHERE name = ?", [case])
    vault = Vault.at(space.home)
    assert vault and not vault.erased(case)
    acting.run(space, None)
    assert vault.erased(case)


@pytest.fixture(scope="module")
def client(space):
    with Accounts(space.accounts, hasher=QUICK) as accounts:
        for name, role in PEOPLE.items():
            accounts.add(name, role, PASSWORD)
        tokens = {name: accounts.new_token(name, "tests") for name in PEOPLE}
        client = TestClient(
            application(space, accounts, Limits(per_second=1e9, burst=1e9)),
            follow_redirects=False,
            raise_server_exceptions=False,
        )
        client.as_ = {name: {"Authorization": f"Bearer {token}", "Accept": "text/html"} for name, token in tokens.items()}
        yield client


def test_an_operator_erases_on_the_page_of_the_case_with_reason_and_confirmation(space, cases, client):
    case = cases[2].case.id
    page, needles = f"/cases/{case}", needles_of(space, cases[2])
    assert "/erase" in client.get(page, headers=client.as_["ada"]).text
    assert "/erase" not in client.get(page, headers=client.as_["rita"]).text
    for method in (client.get, client.post):
        assert method(f"{page}/erase", headers=client.as_["rita"]).status_code == 403
    asked = client.get(f"{page}/erase", headers=client.as_["ada"]).text
    assert "effects/archive" in asked and "cannot be undone" in asked
    for form, missing in (({"sure": "yes"}, "say why it is erased"), ({"because": REASON}, "tick that you want it")):
        refused = client.post(f"{page}/erase", data=form, headers=client.as_["ada"])
        assert refused.status_code == 422 and missing in refused.text
    assert places(needles, space.home)
    with alone(space.home):
        busy = client.post(f"{page}/erase", data={"sure": "yes", "because": REASON}, headers=client.as_["ada"])
        assert busy.status_code == 409 and places(needles, space.home)
    assert client.post(f"{page}/erase", data={"sure": "yes", "because": REASON}, headers=client.as_["ada"]).status_code == 303
    assert places(needles, space.home) == []
    after = client.get(page, headers=client.as_["ron"])
    assert after.status_code == 200 and "was erased" in after.text and f"erased by ada, operator: {REASON}" in after.text
    assert client.get(f"{page}/erase", headers=client.as_["ada"]).status_code == 409
    assert client.post(f"{page}/again", headers=client.as_["ada"]).status_code == 409
    for path in ("decision", "explanation"):
        gone = client.get(f"/api/v1/cases/{case}/{path}", headers=client.as_["ron"])
        assert gone.status_code == 410 and "was erased" in gone.text
    assert client.get(f"/api/v1/cases/{case}", headers=client.as_["ron"]).json()["state"] == "erased"
    listed = client.get("/cases?state=erased", headers=client.as_["ron"])
    assert listed.status_code == 200 and case[:12] in listed.text
    for path in ("/", "/cases", f"/review/?case={case}", "/review/", "/reports", "/cases.csv"):
        assert client.get(path, headers=client.as_["ada"]).status_code < 500, path


def test_what_commands_write_is_for_its_user_alone_whatever_the_umask(space, cases, tmp_path):
    shutil.copy(Originals(space.originals).path(cases[3].case.sha256), tmp_path / "one.pdf")
    home = tmp_path / "home"
    (tmp_path / "inbox").mkdir()
    shutil.copy(tmp_path / "one.pdf", tmp_path / "inbox" / "one.pdf")
    shutil.copytree(space.releases, home / "releases")
    before = os.umask(0)
    try:
        for words in (("user", "token"), ("run", "--inbox", tmp_path / "inbox"), ("export", home / "cases.csv")):
            command = [*PROVEOUT, *map(str, words), "--home", str(home)]
            command = [*PROVEOUT, "stop", "--home", str(home), "why"] if words[0] == "user" else command
            run = subprocess.run(command, cwd=space.root, capture_output=True, text=True)
            assert run.returncode == 0, run.stderr
    finally:
        os.umask(before)
    made = [path for path in home.rglob("*") if path.relative_to(home).parts[0] != "releases"]
    assert len(made) > 8 and not [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert Vault.at(home) is not None
