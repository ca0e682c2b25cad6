"""What follows from a finding: which cases to label, which release is offered, what rules do, what the next report says."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from proveout import monitoring
from proveout.control import StopSwitch
from proveout.control.restrictions import Kind, Restrictions
from proveout.errors import BadInput
from proveout.journal import CONCLUSION, PROMOTION, TRIAL, Event
from proveout.live.trial import BETTER, HELPED, NO_BETTER, RIGHT, TOO_FEW, WORSE, WRONG, Measure, Trial, refusal
from proveout.monitoring import rules
from proveout.monitoring.alerts import Alerts, LabellingAlerts, QuietAlerts, Rule, load
from proveout.monitoring.channels import Alarm
from proveout.monitoring.labelling import choose, scope, since
from proveout.monitoring.page import as_json
from proveout.monitoring.signing import Conclusion, followed
from proveout.records import Answer, Person, Role
from proveout.review.batches import ask, batches, kept_for_judging
from test_monitoring import CHANGE, FIELDS, START, World, few, mission, pair  # noqa: F401  (fixtures)
from test_signing import RITA, file, journal, reports, written  # noqa: F401  (fixtures)
from test_signing import logs as signing_logs  # noqa: F401

ADA = Person("ada", Role.OPERATOR)
SUPPLIERS, EAST = "drift of advertiser.known", "segment east"


@pytest.fixture(scope="module")
def logs():
    """Nobody has answered the last third of the log."""
    reference, log = pair(3, World(drift_from=CHANGE, worse_segment="east"))
    for name in FIELDS:
        log.loc[log.index >= 330, f"{name}.right"] = None
    return reference, log


@pytest.fixture(scope="module")
def report(logs, mission):  # noqa: F811
    return as_json(monitoring.compare(*logs, mission, Alerts()), {})


def rows(log, keys):
    return log.set_index("case").loc[list(keys)]


def test_a_batch_has_the_drifted_cases_that_nobody_answered_and_a_share_drawn_by_chance(report, logs, mission):  # noqa: F811
    chosen = choose(report, [SUPPLIERS], *logs, mission, LabellingAlerts(cases=40))
    assert (len(chosen.teach), len(chosen.judge)) == (20, 20) and not set(chosen.teach) & set(chosen.judge)
    asked = rows(logs[1], (*chosen.teach, *chosen.judge))
    assert asked["advertiser"].str.startswith("Newcomer").mean() > 0.8, "those that drifted"
    assert asked["day"].min() >= CHANGE.isoformat() and asked["advertiser.right"].isna().all()

    def doubt(keys):
        p = rows(logs[1], keys)[[f"{name}.confidence" for name in FIELDS]]
        return float((p * (1 - p)).sum(axis=1).mean())

    assert doubt(chosen.teach) > 1.3 * doubt(chosen.judge), "those that teach are in doubt, those that judge are drawn"
    assert choose(report, [SUPPLIERS], *logs, mission, LabellingAlerts(cases=40)) == chosen, "the same again"


def test_a_batch_may_be_about_a_segment_or_smaller_than_wanted(report, logs, mission):  # noqa: F811
    chosen = choose(report, [EAST], *logs, mission, LabellingAlerts(cases=1000, judging=0.25))
    assert set(rows(logs[1], (*chosen.teach, *chosen.judge))["segment"]) == {"east"}
    assert len(chosen.teach) + len(chosen.judge) == chosen.unlabelled < chosen.about
    assert len(chosen.judge) == round(0.25 * chosen.unlabelled)
    with pytest.raises(BadInput, match="choose a finding of this report"):
        choose(report, ["drift of nothing"], *logs, mission, LabellingAlerts())


def test_a_finding_says_since_when_and_what_it_is_about(report, mission):  # noqa: F811
    assert abs((since(report, [SUPPLIERS]) - CHANGE).days) <= 3
    assert since(report, [SUPPLIERS, "precision of advertiser"]) == since(report, [SUPPLIERS])
    assert scope(report, EAST, mission) == ("", "east")
    assert scope(report, SUPPLIERS, mission) == scope(report, "precision of advertiser", mission) == ("advertiser", "")
    assert scope(report, "drift of pages", mission) == ("", "")


def test_what_judges_is_kept_out_of_training_until_a_release_is_promoted(journal):  # noqa: F811
    ask(journal, "r1", [SUPPLIERS], ["a", "b"], ["c"], RITA)
    ask(journal, "r1", [EAST], ["d"], ["e"], RITA)
    assert kept_for_judging(journal) == {"c", "e"}
    journal.answer([Answer("a", {"advertiser": "X"}, "rita"), Answer("c", {"advertiser": "Y"}, "rita")])
    assert [batch.answered(journal.answers()) for batch in batches(journal.events())] == [2, 0]
    journal.append([Event("", PROMOTION, {"what": "promoted", "release": "r2", "before": "r1", "by": "ada", "because": ""})])
    assert kept_for_judging(journal) == frozenset()
    with pytest.raises(BadInput, match="every case that this finding is about has a label"):
        ask(journal, "r1", [EAST], [], [], RITA)


def trial(cases: int = 75, right=(-0.01, 0.02), helped=(0.006, 0.068), wrong=(-0.013, 0.003)) -> Trial:
    bounds = {RIGHT: right, HELPED: helped, WRONG: wrong}
    measures = tuple(Measure(name, 0.9, 0.9 + (low + high) / 2, low, high) for name, (low, high) in bounds.items())
    return Trial("r2", "r1", date(2026, 9, 1), cases, 3, measures)


@pytest.mark.parametrize(
    ("held", "verdict"),
    [
        (trial(), BETTER),
        (trial(helped=(-0.001, 0.07)), NO_BETTER),
        (trial(right=(0.001, 0.07), helped=(-0.01, 0.01)), BETTER),
        (trial(wrong=(0.001, 0.02)), WORSE),
        (trial(right=(-0.07, -0.001)), WORSE),
        (trial(cases=19), TOO_FEW),
        (replace(trial(cases=0), measures=()), TOO_FEW),
    ],
)
def test_a_trial_says_better_only_beyond_chance(held, verdict):
    assert held.verdict == verdict
    assert held.sentence.lower().startswith(verdict if verdict != TOO_FEW else "no verdict")


def test_a_release_is_offered_only_if_it_is_better_where_a_report_asked_for_that(journal):  # noqa: F811
    assert refusal(journal, "r2", "r1") == "", "no report asked"

    def concluded(what: Conclusion) -> None:
        journal.append([Event("", CONCLUSION, {"report": "x", "findings": [EAST], "what": what.value})])

    concluded(Conclusion.SEASONAL)
    assert refusal(journal, "r2", "r1") == ""
    concluded(Conclusion.TO_REBUILD)
    assert "it was not tried on them yet" in refusal(journal, "r2", "r1")
    for held in (trial(helped=(-0.01, 0.02)), trial(cases=3)):
        journal.append([Event("", TRIAL, held.payload)])
        assert f"its trial says: {held.verdict}" in refusal(journal, "r2", "r1")
    journal.append([Event("", TRIAL, trial().payload)])
    assert refusal(journal, "r2", "r1") == "" and "not tried" in refusal(journal, "r3", "r1")
    journal.append([Event("", PROMOTION, {"what": "promoted", "release": "r2", "before": "r1", "by": "ada", "because": ""})])
    assert refusal(journal, "r3", "r2") == "", "what was asked for came"


def test_the_next_report_says_what_became_of_the_findings_and_a_signature_covers_it(reports, written, journal):  # noqa: F811
    first = file(reports, written(400))
    assert first.followed == ()
    keys = [*first.findings]
    reports.conclude(first.id, keys[:1], Conclusion.TO_LABEL, "read some", RITA)
    before = reports.conclude(first.id, keys[1:2], Conclusion.KNOWN_CAUSE, "the new season", RITA)
    ask(journal, first.id, keys[:1], ["a"], ["b"], RITA)
    journal.answer([Answer("a", {"advertiser": "X"}, "rita")])
    journal.append([Event("", TRIAL, trial().payload)])
    second = file(reports, written())
    about = dict(zip(keys, followed(journal, before, [{"key": key} for key in second.findings]), strict=False))
    assert tuple(about.values())[:2] == second.followed[:2] and len(second.followed) == len(keys)
    assert (
        "more labels needed: read some (rita, " in about[keys[0]] and "1 of 2 cases of its batch are labelled" in about[keys[0]]
    )
    assert "trial of release r2: Better on 75 labelled cases since 1 September 2026" in about[keys[0]]
    assert ("It holds in this report, too." in about[keys[1]]) == (keys[1] in second.findings)
    assert second.followed[-1].endswith("nobody concluded on it.")
    assert replace(second, followed=()).digest != reports.find(second.id).digest
    assert file(reports, written()).followed == second.followed, "filed once"


def test_a_paired_interval_holds_its_level():
    from proveout.monitoring.significance import paired

    rng, missed = np.random.default_rng(1), 0
    for _ in range(1_000):
        low, high = paired(rng.choice([-0.2, 0.0, 0.2, 0.4], 75, p=[0.1, 0.6, 0.2, 0.1]), 0.95)
        missed += not low <= 0.06 <= high
    assert 25 <= missed <= 80


RULES = (
    Rule(finding="drift of advertiser.*", severity="critical", owner="ada", then="stricter threshold", at_least=0.999),
    Rule(finding="segment *", owner="rita", then="review only"),
)


@pytest.fixture
def monitored(reports, journal, logs, mission, tmp_path):  # noqa: F811
    """Files a report on so many cases by these rules and lets them act; gives what they imposed."""
    restrictions = Restrictions(journal, StopSwitch(tmp_path / "STOP"))

    def monitor(cases: int | None = None, by: tuple[Rule, ...] = RULES):
        reference, log = logs
        findings = monitoring.compare(reference, log[:cases], mission, Alerts(rules=by))
        monitoring.write_page(findings, tmp_path / "report.html", tmp_path / "report.json", {})
        file(reports, tmp_path / "report.html")
        filed = reports.list()
        return rules.act(filed, reports.data(filed[0]), journal, restrictions, mission)

    monitor.restrictions = restrictions
    return monitor


def test_a_rule_acts_once_and_what_a_person_lifted_stays_lifted_while_the_finding_lasts(monitored, reports):  # noqa: F811
    imposed = {one.finding: one for one in monitored()}
    east = imposed[EAST]
    assert (east.kind, east.segment, east.by) == (Kind.REVIEW, "east", rules.BY)
    assert east.because.startswith(f"report {reports.list()[0].id[:12]}: East: ")
    stricter = imposed[SUPPLIERS]
    assert (stricter.kind, stricter.field, stricter.at_least) == (Kind.STRICTER, "advertiser", 0.999)
    assert len(imposed) == 2, "two columns of one field that drift ask for the same"
    assert monitored(490) == [], "the same again"
    monitored.restrictions.lift(east.id, "ada", "repaired")
    assert monitored(480) == [], "ada knows better"
    assert EAST not in (monitored(60), reports.list()[0].findings)[1], "the finding ended"
    assert [one.finding for one in monitored(470)] == [EAST], "and came back"


def test_a_rule_may_stop_everything(monitored):
    (stop,) = monitored(by=(Rule(finding="segment east", then="stop"),))
    assert stop.kind is Kind.STOP and "East" in monitored.restrictions._switch.stopped()
    monitored.restrictions.lift_stop("ada")
    assert not monitored.restrictions.active()


def test_an_alarm_says_how_urgent_it_is_for_whom_and_what_was_done():
    severity, owners = rules.urgency([EAST, SUPPLIERS, "drift of pages"], Alerts(rules=RULES))
    assert (severity, owners) == ("critical", ("rita", "ada"))
    assert rules.urgency(["drift of pages"], Alerts()) == ("warning", ()) and rules.urgency([], Alerts())[0] == "info"
    done = ("east goes to review",)
    text = Alarm("invoices", "East fares worse.", ("Read them.",), "report.html", severity, owners, done).text
    assert text.splitlines()[:2] == ["invoices (critical, for rita and ada): East fares worse.", "• done: east goes to review"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [{finding: x, then: pause}]", "`rules.0.then`: input should be 'nothing', 'stricter threshold'"),
        ("rules: [{finding: x, then: stricter threshold}]", "belongs to `then: stricter threshold`"),
        ("rules: [{finding: x, at_least: 0.99}]", "belongs to `then: stricter threshold`"),
        ("rules: [{finding: x, severty: info}]", "unknown key `rules.0.severty`; did you mean `severity`"),
        ("quiet: {start: 8pm}", "`quiet.start`: string should match pattern"),
        ("quiet: {zone: Europe/Berlln}", "did you mean `europe/berlin`"),
    ],
)
def test_rules_that_cannot_be_are_refused_with_the_place(tmp_path, text, message):
    (tmp_path / "alerts.yaml").write_text(text)
    with pytest.raises(BadInput, match=message):
        load(tmp_path / "alerts.yaml")


def test_the_night_may_run_over_midnight_in_another_zone():
    night = QuietAlerts(start="20:00", end="07:00", zone="America/New_York")
    at = [datetime(2026, 11, 30, hour, 30, tzinfo=UTC) for hour in (0, 1, 11, 12, 20)]
    assert [rules.is_quiet(night, moment) for moment in at] == [False, True, True, False, False]
    assert not any(rules.is_quiet(QuietAlerts(), moment) for moment in at)
