"""Queries that programs send to the server, and a vector store that goes away and comes back."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from program import PATIENCE, free_port
from proveout.agent import Parts, assemble
from proveout.errors import StaleIndex
from proveout.identity import Accounts, Role
from proveout.journal import Journal
from proveout.live import Live
from proveout.records import Decision, Route
from proveout.release import Release, Releases
from proveout.retrieval import NoMemory
from proveout.retrieval.chroma import client_of
from proveout.search.labelled import LabelledQueries
from proveout.search.product_index import ProductIndex
from proveout.search.product_search import ProductSearch
from proveout.search.vector_store import PAUSE, VARIABLE, StoreDown, VectorStore
from proveout.serving import application
from proveout.serving.guards import Limits
from proveout.values.rankings import items_of
from proveout.workspace import Workspace

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
UNBOUNDED = Limits(per_second=1e9, burst=1e9)
DECISIONS = "/api/v1/decisions"


@pytest.fixture(scope="module")
def space(catalog_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.find("catalog", start=shutil.copytree(catalog_once, tmp_path_factory.mktemp("served") / "project"))


@pytest.fixture(scope="module")
def release(space: Workspace) -> Release:
    return Releases(space.releases).promoted()


@pytest.fixture(scope="module")
def queries(space: Workspace) -> LabelledQueries:
    return LabelledQueries(space.build / "curate" / "queries")


@pytest.fixture(scope="module")
def accounts(space: Workspace) -> Iterator[Accounts]:
    with Accounts(space.accounts, hasher=QUICK) as accounts:
        accounts.add("ada", Role.OPERATOR, "correct horse battery")
        yield accounts


@pytest.fixture(scope="module")
def token(accounts: Accounts) -> str:
    return accounts.new_token("ada", "tests")


def program(space: Workspace, accounts: Accounts, token: str) -> TestClient:
    """An operator's program, at a server of its own on the workspace."""
    app = application(space, accounts, UNBOUNDED)
    return TestClient(app, headers={"Authorization": f"Bearer {token}"}, raise_server_exceptions=False)


@pytest.fixture
def client(space: Workspace, accounts: Accounts, token: str) -> Iterator[TestClient]:
    with program(space, accounts, token) as client:
        yield client


def test_a_query_is_answered_at_once_and_journaled(space: Workspace, client: TestClient) -> None:
    answer = client.post(DECISIONS, json={"text": "headest", "segment": "web"}).json()
    assert answer["route"] == "act" and answer["document_class"] == "answered"
    results = answer["fields"]["results"]
    assert results["tier"] == "ranked" and results["confidence"] > 0.85 and len(results["items"]) == 10
    assert "headset" in results["items"][0]["title"]
    with Journal(space.home / "journal.db") as journal:
        (row,) = journal.decisions(case=answer["case"])
    assert (row.case.path, row.case.segment, row.decision.route) == ("headest", "web", Route.ACT)
    assert "headest" in client.get("/cases").text
    page = client.get(f"/cases/{answer['case']}").text
    assert "/shown" in page and "results" in page
    assert "<h1>headest</h1>" in client.get(f"/cases/{answer['case']}/shown").text


def test_each_call_is_a_case_and_a_request_with_an_id_is_decided_once(client: TestClient) -> None:
    cases = [client.post(DECISIONS, json={"text": "kettle"}).json()["case"] for _ in range(2)]
    assert cases[0] != cases[1]
    named = [client.post(DECISIONS, json={"text": "kettle", "request": "r1"}).json() for _ in range(2)]
    assert named[0] == named[1]


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"text": "  "}, {"text": "a" * 2001}, {"text": "a", "segment": "\x00"}, {"text": 7}, [1]]
)
def test_what_is_no_query_is_refused(client: TestClient, body: object) -> None:
    answer = client.post(DECISIONS, json=body)
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"


def test_a_query_is_no_document_to_submit(client: TestClient) -> None:
    assert client.post("/api/v1/cases", files={"file": ("q.txt", b"headset")}).status_code == 405
    assert DECISIONS in client.get("/openapi.json").json()["paths"]


def test_the_server_answers_as_the_release_does(release: Release, queries: LabelledQueries, client: TestClient) -> None:
    paths = queries.paths[::9]
    for path, decision in zip(paths, release.agent(release.memory()).batch(paths), strict=True):
        answer = client.post(DECISIONS, json={"text": path.read_text()}).json()
        results = answer["fields"]["results"]
        assert [item["id"] for item in results["items"]] == list(items_of(decision.fields["results"].text))
        assert (answer["route"], results["tier"]) == (decision.route.value, decision.fields["results"].tier)
        assert results["confidence"] == pytest.approx(decision.fields["results"].confidence, abs=1e-12)


def test_queries_at_the_same_time_are_each_journaled_once(space: Workspace, client: TestClient) -> None:
    with Journal(space.home / "journal.db") as journal:
        before = sum(1 for _ in journal.decisions())
    answers: list[int] = []

    def ask(number: int) -> None:
        answers.extend(client.post(DECISIONS, json={"text": f"headset {number % 7}"}).status_code for _ in range(10))

    threads = [threading.Thread(target=ask, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Journal(space.home / "journal.db") as journal:
        assert Counter(answers) == {200: 80} and sum(1 for _ in journal.decisions()) == before + 80
        assert journal.verify().whole


def test_a_server_prepares_the_answers_that_were_asked_for_most(release: Release, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    table = [f"{text},{number}" for number, text in enumerate(["kettle"] * 3 + ["headset"] * 2 + ["violin rosin"])]
    (tmp_path / "inbox" / "log.csv").write_text("\n".join(["query,id", *table]))
    Live(release, tmp_path / "inbox", tmp_path / "home").run()
    started = Live(release, tmp_path / "inbox", tmp_path / "home")
    with Journal(tmp_path / "home" / "journal.db") as journal:
        assert started.warm(journal) == 3
    tier = started.agent().tiers["product_search"]
    tier.search = None  # whatever is not prepared fails from here on
    assert tier.answer("kettle").hits and not tier.answer("violin rosin").hits
    with pytest.raises(AttributeError):
        tier.answer("stroller")


def test_a_release_with_another_index_answers_by_it_at_once_and_so_does_the_one_before(
    space: Workspace, release: Release, client: TestClient, tmp_path: Path
) -> None:
    def asked() -> list[str]:
        answer = client.post(DECISIONS, json={"text": "wireless headset"}).json()
        return [item["id"] for item in answer["fields"]["results"]["items"]]

    before = asked()
    search = ProductSearch.load(release.path("model"))
    fewer = ProductIndex.build([product for product in search.index.products if product.id != before[0]])
    ProductSearch(fewer, search.ranker, search.calibration).save(tmp_path / "model")
    same = {part: release.path(part) for part in ("calibration", "mission", "policy")}
    releases = Releases(space.releases)
    releases.promote(releases.freeze({"model": tmp_path / "model", **same}), by="tests")
    try:
        assert before[0] not in asked() and asked()[0] in before
    finally:
        releases.rollback(by="tests")
    assert asked() == before


# The vector store


@contextmanager
def chroma(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`chroma run` in a process of its own, from when it answers until the block ends."""
    command = [str(Path(sys.executable).with_name("chroma")), "run", "--path", str(folder), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                client_of(f"http://127.0.0.1:{port}").heartbeat()
                break
            except StaleIndex:
                assert time.monotonic() < until and server.poll() is None, "chroma does not start"
                time.sleep(0.1)
        yield server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def layers(decisions: list[Decision]) -> Counter[str]:
    return Counter(decision.fields["results"].tier for decision in decisions)


def decide(release: Release, queries: LabelledQueries) -> list[Decision]:
    return release.agent(release.memory()).batch(queries.paths)


def test_a_chroma_folder_and_a_chroma_server_and_no_store_answer_alike(
    release: Release, queries: LabelledQueries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = decide(release, queries)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "folder"))
    in_folder = decide(release, queries)
    port = free_port()
    with chroma(tmp_path / "server", port):
        monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{port}")
        on_server = decide(release, queries)
    assert without == in_folder == on_server
    assert layers(without)["ranked"] > len(without) / 2


def test_a_build_asks_no_store_whatever_the_environment_names(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{free_port()}")
    parts = Parts(release.path("mission"), None, release.path("model"), release.path("calibration"))
    assert assemble(parts, NoMemory()).tiers["product_search"].search.index.store is None
    assert release.agent(NoMemory()).tiers["product_search"].search.index.store is not None


def test_an_index_searches_only_its_own_vectors(release: Release, tmp_path: Path) -> None:
    index = ProductSearch.load(release.path("model")).index
    place, query = str(tmp_path / "store"), index.encode("wireless headset")
    first = VectorStore(place, index.vectors, index.encoder_id).nearest(query, 10)
    fewer = VectorStore(place, index.vectors[:50], index.encoder_id).nearest(query, 10)
    assert max(fewer) < 50 and VectorStore(place, index.vectors, index.encoder_id).nearest(query, 10) == first
    assert first == index.nearest(query, 10)


@pytest.mark.parametrize(
    "ids", [["x"] * 50, ["-1", *map(str, range(49))], ["99999", *map(str, range(49))], ["3"] * 50, [], None]
)
def test_a_store_that_answers_with_other_ids_counts_as_down(release: Release, ids: list[str] | None) -> None:
    class Other:
        def query(self, **_: object) -> dict[str, object]:
            return {"ids": [ids]}

    index = ProductSearch.load(release.path("model")).index
    store = VectorStore("", index.vectors, index.encoder_id)
    store._collection = Other()
    with pytest.raises(StoreDown):
        store.nearest(index.encode("wireless headset"), 10)


def test_without_its_vector_store_the_search_answers_by_keywords_and_says_so(
    release: Release, queries: LabelledQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {decision.case: decision for decision in decide(release, queries)}
    monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{free_port()}")
    degraded = decide(release, queries)
    assert set(layers(degraded)) <= {"keywords", "keywords_only"} and layers(degraded)["keywords_only"]
    floor = release.calibrations.floor("keywords_only", "results")
    confidence = []
    for decision in (one for one in degraded if one.fields["results"].tier == "keywords_only"):
        results = decision.fields["results"]
        assert decision.descriptors["store_down"] == 1
        assert results.speaks_against == ("the vector store does not answer",)
        assert "the vector store does not answer" in decision.because[1] or decision.route is Route.ACT
        assert (decision.route is Route.ACT) == (floor is not None and results.confidence >= floor)
        if whole[decision.case].fields["results"].tier == "ranked":
            confidence.append((results.confidence, whole[decision.case].fields["results"].confidence))
    assert sum(down for down, _ in confidence) < sum(up for _, up in confidence), "less sure than with vectors"


def test_a_store_that_is_killed_under_load_degrades_answers_loses_none_and_comes_back(
    space: Workspace, accounts: Accounts, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, statuses, tiers, over = free_port(), [], [], threading.Event()
    monkeypatch.setenv(VARIABLE, f"http://127.0.0.1:{port}")
    with Journal(space.home / "journal.db") as journal:
        before = journal.position
    with chroma(tmp_path / "server", port) as server, program(space, accounts, token) as client:

        def ask(name: str) -> None:
            number = 0
            while not over.is_set():
                number += 1  # a text that nobody asked before, so that no kept answer helps
                answer = client.post(DECISIONS, json={"text": f"headphones wireless {name}{number}"})
                statuses.append(answer.status_code)
                tiers.append(answer.json()["fields"]["results"]["tier"])

        def wait_for(layer: str, since: int) -> int:
            until = time.monotonic() + PATIENCE
            while layer not in tiers[since:]:
                assert time.monotonic() < until, Counter(tiers)
                time.sleep(0.05)
            return len(tiers)

        threads = [threading.Thread(target=ask, args=[name]) for name in "abcd"]
        for thread in threads:
            thread.start()
        seen = wait_for("ranked", 0)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        seen = wait_for("keywords_only", seen)
        with chroma(tmp_path / "server", port):
            time.sleep(PAUSE)
            wait_for("ranked", seen)
            over.set()
            for thread in threads:
                thread.join()
    assert set(statuses) == {200}
    with Journal(space.home / "journal.db") as journal:
        recorded = [row.decision for row in journal.decisions(after=before)]
        assert journal.verify().whole
    assert layers(recorded) == Counter(tiers), "every answer is in the journal, by the layer that gave it"


@pytest.mark.long
def test_a_store_that_lost_its_data_is_filled_again(release: Release, tmp_path: Path) -> None:
    index = ProductSearch.load(release.path("model")).index
    port, query = free_port(), index.encode("wireless headset")
    store = VectorStore(f"http://127.0.0.1:{port}", index.vectors, index.encoder_id)
    with chroma(tmp_path / "first", port):
        expected = store.nearest(query, 10)
    with pytest.raises(StoreDown):
        store.nearest(query, 10)
    with chroma(tmp_path / "second", port):
        time.sleep(PAUSE)
        assert store.nearest(query, 10) == expected


@pytest.mark.long
def test_a_store_that_freezes_costs_a_query_seconds_and_not_its_answer(release: Release, tmp_path: Path) -> None:
    index = ProductSearch.load(release.path("model")).index
    port, query = free_port(), index.encode("wireless headset")
    store = VectorStore(f"http://127.0.0.1:{port}", index.vectors, index.encoder_id)
    with chroma(tmp_path / "server", port) as server:
        expected = store.nearest(query, 10)
        os.killpg(server.pid, signal.SIGSTOP)
        time.sleep(0.5)  # until all of its threads stand still
        began = time.monotonic()
        with pytest.raises(StoreDown):
            store.nearest(query, 10)
        assert time.monotonic() - began < 10
        os.killpg(server.pid, signal.SIGCONT)
        time.sleep(PAUSE)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                assert store.nearest(query, 10) == expected
                break
            except StoreDown:
                assert time.monotonic() < until
                time.sleep(PAUSE)
