"""People grade the results of doubtful queries by keyboard; the grades are labels, and the next build learns from them."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from program import proveout
from proveout.identity import Accounts, Role
from proveout.journal import Journal
from proveout.live import Live
from proveout.records import Decided, Route
from proveout.release import Releases
from proveout.review import waiting
from proveout.search.case import case_of
from proveout.search.labelled import LabelledQueries
from proveout.search.learning import read_scored
from proveout.serving import application
from proveout.serving.guards import Limits
from proveout.values.rankings import graded, items_of
from proveout.workspace import Workspace

PASSWORD = "correct horse battery"
PEOPLE = {"rita": Role.REVIEWER, "rob": Role.REVIEWER, "ada": Role.OPERATOR}
UNHEARD = "violin rosin dark"


@pytest.fixture(scope="module")
def space(catalog_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace under a stricter promise, with every judged query, and another word, decided."""
    folder = shutil.copytree(catalog_once, tmp_path_factory.mktemp("graded") / "project")
    space = Workspace.find("catalog", start=folder)
    (space.home / "data").write_text(f"{folder / 'shop'}\n")
    mission = space.design / "mission.yaml"
    mission.write_text(mission.read_text().replace("precision: 0.85", "precision: 0.98"))
    proveout(folder, "build", "--mission", "catalog")
    proveout(folder, "release", "promote", "latest", "--mission", "catalog", "--yes")
    queries = LabelledQueries(space.build / "curate" / "queries")
    texts = [f"{entry.case.path} cheap" for entry in queries.entries.values()]
    (space.home / "inbox").mkdir()
    (space.home / "inbox" / "q.txt").write_text("\n".join([UNHEARD, *texts]))
    Live(Releases(space.releases).promoted(), space.home / "inbox", space.home).run()
    return space


@pytest.fixture(scope="module")
def doubtful(space: Workspace) -> list[Decided]:
    """Cases that wait for a person and have results."""
    with Journal(space.home / "journal.db") as journal:
        rows = [row for row in waiting(journal) if items_of(row.decision.fields["results"].text)]
    assert len(rows) >= 4 and all(row.decision.route is Route.REVIEW for row in rows)
    return rows


@pytest.fixture(scope="module")
def accounts(space: Workspace) -> Iterator[Accounts]:
    with Accounts(space.accounts, hasher=PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)) as opened:
        for name, role in PEOPLE.items():
            opened.add(name, role, PASSWORD)
        yield opened


@pytest.fixture(scope="module")
def app(space: Workspace, accounts: Accounts):
    return application(space, accounts, Limits(per_second=1e9, burst=1e9))


@pytest.fixture(scope="module")
def client(app) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def tokens(accounts: Accounts) -> dict[str, dict[str, str]]:
    return {name: {"Authorization": f"Bearer {accounts.new_token(name, 'tests')}"} for name in PEOPLE}


def to_answer(client: TestClient, case: str, sign: dict[str, str]) -> dict:
    return client.get(f"/api/v1/cases/{case}/review", headers=sign).json()


def approve(client: TestClient, case: str, sign: dict[str, str], document_class: str = "", **values: str) -> dict:
    body = {"digest": to_answer(client, case, sign)["digest"], "values": values, "document_class": document_class}
    answer = client.post(f"/api/v1/cases/{case}/approve", headers=sign, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def opened(chromium, address: str, case: str):
    page = chromium.new_context().new_page()
    page.goto(f"{address}/login?next=/review/%3Fcase={case}")
    page.locator("#account:focus").wait_for()
    for typed, key in (("rita", "Tab"), (PASSWORD, "Enter")):
        page.keyboard.type(typed)
        page.keyboard.press(key)
    page.locator(".field.active").wait_for()
    return page


def test_a_result_list_is_graded_by_keyboard(space: Workspace, doubtful: list[Decided], app, chromium, serve) -> None:
    row, failed = doubtful[0], []
    products = list(items_of(row.decision.fields["results"].text))
    page = opened(chromium, serve(app), row.case.id)
    page.on("pageerror", lambda error: failed.append(str(error)))
    fields = page.locator("#fields .field")
    assert fields.count() == len(products) + 1, "each product, and the synonym"
    expect(fields.first.locator("label")).to_have_text("results 1")
    for grade in ("3", "0", "2"):
        page.keyboard.press(grade)
        page.keyboard.press("Enter")
    expect(page.locator(".field.active label")).to_have_text("results 4")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("1")  # another grade than before
    expect(page.locator(".field.active .sure")).to_have_text("grade 1")
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.locator("#outcome")).to_contain_text("corrected")
    assert not failed
    with Journal(space.home / "journal.db") as journal:
        answer = journal.answers()[row.case.key]
    assert answer.fields["results"] == graded(dict(zip(products, "301", strict=False)))
    assert answer.right["results"] and answer.by == "rita"
    page.context.close()


def test_where_there_is_no_result_the_best_that_was_withheld_is_graded(client, tokens) -> None:
    case = case_of(UNHEARD)
    results = to_answer(client, case, tokens["rita"])["fields"][0]
    assert results["text"] == "(nothing)" and len(results["items"]) == 10
    assert all(item["title"] and item["grade"] == "" for item in results["items"])


def test_a_person_reports_a_missing_product_and_withdraws_it(space: Workspace, client, tokens) -> None:
    case = case_of(UNHEARD)
    items = to_answer(client, case, tokens["rita"])["fields"][0]["items"]
    receipt = approve(client, case, tokens["rita"], results=graded({item["id"]: "0" for item in items}))
    assert [(effect["name"], effect["state"]) for effect in receipt["effects"]] == [("report_missing_product", "done")]
    (request,) = (space.effects / "requests").glob("*.json")
    asked = json.loads(request.read_text())
    assert (asked["asks"], asked["text"], asked["case"]) == ("report_missing_product", UNHEARD, case)
    undone = client.post(f"/api/v1/cases/{case}/undo", headers=tokens["rita"], json={"digest": receipt["digest"]}).json()
    assert undone["effects"][0]["taken_back"] == "done" and not request.exists()


def test_a_synonym_is_proposed_by_a_reviewer_and_approved_by_an_operator(
    space: Workspace, doubtful: list[Decided], client, tokens
) -> None:
    case = doubtful[1].case.id
    receipt = approve(client, case, tokens["rita"], synonym="headset")
    assert receipt["effects"] == [] and receipt["verdicts"][0]["escalate_to"] == "operator"
    receipt = approve(client, case, tokens["ada"])
    assert [(effect["name"], effect["state"]) for effect in receipt["effects"]] == [("propose_synonym", "done")]
    (request,) = (space.effects / "requests").glob("*.json")
    assert json.loads(request.read_text())["for"] == {"synonym": "headset"}


def test_without_a_synonym_none_is_proposed(doubtful: list[Decided], client, tokens) -> None:
    assert approve(client, doubtful[2].case.id, tokens["rita"])["verdicts"] == []


@pytest.mark.parametrize("text", ["p1=7", "p1=3 | =2", "=1"])
def test_a_grade_that_is_none_is_refused(doubtful: list[Decided], client, tokens, text: str) -> None:
    case = doubtful[3].case.id
    body = {"digest": to_answer(client, case, tokens["rita"])["digest"], "values": {"results": text}}
    answer = client.post(f"/api/v1/cases/{case}/approve", headers=tokens["rita"], json=body)
    assert answer.status_code == 422 and "a grade of 0, 1, 2, 3" in answer.json()["detail"]


def test_a_second_reader_gets_the_products_without_grades_and_in_another_order(
    space: Workspace, doubtful: list[Decided], client, tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    from proveout.serving.case_index import CaseSummary

    monkeypatch.setattr(CaseSummary, "may_be_read_again", lambda self, person, share: self.answered_by not in ("", person))
    blind = to_answer(client, doubtful[0].case.id, tokens["rob"])
    items = blind["fields"][0]["items"]
    assert blind["blind"] and blind["fields"][0]["text"] == ""
    assert [item["id"] for item in items] == sorted(items_of(doubtful[0].decision.fields["results"].text))
    assert {item["grade"] for item in items} == {""}


@pytest.mark.long
def test_the_next_build_learns_from_the_grades_and_certifies_nothing_on_them(
    space: Workspace, doubtful: list[Decided], client, tokens
) -> None:
    row = doubtful[0]
    query = row.case.path.partition(": ")[2]
    with Journal(space.home / "journal.db") as journal:
        answered = row.case.key in journal.answers()  # by the test above, unless this one runs alone
    if not answered:
        products = items_of(row.decision.fields["results"].text)
        approve(client, row.case.id, tokens["rita"], results=graded(dict(zip(products, "301", strict=False))))
    before = (space.build / "models" / "ranker.txt").read_text()
    printed = proveout(space.root, "build", "--mission", "catalog")
    assert re.search(r"answers +[12] join the training set", printed)
    with (space.build / "curate" / "judgements.csv").open() as file:
        learned = {line["docid"]: line["rating"] for line in csv.DictReader(file) if line["query"] == query}
    assert {id: float(rating) for id, rating in learned.items()} == dict(
        zip(items_of(row.decision.fields["results"].text), (3.0, 0.0, 1.0), strict=False)
    )
    assert (space.build / "models" / "ranker.txt").read_text() != before
    scored = {one.example.query for one in read_scored(space.build / "models" / "scored.json")}
    assert query not in scored and len(scored) == len(LabelledQueries(space.build / "curate" / "queries").entries)
    assert "0 of 7 steps ran" in proveout(space.root, "build", "--mission", "catalog")
