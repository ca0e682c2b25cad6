"""A difference between logs is reported by case and field; a notebook's products for the comparison go to a separate folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy import Project

from proveout.bridge import load
from proveout.documents.case import DocumentCase
from proveout.errors import BadInput, BadSpec, TaskFailed
from proveout.journal.log import log_schema
from proveout.live.parity import Difference, as_notebook, compare, parity

FIELDS = ("advertiser", "total")


def log(path: Path, change: Callable[[list[dict[str, Any]]], object] = lambda rows: None) -> Path:
    """Three decided cases, with one change."""
    rows: list[dict[str, Any]] = [
        {
            "case": f"case-{at}",
            "release": path.stem,  # does not count as a difference
            "document_class": "invoice",
            "class_confidence": 0.9,
            "route": "review",
            "memory_position": 7,
            **{name: f"{name} {at}" for name in FIELDS},
            **{f"{name}.confidence": 0.5 + at / 10 for name in FIELDS},
            **{f"{name}.automated": False for name in FIELDS},
        }
        for at in range(3)
    ]
    change(rows)
    schema = log_schema(FIELDS, DocumentCase.descriptors)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def test_logs_that_agree_are_one_line(tmp_path):
    comparison = compare({"notebook": log(tmp_path / "a.parquet"), "release": log(tmp_path / "b.parquet")})
    assert comparison.agrees
    assert str(comparison) == "3 cases, 2 fields: notebook and release agree; largest difference in confidence 0"


@pytest.mark.parametrize(
    ("change", "what", "values"),
    [
        (lambda rows: rows[1].update({"total.confidence": 0.7}), "total.confidence", [0.6, 0.7]),
        (lambda rows: rows[1].update(advertiser="Ada for Mayor"), "advertiser", ["advertiser 1", "Ada for Mayor"]),
        (lambda rows: rows[1].update(advertiser=None), "advertiser", ["advertiser 1", None]),
        (lambda rows: rows[1].update({"total.automated": True}), "total.automated", [False, True]),
        (lambda rows: rows[1].update({"total.right": False}), "total.right", [None, False]),
        (lambda rows: rows[1].update(route="act"), "route", ["review", "act"]),
        (lambda rows: rows[1].update(document_class="order"), "document_class", ["invoice", "order"]),
        (lambda rows: rows.pop(1), "case", ["there", None]),
    ],
    ids=["confidence", "text", "empty", "automated", "meaning", "route", "class", "missing case"],
)
def test_a_planted_difference_is_reported_with_its_case_and_field(tmp_path, change, what, values):
    comparison = compare({"notebook": log(tmp_path / "a.parquet"), "release": log(tmp_path / "b.parquet", change)})
    assert comparison.differences == (Difference("case-1", what, dict(zip(["notebook", "release"], values, strict=True))),)
    assert "differ in 1 values of 1 cases" in str(comparison)
    assert f"case-1  {what}" in str(comparison)


def test_a_confidence_within_the_tolerance_agrees_and_is_still_reported(tmp_path):
    def nudge(rows):
        rows[0]["total.confidence"] += 1e-6

    logs = {"notebook": log(tmp_path / "a.parquet"), "release": log(tmp_path / "b.parquet", nudge)}
    assert not compare(logs).agrees
    near = compare(logs, tolerance=1e-5)
    assert near.agrees
    assert near.largest == pytest.approx(1e-6)


def test_many_differences_are_counted_and_not_all_printed(tmp_path):
    def shift(rows):
        rows *= 30
        rows[:] = [{**row, "case": f"case-{at}", "route": "act"} for at, row in enumerate(rows)]

    def many(rows):
        shift(rows)
        for row in rows:
            row["route"] = "review"

    comparison = compare({"notebook": log(tmp_path / "a.parquet", shift), "release": log(tmp_path / "b.parquet", many)})
    assert len(comparison.differences) == 90
    assert str(comparison).endswith("and 50 more")


def test_a_notebook_runs_in_marimos_kernel_and_its_product_goes_to_another_folder(project: Project, tmp_path: Path) -> None:
    project.edit("notebooks/total.py", "str(sum(", "str(__import__('marimo').app_meta().mode) + str(sum(")
    project.build()
    before = {name: project.text(name) for name in ("rows.txt", "total/total.txt")}
    products = as_notebook(load(project.spec), {}, "total", tmp_path / "aside")
    assert products["total"].is_relative_to(tmp_path / "aside")
    assert (products["total"] / "total.txt").read_text() == before["total/total.txt"].replace("script", "edit")
    assert before["total/total.txt"].startswith("script"), "a build does not run in edit mode, so the two runs differ"
    assert {name: project.text(name) for name in before} == before


def test_a_notebook_that_fails_in_the_kernel_says_how(project: Project, tmp_path: Path) -> None:
    project.build()
    project.edit("notebooks/total.py", "str(sum(", "str(zum(")
    with pytest.raises(TaskFailed, match="fails in marimo's kernel"):
        as_notebook(load(project.spec), {}, "total", tmp_path / "aside")


def test_a_product_that_cannot_go_to_another_folder_is_never_overwritten(project: Project, tmp_path: Path) -> None:
    project.edit("pipelines/toy/pipeline.build.yaml", '{total: "{{out}}/total"}', '{total: "../../fixed/total"}')
    project.build()
    with pytest.raises(BadSpec, match=r"is not under \{\{out\}\}, so a second run would replace it"):
        as_notebook(load(project.spec), {}, "total", tmp_path / "aside")


def test_a_stale_step_is_not_compared(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"`total` of toy is stale: .*; build it first: proveout build"):
        parity(project.spec, {}, tmp_path / "releases", task="total", product="total")
