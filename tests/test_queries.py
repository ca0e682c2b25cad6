"""Queries as cases: decided by the promoted release, with the layer that answered, alike wherever they are decided."""

import json
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from program import proveout
from proveout.errors import UnreadableDocument
from proveout.journal import Journal
from proveout.live import Live
from proveout.live.inbox import listed
from proveout.mission import measured_percent
from proveout.records import Decided, Output, Person, Role, Route
from proveout.release import Releases
from proveout.search.case import QueryCase, case_of
from proveout.search.labelled import LabelledQueries
from proveout.serving.worker import Worker
from proveout.values import same, value_of
from proveout.values.rankings import graded, items_of, ranked
from proveout.workspace import Workspace

ASKED = ("headest", "wireless headset 40 mm drivers", "violin rosin", "laptop 16 GB")


def catalog(folder: Path, command: str, *words: object) -> str:
    return proveout(folder, command, *words, "--mission", "catalog")


@pytest.fixture(scope="module")
def shop(catalog_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to work in."""
    folder = shutil.copytree(catalog_once, tmp_path_factory.mktemp("shop") / "project")
    (folder / "work" / "catalog" / "data").write_text(f"{folder / 'shop'}\n")
    return folder


@pytest.fixture
def live(shop: Path, tmp_path: Path) -> Live:
    """The release of that project at work in a new home."""
    (tmp_path / "inbox").mkdir()
    return Live(Releases(shop / "work" / "catalog" / "releases").promoted(), tmp_path / "inbox", tmp_path / "home")


def decided(live: Live) -> dict[str, Decided]:
    """Every decided case by its name in the inbox."""
    with Journal(live.home / "journal.db") as journal:
        return {row.case.path: row for row in journal.decisions()}


def results(row: Decided) -> Output:
    return row.decision.fields["results"]


# Files of queries


def test_each_line_of_a_text_is_a_case_and_the_same_text_is_one(live: Live) -> None:
    (live.inbox / "q.txt").write_text("\ufeffheadset\n\n  kettle \nheadset\n", encoding="utf-8")
    assert live.run()["decided"] == 2
    assert {name: row.case.id for name, row in decided(live).items()} == {
        "q.txt:1: headset": case_of("headset"),
        "q.txt:3: kettle": case_of("kettle"),
    }
    assert live.run()["decided"] == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.csv", "query,id,day,segment\nheadset,a1,2026-11-01,web\n,,,\nheadset,a2,,app\n"),
        (
            "log.jsonl",
            '{"query": "headset", "id": "a1", "day": "2026-11-01", "segment": "web"}\n\n'
            '{"query": "headset", "id": "a2", "segment": "app"}\n',
        ),
    ],
)
def test_a_query_with_the_id_of_its_request_is_a_case_of_its_own(live: Live, name: str, content: str) -> None:
    (live.inbox / name).write_text(content)
    assert live.run()["decided"] == 2
    rows = sorted(decided(live).values(), key=lambda row: row.case.segment)
    assert [row.case.segment for row in rows] == ["app", "web"]
    assert rows[1].case.day == date(2026, 11, 1)
    assert results(rows[0]) == results(rows[1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.txt", b"\n \n", "no query in it"),
        ("q.txt", b"caf\xe9\n", "not UTF-8"),
        ("q.txt", b"x " * 1500 + b"xx", "line 1: a query of 3,002 characters; the limit is 2,000"),
        ("q.csv", b"text\nheadset\n", "no column 'query' among text; expected the column query and"),
        ("q.csv", b"query,id\nusb,hdmi,1\n", "line 2: more values than columns"),
        ("q.jsonl", b'{"query": ["usb"]}\n', "line 1: the query is list"),
        ("q.jsonl", b"[" * 100_000, "line 1: maximum recursion depth"),
        ("q.csv", b"query,day\nheadset,1 May\n", "line 2: Invalid isoformat string: '1 May'"),
        ("q.jsonl", b'{"query": "a"}\nheadset\n', "line 2: Expecting value"),
        ("q.jsonl", b'["headset"]\n', "line 1: list indices"),
    ],
)
def test_a_file_without_queries_costs_only_itself_and_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.txt").write_text("headset")
    inbox = listed(tmp_path, QueryCase())
    assert [arrival.case.id for arrival in inbox.arrivals] == [case_of("headset")]
    assert message in inbox.refused[name]


def test_what_looks_like_json_is_a_query_too(live: Live) -> None:
    (live.inbox / "q.txt").write_text('{usb}\n{"query": "kettle"}\n')
    assert live.run()["routes"]["refuse"] == 0
    contents = live.kind.read([live.originals.path(row.case.sha256) for row in decided(live).values()])
    assert {content.text for content in contents} == {"{usb}", '{"query": "kettle"}'}


def test_every_query_of_a_file_is_extracted(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "asked").mkdir()
    (tmp_path / "asked" / "q.txt").write_text("usb 3.0 cable\nwireless headset\n")
    catalog(shop, "extract", tmp_path / "asked", "-o", tmp_path / "out.json")
    extracted = json.loads((tmp_path / "out.json").read_text())
    assert set(extracted) == {"q.txt:1: usb 3.0 cable", "q.txt:2: wireless headset"}
    assert "headset" in extracted["q.txt:2: wireless headset"]["results"]["value"]


def test_a_file_with_one_query_is_that_case(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('{"query": "usb cable", "id": "7"}')
    (tmp_path / "two.txt").write_text("usb\ncable")
    one, two = QueryCase().read([tmp_path / "one.json", tmp_path / "two.txt"])
    assert one.text == "usb cable"
    assert isinstance(two, UnreadableDocument) and "one line of at most" in str(two)


# Decisions


@pytest.fixture
def asked(live: Live) -> dict[str, Decided]:
    (live.inbox / "q.txt").write_text("\n".join(ASKED))
    live.run()
    return {row.case.path.partition(": ")[2]: row for row in decided(live).values()}


def test_an_answer_names_its_layer_its_confidence_and_its_products(asked: dict[str, Decided]) -> None:
    decision = asked["headest"].decision
    assert decision.document_class == "answered" and results(asked["headest"]).tier == "ranked"
    assert decision.route is Route.ACT and decision.automated == {"results"}
    assert (
        0.85 < results(asked["headest"]).confidence <= 1 and decision.class_confidence == results(asked["headest"]).confidence
    )
    assert all("headset" in item or "headphones" in item for item in results(asked["headest"]).text.split(" | "))
    assert len(items_of(results(asked["headest"]).text)) == decision.descriptors["products"] == 10
    assert decision.descriptors["corrected_words"] == 1
    assert decision.because[0].startswith(
        f"10 products, by the layer ranked, {measured_percent(decision.class_confidence)} sure"
    )


def test_no_result_is_a_decision_too_and_a_person_judges_it_where_it_is_not_certified(asked: dict[str, Decided]) -> None:
    decision = asked["violin rosin"].decision
    assert (decision.document_class, decision.route) == ("no_result", Route.REVIEW)
    assert items_of(results(asked["violin rosin"]).text) == {} and decision.descriptors["products"] == 0
    assert "a person judges it, because it is not certified (not certifiable" in decision.because[1]


def test_a_certified_no_result_is_refused_and_a_certified_cheap_route_acts(shop: Path, live: Live) -> None:
    """With a promise that these data prove, each layer has a threshold."""
    release = live.release
    slo = release.mission.slo.model_copy(update={"precision": 0.6, "confidence": 0.6})
    agent = release.agent(release.memory())
    agent.calibrations = release.calibrations.promising(slo)
    search = agent.tiers["product_search"].search
    search.calibration = search.calibration.promising(slo)
    queries = LabelledQueries(shop / "work" / "catalog" / "build" / "curate" / "queries")
    routes = {}
    for decision in agent.batch(queries.paths):
        routes.setdefault((decision.fields["results"].tier, decision.route), []).append(decision)
    assert {("keywords", Route.ACT), ("ranked", Route.ACT), ("no_result", Route.REFUSE)} <= routes.keys()
    assert all(decision.document_class == "no_result" for decision in routes["no_result", Route.REFUSE])
    refused = routes["no_result", Route.REFUSE]
    assert sum(queries.entry(one.case).query_class == "unanswerable" for one in refused) > 0.6 * len(refused)
    assert not any(
        decision.fields["results"].confidence < slo.lowest_confidence
        for (_, route), part in routes.items()
        for decision in part
        if route is Route.ACT
    )


def test_the_log_has_the_class_and_the_descriptors_of_queries(live: Live, asked: dict[str, Decided]) -> None:
    log = parquet.read_table(live.home / "logs" / "decisions.parquet").to_pylist()
    assert {row["document_class"] for row in log} == {"answered", "no_result"}
    assert sorted(row["products"] for row in log) == [0, 10, 10, 10]
    assert {row["results.tier"] for row in log} == {"ranked", "no_result"}


def test_the_page_of_a_case_lists_the_products(live: Live, asked: dict[str, Decided]) -> None:
    row = asked["laptop 16 GB"]
    page = live.kind.show(row.decision, live.originals.path(row.case.sha256))
    assert "<h1>laptop 16 GB</h1>" in page and page.count("<li>") == 10
    row = asked["violin rosin"]
    assert "no result" in live.kind.show(row.decision, live.originals.path(row.case.sha256))


def test_a_query_is_shown_as_text_and_never_as_markup(live: Live) -> None:
    (live.inbox / "q.txt").write_text("<script>alert(1)</script> headset\n")
    live.run()
    (row,) = decided(live).values()
    assert "<script>" not in live.kind.show(row.decision, live.originals.path(row.case.sha256))


# The same in every way


def test_notebook_pipeline_release_and_server_answer_every_query_alike(shop: Path) -> None:
    queries = len(LabelledQueries(shop / "work" / "catalog" / "build" / "curate" / "queries").entries)
    agreed = catalog(shop, "parity")
    assert (
        f"{queries} cases, 2 fields: notebook, pipeline, release and server agree; largest difference in confidence 0" in agreed
    )


def test_the_agent_answers_as_the_search_does(shop: Path, live: Live) -> None:
    agent = live.release.agent(live.release.memory())
    search = agent.tiers["product_search"].search
    queries = LabelledQueries(shop / "work" / "catalog" / "build" / "curate" / "queries")
    for decision in agent.batch(queries.paths[::7]):
        answer = search.search(queries.entry(decision.case).case.path)
        assert list(items_of(decision.fields["results"].text)) == [hit.product.id for hit in answer.hits]
        assert decision.fields["results"].confidence == pytest.approx(answer.confidence, abs=1e-12)


def test_every_recorded_query_is_decided_again_bit_for_bit(shop: Path) -> None:
    inbox = shop / "work" / "catalog" / "inbox"
    inbox.mkdir(exist_ok=True)
    (inbox / "q.txt").write_text("\n".join(ASKED))
    assert "4 cases decided" in catalog(shop, "run")
    assert "every one the same, bit for bit" in catalog(shop, "replay", "--all")
    shown = catalog(shop, "show", case_of("headest"))
    assert "answered → ACT" in shown and "a ranking of 10:" in shown
    assert "4 cases" in catalog(shop, "what-if", "--all", "--precision", "0.95")


def test_a_release_pins_the_whole_search_and_names_what_it_weighs(shop: Path) -> None:
    release = Releases(shop / "work" / "catalog" / "releases").promoted()
    assert set(release.manifest["content"]["parts"]) == {"code", "mission", "policy", "model", "calibration"}
    pinned = {place for place in release.manifest["files"] if place.startswith("model/")}
    assert {"model/ranker.txt", "model/vectors.npy", "model/products.jsonl"} <= pinned
    assert "ranks candidates" in catalog(shop, "release", "show", "latest")


def test_the_reference_is_by_rankers_that_did_not_learn_from_the_query(shop: Path) -> None:
    build = shop / "work" / "catalog" / "build"
    queries = LabelledQueries(build / "curate" / "queries")
    folds = json.loads((build / "calibrate" / "folds" / "folds.json").read_text())
    assert sorted(id for fold in folds for group in fold for id in group) == sorted(queries.entries)
    reference = {
        row["case"]: row["results.confidence"] for row in parquet.read_table(build / "agent" / "reference.parquet").to_pylist()
    }
    released = {
        row["case"]: row["results.confidence"]
        for row in parquet.read_table(build / "evaluate" / "decisions.parquet").to_pylist()
    }
    assert np.mean([reference[case] != released[case] for case in reference]) > 0.5


# Rankings as values


def test_a_ranking_is_right_by_what_fits_in_it() -> None:
    answer = ranked([("a 1", "Red | shoe"), ("b", "Boot")])
    assert value_of("ranking", answer) == "a%201 | b"
    assert same("ranking", "b=2 | c=0", answer) and not same("ranking", "b=0 | c=3", answer)
    assert same("ranking", "b=0", "(nothing)") and not same("ranking", "b=1", "(nothing)")
    with pytest.raises(ValueError, match="grade of 0, 1, 2, 3"):
        value_of("ranking", "a=7")


@pytest.mark.long
def test_an_erased_query_is_gone_from_the_journal_the_originals_and_the_grades(shop: Path) -> None:
    space = Workspace.find("catalog", start=shop)
    (space.home / "inbox").mkdir(exist_ok=True)
    (space.home / "inbox" / "secret.txt").write_text("garden hose for Nora\nkettle for Tom\n")
    catalog(shop, "run")
    case = case_of("garden hose for Nora")
    product = json.loads((space.build / "curate" / "products.jsonl").read_text().splitlines()[0])["id"]
    approvals = Worker(space).approvals
    for one in (case, case_of("kettle for Tom")):
        approvals.approve(one, Person("ada", Role.OPERATOR), approvals.show(one).digest, {"results": graded({product: "1"})})
    catalog(shop, "status")  # exports the grades
    assert "Nora" in (space.answers / "judgements.csv").read_text()
    erased = catalog(shop, "erase", case, "--reason", "asked for", "--yes")
    assert "inbox/secret.txt holds it beside other cases; take it out of that file" in erased
    assert (
        "Nora" not in (space.answers / "judgements.csv").read_text() and "Tom" in (space.answers / "judgements.csv").read_text()
    )
    (space.home / "inbox" / "more.txt").write_text("kettle for Ann\n")
    assert "its case was erased" in catalog(shop, "run")
    with Journal(space.home / "journal.db") as journal:
        assert case not in {row.case.id for row in journal.decisions()} and journal.verify().whole
