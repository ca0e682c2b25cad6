"""Budget, policy, SLO threshold: in that order, and the first no is the verdict; the stop switch holds what they allow."""

import dataclasses
import threading
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from proveout import connectors, mission
from proveout.calibration import Calibration, Calibrations
from proveout.connectors import State
from proveout.control import ControlPlane, StopSwitch
from proveout.control.restrictions import Kind, Restriction, Restrictions
from proveout.errors import BadInput
from proveout.journal import Journal
from proveout.journal.prose import event_line
from proveout.mission import Budget
from proveout.policy import Policy
from proveout.records import Action, Box, Case, Check, Decided, Decision, Output, Person, Place, Role, Route

DESIGN = Path(__file__).parent.parent / "pipelines" / "invoices"
INVOICES = mission.load(DESIGN / "mission.yaml")
CERTIFIED = Calibrations(
    {"ranker": Calibration.fit({name: [(n / 600, n > 100) for n in range(600)] for name in INVOICES.fields}, INVOICES.slo)}
)


def decision(case: str = "c1", amount: str = "100.00", confidence: float = 0.999, **changes) -> Decision:
    values = {
        "contract_num": "17",
        "advertiser": "Ada for Mayor",
        "gross_amount": Decimal(amount),
        "flight_from": date(2020, 3, 2),
        "flight_to": date(2020, 3, 9),
    }
    place = Place(0, Box(0, 0, 1, 1))
    fields = {name: Output(str(value), value, confidence, place, "ranker") for name, value in values.items()}
    arguments = {"amount": amount, "folder": "invoice"}
    actions = tuple(Action(name, arguments, f"{name}:{case}") for name in ("file_document", "pay_invoice"))
    checks = (Check("not a duplicate", True, ""),)
    whole = Decision(
        case, "r1", "invoice", 0.9, fields, frozenset(fields), checks, (), Route.ACT, ("", ""), actions
    )  # fmt: skip
    return dataclasses.replace(whole, **changes)


@pytest.fixture
def plane(tmp_path: Path):
    """Makes control planes; those of one test share a journal, a stop switch and the folder of their effects."""
    journal = Journal(tmp_path / "journal.db")
    switch = StopSwitch(tmp_path / "STOP")
    (tmp_path / "original").write_bytes(b"x")

    def make(run: str = "today", calibrations: Calibrations = CERTIFIED, **budget) -> ControlPlane:
        invoices = INVOICES.model_copy(update={"budget": Budget(**budget)})
        policy = Policy.load(DESIGN / "policy.cedar", invoices)
        four = connectors.of(INVOICES, tmp_path / "effects", lambda case: tmp_path / "original")
        return ControlPlane(invoices, policy, calibrations, four, journal, switch, run)

    yield make
    journal.close()


def verdicts(rulings) -> list[tuple[bool, str]]:
    return [(ruling.verdict.allowed, ruling.verdict.because) for ruling in rulings]


def test_what_nothing_forbids_and_something_permits_is_allowed(plane) -> None:
    (rulings,) = plane().judge([decision()])
    assert [allowed for allowed, _ in verdicts(rulings)] == [True, True]
    assert [ruling.cents for ruling in rulings] == [0, 10000]


UNCERTIFIED = Calibrations({"ranker": Calibration.fit({name: [(0.9, True)] * 52 for name in INVOICES.fields}, INVOICES.slo)})
DUPLICATE = (Check("not a duplicate", False, "c0"),)


@pytest.mark.parametrize(
    ("given", "with_", "because"),
    [
        ({}, {"amount_per_run": 0}, "$100.00 exceeds the $0.00 left"),
        ({"checks": DUPLICATE}, {"amount_per_run": 0}, "$100.00 exceeds"),
        ({"checks": DUPLICATE, "confidence": 0.1}, {}, "forbidden by `never pay twice`"),
        ({"confidence": 0.1}, {}, "the confidence of contract_num is 10.0%, below the certified threshold of"),
        ({"confidence": float("nan")}, {}, "the confidence of contract_num is not calibrated"),
        ({"route": Route.REVIEW}, {}, "the case goes to review"),
        ({}, {"calibrations": UNCERTIFIED}, "contract_num is not certifiable: 52 calibrated values"),
    ],
    ids=["budget", "budget before policy", "policy before SLO", "SLO", "nan", "review", "uncertified"],
)
def test_the_first_no_is_the_verdict(plane, given: dict, with_: dict, because: str) -> None:
    control = plane(**with_)
    (rulings,) = control.judge([decision(**given)])
    allowed, why = verdicts(rulings)[1]  # of the payment
    assert not allowed and because in why


def test_what_is_allowed_under_a_stop_waits_and_happens_when_it_is_lifted(plane) -> None:
    control = plane()
    control.stop.stop("ada", "month end")
    one = decision()
    (rulings,) = control.judge([one])
    assert all(allowed for allowed, _ in verdicts(rulings))
    control.journal.record([Decided(Case(one.case, ""), one, rulings)], control.run)
    held = control.carry_out()
    assert {outcome.state for _, outcome in held} == {State.HELD} and "month end" in held[0][1].because
    control.stop.lift()
    assert State.HELD not in {outcome.state for _, outcome in control.carry_out()}
    assert control.carry_out() == [], "once"


def test_a_no_gives_its_budget_back(plane) -> None:
    control = plane(amount_per_run=150, effects_per_run=4)
    control.judge([decision("c1", checks=DUPLICATE)])
    (rulings,) = control.judge([decision("c2")])
    assert [allowed for allowed, _ in verdicts(rulings)] == [True, True]


def test_a_budget_is_spent_case_by_case(plane) -> None:
    rulings = plane(amount_per_run=250).judge([decision(f"c{n}") for n in range(4)])
    assert [case[1].verdict.allowed for case in rulings] == [True, True, False, False]
    assert "$50.00 left of this run's budget of $250" in rulings[2][1].verdict.because
    assert all(case[0].verdict.allowed for case in rulings)  # filing costs nothing


def test_effects_are_counted_too(plane) -> None:
    rulings = plane(effects_per_run=3).judge([decision(f"c{n}") for n in range(2)])
    assert [ruling.verdict.allowed for case in rulings for ruling in case] == [True, True, True, False]


def test_judging_twice_spends_once(plane) -> None:
    control = plane(amount_per_run=100)
    assert all(control.judge([decision()])[0][1].verdict.allowed for _ in range(3))


def test_a_run_that_is_started_again_remembers_what_it_spent(plane) -> None:
    first = plane(amount_per_run=150)
    one = decision("c1")
    (rulings,) = first.judge([one])
    first.journal.record([Decided(Case("c1", "c1.pdf"), one, rulings)], run=first.run)
    assert not plane(amount_per_run=150).judge([decision("c2")])[0][1].verdict.allowed
    assert plane(run="tomorrow", amount_per_run=150).judge([decision("c2")])[0][1].verdict.allowed


def test_only_what_is_allowed_happens(plane, tmp_path: Path) -> None:
    control = plane()
    good, dear = decision("c1"), decision("c2", amount="20000.00")
    rulings = control.judge([good, dear])
    control.journal.record([Decided(Case(d.case, ""), d, r) for d, r in zip([good, dear], rulings, strict=True)], control.run)
    done = control.carry_out()
    assert sorted(intention.action.key for intention, _ in done) == ["file_document:c1", "file_document:c2", "pay_invoice:c1"]
    assert len(list((tmp_path / "effects" / "payments").iterdir())) == 1


def test_no_effect_follows_after_the_switch_is_thrown(plane) -> None:
    control = plane()
    many = [decision(f"c{n}") for n in range(20)]
    control.journal.record(
        [Decided(Case(d.case, ""), d, r) for d, r in zip(many, control.judge(many), strict=True)], control.run
    )
    seen = []

    def throw_after_five() -> None:
        seen.append(1)
        if len(seen) == 5:
            thrower = threading.Thread(target=control.stop.stop, args=("ada", "enough"))
            thrower.start()
            thrower.join()

    states = [outcome.state for _, outcome in control.carry_out(throw_after_five)]
    assert State.HELD not in states[:5] and set(states[5:]) == {State.HELD}
    control.stop.lift()
    assert len(control.carry_out()) == 35


def test_a_switch_that_cannot_be_read_counts_as_thrown(tmp_path: Path) -> None:
    switch = StopSwitch(tmp_path / "STOP")
    assert switch.stopped() == ""
    switch.path.write_text("")
    assert "exists" in switch.stopped()
    switch.lift()
    switch.stop("ada", "audit")
    switch.stop("bob", "me too")
    assert "stopped by ada" in switch.stopped() and "audit" in switch.stopped()


REVIEW, STRICTER = Kind.REVIEW, Kind.STRICTER


@pytest.fixture
def restrictions(plane) -> Restrictions:
    control = plane()
    return Restrictions(control.journal, control.stop)


@pytest.mark.parametrize(
    ("restriction", "segment", "given", "because"),
    [
        (Restriction(REVIEW, "audit", "ada"), "", {}, "all cases go to a person: audit (ada"),
        (Restriction(REVIEW, "audit", "ada", segment="east"), "east", {}, "east cases go to a person"),
        (Restriction(REVIEW, "audit", "ada", segment="east"), "west", {}, ""),
        (Restriction(REVIEW, "audit", "ada", field="advertiser"), "", {}, "cases with an automated advertiser go to"),
        (Restriction(REVIEW, "audit", "ada", "advertiser", "east"), "west", {}, ""),
        (Restriction(STRICTER, "drift", "ada", "advertiser", at_least=0.9995), "", {}, "advertiser under 99.95 % confidence"),
        (Restriction(STRICTER, "drift", "ada", "advertiser", at_least=0.9995), "", {"confidence": 0.9995}, ""),
        (Restriction(STRICTER, "drift", "ada", at_least=0.9995), "", {}, "any required value under 99.95 % confidence"),
    ],
)
def test_a_restriction_hands_what_it_covers_to_a_reviewer(plane, restrictions, restriction, segment, given, because) -> None:
    imposed = restrictions.impose(restriction, INVOICES)
    (rulings,) = plane().judge([decision(**given)], [segment])
    for ruling in rulings:
        assert ruling.verdict.allowed == (not because) and (not because or because in ruling.verdict.because)
        assert ruling.verdict.escalate_to == ("reviewer" if because else "")
    (by_rita, _) = plane().judge_person(decision(**given), Person("rita", Role.REVIEWER))
    assert by_rita.verdict.allowed, "a person checks what is restricted"
    restrictions.lift(imposed.id[:6], "ada", "repaired")
    (again,) = plane().judge([decision(**given)], [segment])
    assert all(ruling.verdict.allowed for ruling in again)


def test_what_is_restricted_spends_no_budget(plane, restrictions) -> None:
    restrictions.impose(Restriction(REVIEW, "audit", "ada", segment="east"), INVOICES)
    rulings = plane(effects_per_run=2).judge([decision("c1"), decision("c2")], ["east", "west"])
    assert [ruling.verdict.allowed for rulings_of_case in rulings for ruling in rulings_of_case] == [False, False, True, True]


def test_every_step_of_a_restriction_is_in_the_journal_and_a_stop_is_one(plane, restrictions) -> None:
    control = plane()
    first = restrictions.impose(Restriction(REVIEW, "audit", "ada"), INVOICES)
    assert restrictions.impose(Restriction(REVIEW, "again", "bob"), INVOICES) == first, "once"
    restrictions.stop("ada", "paid twice", INVOICES)
    assert "paid twice" in control.stop.stopped() and [one.kind for one in restrictions.active()] == [REVIEW, Kind.STOP]
    restrictions.lift_stop("bob")
    restrictions.lift(first.id, "bob", "read them all")
    assert not control.stop.stopped() and restrictions.active() == ()
    lines = [event_line(event) for event in control.journal.events()]
    assert lines[0] == "review only for everything, by ada: audit" and lines[1] == "stop for everything, by ada: paid twice"
    assert lines[3] == f"restriction {first.id} lifted by bob: read them all"


@pytest.mark.parametrize(
    ("restriction", "message"),
    [
        (Restriction(REVIEW, " ", "ada"), "needs a reason"),
        (Restriction(REVIEW, "audit", "ada", field="advertisor"), "no field 'advertisor' in invoices; expected one of"),
        (Restriction(STRICTER, "audit", "ada", at_least=99.5), "expected a confidence between 0.5 and 1"),
    ],
)
def test_a_restriction_that_cannot_be_is_refused(restrictions, restriction, message) -> None:
    with pytest.raises(BadInput, match=message):
        restrictions.impose(restriction, INVOICES)
    with pytest.raises(BadInput, match="in force: none"):
        restrictions.lift("ab", "ada")
