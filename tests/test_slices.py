"""The search for slices that fare worse, on generated logs in which it is known whether there is one."""

from datetime import timedelta
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from proveout.monitoring import Findings, compare
from proveout.monitoring.alerts import Alerts, SliceAlerts
from proveout.monitoring.bias import MEASURES
from proveout.monitoring.findings import Condition, Slice
from proveout.monitoring.page import headline
from proveout.monitoring.slices import _ratio, _Scan, worst_slices
from test_monitoring import START, World, mission, most_false_alarms, page_of, pair, worlds

__all__ = ["mission"]  # the fixture
CASES = 2_500
CLASS = Condition("document_class", "is", "contract")


def planted(log: pd.DataFrame, seed: int, share: float = 0.6) -> pd.DataFrame:
    """The log with wrong contract numbers in a share of the contracts of three pages and more, 3 to 4 % of the cases."""
    worse, rng = log.copy(), np.random.default_rng(seed)
    hit = (log["document_class"] == "contract") & (log["pages"] >= 3)
    worse.loc[hit & log["contract_num.right"].notna() & (rng.random(len(log)) < share), "contract_num.right"] = False
    return worse


def compared(log: pd.DataFrame, mission, seed: int = 0, **settings) -> Findings:
    reference = World().log(10_000 + seed, 400, START - timedelta(60), 60)
    return compare(reference, log, mission, Alerts(slices=SliceAlerts(**settings)))


@worlds
def test_a_planted_slice_is_found_and_named_and_none_where_none_is(mission, seeds):
    missed, false = [], []
    for seed in seeds:
        log = World().log(seed, CASES)
        false += [seed] if compared(log, mission, seed).slices else []
        named = {one.measure: one.conditions for one in compared(planted(log, seed), mission, seed).slices}
        conditions = named.get("error rate", ())
        if not (CLASS in conditions and {"document_class", "pages"} == {one.column for one in conditions}):
            missed.append(seed)
    assert not missed
    assert len(false) <= most_false_alarms(0.05, len(seeds))


def test_a_slice_that_needs_more_people_is_found(mission):
    log = World().log(3, CASES)
    hit = (log["document_class"] == "contract") & (log["pages"] >= 3)
    log.loc[hit, "route"] = "review"
    (one,) = compared(log, mission, 3).slices
    assert one.measure == "review rate" and one.value == 1.0 and CLASS in one.conditions
    assert one.interval[0] < one.difference <= one.interval[1]


def test_the_numbers_are_a_plain_count(mission):
    log = planted(World().log(1, CASES), 1)
    findings = compared(log, mission, 1)
    one = next(row for row in findings.slices if row.measure == "error rate")
    (pages,) = (condition.value for condition in one.conditions if condition.column == "pages")
    member = (log["document_class"] == "contract") & (log["pages"] > pages)
    right = log[[f"{name}.right" for name in mission.fields]]
    right = right.where(log[list(mission.fields)].notna().to_numpy())
    known, wrong = right.notna().any(axis=1), (right == False).any(axis=1)  # noqa: E712
    assert (one.cases, one.other_cases) == ((known & member).sum(), (known & ~member).sum())
    assert one.value == pytest.approx(wrong[known & member].mean()) and one.other == pytest.approx(
        wrong[known & ~member].mean()
    )
    assert 1 <= len(one.examples) <= 10
    assert {example.case for example in one.examples} <= set(log["case"][member & wrong])


def test_the_search_counts_every_pair_of_conditions():
    rng = np.random.default_rng(0)
    holds, marked = rng.random((300, 7)) < 0.4, rng.random(300) < 0.2
    scan = _Scan(holds, marked, 20)
    for a, b in [*combinations(range(7), 2), (3, 3)]:
        member = holds[:, a] & holds[:, b]
        assert (scan.cases[a, b], scan.bad[a, b]) == (member.sum(), (member & marked).sum())
        assert scan.difference[a, b] == pytest.approx(marked[member].mean() - marked[~member].mean())


def test_the_ratio_is_that_of_binomial_likelihoods():
    from scipy.stats import binom

    bad, cases, all_bad, of_all = 9, 30, 25, 200
    logs = binom.logpmf(bad, cases, bad / cases) + binom.logpmf(
        all_bad - bad, of_all - cases, (all_bad - bad) / (of_all - cases)
    )
    same = binom.logpmf(bad, cases, all_bad / of_all) + binom.logpmf(all_bad - bad, of_all - cases, all_bad / of_all)
    assert _ratio(np.array([float(bad)]), np.array([float(cases)]), all_bad, of_all)[0] == pytest.approx(logs - same)


def test_what_was_as_bad_in_the_reference_is_no_news(mission):
    reference = planted(World().log(77, 3_000, START - timedelta(60), 60), 5)
    log = planted(World().log(2, CASES), 2)
    assert compared(log, mission, 2).slices and not compare(reference, log, mission).slices


def test_a_rare_outcome_in_a_large_log_alarms_no_more_often_than_promised():
    """Only noise: 150 errors among 60,000 cases, and many small categories. 40 logs, promised are 5 %."""
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        log = pd.DataFrame({f"column {n}": rng.integers(0, 110, 60_000).astype(str) for n in range(4)}).astype(object)
        wrong = np.zeros(60_000)
        wrong[rng.permutation(60_000)[:150]] = 1.0
        outcomes = pd.DataFrame(dict.fromkeys(MEASURES, np.nan), index=range(60_000)).assign(**{"error rate": wrong})
        alarms += bool(worst_slices(log, outcomes, log[:100], outcomes[:100], SliceAlerts(smallest_difference=0)))
    assert alarms <= most_false_alarms(0.05, 40)


@pytest.mark.parametrize("rate", [0.05, 0.002])
def test_a_strict_rate_still_finds_what_is_clear(mission, rate):
    assert compared(planted(World().log(1, CASES), 1), mission, 1, false_alarm_rate=rate).slices


def test_a_worse_segment_hides_no_other_column_with_the_same_name(mission):
    log = planted(World(worse_segment="east").log(5, CASES), 5)
    log["segment"] = log["segment"].replace("east", "contract")
    findings = compared(log, mission, 5)
    assert any(row.segment == "contract" for row in findings.worse_off)
    assert any(CLASS in row.conditions for row in findings.slices)


def test_declared_segments_and_ignored_columns_are_no_slices(mission):
    reference, log = pair(4, World(worse_segment="east"), CASES)
    findings = compare(reference, log, mission)
    assert {row.segment for row in findings.worse_off} == {"east"}
    assert not any(one.column == "segment" for row in findings.slices for one in row.conditions)
    assert not compared(planted(World().log(6, CASES), 6), mission, 6, ignore=("document_class",)).slices


def test_the_order_of_the_log_changes_nothing(mission):
    log = planted(World().log(1, CASES), 1, share=0.35)
    once, again = (compared(frame, mission, 1).slices for frame in (log, log.sample(frac=1, random_state=0)))
    assert [(row.name, row.p) for row in once] == [(row.name, row.p) for row in again]


def test_the_report_shows_the_slice_to_people_and_machines(mission, tmp_path):
    findings = compared(planted(World().log(1, CASES), 1), mission, 1)
    page = page_of(findings, tmp_path)
    one = findings.slices[0]
    assert one.sentence in page and one.examples[0].case[:12] in page
    assert any(one.name in sentence for sentence in findings.advice)
    assert findings.drifted or one.sentence in headline(findings)
    clean = page_of(compared(World().log(1, CASES), mission, 1), tmp_path)
    assert "No slice with at least 20 cases, by one condition or two, fares worse beyond chance." in clean


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.assign(document_class=None, pages=np.nan),
        lambda log: log.head(25),
        lambda log: log.assign(**{name: None for name in log.columns if name.endswith(".right")}),
        lambda log: log.assign(pages=1, words=1, familiar=1.0),
    ],
    ids=["no values", "few cases", "no labels", "one value"],
)
def test_an_odd_log_has_no_slice_and_is_no_fault(mission, change):
    assert not compared(change(World().log(8, 400)), mission, 8).slices


def test_without_conditions_there_is_no_slice():
    empty = pd.DataFrame({"route": ["act"] * 50})
    outcomes = pd.DataFrame(
        {name: [0.0, 1.0] * 25 for name in ("automation rate", "error rate", "error rate of automated values")}
    )
    assert worst_slices(empty, outcomes, empty, outcomes, SliceAlerts()) == ()


def test_a_slice_keeps_its_key_when_its_cut_moves():
    numbers = {"value": 0.5, "other": 0.1, "cases": 30, "other_cases": 900, "interval": (0.1, 0.6), "p": 0.01}
    first = Slice((Condition("total", "above", 90.0),), "error rate", **numbers)
    second = Slice((Condition("total", "above", 95.0),), "error rate", **numbers)
    assert first.key == second.key and first.name != second.name
