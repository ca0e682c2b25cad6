"""An effect happens once, whatever is killed and whoever tries at the same time."""

import hashlib
import json
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from proveout import connectors, mission
from proveout.connectors import Intention, Outcome, State, carry_out, undo
from proveout.errors import BadInput
from proveout.journal import Journal
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
        (replace(FILE, arguments={"folder": "../../etc"}), State.REFUSED, "expected small letters"),
        (replace(FILE, arguments={}), State.REFUSED, "expected small letters"),
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
    assert outcome.state is State.REFUSED and "changed since it was decided" in outcome.because
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
    child.join(60)
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
