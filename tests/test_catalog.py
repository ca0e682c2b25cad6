"""The mission `catalog`, built by the command: from a shop to a search that says how far it can be trusted."""

import csv
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from program import PROVEOUT, project, proveout
from proveout.cases import design_of
from proveout.corpus.design import DocumentDesign
from proveout.mission import load
from proveout.search import ProductSearch, Route
from proveout.search.design import QueryDesign
from proveout.search.synthetic import draw

STEPS = ["curate", "retrieval", "models", "calibrate", "agent", "evaluate"]


def catalog(folder: Path, command: str, *words: object) -> str:
    return proveout(folder, command, *words, "--mission", "catalog")


def refused(folder: Path, command: str, *words: object) -> str:
    """What a command that fails says."""
    run = subprocess.run(
        [*PROVEOUT, command, *map(str, words), "--mission", "catalog"], cwd=folder, capture_output=True, text=True
    )
    assert run.returncode == 1 and "Traceback" not in run.stderr, run.stderr
    return run.stderr


@pytest.fixture
def built(catalog_once: Path, tmp_path: Path) -> Path:
    """A copy of that project to work in."""
    folder = shutil.copytree(catalog_once, tmp_path / "project")
    (folder / "work" / "catalog" / "data").write_text(f"{folder / 'shop'}\n")
    return folder


def products_of(folder: Path) -> Path:
    return folder / "work" / "catalog" / "build"


def test_every_step_runs_once_and_leaves_a_record(built: Path) -> None:
    assert "7 of 7 steps ran" in (built / "build.txt").read_text()
    assert all((products_of(built) / step / "record.html").stat().st_size > 10_000 for step in STEPS)
    assert "0 of 7 steps ran" in catalog(built, "build")
    assert catalog(built, "why", "models") == "nothing changed\n"


def test_the_built_search_answers_and_says_when_nothing_fits(built: Path) -> None:
    search = ProductSearch.load(products_of(built) / "calibrate" / "search")
    answer = search.search("headest")
    assert answer.hits[0].product.category == "headset" and answer.confidence > 0.5
    assert search.search("violin rosin").route == Route.NOTHING


def test_the_metrics_follow_from_the_queries(built: Path) -> None:
    metrics = json.loads((products_of(built) / "evaluate" / "metrics.json").read_text())
    shop = draw(categories=12)
    assert metrics["queries"] == len(shop.judgements)
    assert metrics["answerable"] == sum(name != "unanswerable" for name in shop.classes.values())
    assert metrics["ndcg"] > metrics["ndcg_of_keywords"]
    assert metrics["zero_results"] < metrics["zero_results_of_every_word"]
    low, high = metrics["no_result_interval"]
    assert low <= metrics["no_result_precision"] <= high


def test_a_changed_judgement_rebuilds_what_depends_on_it_and_not_the_index(built: Path) -> None:
    table = built / "shop" / "judgements.csv"
    rows = list(csv.reader(table.open()))
    rows[1][2] = "1"
    with table.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    assert catalog(built, "why", "curate") == "`data` changed\n"
    lines = catalog(built, "build").splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ") and " ok  " not in line] == [
        "curate",
        "models",
        "calibrate",
        "agent",
        "evaluate",
        "release",
    ]
    assert any(line.split()[:2] == ["retrieval", "ok"] for line in lines)


def test_a_stricter_promise_rebuilds_only_the_routes(built: Path) -> None:
    mission = built / "pipelines" / "catalog" / "mission.yaml"
    mission.write_text(mission.read_text().replace("precision: 0.85", "precision: 0.95"))
    assert catalog(built, "why", "calibrate") == "mission.yaml changed\n"
    assert "4 of 7 steps ran" in catalog(built, "build")


def test_bad_data_is_refused_by_line_before_a_step_runs(built: Path) -> None:
    with (built / "shop" / "judgements.csv").open("a") as file:
        file.write("headset,unheard-of,3,simple\n")
    message = refused(built, "build")
    assert "judgements.csv, line " in message and "no product has the id 'unheard-of'; add the product" in message
    assert "no such folder; expected one with products.jsonl" in refused(built, "build", "--data", built / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("precision:", "precison:"), "unknown key `slo.precison`; did you mean `precision`?"),
        (("refuse: [no_result]", "refuse: [nothing]"), "refuse: unknown class `nothing`; expected one of: answered, no_result"),
        (("needs: [synonym]", "needs: [synonyms]"), "needs: unknown field `synonyms`; did you mean `synonym`?"),
    ],
)
def test_a_fault_of_the_mission_file_is_named(built: Path, change: tuple[str, str], message: str) -> None:
    mission = built / "pipelines" / "catalog" / "mission.yaml"
    mission.write_text(mission.read_text().replace(*change))
    assert message in refused(built, "build")


def test_without_data_a_shop_is_drawn_into_the_workspace(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    assert "1 of 1 steps ran" in catalog(folder, "build", "--only", "curate")
    drawn = folder / "work" / "catalog" / "synthetic"
    assert {path.name for path in drawn.iterdir()} == {"products.jsonl", "judgements.csv", "live"}
    assert (products_of(folder) / "curate" / "judgements.csv").read_text() == (drawn / "judgements.csv").read_text()


@pytest.mark.parametrize(
    ("case", "design"), [("query", QueryDesign), ("document", DocumentDesign), ("conversation", DocumentDesign)]
)
def test_a_kind_of_case_without_a_design_of_its_own_is_built_as_documents_are(tmp_path: Path, case: str, design: type) -> None:
    (tmp_path / "mission.yaml").write_text(f"case: {case}\n")
    assert type(design_of(tmp_path / "mission.yaml")) is design


def test_the_mission_that_ships_is_valid() -> None:
    mission = load(Path(__file__).parent.parent / "pipelines" / "catalog" / "mission.yaml")
    assert mission.case == "query" and mission.slo.precision == 0.85
