"""Monitoring on generated logs, where it is known what drifted, when, and which segment is treated worse."""

import json
import re
import shutil
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.benchmarks import known_truth

from proveout import mission as missions
from proveout import monitoring
from proveout.bridge import build
from proveout.documents.case import DocumentCase
from proveout.errors import BadInput
from proveout.journal.log import log_schema
from proveout.mission import Mission
from proveout.monitoring import Alerts, Findings, compare, write
from proveout.monitoring.alerts import BiasAlerts, DriftAlerts, WindowAlerts
from proveout.monitoring.bias import MEASURES, ODDS, between_groups, disparities, group_rates, overall_rates
from proveout.monitoring.drift import run_tests
from proveout.monitoring.findings import Disparity
from proveout.monitoring.page import bias_plot, headline
from proveout.monitoring.significance import fisher_p, ks_distance, ks_p
from proveout.monitoring.wording import percent
from proveout.values import value_of, written

ROOT = Path(__file__).parent.parent
FIELDS = ("contract_num", "advertiser", "gross_amount", "flight_from", "flight_to")
START = date(2024, 3, 4)  # a Monday


@dataclass(frozen=True)
class World:
    """Generates logs. Without arguments nothing ever changes and all segments are treated alike."""

    drift_from: date | None = None  # from this day on: larger amounts, new advertisers, longer documents
    worse_segment: str = ""  # automated less, and with more wrong values

    def log(self, seed: int, cases: int, start: date = START, days: int = 84) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        day = np.sort(rng.integers(0, days, cases))
        new = np.array([self.drift_from is not None and start + timedelta(int(d)) >= self.drift_from for d in day])
        segment = rng.choice(["north", "south", "east"], cases, p=[0.5, 0.3, 0.2])
        worse = segment == self.worse_segment
        amount = np.exp(rng.normal(8, 1, cases)) * np.where(new, 2.5, 1)
        advertiser = np.where(new & (rng.random(cases) < 0.6), "Newcomer", "Advertiser")
        advertiser = [
            f"{name} {int(i)} for {s}" for name, i, s in zip(advertiser, rng.zipf(1.6, cases) % 60, segment, strict=True)
        ]
        length = rng.integers(3, 40, cases)
        first = [start + timedelta(int(d + lead)) for d, lead in zip(day, rng.integers(0, 15, cases), strict=True)]
        frame = pd.DataFrame(
            {
                "case": [f"{seed:04x}{i:060x}" for i in range(cases)],
                "release": "r1",
                "day": [(start + timedelta(int(d))).isoformat() for d in day],
                "segment": segment,
                "document_class": rng.choice(["invoice", "order", "contract", "other"], cases, p=[0.5, 0.3, 0.15, 0.05]),
                "class_confidence": rng.beta(9, 1, cases),
                "pages": rng.geometric(0.5, cases) + np.where(new, rng.integers(0, 3, cases), 0),
                "words": rng.poisson(300, cases),
                "ocr_share": np.where(rng.random(cases) < 0.05, 1.0, 0.0),
                "anomalies": 0,
                "familiar": rng.beta(6, 4, cases),
                "seconds": rng.gamma(2, 0.05, cases),
                "spent": 0.0,
                "memory_position": np.arange(cases),
                "decided_at": "2024-06-01T00:00:00",
                "contract_num": [f"{n}" for n in rng.integers(100_000, 9_999_999, cases)],
                "advertiser": advertiser,
                "gross_amount": [f"${a:,.2f}" for a in amount],
                "flight_from": [f"{d:%m/%d/%y}" for d in first],
                "flight_to": [f"{d + timedelta(int(n)):%m/%d/%y}" for d, n in zip(first, length, strict=True)],
            }
        )
        for name in FIELDS:
            confidence = np.round(rng.beta(40, 1, cases), 3)  # calibrated: right with exactly this probability
            frame[f"{name}.confidence"] = confidence
            frame[f"{name}.automated"] = confidence > np.where(worse, 0.97, 0.93)
            right = rng.random(cases) < confidence - np.where(worse, 0.10, 0)
            labelled = rng.random(cases) < 0.7
            frame[f"{name}.right"] = [bool(r) if label else None for r, label in zip(right, labelled, strict=True)]
            absent = rng.random(cases) < 0.03
            frame[name] = frame[name].where(~absent, None)
            frame.loc[absent, f"{name}.automated"] = False
        automated = frame[[f"{name}.automated" for name in FIELDS]].all(axis=1)
        frame["route"] = np.where(automated, "act", "review")
        return frame


def pair(seed: int, world: World, cases: int = 500, reference: int = 150) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A reference from before any change, and a log."""
    quiet = World()
    return quiet.log(10_000 + seed, reference, START - timedelta(60), 60), world.log(seed, cases)


@pytest.fixture(scope="module")
def mission() -> Mission:
    return missions.load(ROOT / "pipelines/invoices/mission.yaml")


@pytest.fixture(scope="module")
def few(mission) -> Mission:
    """Two of the five fields, so that many seeds take little time."""
    return mission.model_copy(update={"fields": {name: mission.fields[name] for name in ("advertiser", "gross_amount")}})


# The stated rates, where the truth is known


worlds = pytest.mark.parametrize("seeds", [range(7), pytest.param(range(20), marks=pytest.mark.slow)], ids=len)
logs = pytest.mark.parametrize("seeds", [range(70), pytest.param(range(200), marks=pytest.mark.slow)], ids=len)
CHANGE = date(2024, 4, 22)


def most_false_alarms(rate: float, looks: int) -> int:
    """A correct test exceeds this number with probability below 0.001."""
    from scipy.stats import binom

    return int(binom.ppf(0.999, looks, rate))


def frames_without_drift(seed: int, cases: int) -> pd.DataFrame:
    """Numbers and categories of many kinds, some of them nearly copies of each other."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(cases, 4))
    return pd.DataFrame(
        {
            **{f"number {i}": plain[:, i] for i in range(4)},
            "nearly number 0": plain[:, 0] + 0.1 * rng.normal(size=cases),
            "tied": rng.poisson(2, cases).astype(float),
            "half empty": np.where(rng.random(cases) < 0.5, np.nan, plain[:, 1]),
            "heavy": rng.standard_cauchy(cases),
            "two": rng.choice(["a", "b"], cases, p=[0.9, 0.1]),
            "five": rng.choice(list("abcde"), cases, p=[0.5, 0.3, 0.1, 0.07, 0.03]),
            "many": rng.zipf(1.5, cases).astype(str),
        }
    )


@logs
def test_without_drift_at_most_the_stated_share_of_reports_alarms(seeds):
    settings = DriftAlerts(false_alarm_rate=0.05, over_windows=6, smallest_change=0.0)
    windows = [slice(40 * i, 40 * (i + 1)) for i in range(6)]
    alarms = 0
    for seed in seeds:
        tests = run_tests(frames_without_drift(10_000 + seed, 120), frames_without_drift(seed, 240), windows, settings)
        alarms += any(test.p <= 0.05 for test in tests)
    assert alarms <= most_false_alarms(0.05, len(seeds))


@worlds
def test_drift_is_found_near_its_day(few, seeds):
    reports = [compare(*pair(seed, World(drift_from=CHANGE)), few) for seed in seeds]
    detected = [report for report in reports if report.drifted]
    near = [report for report in detected if abs((report.drifted[0].since - CHANGE).days) <= 7]
    in_time = [report for report in detected if min(drift.alarmed for drift in report.drifted) <= CHANGE + timedelta(14)]
    assert min(len(detected), len(near), len(in_time)) >= 0.95 * len(seeds)
    assert {drift.what for report in reports for drift in report.drifted} <= {"gross_amount", "pages", "advertiser.known"}


def weekly(seed: int, world: World) -> tuple[pd.DataFrame, pd.DataFrame]:
    """On weekends documents are longer and amounts larger; nine of ten weekend cases are missing from the reference."""
    frames = pair(seed, world, cases=800, reference=1200)
    for frame in frames:
        weekend = pd.to_datetime(frame["day"]).dt.weekday >= 5
        amount = frame["gross_amount"].str[1:].str.replace(",", "").astype(float) * np.where(weekend, 4, 1)
        frame["gross_amount"] = amount.map(lambda each: f"${each:,.2f}", na_action="ignore")
        frame["pages"] += 3 * weekend
    days, kept = pd.to_datetime(frames[0]["day"]).dt.weekday, np.random.default_rng(seed).random(len(frames[0])) < 0.1
    return frames[0][(days < 5) | kept], frames[1]


@worlds
def test_the_mix_of_weekdays_is_no_drift_and_a_change_beside_it_is_found(few, seeds):
    alerts, quiet = Alerts(window=WindowAlerts(like="weekday")), [weekly(seed, World()) for seed in seeds]
    assert all(compare(*each, few).drifted for each in quiet), "beside all of the reference, the mix is taken for drift"
    assert sum(bool(compare(*each, few, alerts).drifted) for each in quiet) <= most_false_alarms(0.05, len(seeds))
    changed = [compare(*weekly(seed, World(drift_from=CHANGE)), few, alerts).drifted for seed in seeds]
    near = [drifted for drifted in changed if drifted and abs((drifted[0].since - CHANGE).days) <= 7]
    assert len(near) >= 0.95 * len(seeds)


def test_a_month_that_the_reference_lacks_is_not_tested(few):
    alerts, (reference, log) = Alerts(window=WindowAlerts(like="month")), pair(3, World(drift_from=CHANGE))
    findings = compare(reference, log[log["day"] >= "2024-04-01"], few, alerts)
    assert not findings.tests and not findings.drifted, "the reference is of January to March, the log of April and May"
    later = reference.assign(day=pd.to_datetime(reference["day"]).dt.date + timedelta(80))
    assert compare(later, log, few, alerts).drifted


def test_while_a_release_warms_up_its_decisions_are_not_tested_and_what_comes_in_is(few):
    reference, log = pair(5, World())
    late = log.index >= 250
    log["release"] = np.where(late, "r2", "r1")
    log["pages"] += 4 * late
    log.loc[late, "advertiser.confidence"] -= 0.3
    both, inputs = (
        {drift.what for drift in compare(reference, log, few, Alerts(window=WindowAlerts(warm_up=cases))).drifted}
        for cases in (100, 250)
    )
    assert {"pages", "advertiser.confidence"} <= both and inputs >= {"pages"} and "advertiser.confidence" not in inputs


@worlds
def test_a_worse_treated_segment_is_found_and_no_other(mission, seeds):
    alarms = [compare(*pair(seed, World(worse_segment="east")), mission).worse_off for seed in seeds]
    both = sum({"automation rate", "error rate"} <= {worse.measure for worse in worse_off} for worse_off in alarms)
    assert both >= 0.95 * len(seeds)
    others = sum(any(worse.segment != "east" for worse in worse_off) for worse_off in alarms)
    assert others <= most_false_alarms(0.05, len(seeds))


@worlds
def test_a_quiet_world_alarms_at_most_at_the_stated_rate(few, seeds):
    reports = [compare(*pair(seed, World()), few) for seed in seeds]
    assert sum(bool(report.drifted) for report in reports) <= most_false_alarms(0.05, len(seeds))
    assert sum(bool(report.worse_off) for report in reports) <= most_false_alarms(0.05, len(seeds))


def test_equalised_odds_are_a_plain_count_and_raise_no_alarm(mission):
    reference, log = pair(2, World(worse_segment="east"))
    findings = compare(reference, log, mission)
    measured, east = findings.outcomes["log"], (log["segment"] == "east").to_numpy()
    assert len(findings.odds) == 6 and not any(row.worse or row.p == row.p for row in findings.odds)
    judged = [row for row in findings.odds if row.value == row.value]
    assert {row.measure for row in judged} == {*ODDS}
    for row in judged:
        of = measured[measured["error rate"] == (row.measure == ODDS[1])]
        member = (of["segment"] == row.segment).to_numpy()
        assert (row.cases, row.other_cases) == (member.sum(), (~member).sum())
        assert row.value == pytest.approx(of["automation rate"][member].mean()), row
        assert row.interval[0] <= row.difference <= row.interval[1]
    worst = min(judged, key=lambda row: row.difference)
    assert east.any() and worst.segment == "east" and worst.interval[1] < 0
    assert ODDS[1] in bias_plot(findings.odds)


@logs
def test_the_bias_rate_is_held_when_groups_are_small_and_errors_rare(seeds):
    settings, alarms = BiasAlerts(smallest_difference=0.0), 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        log = pd.DataFrame({"segment": rng.choice(list("abcd"), 200, p=[0.6, 0.15, 0.15, 0.1]), "day": None})
        measured = pd.DataFrame(
            {
                "automation rate": (rng.random(200) < 0.7).astype(float),
                "error rate": (rng.random(200) < 0.05).astype(float),
                "error rate of automated values": np.where(rng.random(200) < 0.5, np.nan, rng.random(200) < 0.03),
                "calibration gap": 0.98 - rng.binomial(5, 0.98, 200) / 5,  # skewed: nearly always 0, seldom far below
            }
        )
        alarms += any(row.p <= settings.false_alarm_rate for row in disparities(log, measured, log, measured, settings))
    assert alarms <= most_false_alarms(0.05, len(seeds))


def one_segment(rows: list[tuple[int, int, int, int, int]]) -> list[Disparity]:
    """How segment a fares, in a log of these days: automated cases of a, its cases, the same of b, the day."""
    frames = []
    for automated, cases, others_automated, others, day in rows:
        for segment, yes, count in (("a", automated, cases), ("b", others_automated, others)):
            acted = np.arange(count) < yes
            frames.append(
                pd.DataFrame({"segment": segment, "day": START + timedelta(day), "automation rate": acted.astype(float)})
            )
    log = pd.concat(frames, ignore_index=True)
    measured = log[["automation rate"]].assign(**dict.fromkeys(MEASURES[1:], np.nan))
    return [row for row in disparities(log, measured, log, measured, BiasAlerts()) if row.measure == "automation rate"]


def test_the_correction_for_several_looks_knows_that_they_overlap() -> None:
    (row,) = one_segment([(40, 60, 40, 60, 0), (27, 60, 43, 60, 9)])
    uncorrected = fisher_p(27, 60, 43, 60)
    assert uncorrected < row.p < 2 * uncorrected  # Bonferroni's correction of two looks
    assert row.worse


def test_a_rate_that_falls_for_all_while_the_segment_grows_is_no_bias() -> None:
    (row,) = one_segment([(18, 20, 162, 180, 0), (96, 160, 24, 40, 9)])
    whole = fisher_p(18 + 96, 180, 162 + 24, 220)
    assert whole < 0.001  # of all cases together, the segment has the lower rate
    assert row.p > 0.5


def test_recent_bias_is_not_diluted_by_earlier_cases(mission):
    reference, log = pair(6, World())
    lately = pair(6, World(worse_segment="east"))[1]
    since = pd.to_datetime(log["day"]) >= pd.Timestamp(CHANGE)
    alarms = compare(reference, pd.concat([log[~since], lately[since.to_numpy()]]), mission).worse_off
    assert {alarm.segment for alarm in alarms} == {"east"}
    assert all(alarm.lately and abs((alarm.lately - CHANGE).days) < 45 for alarm in alarms)


def test_later_days_never_remove_a_finding(mission):
    reference, log = pair(1, World(drift_from=CHANGE))
    early = log[pd.to_datetime(log["day"]) < pd.Timestamp(CHANGE + timedelta(14))]
    now, later = compare(reference, early, mission), compare(reference, log, mission)
    assert now.drifted
    assert set(now.tests) <= set(later.tests)


def test_drift_that_ends_has_an_end(mission):
    reference, before = pair(5, World())
    _, during = pair(5, World(drift_from=START))
    day = pd.to_datetime(before["day"])
    ends = pd.Timestamp(CHANGE + timedelta(14))
    between = (day >= pd.Timestamp(CHANGE)) & (day < ends)
    findings = compare(reference, pd.concat([before[~between], during[between.to_numpy()]]), mission)
    amount = next(drift for drift in findings.drifted if drift.what == "gross_amount")
    assert amount.until is not None and abs((amount.until - ends.date()).days) <= 4


def test_the_same_log_in_any_order_is_the_same_report(mission):
    reference, log = pair(2, World(drift_from=CHANGE, worse_segment="east"))
    shuffled = compare(reference.sample(frac=1, random_state=1), log.sample(frac=1, random_state=2), mission)
    straight = compare(reference, log, mission)
    changes = [[(drift.what, drift.since, drift.condition) for drift in report.drifted] for report in (shuffled, straight)]
    assert changes[0] == changes[1]
    assert [row.because for row in shuffled.disparities] == [row.because for row in straight.disparities]


# The numbers, compared with other libraries


@pytest.mark.parametrize(("n", "m", "shift"), [(10, 13, 1.5), (52, 30, 0.6), (150, 41, 0.4), (200, 200, 0.25), (3, 90, 4.0)])
def test_ks_is_scipys(n, m, shift):
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(n)
    a, b = np.sort(rng.normal(size=n)), np.sort(rng.normal(size=m) + shift)
    distance, _ = ks_distance(a, b)
    peer = ks_2samp(a, b, method="exact")
    assert distance == pytest.approx(peer.statistic, abs=1e-12)
    assert ks_p(distance, n, m) == pytest.approx(peer.pvalue, rel=1e-9)


@pytest.mark.parametrize("draw", ["normal", "steps", "half zero"])
@pytest.mark.parametrize(("n", "m"), [(300, 5_000), (5_000, 300), (20_000, 20_000)])
def test_the_largest_gap_of_long_samples_is_scipys(n, m, draw):
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(n)
    a, b = rng.normal(size=n), rng.normal(size=m)
    if draw == "steps":
        a, b = np.round(3 * a), np.round(3 * b)
    elif draw == "half zero":
        a, b = np.where(rng.random(n) < 0.5, 0, a), np.where(rng.random(m) < 0.5, 0, b)
    for shift in (0.0, 0.02, -0.3, 9.0):
        peer = ks_2samp(a, b + shift, method="asymp")
        distance, at = ks_distance(np.sort(a), np.sort(b + shift))
        assert distance == pytest.approx(peer.statistic, abs=1e-12)
        assert abs(np.mean(a <= at) - np.mean(b + shift <= at)) == pytest.approx(distance, abs=1e-12)


@pytest.mark.parametrize(("x", "n", "y", "m"), [(8, 10, 1, 10), (0, 50, 9, 60), (400, 5_000, 300, 5_000), (1, 2, 999, 1_000)])
def test_fisher_is_twice_the_smaller_tail(x, n, y, m):
    from scipy.stats import fisher_exact

    tails = [fisher_exact([[x, n - x], [y, m - y]], alternative=side).pvalue for side in ("less", "greater")]
    assert fisher_p(x, n, y, m) == pytest.approx(min(1, 2 * min(tails)), rel=1e-8)


def test_a_million_cases_alone_do_not_alarm():
    rng = np.random.default_rng(0)
    assert fisher_p(int(rng.binomial(10**6, 0.3)), 10**6, int(rng.binomial(10**6, 0.3)), 10**6) > 1e-4
    assert fisher_p(300_000, 10**6, 306_000, 10**6) < 1e-15


RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "error_rate")


def census(shared_data: Path) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Adults with their income, and a crude prediction: yes for more than 12 years of school and 35 hours a week."""
    frame = pd.read_csv(shared_data / "adult" / "adult.data.gz", header=None, skipinitialspace=True)
    frame = frame.rename(columns={4: "years", 8: "race", 9: "sex", 12: "hours", 14: "income"})
    frame["sex and race"] = frame["sex"] + ", " + frame["race"]
    return frame, (frame["income"] == ">50K").to_numpy(), ((frame["years"] > 12) & (frame["hours"] > 35)).to_numpy()


@pytest.mark.parametrize("by", ["sex", "race", "sex and race"])
def test_group_rates_on_the_census_are_fairlearns(shared_data, by):
    frame, truth, yes = census(shared_data)
    assert len(frame) == 32_561
    same_as_fairlearn(truth, yes, frame[by])


@pytest.mark.parametrize("seed", range(5))
def test_group_rates_are_fairlearns(seed):
    rng = np.random.default_rng(seed)
    groups = pd.Series(rng.choice(list("abc"), 400, p=[0.7, 0.27, 0.03]))
    same_as_fairlearn(rng.random(400) < 0.4, rng.random(400) < 0.3 + 0.2 * (groups == "b"), groups)


def same_as_fairlearn(truth: np.ndarray, yes: np.ndarray, groups: pd.Series) -> None:
    """Rates of every group and of all, differences and ratios between groups, demographic parity and equalized odds."""
    from fairlearn import metrics as peer

    yes = np.asarray(yes)
    definitions = {
        "selection_rate": peer.selection_rate,
        "true_positive_rate": peer.true_positive_rate,
        "false_positive_rate": peer.false_positive_rate,
        "error_rate": lambda y_true, y_pred: float((y_true != y_pred).mean()),
    }
    frame = peer.MetricFrame(metrics=definitions, y_true=truth, y_pred=yes, sensitive_features=groups)
    rates, overall = group_rates(truth, yes, list(groups)), overall_rates(truth, yes)
    between = {name: between_groups(rates, name) for name in RATES}
    ours, theirs = [], []
    for name in RATES:
        ours += [getattr(rates[group], name) for group in frame.by_group.index] + [getattr(overall, name), *between[name]]
        theirs += [*frame.by_group[name], frame.overall[name], frame.difference()[name], frame.ratio()[name]]
    odds = between["true_positive_rate"], between["false_positive_rate"]
    ours += [*between["selection_rate"], max(difference for difference, _ in odds), min(ratio for _, ratio in odds)]
    for metric in (
        peer.demographic_parity_difference,
        peer.demographic_parity_ratio,
        peer.equalized_odds_difference,
        peer.equalized_odds_ratio,
    ):
        theirs.append(metric(truth, yes, sensitive_features=groups))
    assert {rates[group].cases for group in frame.by_group.index} == set(groups.value_counts())
    assert ours == pytest.approx(theirs, abs=1e-9, nan_ok=False)


def test_the_segment_table_is_a_plain_count(mission):
    reference, log = pair(3, World(worse_segment="east"))
    row = {(row.segment, row.measure): row for row in compare(reference, log, mission).disparities}["east", "automation rate"]
    east = log["segment"] == "east"
    acts = log["route"] == "act"
    assert (row.value, row.other) == pytest.approx((acts[east].mean(), acts[~east].mean()), abs=1e-12)
    assert row.interval[0] < row.difference < row.interval[1]


# Edges


def test_two_segments_are_compared_once(mission):
    reference, log = pair(3, World(worse_segment="east"))
    log["segment"] = log["segment"].where(log["segment"] == "east", "west")
    findings = compare(reference, log, mission)
    assert sorted(row.measure for row in findings.disparities) == sorted({row.measure for row in findings.disparities})
    assert {row.segment for row in findings.worse_off} == {"east"}
    assert all(row.difference <= 0 if row.measure == "automation rate" else row.difference >= 0 for row in findings.disparities)


def test_a_segment_that_is_treated_worse_names_cases_to_read(mission):
    reference, log = pair(3, World(worse_segment="east"))
    findings = compare(reference, log, mission)
    by_id = log.set_index("case")
    for row in findings.worse_off:
        assert len(row.examples) == 10 and all(by_id.loc[case.case, "segment"] == "east" for case in row.examples)
    errors = next(row for row in findings.worse_off if row.measure == "error rate")
    for case in errors.examples:
        wrong = [name for name in FIELDS if by_id.loc[case.case, f"{name}.right"] is False and by_id.loc[case.case, name]]
        assert [because.split(" is wrong, confidence ")[0] for because in case.because] == wrong


def test_forms_that_training_never_saw_are_noticed(few):
    reference, log = pair(1, World())
    late = pd.to_datetime(log["day"]) >= pd.Timestamp(CHANGE)
    log.loc[late, "familiar"] /= 3
    (drift,) = compare(reference, log, few).drifted
    assert drift.what == "familiar" and abs((drift.since - CHANGE).days) <= 7
    assert "of their wording with any training document" in drift.sentence


def test_a_log_older_than_a_column_is_compared_without_it(few):
    reference, log = pair(1, World())
    assert "familiar" not in compare(reference, log.drop(columns="familiar"), few).columns


def test_a_log_that_never_matched_the_reference_has_no_change_point(few):
    reference, log = pair(5, World(drift_from=START))
    drift = compare(reference, log, few).drifted[0]
    assert drift.from_start
    assert "from the log's first day" in drift.sentence


def test_a_reference_of_the_same_time_is_questioned(few):
    reference, log = pair(5, World(drift_from=START))
    shifted = reference.assign(day=(pd.to_datetime(reference["day"]) + pd.Timedelta(days=90)).dt.date)
    assert "check whether the reference is comparable" in " ".join(compare(shifted, log, few).advice)
    assert "reference is comparable" not in " ".join(compare(reference, log, few).advice)


def test_a_small_group_is_not_shown(mission):
    reference, log = pair(1, World())
    log.loc[log.index[:7], "segment"] = "tiny"
    tiny = [row for row in compare(reference, log, mission).disparities if row.segment == "tiny"]
    assert tiny and all(np.isnan(row.value) and np.isnan(row.other) and not row.worse for row in tiny)
    assert tiny[0].because == "not judged: automation rate known for 7 cases of the segment, 20 needed"


def test_equal_texts_of_a_long_log_are_one_object_in_memory(mission):
    findings = compare(*pair(1, World()), mission)
    texts = [column for column in findings.features if findings.features[column].dtype == object]
    assert {"segment", "route", "contract_num.pattern", "advertiser.known", "gross_amount.answer"} <= {*texts}
    for column in texts:
        values = findings.features[column].dropna()
        assert len({id(value) for value in values}) == values.nunique(), column


def test_labels_that_came_later_are_compared_with_the_answers(mission):
    reference, log = pair(1, World())
    for name in FIELDS:
        log[f"{name}.label"] = log[name].where(log[f"{name}.right"].astype("boolean").fillna(False), "nothing like it")
        log.loc[log[f"{name}.right"].isna(), f"{name}.label"] = None
    with_right = compare(reference, log, mission)
    without = compare(reference, log.drop(columns=[f"{name}.right" for name in FIELDS]), mission)
    assert without.performance == with_right.performance


def test_a_missed_target_is_reported(mission):
    reference, log = pair(1, World())
    log["gross_amount.right"] = [None if right is None else i % 5 > 0 for i, right in enumerate(log["gross_amount.right"])]
    findings = compare(reference, log, mission)
    (missed,) = findings.broken
    assert headline(findings).startswith(
        f"gross_amount precision is {percent(missed.precision, 1)}, under the 98 % target, beyond chance."
    )
    assert findings.advice[0].startswith(f"Stop automating gross_amount: {missed.right} of {missed.labelled} labelled")


def test_a_difference_between_segments_is_one_plain_sentence():
    because = "regional: 18 % handled automatically, others 67 %"
    row = Disparity("segment", "regional", "automation rate", because=because, p=1e-5, since=CHANGE)
    assert row.sentence == f"R{because[1:]}; its rate changed about 22 April 2024 (p < 0.001)."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda log: log.drop(columns="route"), "no column `route`"),
        (lambda log: log.rename(columns={"route": "routes"}), "did you mean `routes`"),
        (lambda log: log[:0], "the log has no cases"),
    ],
)
def test_an_unusable_log_is_refused(mission, change, message):
    reference, log = pair(1, World(), cases=50)
    with pytest.raises(BadInput, match=message):
        compare(reference, change(log), mission)


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log[:3],
        lambda log: log.assign(day=None),
        lambda log: log.assign(segment="all"),
        lambda log: log.assign(**dict.fromkeys(FIELDS)),
        lambda log: log.assign(**{f"{name}.right": None for name in FIELDS}),
        lambda log: log.assign(advertiser="</script><script>alert(1)</script>", segment="<b>one</b>"),
        lambda log: log.assign(gross_amount="no amount", flight_from="02/235/20"),
        lambda log: log.assign(day=START),
        lambda log: log.assign(day=log["day"].where(np.arange(len(log)) < 20, None)),
        lambda log: log.assign(day=log["day"].where(np.arange(len(log)) > 20, None)),
    ],
    ids=[
        "three cases",
        "no days",
        "one segment",
        "no answers",
        "no labels",
        "hostile text",
        "unreadable values",
        "one day",
        "few days",
        "most days",
    ],
)
def test_an_odd_log_still_gives_a_report(few, change, tmp_path):
    reference, log = pair(1, World(), cases=120)
    page = write(compare(reference, change(log), few), tmp_path)
    assert "<h1>" in page.read_text()
    for name in ("report", "drift", "bias"):
        assert "<script>alert" not in (tmp_path / f"{name}.html").read_text()
        json.loads((tmp_path / f"{name}.json").read_text(), parse_constant=pytest.fail)  # no NaN: that is no JSON


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("drift: {false_alarm_rat: 0.1}", "did you mean `false_alarm_rate`"),
        ("drifts: {}", "did you mean `drift`"),
        ("bias: {smallest_group: 1}", "bias.smallest_group"),
        ("window: {by: month}", "window.by"),
        ("- drift", "found list"),
    ],
)
def test_a_mistake_in_the_alerts_is_reported(tmp_path, text, message):
    (tmp_path / "alerts.yaml").write_text(text)
    with pytest.raises(BadInput, match=message):
        monitoring.load(tmp_path / "alerts.yaml")


def test_the_alerts_that_ship_are_the_defaults():
    assert monitoring.load(ROOT / "monitoring/alerts.yaml") == Alerts()


# Logs without days


@pytest.fixture(scope="module")
def undated(mission) -> Findings:
    """Drift and a segment treated worse from case 296 on, and no case has a day."""
    reference, quiet = pair(6, World())
    _, changed = pair(6, World(drift_from=START, worse_segment="east"))
    late = (pd.to_datetime(quiet["day"]) >= pd.Timestamp(CHANGE)).to_numpy()
    assert np.flatnonzero(late)[0] + 1 == 296
    return compare(reference, pd.concat([quiet[~late], changed[late]]).assign(day=None), mission)


def test_without_days_time_is_counted_in_cases(undated):
    assert [(window.start, window.end) for window in undated.windows] == [
        (1, 100),
        (101, 200),
        (201, 300),
        (301, 400),
        (401, 500),
    ]
    drift = undated.drifted[0]
    assert drift.since_between[0] <= 296 <= drift.since_between[1] and f"since case {drift.since}" in drift.sentence
    assert {row.segment for row in undated.worse_off} == {"east"}
    assert all(isinstance(row.lately, int | None) and isinstance(row.since, int | None) for row in undated.worse_off)


def test_a_report_without_days_says_so_and_names_no_day(undated, tmp_path):
    page = page_of(undated, tmp_path)
    sentence = "No case has a day: time is counted in cases, in the order of their decisions, 100 a window."
    assert sentence in page and undated.about_days == sentence
    report = json.loads((tmp_path / "report.json").read_text())
    assert not re.search(r"\d\d\d\d-\d\d-\d\d", json.dumps([report[name] for name in ("drifted", "worse_off", "windows")]))
    assert not re.search(r"since \d+ [A-Z]|1970|0001", re.sub(r"<[^>]*>", " ", page))
    assert report["log"] == {
        "from": None, "to": None, "cases": 500, "without_day": 500, "time": "case number",
    }  # fmt: skip


def test_the_order_without_days_is_the_order_of_deciding(few):
    reference, log = pair(1, World(), cases=40)
    numbered = compare(reference, log.assign(day=log["day"].where(np.arange(40) > 25, None)), few)
    assert numbered.by_number and numbered.about_days.startswith("Fewer than half of the cases have a day")
    assert list(numbered.features["words"]) == list(log["words"])


def test_evidently_reports_the_same_numbers_without_days(undated, tmp_path):
    monitoring.write_bias(undated, tmp_path / "bias.html", tmp_path / "bias.json")
    metrics = json.loads((tmp_path / "bias.json").read_text())["metrics"]
    values = {metric["metric_name"]: metric["value"] for metric in metrics}
    (row,) = (row for row in undated.worse_off if row.measure == "automation rate")
    since = f"{row.lately:09}" if row.lately else ""
    name = f"SegmentDifference(column={row.measure},by=segment,segment=east,since={since})"
    assert values[name] == pytest.approx(row.difference)


# Objectives


def test_the_report_measures_every_objective_as_a_plain_count_does(mission, tmp_path):
    reference, log = pair(3, World())
    log["dollars"] = np.where(log["segment"] == "east", 0.05, 0.0)
    page_of(compare(reference, log, mission), tmp_path)
    rows = {
        name: {row["name"]: row for row in part["rows"]}
        for name, part in json.loads((tmp_path / "report.json").read_text())["objectives"].items()
    }
    day = pd.to_datetime(log["day"])
    for name, part in (("all", log), ("recent", log[day > day.max() - pd.Timedelta(days=30)])):
        assert rows[name]["automation rate"]["measured"] == pytest.approx((part["route"] == "act").mean())
        assert rows[name]["cost per case"]["measured"] == pytest.approx(part["dollars"].mean())
        assert rows[name]["latency p99"]["measured"] == pytest.approx(np.quantile(part["seconds"], 0.99, method="inverted_cdf"))
        labelled = part[part["advertiser.automated"] & part["advertiser.right"].notna() & part["advertiser"].notna()]
        right = labelled["advertiser.right"].astype(float)
        assert rows[name]["precision of advertiser"]["measured"] == pytest.approx(right.mean())
        assert rows[name]["precision of advertiser"]["cases"] == len(labelled)
    over = (log["route"] != "act").mean() / 0.35
    assert rows["all"]["automation rate"]["burn"] == pytest.approx(over) == rows["all"]["automation rate"]["spent"]


def test_a_missed_objective_is_reported_with_its_size_and_whether_it_may_be_chance(mission, tmp_path):
    reference, log = pair(3, World())
    half = log.assign(route=np.where(np.arange(500) % 2, "act", "review"))
    page = page_of(compare(reference, half, mission), tmp_path)
    (miss,) = {row["verdict"] for row in objective_rows(tmp_path, "all") if row["name"] == "automation rate"}
    assert miss == "missed by 15.0 points, beyond chance" and miss in page
    few = log[:20].assign(route=["act"] * 12 + ["review"] * 8)
    page_of(compare(reference, few, mission), tmp_path)
    (miss,) = {row["verdict"] for row in objective_rows(tmp_path, "all") if row["name"] == "automation rate"}
    assert miss == "missed by 5.0 points; it may be chance"


def page_of(findings: Findings, folder: Path) -> str:
    """Write report.html and report.json alone, without Evidently's reports, and give the page."""
    monitoring.write_page(findings, folder / "report.html", folder / "report.json", monitoring.REPORTS)
    return (folder / "report.html").read_text()


def objective_rows(folder: Path, part: str) -> list[dict]:
    return json.loads((folder / "report.json").read_text())["objectives"][part]["rows"]


def test_objectives_and_precision_agree_on_what_is_beyond_chance(mission):
    reference, log = pair(1, World())
    log["gross_amount.right"] = [None if right is None else i % 5 > 0 for i, right in enumerate(log["gross_amount.right"])]
    findings = compare(reference, log, mission)
    verdicts = {row.name: row.verdict(findings.significance_level) for row in findings.service[1].objectives}
    beyond = [name for name, verdict in verdicts.items() if verdict.endswith("beyond chance")]
    assert [name for name in beyond if name.startswith("precision")] == [f"precision of {row.field}" for row in findings.broken]


def promising(mission, precision: float, **others: float) -> Mission:
    return mission.model_copy(update={"slo": mission.slo.model_copy(update={"precision": precision, **others})})


def test_cases_are_judged_by_what_the_release_that_decided_them_promised(mission, tmp_path):
    reference, log = pair(1, World())
    early, late = "a" * 64, "b" * 64
    log = log.assign(release=np.where(np.arange(len(log)) < 300, early, late))
    log["advertiser.right"] = [None if right is None else i % 10 > 0 for i, right in enumerate(log["advertiser.right"])]
    edited = promising(mission, 0.995, automation_rate=0.99)
    frozen = {early: promising(mission, 0.85, automation_rate=0.1), late: promising(mission, 0.88)}

    assert {row.target for row in compare(reference, log, edited).performance} == {0.995}
    assert "Stop automating advertiser" in " ".join(compare(reference, log, edited).advice)

    findings = compare(reference, log, edited, missions=frozen)
    judged = log[log["advertiser.automated"] & log["advertiser.right"].notna() & log["advertiser"].notna()]
    (row,) = (row for row in findings.performance if row.field == "advertiser" and row.window is None)
    assert row.target == pytest.approx(judged["release"].map({early: 0.85, late: 0.88}).mean())
    assert not row.broken and row.precision == pytest.approx(judged["advertiser.right"].astype(float).mean())
    by_window = {row.window: row.target for row in findings.performance if row.field == "advertiser"}
    assert (by_window[0], by_window[len(findings.windows) - 1]) == (0.85, 0.88)
    rate, precision = (next(each for each in findings.service[1].objectives if each.name.startswith(name)) for name in (
        "automation rate", "precision of advertiser"))  # fmt: skip
    assert precision.target == pytest.approx(row.target) and rate.target == pytest.approx((300 * 0.1 + 200 * 0.65) / 500)

    page = page_of(findings, tmp_path)
    assert "85 % by release aaaaaaaaaaaa (300 cases) and 88 % by release bbbbbbbbbbbb (200 cases), each case by the" in page
    assert "mission.yaml now says 99.5 %, for the next release" in page
    alone = page_of(compare(reference, log, edited, missions={early: frozen[late], late: frozen[late]}), tmp_path)
    assert "target 88 %; mission.yaml now says 99.5 %, for the next release." in alone and "by release aaa" not in alone


def test_without_labels_the_expected_precision_stands_alone_and_with_them_it_holds(mission, tmp_path):
    reference, log = pair(1, World())
    rng = np.random.default_rng(5)
    confidence = rng.uniform(0.9, 1.0, len(log))
    log = log.assign(**{"advertiser.automated": True, "advertiser.confidence": confidence})
    log["advertiser.right"] = [bool(hit) for hit in rng.random(len(log)) < confidence]
    (labelled,) = (
        row for row in compare(reference, log, mission).performance if row.field == "advertiser" and row.window is None
    )
    assert labelled.expected_interval[0] <= labelled.precision <= labelled.expected_interval[1]
    findings = compare(reference, log.assign(**{"advertiser.right": None}), mission)
    (blank,) = (row for row in findings.performance if row.field == "advertiser" and row.window is None)
    assert blank.labelled == 0 and blank.expected == labelled.expected == pytest.approx(confidence.mean())
    assert f"{100 * blank.expected:.1f} % (" in page_of(findings, tmp_path)


def test_a_log_without_seconds_and_dollars_is_read(mission, tmp_path):
    reference, log = pair(1, World(), cases=60)
    page_of(compare(reference, log.drop(columns=["seconds", "decided_at"]), mission), tmp_path)
    verdicts = {row["name"]: row["verdict"] for row in objective_rows(tmp_path, "recent")}
    assert verdicts["latency p99"] == verdicts["cost per case"] == "nothing measured yet"


# The report for people and for machines


@pytest.fixture(scope="module")
def reported(mission, tmp_path_factory) -> tuple[Findings, Path]:
    folder = tmp_path_factory.mktemp("report")
    findings = compare(*pair(3, World(drift_from=CHANGE, worse_segment="east")), mission)
    write(findings, folder)
    return findings, folder


def test_the_page_says_what_changed_since_when_who_is_treated_worse_and_what_to_do(reported):
    findings, folder = reported
    page = (folder / "report.html").read_text()
    for heading in ("What changed", "Since when", "p-value", "Who is treated worse", "What to do", "Example cases"):
        assert heading in page
    assert "22 April 2024" in page and len(findings.examples) == 3
    assert all(f"proveout show {example.case[:12]}" in page for example in findings.examples)
    assert all(row.sentence in page.replace("&lt;", "<") for row in findings.worse_off[:4])


def test_every_file_of_a_report_opens_without_a_network(reported):
    _, folder = reported
    for page in folder.glob("*.html"):
        loads = re.findall(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["'](?!data:)([^"']+)""", page.read_text())
        assert loads == [], page.name


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_asks_no_network_for_a_report(reported, width):
    """Headless Chromium, offline: it requests only files, nothing fails, and nothing overflows the screen."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or pytest.skip("chromium not found; install it to test what the page loads")
    _, folder = reported
    requests, failures = [], []
    with api.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(viewport={"width": width, "height": 900}, offline=True).new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda message: failures.append(message.text) if message.type == "error" else None)
        page.goto((folder / "report.html").as_uri())
        headings = page.locator("h1, th, h2").all_inner_texts()
        overflow = page.evaluate("document.documentElement.scrollWidth") - width
        browser.close()
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == [] and failures == [] and overflow <= 0
    assert {"Who is treated worse", "What to do", "Example cases", "Is precision on target?"} <= set(headings)


def test_the_first_screen_uses_words_instead_of_column_names(reported):
    findings, folder = reported
    page = (folder / "report.html").read_text()
    first = re.sub(r"<[^>]*>", " ", page[page.index("<h1>") : page.index("Is precision on target?")])
    assert not [name for name in findings.columns if "." in name and name in first]


def test_machines_read_the_same(reported):
    findings, folder = reported
    report = json.loads((folder / "report.json").read_text())
    assert [(row["what"], row["since"], row["p"], row["effect"], row["event"]) for row in report["drifted"]] == [
        (drift.what, drift.since.isoformat(), drift.p, drift.effect, str(drift.condition)) for drift in findings.drifted
    ]
    worst = report["worse_off"][0]
    assert (worst["segment"], worst["measure"], len(worst["interval"])) == ("east", "automation rate", 2)
    assert all((folder / path).exists() for path in report["reports"].values())


def test_evidently_reports_the_same_numbers(reported):
    findings, folder = reported
    bias, drift = (json.loads((folder / f"{name}.json").read_text())["metrics"] for name in ("bias", "drift"))
    values = {metric["metric_name"]: metric["value"] for metric in bias}
    for row in findings.disparities:
        since = row.lately or ""
        name = f"SegmentDifference(column={row.measure},by=segment,segment={row.segment},since={since})"
        assert values[name] == pytest.approx(row.difference)
    count = next(metric["value"]["count"] for metric in drift if metric["config"]["type"].endswith("DriftedColumnsCount"))
    assert count == len(findings.drifted)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_evidentlys_pages_have_a_title_and_no_serious_violation_and_what_drifted_comes_first(reported, chromium, scheme):
    from axe_playwright_python.sync_playwright import Axe

    findings, folder = reported
    page = chromium.new_context(color_scheme=scheme).new_page()
    for name, title in (("drift", "Drift: every column"), ("bias", "Bias: every segment")):
        page.goto(f"file://{folder}/{name}.html")
        page.locator("table tbody tr").first.wait_for()
        if name == "drift":
            first = page.locator("table tbody tr", has_text="Detected").all_inner_texts()[: len(findings.drifted)]
            assert not [row for row in first if "Not Detected" in row]
            page.get_by_role("button", name="Next Page").click()
            page.mouse.move(0, 0)
            page.locator(".MuiTooltip-tooltip").wait_for(state="detached")  # while it fades, its contrast is low
        assert (page.title(), page.locator("h1").inner_text()) == (f"{title} · Proveout", title)
        assert page.evaluate("document.documentElement.lang") == "en"
        violations = Axe().run(page).response["violations"]
        assert {one["id"]: one["nodes"][0]["html"] for one in violations if one["impact"] in ("serious", "critical")} == {}
    page.context.close()


def test_the_benchmark_agrees_with_evidently_on_a_window(reported):
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    before, log = reported[0].reference_features, reported[0].features
    for current in (log[:60], log[250:310]):
        columns = [name for name in current if current[name].notna().any()]
        numbers = [name for name in columns if current[name].dtype.kind == "f"]
        kinds = DataDefinition(numerical_columns=numbers, categorical_columns=[*{*columns} - {*numbers}])
        frames = [Dataset.from_pandas(frame[columns].reset_index(drop=True), kinds) for frame in (current, before)]
        metrics = Report([DataDriftPreset()]).run(*frames).dict()["metrics"]
        count = next(metric["value"] for metric in metrics if metric["config"]["type"].endswith("DriftedColumnsCount"))
        assert known_truth.evidently(before, current) == (count["share"] >= 0.5, count["count"] > 0)


def test_the_same_log_gives_the_same_page(reported, tmp_path):
    findings, folder = reported
    monitoring.write_page(findings, tmp_path / "report.html", tmp_path / "report.json", monitoring.REPORTS)
    for name in ("report.html", "report.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("world", [World(), World(drift_from=CHANGE, worse_segment="east")], ids=["quiet", "drift and bias"])
def test_the_monitor_pipeline_runs_and_then_has_nothing_to_do(tmp_path, world):
    reference, log = pair(3, world)
    (tmp_path / "logs").mkdir()
    reference.to_parquet(tmp_path / "reference.parquet")
    log[:250].to_parquet(tmp_path / "logs" / "1.parquet")
    log[250:].to_parquet(tmp_path / "logs" / "2.parquet")
    env = {"reference": tmp_path / "reference.parquet", "logs": tmp_path / "logs", "out": tmp_path / "reports"}
    built = build(ROOT / "pipelines/invoices/pipeline.monitor.yaml", env=env)
    assert built.ran == ["report"]
    page = (tmp_path / "reports/report.html").read_text()
    for link in re.findall(r'<a href="([^"]+)"', page):
        assert (tmp_path / "reports" / link).exists()
    assert not build(ROOT / "pipelines/invoices/pipeline.monitor.yaml", env=env).ran


def test_a_log_from_the_journal_is_read(mission, tmp_path):
    reference, log = pair(2, World(drift_from=CHANGE, worse_segment="east"))
    typed = log.assign(day=pd.to_datetime(log["day"]).dt.date, decided_at=pd.Timestamp("2024-06-01", tz="UTC"))
    typed = typed.assign(**{f"{name}.{part}": None for name in FIELDS for part in ("label", "tier")}, dollars=None, turn=0)
    typed = typed.assign(similarity=None, answered_at=None)
    typed = typed.assign(**{f"{name}.value": valued(log[name], kind) for name, kind in mission.kinds.items()})
    schema = log_schema(FIELDS, DocumentCase.descriptors)
    pq.write_table(
        pa.Table.from_pandas(typed[schema.names], schema=schema, preserve_index=False),
        tmp_path / "decisions.parquet",
    )
    assert compare(reference, monitoring.read(tmp_path), mission) == compare(reference, log, mission)


def valued(printed: pd.Series, kind: str) -> pd.Series:
    return printed.map(lambda text: written(value_of(kind, text)), na_action="ignore")


def test_values_are_compared_as_their_documents_print_them(mission):
    """One log in American formats, the other in German ones: the decided values are the same, so nothing has changed."""
    reference, log = pair(4, World())
    values = {f"{name}.value": valued(log[name], kind) for name, kind in mission.kinds.items()}
    german = {
        name: log[name].map(lambda text: f"{datetime.strptime(text, '%m/%d/%y'):%d.%m.%Y}", na_action="ignore")
        for name in ("flight_from", "flight_to")
    }
    german["gross_amount"] = log["gross_amount"].map(
        lambda text: text[1:].translate(str.maketrans(",.", ".,")).removesuffix(",00") + " €", na_action="ignore"
    )
    assert compare(reference, log.assign(**german, **values), mission) == compare(reference, log, mission)


def test_missing_logs_are_an_error(tmp_path):
    with pytest.raises(BadInput, match="proveout run"):
        monitoring.read(tmp_path)


def test_a_case_that_was_decided_again_counts_once(tmp_path):
    log = World().log(1, 40)
    log[:20].to_parquet(tmp_path / "b.parquet")
    log.assign(decided_at="2024-07-01T00:00:00", release="r2").to_parquet(tmp_path / "a.parquet")
    assert list(monitoring.read(tmp_path)["release"].unique()) == ["r2"] and len(monitoring.read(tmp_path)) == 40


def test_a_column_that_goes_missing_is_drift_and_an_odd_one_ends_no_report(mission):
    reference, log = pair(4, World())
    late = log["day"] >= CHANGE.isoformat()
    lost = log.assign(words=log["words"].astype(float).where(~late))
    (drift,) = compare(reference, lost, mission).drifted
    assert drift.what == "words.given" and abs((drift.since - CHANGE).days) <= 3
    assert str(drift.condition) == "documents without a value of words" and (drift.before, drift.after) == (0, 1)
    for name in ("words", "ocr_share", "class_confidence", "segment", "advertiser", "gross_amount", "flight_to.confidence"):
        for odd in (None, "§", float("inf"), [[1, 2]], {"a": 1}, True):
            findings = compare(reference, log.assign(**{name: pd.Series([odd] * len(log), dtype=object)}), mission)
            assert headline(findings)


def without(log: pd.DataFrame, field: str, rows: pd.Series) -> pd.DataFrame:
    """The log as a release without the field would have written these rows."""
    lost = log.copy()
    for column in [name for name in log if name == field or name.startswith(f"{field}.")]:
        lost[column] = lost[column].astype(object)
        lost.loc[rows, column] = False if column.endswith(".automated") else None
    return lost


def test_a_field_or_column_that_a_release_did_not_have_is_said_once_and_what_was_lost_is_drift(mission, tmp_path):
    reference, log = pair(4, World())
    early, own = "a" * 64, "b" * 64
    first = log["day"] < CHANGE.isoformat()
    log = log.assign(release=np.where(first, early, own), spent=100.0)
    older = mission.model_copy(update={"fields": {name: mission.fields[name] for name in FIELDS if name != "flight_to"}})

    new = without(log, "flight_to", first).assign(familiar=log["familiar"].where(~first))
    as_lost = compare(reference, new, mission, missions={own: mission, early: mission})
    lost = {drift.what: drift for drift in as_lost.drifted}
    assert {"flight_to.answer"} <= {*lost} and lost["flight_to.answer"].from_start, "the older release had the field"
    findings = compare(reference, new, mission, missions={own: mission, early: older})
    assert not findings.drifted and not findings.slices
    (sentence,) = findings.about_absent
    left_out = f"its {first.sum()} cases are left out of that comparison. That is no drift."
    assert sentence == f"Release aaaaaaaaaaaa did not have the field flight_to or the column familiar: {left_out}"
    assert page_of(findings, tmp_path).count("did not have the field") == 1
    stake, wrongly = findings.stakes[0], as_lost.stakes[0]
    assert stake.at_risk < wrongly.at_risk and stake.judged_spent > wrongly.judged_spent, "the other fields count"

    gone = without(log, "flight_to", ~first).assign(familiar=log["familiar"].where(first))
    findings = compare(reference, gone, mission, missions={own: mission, early: mission})
    assert {"flight_to.answer", "familiar.given"} <= {drift.what for drift in findings.drifted} and not findings.absent

    columns = [name for name in reference if name == "flight_to" or name.startswith("flight_to.")]
    findings = compare(reference.drop(columns=columns), gone, mission, missions={own: older})
    assert findings.about_absent == (
        "Release bbbbbbbbbbbb did not have the field flight_to: it is compared once a release has it. That is no drift.",
    )
    with pytest.raises(BadInput, match="the reference has no column `flight_to`"):
        compare(reference.drop(columns=columns), gone, mission, missions={own: mission})


def test_confidence_that_is_too_high_is_said_by_field_and_tier_and_what_people_changed(mission):
    reference, log = pair(5, World(), cases=1_500)
    log = log.assign(**{"advertiser.tier": np.where(np.arange(len(log)) % 2, "ranker", "language_model")})
    worse = log["advertiser.tier"] == "language_model"
    rng = np.random.default_rng(1)
    log.loc[worse, "advertiser.right"] = log.loc[worse, "advertiser.right"].map(
        lambda right: None if right is None else bool(right and rng.random() < 0.93)
    )
    rows = {(row.field, row.tier): row for row in compare(reference, log, mission).reliability}
    assert rows["advertiser", "language_model"].fits == "too high" and rows["advertiser", "ranker"].fits == "fits"
    assert [row.fits for (field, _), row in rows.items() if field != "advertiser"] == ["fits"] * 4
    row = rows["gross_amount", ""]
    seen = log[~log["gross_amount.automated"] & log["gross_amount"].notna() & log["gross_amount.right"].notna()]
    assert (row.seen, row.changed) == (len(seen), int((seen["gross_amount.right"] == False).sum()))  # noqa: E712


def test_overrides_and_long_waits_are_compared_by_segment_and_ratios_have_intervals(mission):
    rng = np.random.default_rng(6)
    reference, log = pair(6, World(), cases=900)
    decided = pd.Timestamp("2024-06-01", tz="UTC")
    hours = np.where((log["segment"] == "east") & (rng.random(len(log)) < 0.6), 40, 2)
    answered = pd.Series(decided + pd.to_timedelta(hours, unit="h"), index=log.index).where(log["route"] == "review")
    findings = compare(reference, log.assign(decided_at=decided, answered_at=answered), mission)
    rows = {(row.segment, row.measure): row for row in findings.disparities}
    late = rows["east", "waiting rate"]
    assert late.worse and late.other == 0 and 0.45 < late.value < 0.75 and late.cases < (log["segment"] == "east").sum()
    assert [row.measure for row in findings.worse_off] == ["waiting rate"]
    assert late.examples[0].because == ("waited over a day for an answer",)
    override = rows["north", "override rate"]
    reviewed = log[(log["route"] == "review") & (log["segment"] == "north")]
    changed = pd.DataFrame({name: (reviewed[f"{name}.right"] == False) & ~reviewed[f"{name}.automated"] for name in FIELDS})  # noqa: E712
    assert (
        0 < override.value <= 1
        and round(override.value * override.cases) == (changed & reviewed[list(FIELDS)].notna().to_numpy()).any(axis=1).sum()
    )
    for row in findings.disparities:
        if row.ratio == row.ratio:
            assert row.ratio_interval[0] < max(row.ratio, 0.01) and row.ratio <= row.ratio_interval[1]
    assert "ratio to all other cases" in monitoring.page.bias_plot(findings.disparities)


def test_a_change_that_begins_with_a_release_names_it_and_windows_tell_two_releases_apart(mission):
    reference, log = pair(3, World(drift_from=CHANGE))
    late = log["day"] >= CHANGE.isoformat()
    findings = compare(reference, log.assign(release=np.where(late, "r2" * 32, "r1" * 32)), mission)
    assert {drift.release for drift in findings.drifted if drift.since == CHANGE} == {"r2" * 32}
    assert "First compare release r2r2r2r2r2r2 with the one before it" in " ".join(findings.advice)
    releases = [window.releases for window in findings.windows]
    assert releases[0] == ("r1" * 32,) and releases[-1] == ("r2" * 32,)
    far = compare(reference, log.assign(release=np.where(log["day"] < "2024-03-11", "r1" * 32, "r2" * 32)), mission)
    assert not any(drift.release for drift in far.drifted)
    assert far.windows[0].releases == ("r1" * 32,) and not any("First compare release" in one for one in far.advice)
