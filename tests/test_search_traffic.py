"""What a log says of a search: shares by week, latency by layer, products that nobody is given."""

import math
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from proveout.errors import BadInput
from proveout.search.traffic import Traffic, read_clicks

CATALOGUE = ("a", "b", "c", "d")


def log(*rows: tuple[str, date | None, str, str, float]) -> pd.DataFrame:
    """Case, day, layer, products of the answer, seconds."""
    columns = ("case", "day", "results.tier", "results.value", "seconds")
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(products=[0 if text == "(nothing)" else text.count("|") + 1 for text in frame["results.value"]])


LOG = log(
    ("1", date(2026, 11, 2), "keywords", "a | b", 0.01),
    ("2", date(2026, 11, 8), "ranked", "a", 0.03),
    ("3", date(2026, 11, 9), "no_result", "(nothing)", 0.02),
    ("4", date(2026, 11, 10), "ranked", "b", 0.05),
)


def test_shares_are_by_week_and_a_click_counts_for_answers_alone() -> None:
    traffic = Traffic.of(LOG, {"1", "3", "nobody's"}, CATALOGUE)
    assert [(week.monday, week.requests, week.no_result, week.no_click) for week in traffic.weeks] == [
        ("2026-11-02", 2, 0.0, 0.5),
        ("2026-11-09", 2, 0.5, 1.0),
    ]


def test_without_recorded_clicks_there_is_no_share_of_them() -> None:
    traffic = Traffic.of(LOG, None, CATALOGUE)
    assert all(math.isnan(week.no_click) for week in traffic.weeks) and "click" not in traffic.headline
    assert traffic.as_plain()["weeks"][0]["no_click"] is None


def test_each_layer_has_its_own_tail() -> None:
    traffic = Traffic.of(LOG, None, CATALOGUE)
    assert [(layer.name, layer.requests) for layer in traffic.layers] == [("ranked", 2), ("keywords", 1), ("no_result", 1)]
    assert traffic.layers[0].median == pytest.approx(0.04) and 0.04 < traffic.layers[0].tail <= 0.05


def test_products_that_no_answer_had_are_named_and_new_ones_apart() -> None:
    traffic = Traffic.of(LOG, None, CATALOGUE, before=("a", "b", "c"))
    assert (traffic.never_given, traffic.new_never_given) == (("c", "d"), ("d",))
    assert traffic.headline.endswith("2 of 4 products were in no answer, 1 of them new.")
    assert Traffic.of(LOG, None, CATALOGUE).new_never_given == ()


def test_a_log_without_days_is_one_line_and_an_empty_one_none() -> None:
    assert [week.monday for week in Traffic.of(LOG.assign(day=None), None, CATALOGUE).weeks] == [""]
    assert Traffic.of(LOG[:0], None, CATALOGUE).headline == "No query was decided yet."


def test_clicks_are_read_by_case(tmp_path: Path) -> None:
    assert read_clicks(tmp_path) is None
    (tmp_path / "clicks.csv").write_text("case,product\n1,a\n2,\n")
    assert read_clicks(tmp_path) == {"1"}
    (tmp_path / "clicks.csv").write_text("query\n")
    with pytest.raises(BadInput, match="no column case, product"):
        read_clicks(tmp_path)
