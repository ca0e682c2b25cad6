"""An effect happens once, whatever is killed and whoever tries at the same time; what fails is tried again, and then kept."""

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from sqlalchemy import event

from counterparty import Counterparty
from program import PATIENCE
from proveout import connectors, mission
from proveout.connectors import Connector, Outcome, State, carry_out, undo
from proveout.connectors.fake import FakeConnector
from proveout.connectors.files import FileDocument, PayInvoice
from proveout.connectors.http import HttpConnector
from proveout.errors import BadInput
from proveout.journal import Journal, intentions
from proveout.journal.intentions import ATTEMPTS, TRIED, Intention
from proveout.journal.prose import dead_letters, effect, history
from proveout.records import Action

INVOICES = mission.load(Path(__file__).parent.parent / "pipelines" / "invoices" / "mission.yaml")
CONTENT = b"%PDF an invoice"
CASE = hashlib.sha256(CONTENT).hexdigest()
FILE = Action("file_document", {"folder": "invoice"}, f"file:{CASE}", compensation="unfile_document")
PAY = Action("pay_invoice", {"amount": "12.50", "contract_num": "17"}, f"pay:{CASE}", compensation="recall_payment")


@pytest.fixture
def world(tmp_path: Path):
    """A journal, an original, and the connectors that ship."""
    (tmp_path / "in.PDF").write_bytes(CONTENT)
    with Journal(tmp_path / "journal.db") as journal:
        yield journal, connectors.of(INVOICES, tmp_path / "effects", lambda case: tmp_path / "in.PDF"), tmp_path / "effects"


def go() -> str:
    return ""


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_intended_effect_happens_and_its_outcome_is_recorded(world) -> None:
    journal, four, effects = world
    journal.intend(CASE, FILE, "today")
    journal.intend(CASE, PAY, "today", cents=1250)
    states = [outcome.state for _, outcome in carry_out(journal, four, go)]
    assert states == [State.DONE, State.DONE]
    assert journal.pending() == []
    archived, order = files(effects)
    assert archived == effects / "archive" / "invoice" / f"{CASE}.pdf" and archived.read_bytes() == CONTENT
    assert json.loads(order.read_text())["cents"] == 1250
    assert carry_out(journal, four, go) == []


def test_an_undone_effect_is_gone_and_stays_undone(world) -> None:
    journal, four, effects = world
    for action in (FILE, PAY):
        journal.intend(CASE, action, "today")
    carry_out(journal, four, go)
    for action in (FILE, PAY):
        journal.intend(CASE, undo(action), "by hand")
        journal.intend(CASE, action, "again")  # the key is spent
    assert [outcome.state for _, outcome in carry_out(journal, four, go)] == [State.DONE, State.DONE]
    order, recall = files(effects)
    assert (order.name, recall.name) == (f"{order.stem}.json", f"{order.stem}.recalled.json")


def test_a_stopped_effect_waits(world) -> None:
    journal, four, effects = world
    journal.intend(CASE, FILE, "today")
    ((_, outcome),) = carry_out(journal, four, lambda: "stopped by ada")
    assert (outcome.state, outcome.because) == (State.HELD, "stopped by ada")
    assert files(effects) == [] and len(journal.pending()) == 1
    assert carry_out(journal, four, go)[0][1].state is State.DONE


def test_only_the_effects_of_the_keys_asked_for_happen(world) -> None:
    journal, four, effects = world
    for action in (FILE, PAY):
        journal.intend(CASE, action, "today")
    assert [intention.action for intention, _ in carry_out(journal, four, go, keys={PAY.key})] == [PAY]
    assert len(files(effects)) == 1 and [intention.action for intention in journal.pending()] == [FILE]


def test_what_can_not_be_tried_now_is_tried_again(world, tmp_path: Path) -> None:
    journal, four, _ = world
    journal.intend(CASE, FILE, "today")
    (tmp_path / "in.PDF").rename(tmp_path / "elsewhere")
    assert carry_out(journal, four, go)[0][1].state is State.FAILED
    (tmp_path / "elsewhere").rename(tmp_path / "in.PDF")
    assert carry_out(journal, four, go) == [], "not at once"
    assert carry_out(journal, four, go, keys={FILE.key})[0][1].state is State.DONE


@pytest.mark.parametrize(
    ("action", "state", "because"),
    [
        (replace(FILE, arguments={"folder": "../../etc"}), State.REFUSED, "expected lower-case letters"),
        (replace(FILE, arguments={}), State.REFUSED, "expected lower-case letters"),
        (replace(PAY, arguments={"amount": "a lot"}), State.REFUSED, "expected dollars and cents above 0"),
        (undo(PAY), State.REFUSED, "no payment order to recall"),
        (Action("launch", {}, "k"), State.FAILED, "no connector performs 'launch'"),
    ],
    ids=["a class that leads elsewhere", "no class", "no amount", "nothing to recall", "an unknown action"],
)
def test_what_makes_no_sense_does_not_happen(world, action: Action, state: State, because: str) -> None:
    journal, four, effects = world
    journal.intend(CASE, action, "today")
    ((_, outcome),) = carry_out(journal, four, go)
    assert outcome.state is state and because in outcome.because
    assert files(effects) == []


def test_a_document_that_changed_since_it_was_decided_is_not_filed(world, tmp_path: Path) -> None:
    journal, four, effects = world
    (tmp_path / "in.PDF").write_bytes(b"another one")
    journal.intend(CASE, FILE, "today")
    ((_, outcome),) = carry_out(journal, four, go)
    assert outcome.state is State.REFUSED and "changed after the decision" in outcome.because
    assert files(effects) == []


def test_another_amount_under_the_same_key_is_refused(world) -> None:
    _, four, effects = world
    assert four["pay_invoice"].perform(CASE, PAY).state is State.DONE
    more = replace(PAY, arguments={"amount": "9912.50"})
    assert four["pay_invoice"].perform(CASE, more) == Outcome(
        State.REFUSED, f"{files(effects)[0].name} already orders another amount under this key"
    )
    assert json.loads(files(effects)[0].read_text())["cents"] == 1250


@pytest.mark.parametrize("amount", ["", "nan", "1e400", "-1", "0", "0.001", "12,50", "1e15"])
def test_only_dollars_and_cents_above_zero_can_be_paid(world, amount: str) -> None:
    _, four, _ = world
    with pytest.raises(BadInput, match="expected dollars and cents above 0"):
        four["pay_invoice"].cents(replace(PAY, arguments={"amount": amount}))


def test_an_action_without_compensation_cannot_be_undone() -> None:
    with pytest.raises(BadInput, match="cannot be undone"):
        undo(replace(PAY, compensation=None))


@dataclass
class World:
    """A connector, an action for it, and what there is to see of its effects from outside."""

    connector: Connector
    action: Action
    there: Callable[[], int]  # how many effects
    damage: Callable[[], object]  # the next try fails
    mend: Callable[[], object] = lambda: None
    spends: bool = True


def file_document(folder: Path, _: Counterparty) -> World:
    original = folder / "in.pdf"
    original.write_bytes(CONTENT)
    connector = FileDocument(FileDocument.Settings(), folder, lambda case: original)
    hidden = folder / "elsewhere"
    return World(
        connector,
        FILE,
        lambda: len(files(folder / "archive")),
        lambda: original.rename(hidden),
        lambda: hidden.rename(original),
        spends=False,
    )


def pay_invoice(folder: Path, _: Counterparty) -> World:
    orders = folder / "payments"

    def there() -> int:
        recalled = {path.name.split(".")[0] for path in orders.glob("*.recalled.json")}
        return len({path.stem for path in orders.glob("*.json") if "recalled" not in path.name} - recalled)

    connector = PayInvoice(PayInvoice.Settings(), folder, Path)
    return World(connector, PAY, there, orders.touch, orders.unlink)


def http(folder: Path, counterparty: Counterparty) -> World:
    action = replace(PAY, key=f"pay:{folder.name}:{uuid4()}")
    return World(
        HttpConnector(counterparty.settings(), folder, Path),
        action,
        lambda: len([each for each in counterparty.payments(action.key) if each["state"] == "paid"]),
        lambda: counterparty.fault("503", requests=3),
    )


def fake(folder: Path, _: Counterparty) -> World:
    connector = FakeConnector()
    return World(connector, PAY, lambda: len(connector.effects), lambda: connector.faults.append(RuntimeError("a bug")))


@pytest.fixture(params=[file_document, pay_invoice, http, fake], ids=lambda make: make.__name__)
def any_world(request: pytest.FixtureRequest, tmp_path: Path, counterparty: Counterparty) -> World:
    return request.param(tmp_path, counterparty)


def test_contract_an_effect_happens_once_a_key(any_world: World) -> None:
    connector, action = any_world.connector, any_world.action
    assert connector.done(CASE, action) is None
    assert [connector.perform(CASE, action).state for _ in range(2)] == [State.DONE, State.DONE]
    assert connector.done(CASE, action) and any_world.there() == 1


def test_contract_eight_at_once_make_one_effect(any_world: World) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: any_world.connector.perform(CASE, any_world.action), range(8)))
    assert {outcome.state for outcome in outcomes} == {State.DONE} and any_world.there() == 1


def test_contract_an_effect_is_taken_back(any_world: World) -> None:
    back, action = any_world.connector.compensation(), undo(any_world.action)
    nothing = back.done(CASE, action) or back.perform(CASE, action).because
    assert nothing and any_world.there() == 0
    any_world.connector.perform(CASE, any_world.action)
    assert back.done(CASE, action) is None
    assert [back.perform(CASE, action).state for _ in range(2)] == [State.DONE, State.DONE]
    assert any_world.there() == 0 and back.cents(action) == 0


def test_contract_what_it_spends_is_known_before(any_world: World) -> None:
    assert any_world.connector.cents(any_world.action) == (1250 if any_world.spends else 0)
    if any_world.spends:
        for amount in ("", "a lot", "-1", "0.001"):
            with pytest.raises(BadInput, match="expected dollars and cents above 0"):
                any_world.connector.cents(replace(any_world.action, arguments={"amount": amount}))


def test_contract_another_amount_under_a_key_is_refused(any_world: World) -> None:
    if any_world.spends:
        any_world.connector.perform(CASE, any_world.action)
        more = replace(any_world.action, arguments={"amount": "9912.50"})
        assert any_world.connector.perform(CASE, more).state is State.REFUSED and any_world.there() == 1


def test_contract_a_failure_is_an_attempt_and_the_next_one_succeeds(any_world: World, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        journal.intend(CASE, any_world.action, "today")
        connectors_ = {any_world.action.name: any_world.connector}
        any_world.damage()
        ((_, failed),) = carry_out(journal, connectors_, go)
        assert failed.state in TRIED and failed.because and any_world.there() == 0
        any_world.mend()
        ((_, outcome),) = carry_out(journal, connectors_, go, keys={any_world.action.key})
        assert outcome.state is State.DONE and any_world.there() == 1
        assert [event.kind for event in journal.events(CASE)] == ["effect intended", "effect attempted", "effect settled"]


def pay(number: int) -> Action:
    return replace(PAY, key=f"pay:{number}")


@pytest.fixture
def journal(tmp_path: Path):
    with Journal(tmp_path / "journal.db") as opened:
        yield opened


def states(results: list[tuple[Intention, Outcome]]) -> list[str]:
    return [outcome.state.value for _, outcome in results]


@pytest.mark.parametrize(
    "fault", [RuntimeError("a bug"), ZeroDivisionError(), KeyError("amount"), OSError(28, "no space left")]
)
def test_whatever_a_connector_raises_the_other_effects_happen(journal: Journal, fault: Exception) -> None:
    connector = FakeConnector(faults=[fault])
    for number in range(3):
        journal.intend(CASE, pay(number), "today")
    results = carry_out(journal, {"pay_invoice": connector}, go)
    assert states(results) == ["failed", "done", "done"] and connector.performed == ["pay:1", "pay:2"]
    attempts = [event.payload for event in journal.events(CASE) if event.kind == "effect attempted"]
    assert [(payload["key"], payload["attempt"], payload["dead"]) for payload in attempts] == [("pay:0", 1, False)]
    assert type(fault).__name__ in attempts[0]["because"] or "no space left" in attempts[0]["because"]


class Wrong(FakeConnector):
    def perform(self, case: str, action: Action) -> Outcome:
        return None  # type: ignore[return-value]


def test_a_connector_that_gives_nonsense_is_a_failed_attempt(journal: Journal) -> None:
    journal.intend(CASE, PAY, "today")
    ((_, outcome),) = carry_out(journal, {"pay_invoice": Wrong()}, go)
    assert outcome.state is State.FAILED and "AttributeError" in outcome.because


def test_ctrl_c_still_ends_a_run(journal: Journal) -> None:
    journal.intend(CASE, PAY, "today")
    with pytest.raises(KeyboardInterrupt):
        carry_out(journal, {"pay_invoice": FakeConnector(faults=[KeyboardInterrupt()])}, go)  # type: ignore[list-item]
    assert [intention.state for intention in journal.unsettled()] == [State.PENDING]


def test_what_failed_often_enough_is_a_dead_letter_until_somebody_says_retry(journal: Journal) -> None:
    connector = FakeConnector(faults=[ConnectionError("HTTP 503")] * ATTEMPTS)
    journal.intend(CASE, PAY, "today", cents=1250)
    tried = [states(carry_out(journal, {"pay_invoice": connector}, go, keys={PAY.key})) for _ in range(ATTEMPTS + 1)]
    assert tried == [["unreachable"]] * (ATTEMPTS - 1) + [["dead"], []]
    assert journal.pending() == [] and [one.dead for one in journal.unsettled()] == [True]
    assert dead_letters(journal.unsettled()) == [
        "dead letters: 1; to retry: proveout effects --retry KEY (or all)",
        f"  pay_invoice for case {CASE[:12]} is dead (unreachable) after 5 attempts: HTTP 503",
    ]
    assert journal.spent("today") == (1, 1250), "it stays reserved"
    journal.retry(CASE[:12], "ada")
    assert states(carry_out(journal, {"pay_invoice": connector}, go)) == ["done"] and connector.performed == [PAY.key]
    text = history(journal.events(CASE))
    assert "pay_invoice unreachable on attempt 5: HTTP 503; no further attempts" in text
    assert "retry of pay_invoice requested by ada" in text
    assert journal.verify().whole


@pytest.mark.parametrize("name", ["", "nobody", "pay:"])
def test_a_retry_of_what_did_not_fail_is_refused(journal: Journal, name: str) -> None:
    journal.intend(CASE, PAY, "today")
    with pytest.raises(BadInput, match="no failed effect matches"):
        journal.retry(name, "ada")


def test_a_failed_attempt_is_followed_by_a_pause(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.intend(CASE, PAY, "today")
    connector = FakeConnector(faults=[RuntimeError("once")])
    carry_out(journal, {"pay_invoice": connector}, go)
    assert journal.pending() == [] and carry_out(journal, {"pay_invoice": connector}, go) == []
    monkeypatch.setattr(intentions, "PAUSES", (0, 5, 30, 120))
    assert states(carry_out(journal, {"pay_invoice": connector}, go)) == ["done"]


def test_a_counterparty_that_is_down_costs_three_tries_and_the_others_no_attempt(journal: Journal) -> None:
    down, up = FakeConnector(faults=[TimeoutError("no answer")] * 9), FakeConnector()
    for number in range(6):
        journal.intend(f"c{number}", pay(number), "today")
        journal.intend(f"c{number}", Action("ticket", {}, f"ticket:{number}"), "today")
    results = carry_out(journal, {"pay_invoice": down, "ticket": up}, go)
    assert Counter(states(results)) == {"done": 6, "unreachable": 3, "held": 3}
    assert len(down.faults) == 6 and carry_out(journal, {"pay_invoice": down, "ticket": up}, go) == []
    assert sum(intention.attempts for intention in journal.unsettled()) == 3
    assert states(carry_out(journal, {"pay_invoice": FakeConnector()}, go, keys={"pay:5"})) == ["done"], "a person may insist"


def test_no_effect_is_begun_when_the_time_is_over(journal: Journal) -> None:
    for number in range(2):
        journal.intend(CASE, pay(number), "today")
    connector = FakeConnector()
    assert states(carry_out(journal, {"pay_invoice": connector}, go, seconds=-1)) == ["held", "held"]
    assert connector.performed == [] and len(journal.pending()) == 2


def test_an_effect_that_is_undone_before_it_happened_never_happens(journal: Journal) -> None:
    pays = FakeConnector(faults=[RuntimeError("not yet")])
    both = {"pay_invoice": pays, "recall_payment": pays.compensation()}
    journal.intend(CASE, PAY, "today")
    carry_out(journal, both, go)
    back = undo(PAY)
    journal.intend(CASE, back, "by hand")
    results = {intention.action.key: outcome for intention, outcome in carry_out(journal, both, go, keys={back.key})}
    assert results[PAY.key] == Outcome(State.REFUSED, "withdrawn before it happened")
    assert results[back.key].state is State.DONE and pays.performed == [] and journal.unsettled() == []


class Mute(FakeConnector):
    """Cannot say what happened while it is mute."""

    mute = True

    def done(self, case: str, action: Action) -> str | None:
        if self.mute:
            raise ConnectionError("no answer")
        return super().done(case, action)


def test_an_undo_waits_until_it_is_known_whether_the_effect_happened(journal: Journal) -> None:
    pays = Mute()
    both, back = {"pay_invoice": pays, "recall_payment": pays.compensation()}, undo(PAY)
    journal.intend(CASE, PAY, "today")
    pays.perform(CASE, PAY)  # by a run that was killed before it could write that down
    journal.intend(CASE, back, "by hand")
    assert states(carry_out(journal, both, go)) == ["unreachable", "held"]
    pays.mute = False
    assert states(carry_out(journal, both, go, keys={back.key})) == ["done", "done"] and pays.effects == {}


def test_a_dead_letter_that_was_undone_is_not_brought_back(journal: Journal) -> None:
    pays = FakeConnector(faults=[RuntimeError("never")] * ATTEMPTS)
    both = {"pay_invoice": pays, "recall_payment": pays.compensation()}
    journal.intend(CASE, PAY, "today")
    for _ in range(ATTEMPTS):
        carry_out(journal, both, go, keys={PAY.key})
    journal.intend(CASE, undo(PAY), "by hand")
    assert states(carry_out(journal, both, go)) == ["done"]
    with pytest.raises(BadInput, match="no failed effect matches"):
        journal.retry("all", "ada")


def test_a_doubt_stays_until_there_is_a_word(journal: Journal) -> None:
    connector = FakeConnector(faults=[Outcome(State.UNKNOWN, "no answer"), ConnectionError("HTTP 503")])
    journal.intend(CASE, PAY, "today")
    for _ in range(2):
        ((_, outcome),) = carry_out(journal, {"pay_invoice": connector}, go, keys={PAY.key})
        assert outcome.state is State.UNKNOWN and outcome.because.startswith("it may have happened: ")
    assert effect(journal.unsettled()[0]).startswith(f"pay_invoice for case {CASE[:12]} is unknown after 2 attempts: it may")


def test_an_effect_among_many_is_looked_up_by_its_key(journal: Journal) -> None:
    asked = []
    event.listen(journal._engine, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
    journal.unsettled()
    (question, values) = next(one for one in asked if "EXISTS" in one[0])
    with journal._reading() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {question}", values)]
    assert "SEARCH later USING INDEX one_event_a_key (key=? AND kind=?)" in plan, "not every outcome for every intention"


ACME = """
from proveout.connectors import Connector, Outcome, State
from pydantic import BaseModel

class Ticket(Connector):
    class Settings(BaseModel, extra="forbid"):
        queue: str
    takes = {"subject": "name"}

    def done(self, case, action):
        path = self.place / self.settings.queue / action.key
        return str(path) if path.exists() else None

    def perform(self, case, action):
        path = self.place / self.settings.queue / action.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(action.arguments["subject"])
        return Outcome(State.DONE, str(path))
"""
USES_ACME = """
import sys
from pathlib import Path
from proveout import connectors, mission
from proveout.records import Action

loaded = mission.load(sys.argv[1])
ticket = connectors.of(loaded, Path(sys.argv[2]), Path)["open_ticket"]
print(ticket.perform("c1", Action("open_ticket", {"subject": "Ada"}, "k1")).state, ticket.done("c1", Action("", {}, "k1")))
"""


def test_a_package_brings_a_connector_by_an_entry_point(tmp_path: Path) -> None:
    about = tmp_path / "site" / "acme_tickets-1.0.dist-info"
    about.mkdir(parents=True)
    (tmp_path / "site" / "acme_tickets.py").write_text(ACME)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tickets\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[proveout.connectors]\nticket = acme_tickets:Ticket\n")
    design = yaml.safe_load((Path(__file__).parent.parent / "pipelines" / "invoices" / "mission.yaml").read_text())
    ticket = {"connector": "ticket", "settings": {"queue": "worker"}, "arguments": {"subject": "advertiser"}}
    path = tmp_path / "mission.yaml"

    def run(**action: object) -> subprocess.CompletedProcess[str]:
        path.write_text(yaml.safe_dump({**design, "actions": {"open_ticket": {**ticket, **action}}}))
        knows = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path])}
        command = [sys.executable, "-c", USES_ACME, str(path), str(tmp_path / "effects")]
        return subprocess.run(command, env=knows, capture_output=True, text=True)

    assert run().stdout.split() == ["done", str(tmp_path / "effects" / "worker" / "k1")]
    assert "unknown setting `queu`; did you mean `queue`?" in run(settings={"queu": "worker"}).stderr
    assert "the connector `ticket` cannot take back what it did" in run(undone_by="close_ticket").stderr
    assert (
        "subject: expected a field of kind name; gross_amount is of kind amount"
        in run(arguments={"subject": "gross_amount"}).stderr
    )


def live(home: Path, boundary: str) -> None:
    """A run that intends two effects and carries them out; at the boundary it kills itself."""

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def then_die(does):
        def both(*arguments, **named) -> None:
            does(*arguments, **named)
            die()

        return both

    journal = Journal(home / "journal.db")
    if boundary == "before the intention is committed":
        event.listen(journal._engine, "commit", die)
    if boundary == "before the effect has its name":
        os.link = die
    if boundary == "after the effect":
        os.link = then_die(os.link)
    if boundary == "before the outcome is recorded":
        Journal.settle = die
    if boundary == "after the outcome":
        Journal.settle = then_die(Journal.settle)
    for action in (FILE, PAY):
        journal.intend(CASE, action, "today")
    if boundary == "after the intention":
        die()
    carry_out(journal, connectors.of(INVOICES, home / "effects", lambda _: home / "in.PDF"), go)


def exit_code(home: Path, boundary: str) -> int | None:
    """Of a process of its own that lives that run."""
    child = multiprocessing.get_context("fork").Process(target=live, args=(home, boundary))
    child.start()
    child.join(PATIENCE)
    return child.exitcode


BOUNDARIES = [
    "before the intention is committed",
    "after the intention",
    "before the effect has its name",
    "after the effect",
    "before the outcome is recorded",
    "after the outcome",
]


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_killed_run_is_continued_without_loss_or_repetition(tmp_path: Path, boundary: str) -> None:
    (tmp_path / "in.PDF").write_bytes(CONTENT)
    assert exit_code(tmp_path, boundary) == -signal.SIGKILL
    assert exit_code(tmp_path, "never") == 0  # the restart does the same and is not killed

    archived, order = [path for path in files(tmp_path / "effects") if not path.name.startswith(".")]
    assert archived.read_bytes() == CONTENT and json.loads(order.read_text())["cents"] == 1250
    with Journal(tmp_path / "journal.db") as journal:
        kinds = [(happened.kind, happened.key.split(":")[0]) for happened in journal.events()]
        assert sorted(kinds) == sorted(
            (kind, what) for kind in ("effect intended", "effect settled") for what in ("file", "pay")
        )
        assert journal.verify().whole


def test_two_who_carry_out_the_same_intention_make_one_effect(world) -> None:
    journal, four, effects = world
    journal.intend(CASE, PAY, "today")
    (intention,) = journal.pending()

    class Hurried:
        """A ledger whose other reader is as far as this one: the outcome is not there yet."""

        def unsettled(self) -> list[Intention]:
            carry_out(journal, four, go)
            return [intention]

        settle, attempted, spent = journal.settle, journal.attempted, journal.spent

    assert [outcome.state for _, outcome in carry_out(Hurried(), four, go)] == [State.DONE]
    assert len(files(effects)) == 1
    assert [happened.kind for happened in journal.events(CASE)] == ["effect intended", "effect settled"]
