"""What is at stake by confidence alone is what labels find, where confidence is calibrated."""

import numpy as np
import pytest

from proveout.monitoring import compare
from proveout.monitoring.alerts import BiasAlerts
from proveout.monitoring.stakes import stakes
from test_monitoring import World, mission, page_of, pair

__all__ = ["mission"]  # the fixture


def log_of(seed: int, cases: int = 3_000):
    """Every case costs something, every field has a label and a confidence that is calibrated."""
    rng = np.random.default_rng(seed)
    log = World().log(seed, cases).assign(spent=rng.gamma(2, 500, cases).round(2), route="act")
    for name in ("contract_num", "advertiser", "gross_amount", "flight_from", "flight_to"):
        confidence = rng.beta(80, 1, cases)
        text = log[name].fillna("1")
        log = log.assign(**{f"{name}.confidence": confidence, f"{name}.right": rng.random(cases) < confidence, name: text})
    return log


def test_the_estimate_holds_where_confidence_is_calibrated(mission):
    """The 95 % interval covers what labels say in about 95 of 100 logs."""
    covered, precision = [], []
    for seed in range(100):
        log = log_of(seed, 400)
        whole = stakes(log, mission, BiasAlerts())[0]
        assert whole.judged_spent == pytest.approx(whole.spent) and whole.judged_at_risk == pytest.approx(whole.at_risk)
        covered.append(whole.at_risk_interval[0] <= whole.lost <= whole.at_risk_interval[1])
        precision.append(whole.expected_interval[0] <= whole.right / whole.labelled <= whole.expected_interval[1])
    assert np.mean(covered) >= 0.86 and np.mean(precision) >= 0.86


def test_the_numbers_are_a_plain_count(mission):
    log = log_of(1)
    log.loc[::3, "route"] = "review"
    log["gross_amount.right"] = log["gross_amount.right"].astype(object).where(np.arange(len(log)) % 7 > 0, None)
    row = next(one for one in stakes(log, mission, BiasAlerts()) if one.group == "segment east")
    east = log[log["segment"] == "east"]
    acted = east[east["route"] == "act"]
    needed = [name for name, spec in mission.fields.items() if spec.required]
    assert (row.cases, row.spent) == (len(east), pytest.approx(acted["spent"].sum()))
    risk = 1 - acted[[f"{name}.confidence" for name in needed]].prod(axis=1)
    assert row.at_risk == pytest.approx((acted["spent"] * risk).sum())
    judged = acted[acted[[f"{name}.right" for name in needed]].notna().all(axis=1)]
    wrong = ~judged[[f"{name}.right" for name in needed]].astype(bool).all(axis=1)
    assert row.judged_spent == pytest.approx(judged["spent"].sum()) and row.lost == pytest.approx(judged["spent"][wrong].sum())


@pytest.mark.parametrize("sure", [80, 10])
def test_the_estimate_holds_for_unsure_values_too(mission, sure):
    rng = np.random.default_rng(sure)
    covered = []
    for seed in range(60):
        log = log_of(seed, 300)
        for name in mission.fields:
            confidence = rng.beta(sure, 1, len(log))
            log = log.assign(**{f"{name}.confidence": confidence, f"{name}.right": rng.random(len(log)) < confidence})
        whole = stakes(log, mission, BiasAlerts())[0]
        covered.append(whole.at_risk_interval[0] <= whole.lost <= whole.at_risk_interval[1])
    assert np.mean(covered) >= 0.85


def test_a_value_without_calibrated_confidence_is_at_risk(mission):
    log = log_of(1, 100)
    log["advertiser.confidence"] = np.nan
    whole = stakes(log, mission, BiasAlerts())[0]
    assert whole.at_risk == pytest.approx(whole.spent) and whole.spent > 0
    log.loc[3, "spent"] = np.nan
    assert np.isnan(stakes(log, mission, BiasAlerts())[0].spent)


def test_small_segments_are_not_shown_and_a_log_without_money_says_so(mission, tmp_path):
    reference, log = pair(0, World())
    findings = compare(
        reference, log.drop(columns="spent").assign(segment=np.where(np.arange(len(log)) < 5, "tiny", "north")), mission
    )
    assert [one.group for one in findings.stakes] == ["all cases", "segment north"]
    assert np.isnan(findings.stakes[0].spent) and "the log does not say what was spent" in page_of(findings, tmp_path)


def test_the_report_shows_money(mission, tmp_path):
    reference, _ = pair(0, World())
    findings = compare(reference, log_of(2, 500), mission)
    whole = findings.stakes[0]
    page = page_of(findings, tmp_path)
    assert f"${whole.spent:,.0f}" in page and f"${whole.lost:,.0f}" in page and "$nan" not in page
