"""An approved action happens once, as far as policy allows; undo takes it back; nobody overwrites another's answer."""

import dataclasses
import json
import os
import signal
import threading
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from program import exit_code
from proveout import connectors, mission
from proveout.agent import Agent
from proveout.calibration import Calibrations
from proveout.control import ControlPlane, StopSwitch
from proveout.errors import BadInput, Changed
from proveout.journal import APPROVAL, INTENDED, LABEL, SETTLED, UNDOING, Journal
from proveout.journal.intentions import UNDO
from proveout.journal.prose import history
from proveout.policy import Policy
from proveout.records import Box, Case, Decided, Decision, Document, Output, Page, Person, Place, Role, Route, Source, Word
from proveout.retrieval import Memory
from proveout.review import waiting
from proveout.review.approvals import Approvals
from proveout.values import written

DESIGN = Path(__file__).parent.parent / "pipelines" / "invoices"
INVOICES = mission.load(DESIGN / "mission.yaml")
RITA, ROB, ADA = Person("rita", Role.REVIEWER), Person("rob", Role.REVIEWER), Person("ada", Role.OPERATOR)
READ = {
    "contract_num": "17",
    "advertiser": "Ada for Mayor",
    "gross_amount": Decimal("100.00"),
    "flight_from": date(2020, 3, 2),
    "flight_to": date(2020, 3, 9),
}


def document(number: int) -> Document:
    """One page that says which it is; its words are unlike those of every other."""
    text = f"invoice of contract {number} " + " ".join(f"w{number}x{at}" for at in range(40))
    words = [Word(word, Box(0, 0, 9, 9), 0, 0, f"{number:064x}", Source.TEXT_LAYER) for word in text.split()]
    return Document(f"{number:064x}", (Page(0, 612, 792, tuple(words)),))


def decision(number: int, **values) -> Decision:
    """As the agent leaves a case to a person: it proposes nothing."""
    read = {**READ, "contract_num": str(number), **values}
    fields = {
        name: Output(written(value), value, 0.6, Place(0, Box(0, 0, 9, 9)), "ranker") for name, value in read.items() if value
    }
    return Decision(
        f"{number:064x}", "r1", "invoice", 0.9, fields, frozenset(), (), (), Route.REVIEW, ("A person sees this.", "")
    )


class World:
    """A home without a model: the real agent's checks and actions, the real control plane, journal, memory and connectors."""

    def __init__(self, home: Path, url: str | Path = "", mission: mission.Mission = INVOICES, policy: str = "") -> None:
        self.home, self.mission = home, mission
        (home / "original").mkdir(parents=True, exist_ok=True)
        self.journal = Journal(url or home / "journal.db")
        self.memory = Memory.open(home / "memory", store="")
        self.policy = Policy(policy, mission) if policy else Policy.load(DESIGN / "policy.cedar", mission)
        self.approvals = Approvals(self.journal, mission, self.checked, self.control)
        self.stop = StopSwitch(home / "STOP")

    def checked(self, decided: Decided, fields, document_class: str):
        agent = Agent(self.mission, {}, Calibrations({}), self.memory)
        approved = agent.approve(document(int(decided.case.id, 16)), decided.decision, fields, document_class)
        on = {name: fields[name].value for name in self.mission.checks["duplicate_on"] if name in fields}
        return approved, [record.case for record in self.memory.agreeing(on)]

    def control(self, run: str) -> ControlPlane:
        def original(case: str) -> Path:
            return self.home / "original" / case

        by_action = connectors.of(self.mission, self.home / "effects", original)
        return ControlPlane(self.mission, self.policy, Calibrations({}), by_action, self.journal, self.stop, run)

    def waits(self, number: int = 1, **values) -> str:
        """A case that the agent left to a person. Gives its id."""
        one = decision(number, **values)
        self.journal.record([Decided(Case(one.case, f"{number}.pdf"), one)], "r")
        return one.case

    def approve(self, case: str, person: Person = RITA, **values: str):
        return self.approvals.approve(case, person, self.approvals.show(case).digest, values)

    def orders(self, kind: str = "*") -> list[dict]:
        paths = sorted((self.home / "effects" / "payments").glob(f"{kind}.json"))
        return [json.loads(path.read_text()) for path in paths]

    def kinds(self, case: str) -> list[str]:
        return [event.kind for event in self.journal.events(case)]


ONLY_PAY = INVOICES.model_copy(update={"actions": {"pay_invoice": INVOICES.actions["pay_invoice"]}})


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, mission=ONLY_PAY, policy=paying())
    yield world
    world.journal.close()


def paying() -> str:
    """The mission's own policy, of what can be paid and recalled."""
    text = (DESIGN / "policy.cedar").read_text(encoding="utf-8")
    kept = [part for part in text.split("@id(") if 'Action::"file_document"' not in part]
    return "@id(".join(kept).replace('action in [Action::"unfile_document", Action::"recall_payment"]',
                                     'action == Action::"recall_payment"')  # fmt: skip


# --- approve ---------------------------------------------------------------------------------------------------------


def test_an_approval_is_a_label_a_proposal_and_its_effect(world: World) -> None:
    case = world.waits()
    view = world.approvals.show(case)
    expected = world.approvals.expected(view, RITA)[0]
    assert [(one.verdict.allowed, one.cents) for one in expected] == [(True, 10000)]
    receipt = world.approvals.approve(case, RITA, view.digest)
    (paid,) = world.orders()
    assert (paid["case"], paid["cents"]) == (case, 10000)
    assert receipt.what == "approved" and receipt.lines == [str(receipt.effects[0])] and "pay_invoice done" in receipt.lines[0]
    assert world.kinds(case) == ["decision", LABEL, APPROVAL, INTENDED, SETTLED]
    assert waiting(world.journal) == []
    text = history(world.journal.events(case))
    assert "approved by rita, reviewer: pay_invoice of $100.00 allowed" in text and "pay_invoice done:" in text


def test_what_is_paid_is_what_the_person_says_and_not_what_was_read(world: World) -> None:
    case = world.waits()
    receipt = world.approve(case, gross_amount="$250.00")
    assert receipt.what == "corrected"
    assert [order["cents"] for order in world.orders()] == [25000]
    assert world.journal.answers()[case].right["gross_amount"] is False
    assert "corrected (gross_amount $250.00) by rita, reviewer" in history(world.journal.events(case))


@pytest.mark.parametrize(
    ("values", "document_class", "because"),
    [
        ({"gross_amount": "a lot"}, "", "gross_amount: no amount in 'a lot'"),
        ({"amount": "3"}, "", "no field amount"),
        ({}, "letter", "no class 'letter'"),
    ],
)
def test_an_approval_that_cannot_be_writes_nothing(world: World, values, document_class, because) -> None:
    case = world.waits()
    with pytest.raises(BadInput, match=because):
        world.approvals.approve(case, RITA, world.approvals.show(case).digest, values, document_class)
    assert world.kinds(case) == ["decision"] and world.orders() == []


def test_a_rejected_case_is_a_label_and_nothing_follows(world: World) -> None:
    case = world.waits()
    receipt = world.approvals.reject(case, RITA, world.approvals.show(case).digest)
    assert (receipt.what, receipt.lines, world.orders()) == ("rejected", [], [])
    assert world.journal.answers()[case].document_class == "other" and waiting(world.journal) == []


def test_a_refused_approval_is_journaled_with_its_because(world: World) -> None:
    """An order is filed, never paid; here nobody may pay one."""
    case = world.waits()
    receipt = world.approvals.approve(case, RITA, world.approvals.show(case).digest, document_class="order")
    assert receipt.effects == () and receipt.rulings == (), "the mission pays invoices alone"
    nobody = World(world.home / "nobody", mission=ONLY_PAY, policy='forbid (principal, action, resource);')  # fmt: skip
    case = nobody.waits()
    (line,) = nobody.approve(case, ADA).lines
    assert line.startswith("pay_invoice of $100.00 refused: pay_invoice is forbidden by")
    assert nobody.kinds(case) == ["decision", LABEL, APPROVAL]
    assert "refused (pay_invoice is forbidden by" in history(nobody.journal.events(case))


def test_what_is_approved_under_a_stop_waits_and_says_so(world: World) -> None:
    world.stop.stop("ada", "month end")
    case = world.waits()
    (line,) = world.approve(case).lines
    assert line.startswith("pay_invoice waiting: stopped by ada") and world.orders() == []
    world.stop.lift()
    world.approvals.finish()
    assert len(world.orders()) == 1


def test_the_budget_of_a_day_holds_for_people_too(tmp_path: Path) -> None:
    small = ONLY_PAY.model_copy(update={"budget": mission.Budget(amount_per_run=150)})
    world = World(tmp_path, mission=small, policy=paying())
    first, second = world.waits(1), world.waits(2)
    assert "done" in world.approve(first).lines[0]
    (line,) = world.approve(second, ADA).lines
    assert "$100.00 exceeds the $50.00 left of this run's budget of $150" in line


# --- roles -----------------------------------------------------------------------------------------------------------


def test_a_payment_beyond_a_role_waits_for_a_second_person_who_may(world: World) -> None:
    case = world.waits(gross_amount=Decimal("19340.00"))
    (line,) = world.approve(case, RITA).lines
    assert line.startswith("pay_invoice of $19,340.00 needs an operator: no policy permits")
    assert world.orders() == []
    assert [one.case.id for one in waiting(world.journal, Role.OPERATOR)] == [case]
    assert waiting(world.journal, Role.REVIEWER) == [], "it is answered"
    view = world.approvals.show(case)
    assert view.answer.by == "rita" and [ruling.action.name for ruling in view.escalated] == ["pay_invoice"]
    assert "done" in world.approve(case, ADA).lines[0]
    assert [order["cents"] for order in world.orders()] == [1934000]
    assert waiting(world.journal, Role.OPERATOR) == []
    assert world.journal.answers()[case].by == "rita", "who changes nothing says nothing anew"


def test_the_second_person_is_never_the_first_whatever_the_role_is_by_then(world: World) -> None:
    case = world.waits(gross_amount=Decimal("19340.00"))
    world.approve(case, RITA)
    promoted = dataclasses.replace(RITA, role=Role.OPERATOR)
    (line,) = world.approve(case, promoted).lines
    assert "rita approved pay_invoice before; a second person has to approve it" in line and world.orders() == []
    assert [one.case.id for one in waiting(world.journal, Role.OPERATOR)] == [case]
    world.approve(case, ADA)
    assert len(world.orders()) == 1


def test_an_operator_may_at_once(world: World) -> None:
    case = world.waits(gross_amount=Decimal("19340.00"))
    assert "done" in world.approve(case, ADA).lines[0]


def test_a_rejection_ends_an_escalation(world: World) -> None:
    case = world.waits(gross_amount=Decimal("19340.00"))
    world.approve(case, RITA)
    world.approvals.reject(case, ADA, world.approvals.show(case).digest)
    assert waiting(world.journal, Role.OPERATOR) == [] and world.orders() == []


def test_what_the_agent_may_not_pay_goes_to_whoever_may(world: World) -> None:
    """A case on which the agent acts is in nobody's queue, unless one of its actions is left to people."""
    read = decision(1, gross_amount=Decimal("19340.00"))
    agent = Agent(ONLY_PAY, {}, Calibrations({}), world.memory)
    acts = agent.approve(document(1), read, read.fields, "invoice")
    acts = dataclasses.replace(acts, route=Route.ACT, automated=frozenset(read.fields))
    (rulings,) = world.control("r").judge([acts])
    assert rulings[0].verdict.escalate_to == "operator"
    world.journal.record([Decided(Case(acts.case, "1.pdf"), acts, rulings)], "r")
    assert [one.case.id for one in waiting(world.journal, Role.OPERATOR)] == [acts.case]
    assert waiting(world.journal, Role.REVIEWER) == []
    world.approve(acts.case, ADA)
    assert len(world.orders()) == 1 and waiting(world.journal, Role.OPERATOR) == []


# --- the same business -----------------------------------------------------------------------------------------------


def test_two_cases_that_a_person_makes_the_same_business_are_paid_once(world: World) -> None:
    first, second = world.waits(1), world.waits(2)
    world.approve(first)
    (line,) = world.approve(second, contract_num="1").lines
    assert "forbidden by `never pay twice`" in line and len(world.orders()) == 1
    world.approvals.undo(first, RITA)
    assert "done" in world.approve(second).lines[0], "what was taken back stands in nobody's way"


def test_a_case_that_was_only_rejected_is_no_reason_not_to_pay(world: World) -> None:
    first, second = world.waits(1), world.waits(2)
    world.approvals.reject(first, RITA, world.approvals.show(first).digest)
    assert "done" in world.approve(second, contract_num="1").lines[0]


def test_two_people_who_approve_the_same_business_at_once_pay_it_once(world: World) -> None:
    """Different cases, one moment: whoever writes second judges again."""
    cases = [world.waits(number, contract_num="99") for number in range(1, 7)]
    digests = {case: world.approvals.show(case).digest for case in cases}
    barrier = threading.Barrier(len(cases))

    def approve(case: str) -> None:
        barrier.wait()
        world.approvals.approve(case, RITA, digests[case])

    threads = [threading.Thread(target=approve, args=(case,)) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(world.orders()) == 1
    assert sum(APPROVAL in world.kinds(case) for case in cases) == len(cases), "everybody's word is kept"


# --- two at one case -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request, tmp_path: Path) -> World:
    """A journal that several processes share."""
    url = ""
    if request.param == "postgresql":
        from sqlalchemy import create_engine, text

        url = request.getfixturevalue("postgres")
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        engine.dispose()
    world = World(tmp_path, url, ONLY_PAY, paying())
    yield world
    world.journal.close()


def test_who_comes_second_is_told_who_answered_when_and_what_and_overwrites_nothing(shared: World) -> None:
    case = shared.waits()
    seen = shared.approvals.show(case).digest
    shared.approvals.approve(case, RITA, seen, {"gross_amount": "$250.00"})
    before = shared.journal.position
    for say in (
        lambda: shared.approvals.approve(case, ROB, seen, {"gross_amount": "$999.00"}),
        lambda: shared.approvals.reject(case, ROB, seen),
        lambda: shared.approvals.undo(case, ROB, seen),
    ):
        with pytest.raises(Changed, match=r"corrected \(gross_amount \$250.00\) by rita, reviewer.*, at \d\d:\d\d UTC"):
            say()
    assert shared.journal.position == before and shared.journal.answers()[case].fields["gross_amount"] == "$250.00"
    now = shared.approvals.show(case)
    assert now.values["gross_amount"] == "$250.00", "the page shows what counts now"
    shared.approvals.approve(case, ROB, now.digest, {"advertiser": "Bob for Mayor"})
    assert shared.journal.answers()[case].fields["gross_amount"] == "$250.00"


def test_of_two_writers_at_the_same_instant_one_is_told(shared: World) -> None:
    """Both see the same case, and both are judged before either writes."""
    case = shared.waits()
    digest = shared.approvals.show(case).digest
    meet = threading.Barrier(2)
    messages: list[str] = []

    def say(person: Person, amount: str) -> None:
        approvals = Approvals(shared.journal, shared.mission, judged_together(shared, meet), shared.control)
        try:
            approvals.approve(case, person, digest, {"gross_amount": amount})
        except Changed as error:
            messages.append(str(error))

    threads = [threading.Thread(target=say, args=arguments) for arguments in ((RITA, "$250.00"), (ROB, "$999.00"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    (paid,) = shared.orders()
    assert len(messages) == 1 and ("by rita" in messages[0]) == (paid["cents"] == 25000)
    assert shared.kinds(case) == ["decision", LABEL, APPROVAL, INTENDED, SETTLED]
    assert shared.journal.verify().whole


def judged_together(world: World, meet: threading.Barrier) -> Callable:
    """Both are as far as the judging before either goes on to write."""

    def checked(*given):
        meet.wait(30)
        return world.checked(*given)

    return checked


@pytest.mark.parametrize("happens", ["a label", "an effect", "an undo"])
def test_whatever_happens_to_a_case_makes_what_was_shown_old(world: World, happens: str) -> None:
    from proveout.records import Answer

    case = world.waits()
    if happens == "an undo":
        world.approve(case)
    world.stop.stop("ada", "wait") if happens == "an effect" else None
    if happens == "an effect":
        world.approve(case)
        world.stop.lift()
    digest = world.approvals.show(case).digest
    match happens:
        case "a label":
            world.journal.answer([Answer(f"{1:064x}", {"gross_amount": "7.00"}, by="bulk")])
        case "an effect":
            world.approvals.finish()
        case "an undo":
            world.approvals.undo(f"{1:064x}", ADA)
    with pytest.raises(Changed, match="this case changed after you opened it"):
        world.approvals.approve(f"{1:064x}", ROB, digest)


def test_what_happens_to_another_case_changes_nothing(world: World) -> None:
    first, second = world.waits(1), world.waits(2)
    digest = world.approvals.show(first).digest
    world.approve(second)
    assert world.approvals.approve(first, ROB, digest).what == "approved"


def test_only_a_decided_case_can_be_approved(world: World) -> None:
    for nobody in ("", "f" * 64):
        with pytest.raises(BadInput, match="no decided case has an id that starts with"):
            world.approvals.approve(nobody, RITA, "0" * 64)


# --- undo ------------------------------------------------------------------------------------------------------------


def test_an_undo_is_proposed_judged_journaled_and_done_once(world: World) -> None:
    case = world.waits()
    world.approve(case)
    receipt = world.approvals.undo(case, ROB)
    (order, recall) = sorted(world.orders(), key=lambda one: "recalls" in one)
    assert recall["recalls"] == order["key"] and recall["key"] == UNDO + order["key"]
    assert [str(one).partition(":")[0] for one in receipt.effects] == ["pay_invoice taken back"]
    assert world.kinds(case)[-3:] == [UNDOING, INTENDED, SETTLED]
    assert "undo requested by rob, reviewer: recall_payment allowed" in history(world.journal.events(case))
    before = world.journal.position
    again = world.approvals.undo(case, ADA)
    assert again.rulings == () and again.effects == receipt.effects and world.journal.position == before


def test_what_was_taken_back_may_be_approved_again_and_is_another_effect(world: World) -> None:
    case = world.waits()
    world.approve(case)
    world.approvals.undo(case, RITA)
    assert world.approve(case, gross_amount="$250.00").what == "corrected"
    assert sorted(one["cents"] for one in world.orders() if "cents" in one) == [10000, 25000]
    lines = world.approvals.undo(case, RITA).lines
    assert [line.partition(":")[0] for line in lines] == ["pay_invoice taken back"] * 2


def test_an_effect_that_has_not_happened_yet_is_withdrawn(world: World) -> None:
    world.stop.stop("ada", "wait")
    case = world.waits()
    world.approve(case)
    world.approvals.undo(case, RITA)
    world.stop.lift()
    world.approvals.finish()
    assert world.orders() == []
    assert "pay_invoice refused: withdrawn before it happened" in str(world.approvals.show(case).effects[0])


@pytest.mark.parametrize(
    ("prepare", "action", "because"),
    [
        (lambda world, case: None, "", "nothing to undo in case 000000000000: nothing was done"),
        (
            lambda world, case: world.approve(case),
            "file_document",
            "nothing to undo of file_document in case .*pay_invoice done",
        ),
    ],
    ids=["nothing happened", "another action"],
)
def test_where_there_is_nothing_to_undo_it_says_so(world: World, prepare, action: str, because: str) -> None:
    case = world.waits()
    prepare(world, case)
    before = world.journal.position
    with pytest.raises(BadInput, match=because):
        world.approvals.undo(case, ADA, action=action)
    assert world.journal.position == before


def test_a_connector_that_cannot_take_back_says_why(tmp_path: Path) -> None:
    final = ONLY_PAY.model_copy(
        update={"actions": {"pay_invoice": ONLY_PAY.actions["pay_invoice"].model_copy(update={"undone_by": None})}}
    )
    world = World(tmp_path, mission=final, policy=paying().rpartition("@id(")[0])
    case = world.waits()
    world.approve(case)
    with pytest.raises(BadInput, match="pay_invoice cannot be undone: the mission names no `undone_by`"):
        world.approvals.undo(case, ADA)


def test_an_undo_that_the_counterparty_refuses_is_told_and_the_effect_stands(world: World) -> None:
    case = world.waits()
    world.approve(case)
    for order in (world.home / "effects" / "payments").iterdir():
        order.unlink()  # whoever executes orders took it away
    (line,) = world.approvals.undo(case, ADA).lines
    assert "pay_invoice done" in line and "it cannot be taken back: there is no payment order to recall" in line
    with pytest.raises(BadInput, match="it cannot be taken back"):
        world.approvals.undo(case, ADA)


def test_a_policy_may_keep_somebody_from_undoing_and_says_who_may(tmp_path: Path) -> None:
    text = paying().replace(
        'when { ["reviewer", "operator"].contains(principal.role) };', 'when { principal.role == "operator" };'
    )
    world = World(tmp_path, mission=ONLY_PAY, policy=text)
    case = world.waits()
    world.approve(case)
    lines = world.approvals.undo(case, RITA).lines
    assert "recall_payment needs an operator" in lines[1] and len(world.orders()) == 1
    assert "recall_payment needs an operator" in history(world.journal.events(case))
    world.approvals.undo(case, ADA)
    assert len(world.orders()) == 2


# --- a kill at every boundary ----------------------------------------------------------------------------------------


def live(folder: str, boundary: str) -> None:
    """An approval that kills its own process at the boundary."""
    from sqlalchemy import event

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def then_die(does):
        def both(*arguments, **named):
            does(*arguments, **named)
            die()

        return both

    world = World(Path(folder), mission=ONLY_PAY, policy=paying())
    if boundary == "before the approval is committed":
        event.listen(world.journal._engine, "commit", die)
    if boundary == "after the approval":
        Journal.append_after = then_die(Journal.append_after)
    if boundary == "before the effect has its name":
        os.link = die
    if boundary == "after the effect":
        os.link = then_die(os.link)
    if boundary == "before the outcome is recorded":
        Journal.settle = die
    if boundary == "after the outcome":
        Journal.settle = then_die(Journal.settle)
    world.approve(f"{1:064x}")


BY_RUN, BY_PAGE = "the next run", "the next page"


@pytest.mark.parametrize(
    ("boundary", "next_is"),
    [
        ("before the approval is committed", BY_PAGE),
        ("after the approval", BY_RUN),
        ("before the effect has its name", BY_PAGE),
        ("after the effect", BY_RUN),
        ("before the outcome is recorded", BY_PAGE),
        ("after the outcome", BY_RUN),
    ],
)
def test_an_approval_that_is_killed_pays_once(tmp_path: Path, boundary: str, next_is: str) -> None:
    world = World(tmp_path, mission=ONLY_PAY, policy=paying())
    case = world.waits()
    assert exit_code(live, tmp_path, boundary) == -signal.SIGKILL
    if boundary == "before the approval is committed":
        assert world.kinds(case) == ["decision"], "all of it or nothing"
        world.approve(case)
    for _ in range(2):
        world.control("the next run").carry_out() if next_is == BY_RUN else world.approvals.finish()
    paid = [path for path in (tmp_path / "effects" / "payments").iterdir() if not path.name.startswith(".")]
    assert len(paid) == 1 and json.loads(paid[0].read_text())["cents"] == 10000
    assert world.kinds(case) == ["decision", LABEL, APPROVAL, INTENDED, SETTLED]
    assert world.journal.verify().whole
