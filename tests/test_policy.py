"""The policy says yes only when a permit says so and nothing failed."""

import dataclasses
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from proveout import mission
from proveout.errors import BadInput
from proveout.policy import Policy, Proposal, schema
from proveout.records import Action, Box, Check, Decision, Output, Person, Place, Role, Route

DESIGN = Path(__file__).parent.parent / "pipelines" / "invoices"
INVOICES = mission.load(DESIGN / "mission.yaml")
PAY, FILE = Action("pay_invoice", {}, key="pay"), Action("file_document", {}, key="file")
UNDO = Action("recall_payment", {}, key="undo:pay")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load(DESIGN / "policy.cedar", INVOICES)


def value(of: Decimal | date | str) -> Output:
    return Output(str(of), of, 0.99, Place(0, Box(0, 0, 1, 1)), "ranker")


def decided(amount: str = "1234.56", **changes) -> Decision:
    fields = {
        "contract_num": value("17"),
        "advertiser": value("Ada for Mayor"),
        "gross_amount": value(Decimal(amount)),
        "flight_from": value(date(2020, 3, 2)),
        "flight_to": value(date(2020, 3, 9)),
    }
    whole = Decision(
        case="c1",
        release="r1",
        document_class="invoice",
        class_confidence=0.98,
        fields=fields,
        automated=frozenset(fields),
        checks=(Check("not a duplicate", True, "no past case has these values"),),
        similar=(),
        route=Route.ACT,
        because=("", ""),
    )
    return dataclasses.replace(whole, **changes)


def without(name: str) -> dict:
    fields = dict(decided().fields)
    del fields[name]
    return {"fields": fields, "automated": frozenset(fields)}


DUPLICATE = (Check("not a duplicate", False, "c0 has the same values"),)
FAILED = (*decided().checks, Check("gross_amount adds up", False, "no amounts make it"))


@pytest.mark.parametrize(
    ("decision", "action", "cents", "allowed", "because"),
    [
        pytest.param(decided(), PAY, 123456, True, "`pay small and certain invoices`: an invoice of at most", id="small"),
        pytest.param(decided("10000.00"), PAY, 1000000, True, "pay small", id="exactly 10,000 dollars"),
        pytest.param(decided("10000.01"), PAY, 1000001, False, "it is more than 10,000 dollars", id="a cent more"),
        pytest.param(decided("-5.00"), PAY, -500, False, "no policy permits", id="a negative amount"),
        pytest.param(decided(), PAY, 999999, False, "no policy permits", id="another amount than the document's"),
        pytest.param(decided(document_class="order"), PAY, 123456, False, "for this order", id="an order is not paid"),
        pytest.param(decided(document_class="order"), FILE, 0, True, "file what is certain", id="an order is filed"),
        pytest.param(decided(automated=frozenset()), FILE, 0, False, "no policy permits", id="nothing is certain"),
        pytest.param(decided(checks=()), PAY, 123456, False, "no policy permits", id="a check that did not run"),
        pytest.param(decided(checks=FAILED), PAY, 123456, False, "no policy permits", id="a check that failed"),
        pytest.param(decided(checks=DUPLICATE), PAY, 123456, False, "forbidden by `never pay twice`", id="a duplicate"),
        pytest.param(decided(**without("gross_amount")), PAY, 123456, False, "no policy permits", id="no amount was seen"),
        pytest.param(decided(), UNDO, 0, False, "no policy permits", id="a release undoes nothing"),
        pytest.param(decided(), Action("delete_archive", {}, "k"), 0, False, "cannot be evaluated", id="an unknown action"),
        pytest.param(decided("1e30"), PAY, 10**32, False, "cannot be evaluated", id="an amount beyond 64 bits"),
    ],
)  # fmt: skip
def test_an_action_needs_a_permit(policy: Policy, decision, action, cents: int, allowed: bool, because: str) -> None:
    (verdict,) = policy.judge([Proposal(decision, action, cents)])
    assert (verdict.allowed, because in verdict.because) == (allowed, True), verdict


RON, RITA, ADA = (Person(name, Role(role)) for name, role in (("ron", "reader"), ("rita", "reviewer"), ("ada", "operator")))


@pytest.mark.parametrize(
    ("decision", "action", "cents", "may", "sends_to"),
    [
        (decided(), FILE, 0, [RITA, ADA], {RON: "reviewer"}),
        (decided(automated=frozenset()), FILE, 0, [RITA, ADA], {RON: "reviewer", None: "reviewer"}),
        (decided(), PAY, 123456, [RITA, ADA], {RON: "reviewer"}),
        (decided("10000.00"), PAY, 1000000, [RITA, ADA], {RON: "reviewer"}),
        (decided("10000.01"), PAY, 1000001, [ADA], {RON: "operator", RITA: "operator", None: "operator"}),
        (decided(checks=FAILED), PAY, 123456, [RITA, ADA], {RON: "reviewer", None: "reviewer"}),
        (decided(checks=DUPLICATE), PAY, 123456, [], {}),
        (decided(checks=()), PAY, 123456, [], {}),
        (decided(document_class="order"), PAY, 123456, [], {}),
        (decided(), PAY, 999999, [], {}),
        (decided(), UNDO, 0, [RITA, ADA], {RON: "reviewer", None: "reviewer"}),
    ],
    ids=["file", "file what is uncertain", "pay", "exactly 10,000 dollars", "a cent more", "a check that failed",
         "a duplicate", "nobody looked for duplicates", "an order", "another amount", "undo"],
)  # fmt: skip
def test_what_a_person_may_depends_on_the_role_and_a_denial_names_the_role_that_may(
    policy: Policy, decision, action, cents: int, may: list[Person], sends_to: dict
) -> None:
    for person in (RON, RITA, ADA, None):
        (verdict,) = policy.judge([Proposal(decision, action, cents, person)])
        if person is not None:
            assert verdict.allowed == (person in may), verdict
        assert verdict.escalate_to == ("" if verdict.allowed else sends_to.get(person, "")), verdict


def test_a_permit_for_one_named_person_is_for_no_other_and_suggests_no_role() -> None:
    only_ada = Policy('permit (principal == Person::"ada", action == Action::"pay_invoice", resource);', INVOICES)
    assert only_ada.judge([Proposal(decided(), PAY, 5, ADA)])[0].allowed
    (verdict,) = only_ada.judge([Proposal(decided(), PAY, 5, RITA)])
    assert (verdict.allowed, verdict.escalate_to) == (False, "")
    assert verdict.because == "no policy permits pay_invoice for this invoice to a person with the role reviewer"


def test_one_bad_fact_denies_only_its_own_case(policy: Policy) -> None:
    unreadable = decided(document_class="\udcff")  # no text that Cedar can read
    good = Proposal(decided(), PAY, 123456)
    bad = [Proposal(unreadable, PAY, 123456), Proposal(decided(), PAY, 10**32), Proposal(decided(), Action("launch", {}, "k"))]
    assert [verdict.allowed for verdict in policy.judge([good, *bad, good])] == [True, False, False, False, True]
    assert [verdict.allowed for verdict in policy.judge([good, *bad[1:], good])] == [True, False, False, True]


def test_a_forbid_that_fails_is_a_no() -> None:
    text = """
    permit (principal, action, resource) when { resource.known.passed.contains("not a duplicate") };
    forbid (principal, action, resource) when { context.cents + 1 < 0 };
    """
    verdicts = Policy(text, INVOICES).judge([Proposal(decided(), PAY, 5), Proposal(decided(), PAY, 2**63 - 1)])
    assert [verdict.allowed for verdict in verdicts] == [True, False]  # the second sum leaves 64 bits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("permit (", "not Cedar"),
        ("permit (principal, action, resource) when { resource.seen.gros_amount.cents < 5 };", "gros_amount"),
        ('permit (principal, action == Action::"pay_invoices", resource);', "pay_invoices"),
        ('permit (principal, action, resource) when { resource.known.route == 5 };', "route|type"),
        ('@id("gullible") permit (principal, action, resource) when { resource.seen.document_class == "invoice" };',
         "`gullible` uses nothing from `resource.known`"),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_mean_what_it_says_does_not_load(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Policy(text, INVOICES)


def test_without_a_policy_file_the_message_says_that_nothing_is_allowed(tmp_path) -> None:
    with pytest.raises(BadInput, match="nothing is allowed"):
        Policy.load(tmp_path / "policy.cedar", INVOICES)


def test_an_empty_policy_permits_nothing() -> None:
    assert not Policy("", INVOICES).judge([Proposal(decided(), FILE)])[0].allowed


def test_the_schema_names_every_field_and_action_of_the_mission() -> None:
    text = schema(INVOICES)
    assert all(f'"{name}"' in text for name in (*INVOICES.fields, *INVOICES.actions, "unfile_document", "recall_payment"))


def test_a_policy_may_forbid_by_a_flag_and_an_answer_that_is_none_is_missing():
    letters = INVOICES.model_copy(update={"fields": {"complaint": mission.FieldSpec(kind="flag")}})
    policy = Policy(
        """permit (principal is Release, action == Action::"file_document", resource) when { resource.known.failed.isEmpty() };
        forbid (principal, action, resource) when { resource.seen has complaint && resource.seen.complaint.yes };
        forbid (principal, action, resource) unless { resource.seen has complaint };""",
        letters,
    )
    proposals = [Proposal(decided(fields={"complaint": value(answer)}), FILE) for answer in ("no", "yes", "perhaps")]
    assert [verdict.allowed for verdict in policy.judge(proposals)] == [True, False, False]
