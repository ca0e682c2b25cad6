"""The project's scorer gives the numbers of the shared one; the other measures are held to hand-made cases."""

import csv
import importlib.util
import math
import random
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.benchmarks import vrdu

from proveout import evaluation
from proveout.evaluation import Measurement
from proveout.mission import SLO
from proveout.records import Kind, Route

KINDS: dict[str, Kind] = {
    "contract_num": "number",
    "advertiser": "name",
    "gross_amount": "amount",
    "flight_from": "date",
    "flight_to": "date",
}
SHARED = Path(__file__).parent.parent.parent / "shared" / "bench" / "score_fields.py"
ODD = [
    "",
    " ",
    "-",
    "($76.50)",
    "$1,880.00",
    "1.880,00",
    "1 880",
    "12,5",
    "free",
    "5.",
    ".5",
    "02/235/20",
    "1/27/20 - 2/04/20",
    "2020-02-04",
    "2020-13-04",
    "27/01/2020",
    "31.02.2020",
    "Mar 3, '20",
    "3-March-2020",
    "Marz 3 20",
    "3 xyz 20",
    "2 4 20",
    "Tom Steyer 2020, Inc. (133)",
    "TOM STEYER 2020",
    "Tom Steyer for President",
    "(A)",
    "Committee",
    "Inc",
    "Sdn Bhd Foo",
    "Bob Hamìlton for KS lnc",
    "Bob Hamilton for KS Inc",
    "1931604-1",
    "19316041",
    "#",
    "٣/٤/٢٠٢٠",
]


@pytest.fixture(scope="module")
def shared_scorer() -> ModuleType:
    if not SHARED.exists():
        pytest.skip(f"the shared scorer is not at {SHARED}")
    spec = importlib.util.spec_from_file_location("score_fields", SHARED)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def adbuy(shared_data: Path) -> dict[str, dict[str, str]]:
    with (shared_data / "adbuy" / "labels.csv").open(newline="") as rows:
        return {row["file_id"]: {name: row[name] for name in KINDS} for row in csv.DictReader(rows)}


def as_shared(ours: evaluation.Score) -> dict[str, object]:
    """Our result in the shape that the shared scorer returns."""
    counts = {**ours.fields, "micro": ours.micro}
    return {
        "documents": ours.documents,
        "whole_document_right": ours.whole_document_right,
        "fields": {
            name: {
                "right": c.right,
                "answered": c.answered,
                "labelled": c.labelled,
                "precision": c.precision,
                "recall": c.recall,
                "f1": c.f1,
            }
            for name, c in counts.items()
        },
    }


def assert_equal_results(one: object, other: object) -> None:
    if isinstance(one, dict):
        assert isinstance(other, dict) and one.keys() == other.keys()
        for key in one:
            assert_equal_results(one[key], other[key])
    else:
        assert one == other or (math.isnan(one) and math.isnan(other)) or math.isclose(one, other)  # type: ignore[arg-type]


def test_every_pair_of_odd_values_compares_as_in_the_shared_scorer(shared_scorer: ModuleType) -> None:
    for field, kind in KINDS.items():
        for a in ODD:
            for b in ODD:
                assert vrdu.same(kind, a, b) == shared_scorer.same(field, a, b), (field, a, b)


def test_receipts_with_the_day_first_compare_as_in_the_shared_scorer(shared_scorer: ModuleType) -> None:
    for a in ODD:
        for b in ODD:
            assert vrdu.same("date", a, b, day_first=True) == shared_scorer.same("date", a, b), (a, b)


PRINTED = st.one_of(
    st.sampled_from(ODD),
    st.text(alphabet="0123456789.,/- $()'", max_size=16),
    st.text(alphabet="abcJanFebMar incllc.()-0123", max_size=16),
    st.dates().map(lambda day: day.strftime("%m/%d/%y")),
    st.dates().map(lambda day: day.strftime("%d %B %Y")),
    st.text(max_size=12),
)


@settings(max_examples=400, deadline=None)
@given(a=PRINTED, b=PRINTED, near=st.integers(0, 12))
def test_generated_values_compare_as_in_the_shared_scorer(shared_scorer: ModuleType, a: str, b: str, near: int) -> None:
    for other in (b, a[:near] + a[near + 1 :]):
        for field, kind in KINDS.items():
            assert vrdu.same(kind, a, other) == shared_scorer.same(field, a, other)
        assert vrdu.cents_of(other) == shared_scorer.as_cents(other)


def damaged(labels: dict[str, dict[str, str]], seed: int) -> dict[str, dict[str, str | None]]:
    """Predictions made of labels: right, of another document, cut, absent."""
    draw = random.Random(seed)
    pool = list(labels.values())
    predictions: dict[str, dict[str, str | None]] = {}
    for document, gold in labels.items():
        if draw.random() < 0.05:
            continue
        predictions[document] = {
            name: draw.choice([text, text, text.upper(), text[:-1], draw.choice(pool)[name], None, ""])
            for name, text in gold.items()
        }
    return predictions


@pytest.mark.parametrize("seed", range(5))
def test_the_real_labels_score_as_in_the_shared_scorer(
    shared_scorer: ModuleType, adbuy: dict[str, dict[str, str]], seed: int
) -> None:
    predictions = damaged(adbuy, seed)
    ours = evaluation.score(adbuy, predictions, KINDS, vrdu.same)
    assert_equal_results(as_shared(ours), shared_scorer.score(adbuy, predictions))


def test_automated_answers_are_parted_from_the_others_as_in_the_shared_scorer(shared_scorer: ModuleType) -> None:
    predictions = {
        "a": {"advertiser": "x", "gross_amount": {"value": "5", "confidence": 0.9, "automated": True}},
        "b": {"advertiser": {"value": "y", "automated": False}, "gross_amount": None},
    }
    for automated_only in (False, True):
        assert evaluation.answers(predictions, automated_only) == shared_scorer.values(predictions, automated_only)


def test_nothing_labelled_has_no_score() -> None:
    empty = evaluation.score({}, {}, KINDS)
    assert math.isnan(empty.micro.f1) and math.isnan(empty.whole_document_right) and empty.fields == {}


def test_wrong_answers_in_front_cost_the_coverage_that_a_better_order_has() -> None:
    scores, good, bad = [0.9, 0.8, 0.7, 0.6], [True, True, True, False], [False, True, True, True]
    assert evaluation.risk_coverage(scores, good).coverage_at(0.98) == 0.75
    assert evaluation.risk_coverage(scores, bad).coverage_at(0.98) == 0.0
    assert evaluation.risk_coverage(scores, good).area < evaluation.risk_coverage(scores, bad).area


def test_measures_without_cases_are_undefined() -> None:
    assert math.isnan(evaluation.automation_rate([]))
    assert math.isnan(evaluation.macro_f1([], []))
    assert math.isnan(evaluation.risk_coverage([], []).area)
    assert math.isnan(evaluation.calibration_error([], []))
    assert evaluation.automation_rate([Route.ACT, Route.REFUSE]) == 0.5


def test_macro_f1_and_calibration_error_agree_with_scikit_learn_and_by_hand() -> None:
    from sklearn.metrics import f1_score

    draw = random.Random(0)
    gold = [draw.choice(["invoice", "order", "contract"]) for _ in range(200)]
    told = [g if draw.random() < 0.7 else draw.choice(["invoice", "order", "contract"]) for g in gold]
    assert math.isclose(evaluation.macro_f1(gold, told), f1_score(gold, told, average="macro"))
    assert math.isclose(evaluation.calibration_error([0.95, 0.85], [True, False]), 0.45)


# Service-level objectives

TARGETS = SLO(precision=0.9, confidence=0.95, automation_rate=0.6, latency_p99_seconds=2, cost_per_case=0.01)
FIRST = date(2026, 6, 1)


def measured(cases: list[Measurement]) -> dict[str, dict[str, evaluation.Objective]]:
    recent, always = evaluation.service(cases, TARGETS, ["total"])
    return {name: {one.name: one for one in part.objectives} for name, part in (("recent", recent), ("all", always))}


def test_what_happened_before_the_window_costs_none_of_its_budget() -> None:
    days = [FIRST + timedelta(n) for n in range(60)]
    bad = Measurement(False, 9.0, 0.05, {"total": False})
    good = Measurement(True, 0.1, 0.0, {"total": True})
    cases = [replace(bad if n < 30 else good, received=day) for n, day in enumerate(days)]
    found = measured(cases)
    assert all(one.spent == 0 and not one.missed for name, one in found["recent"].items() if name != "latency p50")
    assert all(one.missed and one.spent > 1 for name, one in found["all"].items() if name != "latency p50")
    assert {one.cases for one in found["recent"].values()} == {30} and {one.cases for one in found["all"].values()} == {60}


def test_a_third_of_the_window_gone_has_spent_a_third_at_burn_rate_one() -> None:
    cases = [Measurement(True, 0.1, 0.01, {"total": n != 4}, FIRST + timedelta(n)) for n in range(10)]
    recent = measured(cases)["recent"]
    assert recent["precision of total"].burn == pytest.approx(1) and recent["precision of total"].spent == pytest.approx(1 / 3)
    assert recent["cost per case"].burn == pytest.approx(1) and recent["cost per case"].left == pytest.approx(2 / 3)


def test_cases_count_by_their_day_unless_few_have_one() -> None:
    decided = FIRST + timedelta(200)
    dated = [Measurement(True, 0.1, received=FIRST + timedelta(n), decided=decided) for n in range(60)]
    undated = [Measurement(False, 0.1, decided=decided) for _ in range(59)]
    recent, always = evaluation.service([*dated, *undated], TARGETS, [])
    assert (recent.cases, recent.span[1], always.cases) == (30, FIRST + timedelta(59), 119)
    recent, always = evaluation.service([*dated[:1], *undated], TARGETS, [])
    assert (recent.cases, recent.span, always.cases) == (60, (decided, decided), 60)


case = st.builds(
    Measurement,
    acted=st.booleans(),
    seconds=st.sampled_from([0.1, 2.0, 2.5, math.nan]),
    dollars=st.sampled_from([0.0, 0.02, math.nan]),
    right=st.one_of(st.just({}), st.fixed_dictionaries({"total": st.booleans()})),
)


@settings(max_examples=200, deadline=None)
@given(cases=st.lists(case, max_size=120))
def test_an_objective_is_missed_when_more_than_its_whole_budget_is_spent(cases: list[Measurement]) -> None:
    for one in measured(cases)["all"].values():
        if math.isnan(one.target) or not one.cases:
            assert not one.missed and math.isnan(one.spent)
        elif abs(one.spent - 1) > 1e-9:
            assert one.missed == (one.spent > 1)


def test_the_chance_of_a_miss_is_scipys() -> None:
    from scipy.stats import binom

    for right, of, rate in ((95, 100, 0.98), (0, 7, 0.65), (6_400, 10_000, 0.65), (9_000, 10_000, 0.98), (30, 30, 0.5)):
        assert evaluation.binomial_cdf(right, of, rate) == pytest.approx(binom.cdf(right, of, rate), rel=1e-9, abs=1e-300)


def test_objectives_without_cases_are_undefined() -> None:
    for part in measured([]).values():
        for one in part.values():
            numbers = (one.measured, one.spent, one.left, one.burn, one.chance, *one.interval)
            assert all(math.isnan(number) for number in numbers) and not one.missed
            assert one.verdict() in ("no labelled automated value yet", "nothing measured yet")
