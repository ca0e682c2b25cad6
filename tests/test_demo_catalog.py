"""The demo of the product search: what was planted in the drawn log is reported, and a second run repeats nothing."""

import json
import shutil
from pathlib import Path

import pytest

from program import ROOT, project, proveout
from proveout.search.synthetic import draw
from proveout.search.synthetic_log import DAYS, FIRST, draw_log
from test_notebooks import EMPTY, WRONG, page_of, rest

pytestmark = pytest.mark.long


def test_the_demo_finds_the_planted_drift_and_bias_and_a_second_one_repeats_nothing(tmp_path: Path, chromium) -> None:
    folder = project(tmp_path / "project")
    printed = proveout(folder, "demo", "--mission", "catalog")
    assert "1008 cases decided" in printed and "Segment voice is treated worse" in printed
    assert "results is read by ranked" in printed and "until 18 October 2026" in printed  # then more is asked that nothing fits
    home = folder / "work" / "demo-catalog"
    search = json.loads((home / "reports" / "search" / "search.json").read_text())
    assert search["headline"] in printed and len(search["weeks"]) == DAYS // 7
    assert search["weeks"][0]["no_result"] < search["weeks"][-1]["no_result"]
    again = proveout(folder, "demo", "--mission", "catalog")
    assert "nothing new in" in again and "0 new labels" in again
    shutil.copy(ROOT / "pyproject.toml", folder)  # opens notebooks whole
    with page_of(chromium, ["edit", "search", "--mission", "catalog", "--no-token"], home, height=1200, folder=folder) as page:
        rest(page)
        assert page.evaluate(WRONG) == [] and page.evaluate(EMPTY) == 0


def test_the_log_is_of_other_queries_than_the_judged_ones_and_always_the_same() -> None:
    log, shop = draw_log(categories=6), draw(categories=6)
    assert log == draw_log(categories=6) and not log.judgements.keys() & shop.judgements.keys()
    assert {request.query for request in log.requests} == set(log.judgements)
    assert len({request.id for request in log.requests}) == len(log.requests) and log.requests[0].day == FIRST
    assert all(set(judged) <= {product.id for product in shop.products} for judged in log.judgements.values())
